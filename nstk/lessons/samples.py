"""The images of each lesson, drawn from a seed or copied."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from nstk.images.encoding import save_image
from nstk.images.image import Image, resize_image
from nstk.images.loading import load_image
from nstk.lessons.beetles import (
    GROUNDS,
    OTHERS,
    PATTERNS,
    Photograph,
    Random,
    draw_beetle,
    draw_other,
    shoot_again,
)

_IMAGES = Path(__file__).parent / "images"

TWO = PATTERNS[:2]
FAINT = 0.2
"""Contrast of a pattern that takes many images to learn."""

TILES = 8
"""Tiles along each side of the shuffled painting."""


def draw_samples(lesson: str, folder: Path, *, seed: int = 0, share: float = 1.0) -> None:
    """Draw the images of a lesson into an existing folder; ``share`` < 1 draws fewer."""
    _SAMPLES[lesson](folder, np.random.default_rng(seed), share)


def _draw_few(folder: Path, random: Random, share: float) -> None:
    """Training folders that grow, each part of the next, and one test folder."""
    sizes = [4, 12, 36]
    for pattern in PATTERNS:
        for number in range(_count(40, share)):
            ground = _pick(random, GROUNDS)
            photograph = draw_beetle(random, pattern, ground, contrast=FAINT)
            _save(photograph, folder / "test" / pattern / f"{number:02}.jpg")
        for number in range(sizes[-1]):
            ground = _pick(random, GROUNDS)
            photograph = draw_beetle(random, pattern, ground, contrast=FAINT)
            for size in sizes:
                if number < size:
                    _save(photograph, folder / f"train-{size:02}" / pattern / f"{number:02}.jpg")


def _draw_shortcut(folder: Path, random: Random, share: float) -> None:
    """Striped beetles on a meadow and spotted ones on sand; then the other way round, and mixed."""
    grounds = ("meadow", "sand")
    for index, pattern in enumerate(TWO):
        own, other = grounds[index], grounds[1 - index]
        for place, count, choices in (
            ("data/train", 40, (own,)),
            ("data/test", 20, (own,)),
            ("swapped", 20, (other,)),
            ("mixed", 40, grounds),
        ):
            for number in range(_count(count, share)):
                ground = choices[number % len(choices)]
                photograph = draw_beetle(random, pattern, ground, contrast=0.25, scale=0.75)
                _save(photograph, folder / place / pattern / f"{number:02}.jpg")


def _draw_leak(folder: Path, random: Random, share: float) -> None:
    """Four photographs of each beetle, found on a random day: nothing to learn.

    ``data`` splits the photographs at random, ``honest`` keeps those of a beetle together.
    """
    for day in ("monday", "tuesday"):
        for beetle in range(_count(30, share)):
            pattern, ground = _pick(random, PATTERNS), _pick(random, GROUNDS)
            first = draw_beetle(random, pattern, ground)
            shots = [first, *(shoot_again(random, first) for _ in range(3))]
            held_out = int(random.integers(4))
            for number, shot in enumerate(shots):
                name = f"{day}/beetle-{beetle:02}-{number}.jpg"
                _save(shot, folder / "data" / ("test" if number == held_out else "train") / name)
                _save(shot, folder / "honest" / ("train" if beetle % 4 else "test") / name)


def _draw_unknown(folder: Path, random: Random, share: float) -> None:
    """Two kinds of beetles, others of the same kinds, and what is not a beetle."""
    for place, count in (("data", 40), ("new", 12)):
        for pattern in TWO:
            for number in range(_count(count, share)):
                photograph = draw_beetle(random, pattern, _pick(random, GROUNDS))
                _save(photograph, folder / place / pattern / f"{number:02}.jpg")
    for what in OTHERS:
        for number in range(_count(8, share)):
            photograph = draw_other(random, what, _pick(random, GROUNDS))
            _save(photograph, folder / "unknown" / f"{what}-{number:02}.jpg")


def _copy_images(folder: Path, random: Random, share: float) -> None:
    """A town, a painting, and the painting cut into tiles that are shuffled."""
    longer = round(384 * min(1.0, share**0.5))
    for name in ("town", "painting"):
        image = load_image(_IMAGES / f"{name}.webp").pixels
        scale = longer / max(image.shape[:2])
        size = (round(scale * side / TILES) * TILES for side in image.shape[:2])
        save_image(folder / f"{name}.png", resize_image(image, *size))
    painting = load_image(folder / "painting.png").pixels
    save_image(folder / "shuffled.png", shuffle_tiles(painting, random))


def shuffle_tiles(image: Image, random: Random) -> Image:
    """Cut an image into `TILES`² equal tiles and lay them out in a random order."""
    height, width = (side // TILES for side in image.shape[:2])
    tiles = (
        image.reshape(TILES, height, TILES, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
    )
    mixed = random.permutation(tiles).reshape(TILES, TILES, height, width, 3).swapaxes(1, 2)
    shuffled: Image = mixed.reshape(image.shape)
    return shuffled


_SAMPLES: Mapping[str, Callable[[Path, Random, float], None]] = {
    "few-images": _draw_few,
    "shortcut": _draw_shortcut,
    "leak": _draw_leak,
    "none-of-these": _draw_unknown,
    "gram": _copy_images,
    "layers": _copy_images,
    "alpha-beta": _copy_images,
}

LESSONS = tuple(_SAMPLES)
"""The names of all lessons."""


def _count(number: int, share: float) -> int:
    return max(2, round(number * share))


def _pick(random: Random, choices: Mapping[str, object] | tuple[str, ...]) -> str:
    return str(random.choice(list(choices)))


def _save(photograph: Photograph, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    photograph.save(path, quality=92, subsampling=0)
