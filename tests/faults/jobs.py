"""Small versions of the long jobs, for killing them often."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from labeled_images import draw_folder
from PIL import Image
from processes import Run


@dataclass(frozen=True)
class Job:
    """A command that can be killed and run again.

    Attributes:
        name: Its name in reports.
        prepare: Writes its inputs to a new folder.
        command: The arguments of ``nstk``.
        again: Additional arguments for resuming.
        results: Patterns of its output files.
        fault: A fault in every run, such as frequent writing.
        grows: Whether results grow by whole lines, so that partial ones are prefixes.
    """

    name: str
    prepare: Callable[[Path], object]
    command: Sequence[str]
    again: Sequence[str]
    results: Sequence[str]
    fault: str = ""
    grows: bool = False

    def start(self, folder: Path, *, again: bool = False, fault: str = "", add=()) -> Run:
        """Run it, or resume it."""
        words = [*self.command, *add, *(self.again if again else ())]
        return Run(words, folder, fault=f"{self.fault} {fault}")

    def read(self, folder: Path) -> dict[str, bytes]:
        """Content of the results; hidden leftovers of a kill do not count."""
        found = [path for pattern in self.results for path in folder.glob(pattern)]
        paths = [path for path in found if not path.name.startswith(".nstk-")]
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def draw_images(folder: Path) -> None:
    """A content and a style."""
    for name, gradient, size in (
        ("town.png", Image.linear_gradient("L"), (64, 48)),
        ("waves.png", Image.radial_gradient("L"), (56, 48)),
    ):
        turned = gradient.rotate(90)
        Image.merge("RGB", (gradient, turned, gradient)).resize(size).save(folder / name)


SHALLOW = ("--style-layers", "block1_conv1,block2_conv1", "--content-layers", "block2_conv1")
"""Layers that compile fast."""

STYLIZE = Job(
    "stylize",
    draw_images,
    command=(
        *("stylize", "town.png", "waves.png", "-o", "out.png", "--size", "64", "--steps", "14"),
        *("--scales", "2", "--checkpoint", "states", "--checkpoint-every", "1", "--json"),
        *SHALLOW,
    ),
    again=("--resume",),
    results=("out.png",),
)

FINETUNE = Job(
    "finetune",
    lambda folder: draw_folder(folder / "data", 16, ("blue", "green", "red")),
    command=(
        *("finetune", "data", "-o", "colors.keras", "--cache", "features", "--size", "48"),
        *("--backbone", "compact", "--json"),
    ),
    again=(),
    results=("colors.keras",),
    fault="rows=8",
)


SECOND_STAGE = Job(
    "finetune --unfreeze",
    lambda folder: draw_folder(folder / "data", 16, ("blue", "red")),
    command=(
        *("finetune", "data", "-o", "colors.keras", "--cache", "off", "--size", "32"),
        *("--unfreeze", "1", "--augment", "light", "--checkpoint", "states"),
        *("--checkpoint-every", "1", "--backbone", "compact", "--json"),
    ),
    again=("--resume",),
    results=("colors.keras",),
)


@cache
def learn_colors() -> bytes:
    """A classifier, trained once."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        FINETUNE.prepare(folder)
        run = FINETUNE.start(folder)
        assert run.wait() == 0, run.said
        return (folder / "colors.keras").read_bytes()


def draw_unknown(folder: Path) -> None:
    """A classifier and new images."""
    (folder / "colors.keras").write_bytes(learn_colors())
    draw_folder(folder / "new", 40, ("blue", "green", "red"))


PREDICT = Job(
    "predict",
    draw_unknown,
    command=("predict", "colors.keras", "new", "-o", "labels.csv"),
    again=("--resume",),
    results=("labels.csv",),
    grows=True,
)

KEPT_ANSWERS = Job(
    "predict --checkpoint",
    draw_unknown,
    command=(*PREDICT.command, "--checkpoint", "states", "--checkpoint-every", "8"),
    again=PREDICT.again,
    results=PREDICT.results,
    grows=True,
)

SWEEP = Job(
    "sweep",
    draw_images,
    command=(
        *("sweep", "town.png", "waves.png", "-o", "sheet.png", "--size", "64", "--steps", "14"),
        *("--over", "strength=0.2,0.5,0.8", "--over", "style_loss=moments,gram", "--scales", "1"),
        *SHALLOW,
    ),
    again=(),
    results=("sheet.png", "sheet.runs/*.png"),
)

KEPT_RUN = Job(
    "sweep --checkpoint",
    draw_images,
    command=(*SWEEP.command, "--checkpoint", "states", "--checkpoint-every", "1"),
    again=("--resume",),
    results=SWEEP.results,
)


def draw_clip(folder: Path) -> None:
    """Four frames of a slow pan, and a style."""
    draw_images(folder)
    (folder / "clip").mkdir()
    with Image.open(folder / "town.png") as town:
        for number in range(4):
            frame = town.crop((number, 0, 48 + number, 48))
            frame.save(folder / "clip" / f"{number}.png")


FILM = Job(
    "stylize of a clip",
    draw_clip,
    command=(
        *("stylize", "clip", "waves.png", "-o", "film", "--size", "48", "--steps", "8"),
        *("--scales", "1", "--checkpoint", "states", "--checkpoint-every", "1", "--json"),
        *SHALLOW,
    ),
    again=("--resume",),
    results=("film/*.png",),
)

JOBS = (STYLIZE, FINETUNE, SECOND_STAGE, PREDICT, KEPT_ANSWERS, SWEEP, KEPT_RUN, FILM)
