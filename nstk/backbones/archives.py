"""Classifier files: Keras archives with one additional member, the card ``nstk.json``.

Keras ignores the card, so the file loads like any file of ``model.save``. Equal classifiers give
equal bytes. A file is loaded only after everything that it asks Keras to build has been checked.
"""

import copy
import errno
import json
import math
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras

from nstk.backbones.keras_config import pinned_keras_config
from nstk.errors import BackboneError, ModelError, OutputError
from nstk.storage.array_files import ZIP_ERRORS, open_zip
from nstk.storage.files import atomic_write, check_regular, find_temporary_folder
from nstk.types import Json, KerasModel

CARD = "nstk.json"
SUFFIX = ".keras"
ADVICE = "give a .keras file made by nstk finetune"

_CONFIG = "config.json"
_METADATA = "metadata.json"
_WEIGHTS = "model.weights.h5"
_MEMBERS = {_CONFIG, _METADATA, _WEIGHTS, CARD}
_MAX_TEXT_BYTES = 64 * 2**20
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_CODE_CARRIERS = (
    "Lambda",
    "__lambda__",
    "TorchModuleWrapper",
    "TFSMLayer",
    "JaxLayer",
    "FlaxLayer",
)
_FILE_READERS = ("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup")
"""Layers that can read their vocabulary from any file of the machine."""

_UNUSED = ("quantization_config", "renorm", "renorm_clipping", "renorm_momentum")
"""Settings that Keras 3.10 does not know and frozen networks never use."""

_HUB_LAYERS = re.compile(
    r"keras_hub\.src\.(layers\.modeling\.\w+|models\.\w+\.\w*(layers?|backbone|blocks?|stem))"
)
"""Modules of KerasHub that have layers of networks, and no readers of files."""

_FOREIGN_FORMATS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x80": "a Python pickle",
}


def check_name(path: Path) -> None:
    """Refuse a file name without the extension that Keras needs.

    Raises:
        OutputError: With the correct name.
    """
    if path.suffix != SUFFIX:
        raise OutputError(
            f"{path} lacks the extension {SUFFIX}; write to {path.with_suffix(SUFFIX).name}."
        )


def write_archive(path: Path, model: KerasModel, card: Mapping[str, Json]) -> Path:
    """Write a model and its card, completely or not at all; equal input gives equal bytes.

    Args:
        path: The file, with the extension ``.keras``.
        model: A ``keras.Model`` of Keras's own layers.
        card: Metadata that can be written as JSON.

    Raises:
        OutputError: If the file cannot be written.
    """
    check_name(path)

    def write(temporary: Path) -> None:
        with tempfile.TemporaryDirectory(dir=find_temporary_folder()) as folder:
            saved = Path(folder, "saved.keras")
            model.save(saved)
            with zipfile.ZipFile(saved) as source, zipfile.ZipFile(temporary, "w") as target:
                _copy_members(source, target, card)

    return atomic_write(path, write)


@pinned_keras_config()
def read_archive(path: Path) -> tuple[KerasModel, dict[str, Json]]:
    """Read a model and its card without running code from the file.

    Raises:
        ModelError: If the file is missing, damaged, not made by nstk, or contains code.
    """
    _check_format(path)
    try:
        with open_zip(path) as archive:
            _check_members(path, archive)
            config, card = (_read_json(path, archive, name) for name in (_CONFIG, CARD))
    except (*ZIP_ERRORS, OSError) as error:
        raise ModelError(
            f"{path}: the archive is damaged ({error}); create or download it again."
        ) from error
    if check_config(path, config, allowed=lambda module, _: bool(_HUB_LAYERS.fullmatch(module))):
        import_hub(path)
    try:
        _check_size(path, config)
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        _restore_names(model, config)
        return model, card
    except ModelError:
        raise
    except Exception as error:  # damaged configs make Keras raise almost anything
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ModelError(
                f"{path}: cannot be unpacked in {find_temporary_folder()} ({error.strerror}); "
                "free disk space there, or set TMPDIR to another folder."
            ) from error
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: Keras cannot build its network ({reason}); {ADVICE}.") from error


def _copy_members(
    source: zipfile.ZipFile, target: zipfile.ZipFile, card: Mapping[str, Json]
) -> None:
    """Copy an archive without dates and memory addresses, so that Keras 3.10 can load it."""
    texts = {
        _CONFIG: _make_portable(json.loads(source.read(_CONFIG)), {}),
        _METADATA: {"keras_version": keras.version()},
        CARD: dict(card),
    }
    for name in sorted({*source.namelist(), CARD}):
        member = zipfile.ZipInfo(name, _ZIP_EPOCH)
        if name in texts:
            text = json.dumps(texts[name], ensure_ascii=False)
            # Paths that are not valid text have lone surrogates, which are escaped in JSON.
            target.writestr(member, text.encode("utf-8", "backslashreplace"))
        else:
            target.writestr(member, source.read(name))


def _make_portable(config: Json, numbers: dict[int, int]) -> Json:
    """Leave out what Keras before 3.15 refuses, and number shared objects as they appear.

    The weights are in the file, so their initializers are never used, and nothing is trained with
    renormalization. The names of operations, which Keras 3.10 does not accept, stay beside their
    configs; `_restore_names` reads them.
    """
    if isinstance(config, list):
        return [_make_portable(value, numbers) for value in config]
    if not isinstance(config, dict):
        return config
    kept: dict[str, Json] = {
        key: numbers.setdefault(value, len(numbers) + 1)
        if key == "shared_object_id"
        else _make_portable(value, numbers)
        for key, value in config.items()
        if not key.endswith("initializer") and key not in _UNUSED
    }
    if _is_operation(kept):
        kept["config"].pop("name", None)
    return kept


def _restore_names(model: KerasModel, config: Json) -> None:
    """Name operations as in the file; Keras numbers them by what the process has built before."""
    operations = (each for each in model.operations if not isinstance(each, keras.Layer))
    created = sorted(operations, key=lambda each: (len(each.name), each.name))
    for entry in config["config"]["layers"]:
        if _is_operation(entry):
            # Keras creates them in the order of the file.
            first = next(each for each in created if type(each).__name__ == entry["class_name"])
            first.name = entry["name"]
            created.remove(first)
        elif entry["class_name"] == "Functional":
            _restore_names(model.get_layer(entry["name"]), entry)


def _is_operation(entry: Mapping[str, Json]) -> bool:
    return str(entry.get("module")).startswith("keras.src.ops")


def _check_format(path: Path) -> None:
    """Refuse other files than zip archives by name and content, before parsing anything."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            beginning = file.read(8)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {ADVICE}.") from error
    for signature, name in _FOREIGN_FORMATS.items():
        if beginning.startswith(signature):
            raise ModelError(
                f"{path}: {name}, which can contain code and is never opened; {ADVICE}."
            )
    if path.suffix != SUFFIX:
        raise ModelError(f"{path}: its extension is not {SUFFIX}; {ADVICE}.")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: not a .keras archive, or truncated; {ADVICE}.")


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse missing, additional and compressed members."""
    names = archive.namelist()
    for name in sorted(_MEMBERS.difference(names)):
        raise ModelError(f"{path}: has no {name}, so it was not made by nstk; {ADVICE}.")
    for name in sorted({name for name in names if name not in _MEMBERS or names.count(name) > 1}):
        raise ModelError(f"{path}: has an unexpected or duplicate member {name!r}; {ADVICE}.")
    if archive.getinfo(_WEIGHTS).compress_type != zipfile.ZIP_STORED:
        raise ModelError(f"{path}: its weights are compressed, which nstk never does; {ADVICE}.")


def _check_size(path: Path, config: Mapping[str, Json]) -> None:
    """Refuse a network with more weights than its file has bytes, before it is built.

    Counting happens in a thread of its own, so that Keras's thread-local state is discarded.
    """
    with ThreadPoolExecutor(1) as executor:
        count = executor.submit(_count_weights, config).result()
    if count > path.stat().st_size:
        raise ModelError(f"{path}: claims {count} weights, more than it can hold; {ADVICE}.")


def _count_weights(config: Mapping[str, Json]) -> int:
    # Keras takes parts out of the config that it reads.
    bare = {**copy.deepcopy(config), "compile_config": None}
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(bare, safe_mode=True)
        return sum(math.prod(variable.shape) for variable in model.variables)


def _read_json(path: Path, archive: zipfile.ZipFile, name: str) -> dict[str, Json]:
    if archive.getinfo(name).file_size > _MAX_TEXT_BYTES:
        raise ModelError(f"{path}: its {name} is larger than nstk writes; {ADVICE}.")
    try:
        content = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its {name} is not JSON ({error}); {ADVICE}.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: its {name} is not an object; {ADVICE}.")
    return content


def check_config(
    path: Path, config: dict[str, Json], allowed: Callable[[str, str], bool]
) -> list[str]:
    """Refuse other layers than Keras's own, and layers that run code or read files.

    ``allowed`` takes the module and the name of a class, and accepts more; these are returned.
    """
    accepted = []
    for part in _objects(config):
        name, module = str(part.get("class_name")), part.get("module")
        if name in _CODE_CARRIERS:
            raise ModelError(f"{path}: has a {name} layer, which runs code; {ADVICE}.")
        if name in _FILE_READERS:
            raise ModelError(f"{path}: has a {name} layer, which reads files; {ADVICE}.")
        if module is not None and allowed(str(module), name):
            accepted.append(name)
        elif module is not None and str(module).split(".")[0] != "keras":
            raise ModelError(f"{path}: uses {module}.{name}, which is not part of Keras; {ADVICE}.")
    return accepted


def import_hub(path: Path) -> Any:
    """Import KerasHub, which also makes its layers known to Keras.

    Raises:
        BackboneError: If it is not installed; ``path`` needs it.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise BackboneError(
            f"{path} needs KerasHub ({error}); install it with pip install 'nstk[hub]'."
        ) from error
    return keras_hub


def _objects(config: Json) -> Iterator[dict[str, Json]]:
    """All parts of a config, at any depth, that name a class or a module."""
    if isinstance(config, dict):
        if "class_name" in config or "module" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)
