"""What reads files from strangers: for every kind a few whole files, and the way they are read.

`make` is called once in a process of its own, in an empty folder that is the current one. It gives
whole files, how to spoil one, and a function that is given the place of a spoilt one.
"""

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import mutations
import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin

from nstk.errors import NstkError

GIB = 2**30

LEFT_OUT = NstkError("left out, and done anew")
"""What stands for a refusal where a file is only kept to save work."""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: What the table calls it.
        ending: Of the file's name.
        make: Gives whole files and the function that reads a spoilt one.
        spoil: One of `mutations`.
        share: How many inputs of a thousand are of this kind.
        room: How many bytes of memory reading may take beyond what the process has.
    """

    name: str
    ending: str
    make: Callable[[], tuple[Sequence[bytes], Callable[[Path], object]]]
    spoil: Callable[..., bytes] = mutations.spoil
    share: int = 60
    room: int = 3 * GIB


def draw(size=(24, 18)) -> Image.Image:
    grey = Image.linear_gradient("L").resize(size)
    turned = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (grey, turned, grey))


def save(picture, format_name, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_name, **options)
    return file.getvalue()


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif() -> Image.Exif:
    facts = Image.Exif()
    facts[0x0112] = 6
    facts[0x010E] = "a picture"
    return facts


def read_picture(path: Path) -> None:
    """Read it in every way there is; one way's refusal is no reason to leave out the others."""
    from nstk.errors import PictureError
    from nstk.media.pictures import load_levels, load_picture, probe_picture

    refusal = None
    for read in (load_picture, load_levels, lambda place: probe_picture(place, whole=False)):
        try:
            read(path)
        except PictureError as error:
            refusal = error
    if refusal:
        raise refusal


def pictures(*whole: Callable[[], bytes]) -> Callable[[], tuple[Sequence[bytes], object]]:
    return lambda: ([make() for make in whole], read_picture)


def deep() -> Image.Image:
    return Image.fromarray((np.arange(24 * 18).reshape(18, 24) * 150).astype(np.uint16))


JPEG = pictures(
    lambda: save(draw(), "JPEG", exif=exif(), icc_profile=profile()),
    lambda: save(draw(), "JPEG", progressive=True),
    lambda: save(draw().convert("CMYK"), "JPEG"),
    lambda: save(draw().convert("L"), "JPEG", exif=exif()),
)

PNG = pictures(
    lambda: save(draw(), "PNG", exif=exif(), icc_profile=profile()),
    lambda: save(draw().convert("P"), "PNG", transparency=3),
    lambda: save(deep(), "PNG"),
    lambda: save(draw().convert("RGBA"), "PNG"),
    lambda: save(draw().convert("1"), "PNG"),
    lambda: save(draw(), "PNG", save_all=True, append_images=[draw().rotate(90)]),
)

WEBP = pictures(
    lambda: save(draw(), "WEBP", exif=exif(), icc_profile=profile()),
    lambda: save(draw().convert("RGBA"), "WEBP", lossless=True),
    lambda: save(draw(), "WEBP", save_all=True, append_images=[draw().rotate(90)]),
)

TIFF = pictures(
    lambda: save(draw(), "TIFF", icc_profile=profile()),
    lambda: save(draw(), "TIFF", compression="tiff_lzw"),
    lambda: save(draw(), "TIFF", compression="jpeg"),
    lambda: save(draw(), "TIFF", compression="tiff_adobe_deflate"),
    lambda: save(deep(), "TIFF"),
    lambda: save(draw().convert("F").point(lambda level: level / 255), "TIFF"),
    lambda: save(draw().convert("1"), "TIFF", compression="group4"),
    lambda: save(draw(), "TIFF", tiffinfo=_turned()),
)


def _turned():
    facts = TiffImagePlugin.ImageFileDirectory_v2()
    facts[0x0112] = 8
    return facts


BMP = pictures(
    lambda: save(draw(), "BMP"),
    lambda: save(draw().convert("P"), "BMP"),
    lambda: save(draw().convert("1"), "BMP"),
)

GIF = pictures(
    lambda: save(draw(), "GIF"),
    lambda: save(draw(), "GIF", save_all=True, append_images=[draw().rotate(90)], loop=0),
)


def make_manifests() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    from nstk.media.sources import open_catalogue

    for name in ("a", "b"):
        Path(name).mkdir()
        for number in range(3):
            Path(name, f"{number}.png").write_bytes(b"")
    rows = [(f"{name}/{number}.png", name) for name in "ab" for number in range(3)]
    table = "path,label\n" + "".join(f"{path},{name}\n" for path, name in rows)
    parts = "path;split;labels\n" + "".join(f"{path};train;{name}|c\n" for path, name in rows)
    return [table.encode(), parts.encode(), b"\xef\xbb\xbf" + table.encode()], open_catalogue


def make_json_manifests() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    tables, read = make_manifests()
    rows = [line.split(",") for line in tables[0].decode().splitlines()[1:]]
    plain = [json.dumps({"path": path, "label": label}) for path, label in rows]
    several = [json.dumps({"path": path, "labels": [label, "c"]}) for path, label in rows]
    return ["\n".join(lines).encode() for lines in (plain, several)], read


def make_zips() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    from nstk.media.folders import scan_folder

    packed = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name in ("a", "b"):
                for number in range(2):
                    archive.writestr(f"data/{name}/{number}.png", save(draw((6, 5)), "PNG"))
        packed.append(file.getvalue())
    return packed, scan_folder


def make_styles() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    import tensorflow as tf

    from nstk.stylization.statistics import Statistics
    from nstk.stylization.style_files import SavedStyle, load_style, write_style

    sums = Statistics(tf.eye(3), tf.ones(3), tf.constant(9.0))
    network = {"backbone": "tiny", "digest": "0" * 64, "pooling": "max"}
    style = SavedStyle("waves", network, {size: {"one": sums} for size in (32, 64)})
    path = write_style(style, "whole.nstyle", ["waves.png"])
    return [path.read_bytes()], load_style


def make_array_files() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    from nstk.media.array_files import read_arrays, write_arrays

    arrays = {"a": np.arange(6.0).reshape(2, 3), "b/c": np.zeros((2, 2), np.uint8)}
    write_arrays(Path("whole"), "facts.json", {"one": [1, {"two": None}]}, arrays)

    def read(path):
        try:  # as every caller does
            return read_arrays(path, "facts.json", limit=2**20)
        except (OSError, ValueError) as error:
            raise NstkError(str(error)) from error

    return [Path("whole").read_bytes()], read


def make_checkpoints() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    """Checkpoints whose digest is right whatever they hold, so that everything in them is read."""
    import keras

    from nstk.backbones.backbone import Backbone
    from nstk.backbones.compact import build_compact
    from nstk.media import checkpoints
    from nstk.settings import CheckpointSettings, StylizeSettings
    from nstk.stylization.job import stylize

    keras.utils.set_random_seed(7)
    network = Backbone("tiny", build_compact(widths=(4, 6), depths=(1, 1)), 32, "seeded")
    picture = np.asarray(draw((32, 24)), np.float32) / 255
    settings = StylizeSettings(size=32, steps=2, scales=1)
    states = CheckpointSettings(checkpoint="states", checkpoint_every=1)
    stylize(picture, picture, backbone=network, settings=settings, checkpoints=states)
    whole = [path.read_bytes() for path in sorted(Path("states").glob("*.checkpoint"))]
    [recipe] = {json.dumps(_facts(each)["recipe"]) for each in whole}
    recipe = checkpoints.Recipe(**json.loads(recipe))
    from nstk.stylization import resumption
    from nstk.stylization.painting import Painting

    painted = []
    remember = Painting.begin
    Painting.begin = lambda self: painted.append(self) or remember(self)
    stylize(picture, picture, backbone=network, settings=settings)
    Painting.begin = remember
    again = CheckpointSettings(checkpoint="again", resume=True)
    Path("again").mkdir()

    def read(path):
        content = _seal(path.read_bytes(), checkpoints)
        target = Path("again", "step-00000001.checkpoint")
        target.write_bytes(content)
        try:
            with checkpoints.CheckpointFolder(again) as folder:
                state = folder.find(recipe)
            if state is None:
                raise LEFT_OUT
            resumption.recall_decisions(state)
            resumption.recall_descent(painted[0], state)
        finally:
            target.unlink(missing_ok=True)

    return whole, read


def _facts(content: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return json.loads(archive.read("checkpoint.json"))


def _seal(content: bytes, checkpoints) -> bytes:
    """The same with a digest that is right, where enough of it can be read for that."""
    from nstk.media.array_files import read_arrays, write_arrays

    try:
        Path("unsealed").write_bytes(content)
        facts, arrays = read_arrays(Path("unsealed"), checkpoints.TITLE, limit=2**24)
        facts.pop("digest", None)
        facts["digest"] = checkpoints._digest(facts, arrays)
        write_arrays(Path("unsealed"), checkpoints.TITLE, facts, arrays)
        return Path("unsealed").read_bytes()
    except Exception:  # what cannot be sealed is read as it is
        return content
    finally:
        Path("unsealed").unlink(missing_ok=True)


def make_weights(write: str) -> Callable[[], tuple[Sequence[bytes], Callable[[Path], object]]]:
    """Weights files as one of the functions of ``tests/weights_files.py`` writes them."""

    def make():
        import keras
        import weights_files

        from nstk.backbones.compact import build_compact
        from nstk.backbones.weights import assign_weights
        from nstk.backbones.weights_files import open_weights

        keras.utils.set_random_seed(7)
        network = build_compact(widths=(2, 3), depths=(1, 1))
        ending = {"npz": ".npz", "keras": ".weights.h5", "published": ".h5"}[write]
        place = Path(f"whole{ending}")
        getattr(weights_files, f"write_{write}")(place, network)
        whole = place.read_bytes()
        place.unlink()

        def read(path):
            with open_weights(path) as stored:
                assign_weights(network, stored, name="tiny", origin=str(path))

        return [whole], read

    return make


def make_classifiers() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    import keras
    from test_classifier import build_classifier

    from nstk.backbones.backbone import Backbone
    from nstk.backbones.classifiers import open_classifier
    from nstk.backbones.compact import build_compact
    from nstk.finetuning.classifier import load_classifier

    keras.utils.set_random_seed(7)
    network = Backbone("tiny", build_compact(widths=(2, 3), depths=(1, 1)), 8, "seeded")
    made = build_classifier(network, 8, 1.0)
    made = dataclasses.replace(made, backbone={**made.backbone, "input_size": 8})
    made.save("whole.keras")
    whole = Path("whole.keras").read_bytes()

    def read(path):
        refusal = None
        for each in (load_classifier, open_classifier):
            try:
                each(path)
            except NstkError as error:
                refusal = error
        if refusal:
            raise refusal

    return [whole], read


def make_results(ending: str) -> Callable[[], tuple[Sequence[bytes], Callable[[Path], object]]]:
    """Files of predictions that are gone on with."""

    def make():
        from nstk.predicting.job import Prediction
        from nstk.predicting.results import ResultsFile

        classifier = SimpleNamespace(classes=("a", "b"), multi_label=False, digest="0" * 64)
        place = Path(f"whole{ending}")
        with ResultsFile(place, classifier) as results:
            for number in range(3):
                results.append(
                    Prediction(
                        path=Path(f"pictures/{number}\n,.png"),
                        label="a",
                        probability=0.75,
                        digest="1" * 64,
                        labels=("a",),
                        top=(("a", 0.75), ("b", 0.25)),
                        strangeness=0.5,
                    )
                )

        def read(path):
            with ResultsFile(path, classifier, resume=True) as results:
                return results.done

        return [place.read_bytes()], read

    return make


def make_records() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    """Records of runs that can be repeated."""
    from nstk.finetuning.manifest import read_record

    record = {
        "format": 1,
        **{name: {} for name in ("given", "settings", "versions", "backbone", "results")},
        "files": [],
        "head": "0",
    }
    return [json.dumps(record).encode()], read_record


def make_swept() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    """Records of the runs of a sweep that is gone on with."""
    from nstk.media.files import digest_file
    from nstk.sweeping.records import RunFolder

    Path("runs").mkdir()
    Path("runs/one.png").write_bytes(b"1")
    record = {
        **{"digest": "0", "picture": digest_file("runs/one.png"), "backbone": "tiny"},
        **{"seconds": 1.0, "diverged": False, "terms": {"loss": 1.0}},
        **{"curves": {"loss": [1.0]}, "stages": [["64×48", 3]]},
    }
    folder, point = RunFolder(Path("runs")), SimpleNamespace(label="one")

    def read(path):
        path.replace("runs/one.json")
        try:
            if folder.find(point, "0") is None:
                raise LEFT_OUT
        finally:
            Path("runs/one.json").unlink()

    return [json.dumps(record).encode()], read


def make_cached() -> tuple[Sequence[bytes], Callable[[Path], object]]:
    """Rows of features under the right digest of wrong bytes."""
    import hashlib

    from nstk.finetuning.cache import FeatureCache, _list_files

    cache = FeatureCache("cache")
    shelf = cache.shelf({"what": "test"})
    for number in range(3):
        shelf.add(f"{number:064x}", np.full(5, number, np.float32))
    cache.close()
    [place] = Path("cache").rglob("*.rows")
    whole = place.read_bytes()
    place.unlink()

    def read(path):
        content = path.read_bytes()
        target = place.with_name(hashlib.sha256(content).hexdigest() + place.suffix)
        target.write_bytes(content)
        try:
            shelf = FeatureCache("cache").shelf({"what": "test"})
            for number in range(3):
                if shelf.find(f"{number:064x}") is None:
                    raise LEFT_OUT
        finally:
            for left in _list_files(target.parent):
                left.unlink()

    return [whole], read


KINDS = (
    Kind("JPEG", ".jpg", JPEG, share=110),
    Kind("PNG", ".png", PNG, mutations.spoil_png, share=130),
    Kind("WebP", ".webp", WEBP, share=90),
    Kind("TIFF", ".tif", TIFF, share=130),
    Kind("BMP", ".bmp", BMP, share=60),
    Kind("GIF", ".gif", GIF, share=70),
    Kind("CSV manifest", ".csv", make_manifests, mutations.spoil_lines, room=GIB),
    Kind("JSONL manifest", ".jsonl", make_json_manifests, mutations.spoil_lines, room=GIB),
    Kind("zip of pictures", ".zip", make_zips, mutations.spoil_zip, share=60),
    Kind("style file", ".nstyle", make_styles, mutations.spoil_zip, share=40, room=GIB),
    Kind("array file", ".arrays", make_array_files, mutations.spoil_zip, share=40, room=GIB),
    Kind("checkpoint", ".bin", make_checkpoints, mutations.spoil_zip, share=25, room=GIB),
    Kind("weights, .npz", ".npz", make_weights("npz"), mutations.spoil_zip, share=25, room=GIB),
    Kind("weights, Keras HDF5", ".weights.h5", make_weights("keras"), share=25, room=GIB),
    Kind("weights, published HDF5", ".h5", make_weights("published"), share=25, room=GIB),
    Kind("classifier (.keras)", ".keras", make_classifiers, mutations.spoil_zip, share=8, room=GIB),
    Kind("predictions, CSV", ".csv", make_results(".csv"), mutations.spoil_lines, 30, GIB),
    Kind("predictions, JSONL", ".jsonl", make_results(".jsonl"), mutations.spoil_lines, 30, GIB),
    Kind("record of a run", ".json", make_records, mutations.spoil_json, 15, GIB),
    Kind("record of a sweep", ".json", make_swept, mutations.spoil_json, 10, GIB),
    Kind("cached features", ".rows", make_cached, share=17, room=GIB),
)
"""Everything that is read from a file."""
