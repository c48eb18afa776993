"""Neural style transfer: descend on the pixels until content and style agree."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.errors import PictureError, SettingsError
from nstk.media.pictures import (
    LoadedPicture,
    Picture,
    Plane,
    fit_size,
    load_picture,
    resize_picture,
    resize_plane,
    save_picture,
)
from nstk.minimizers import Adam, Averaged
from nstk.progress import Reporter, ignore
from nstk.settings import StylizeSettings
from nstk.stylization.descent import Descent
from nstk.stylization.initialization import start_picture
from nstk.stylization.layers import choose_content_layer, choose_style_layers
from nstk.stylization.memory import peak_memory
from nstk.stylization.objective import ObjectiveWeights, StyleObjective
from nstk.stylization.scales import Scale, plan_scales

AVERAGING = 0.9
"""Decay of the averaged iterate; 0.99 would still remember the enlarged start of a short scale."""


@dataclass(frozen=True, eq=False)
class Stylization:
    """A stylised picture and how it came about.

    Attributes:
        picture: float32 ``(height, width, 3)``, sRGB, ``[0, 1]``.
        alpha: The content's transparency at the same size, or None if it was opaque.
        settings: What was asked for.
        backbone: Name of the network.
        loss: L at the last step.
        terms: Its parts at the last step: ``content``, ``style``, ``variation`` and every
            style layer by name, before α, β, γ and λ_l.
        steps: Steps taken, over all scales.
        seconds: Wall time of the whole job.
        seconds_per_step: Median at the last scale that was reached, NaN before its first step.
        peak_memory_bytes: Largest resident size of the process so far, None where unknown.
        interrupted: Whether Ctrl-C ended it early; the picture is as far as it had come.
        notices: What was special about the input files.
    """

    picture: Picture
    alpha: Plane | None
    settings: StylizeSettings
    backbone: str
    loss: float
    terms: Mapping[str, float]
    steps: int
    seconds: float
    seconds_per_step: float
    peak_memory_bytes: int | None
    interrupted: bool
    notices: tuple[str, ...]

    def save(self, path: str | Path) -> Path:
        """Write the picture, with its transparency where the format has one.

        Raises:
            OutputError: If it cannot be written.
        """
        return save_picture(path, self.picture, alpha=self.alpha)


def stylize(
    content: Picture | str | Path,
    styles: Picture | str | Path | Sequence[Picture | str | Path],
    *,
    backbone: Backbone | str | Path = "compact",
    settings: StylizeSettings | None = None,
    on_progress: Reporter = ignore,
) -> Stylization:
    """Paint the content of one picture in the style of others (Gatys, Ecker and Bethge 2016).

    Departures from the paper: losses are relative to their targets; style is Gram matrix, mean
    and deviation; the descent goes from coarse to fine by Adam, and its averaged iterate is the
    result; the first convolution sees replicated borders instead of zeros.

    Ctrl-C ends the descent and returns what there is, with ``interrupted`` set.

    Args:
        content: What to paint: a Picture or the path of one.
        styles: How to paint it: one picture or several, which then count the same.
        backbone: The network to look through, or a name for `load_backbone`.
        settings: What is asked for; the defaults when None.
        on_progress: Called with a `Progress` at every step.

    Returns:
        The picture and its figures.

    Raises:
        PictureError: If a file is no picture, or too small to look at.
        SettingsError: If the size asked for is too small for the network.
        BackboneError: If the network is unknown or cannot be used for this.
        DivergenceError: If the loss stops being a finite number.

    Example:
        >>> import nstk
        >>> result = nstk.stylize("town.jpg", "waves.jpg")  # doctest: +SKIP
        >>> result.save("painting.png")  # doctest: +SKIP
    """
    begun = time.perf_counter()
    settings = settings or StylizeSettings()
    subject = _open(content)
    paintings = [_open(style) for style in _listed(styles)]
    network = (
        backbone
        if isinstance(backbone, Backbone)
        else load_backbone(backbone, on_progress=on_progress)
    )
    network = network.prepared(edge="replicate")
    weights = _weigh(network, settings)
    smallest = 2 * max(network.stride(name) for name in weights.style_layers)
    for loaded in (subject, *paintings):
        _check_size(loaded, smallest)
    height, width = subject.pixels.shape[:2]
    plan = plan_scales(
        height,
        width,
        size=settings.size,
        steps=settings.steps,
        scales=settings.scales,
        smallest=smallest,
    )
    descent, interrupted = _descend(
        network, weights, subject.pixels, [p.pixels for p in paintings], settings, plan, on_progress
    )
    picture = descent.picture()
    alpha = None if subject.alpha is None else resize_plane(subject.alpha, *picture.shape[:2])
    return Stylization(
        picture=picture,
        alpha=alpha,
        settings=settings,
        backbone=network.name,
        loss=descent.loss,
        terms=descent.terms,
        steps=descent.steps,
        seconds=time.perf_counter() - begun,
        seconds_per_step=median(descent.durations) if descent.durations else math.nan,
        peak_memory_bytes=peak_memory(),
        interrupted=interrupted,
        notices=tuple(notice for p in (subject, *paintings) for notice in p.notices),
    )


def _descend(
    network: Backbone,
    weights: ObjectiveWeights,
    content: Picture,
    styles: list[Picture],
    settings: StylizeSettings,
    plan: Sequence[Scale],
    on_progress: Reporter,
) -> tuple[Descent, bool]:
    """Go through the scales; the second value says whether Ctrl-C ended it."""
    minimizer = Averaged(Adam(settings.learning_rate, bounds=(0.0, 1.0)), decay=AVERAGING)
    generator = np.random.default_rng(settings.seed)
    descent: Descent | None = None
    try:
        for scale in plan:
            scaled_content = resize_picture(content, scale.height, scale.width)
            scaled_styles = [_shrink(style, scale.longer_side) for style in styles]
            if descent is None:
                start = start_picture(settings.init, scaled_content, scaled_styles, generator)
                descent = Descent.start(minimizer, start)
            objective = StyleObjective.toward(network, scaled_content, scaled_styles, weights)
            descent.move_to(scale.height, scale.width)
            descent.run(objective, scale.steps, on_progress)
    except KeyboardInterrupt:
        if descent is None:
            raise
        return descent, True
    assert descent is not None, "a plan has at least one scale"
    return descent, False


def _weigh(network: Backbone, settings: StylizeSettings) -> ObjectiveWeights:
    return ObjectiveWeights(
        content=settings.content_weight,
        style=settings.style_weight,
        variation=settings.variation_weight,
        content_layers={choose_content_layer(network): 1.0},
        style_layers=choose_style_layers(network),
    )


def _listed(
    styles: Picture | str | Path | Sequence[Picture | str | Path],
) -> Sequence[Picture | str | Path]:
    if isinstance(styles, str | Path | np.ndarray):
        return [styles]
    if not styles:
        raise SettingsError("No style was given; at least one picture is needed.")
    return styles


def _open(picture: Picture | str | Path) -> LoadedPicture:
    """Take a Picture as it is, and read a path."""
    if isinstance(picture, str | Path):
        return load_picture(picture)
    if picture.ndim != 3 or picture.shape[-1] != 3:
        raise PictureError(
            f"An array of shape {picture.shape} was given as a picture; "
            "it must be (height, width, 3) with values in [0, 1]."
        )
    pixels = np.clip(np.asarray(picture, np.float32), 0.0, 1.0)
    return LoadedPicture(pixels=pixels, alpha=None, notices=(), path=Path("array"))


def _check_size(picture: LoadedPicture, smallest: int) -> None:
    height, width = picture.pixels.shape[:2]
    if min(height, width) < smallest:
        raise PictureError(
            f"{picture.path} is {width}×{height} pixels; the network needs at least {smallest} "
            "on the shorter side: give a larger picture."
        )


def _shrink(style: Picture, longer_side: int) -> Picture:
    """Bring a style to the scale of the picture; never larger than it is, never stretched."""
    height, width = style.shape[:2]
    height, width = fit_size(height, width, min(longer_side, max(height, width)))
    return resize_picture(style, height, width)
