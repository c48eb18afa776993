"""The optimizers by name, with defaults that suit an image."""

from collections.abc import Callable

from nstk.errors import SettingsError
from nstk.optimizers.adam import Adam
from nstk.optimizers.gradient_descent import GradientDescent
from nstk.optimizers.lbfgs import LBFGS
from nstk.optimizers.newton import Newton
from nstk.optimizers.protocol import Bounds, Optimizer

LEVELS = 5
"""Levels of the pyramid of `LBFGS` for an image: up to cells of 16×16 pixels."""

_CHOICES: dict[str, tuple[float, Callable[[float, Bounds | None], Optimizer]]] = {
    "adam": (0.05, lambda rate, bounds: Adam(rate, bounds=bounds)),
    "gradient-descent": (
        30.0,
        lambda rate, bounds: GradientDescent(rate, backtracking=True, bounds=bounds),
    ),
    "lbfgs": (0.05, lambda rate, bounds: LBFGS(first_step=rate, bounds=bounds, levels=LEVELS)),
    "newton": (0.05, lambda rate, bounds: Newton(first_step=rate, bounds=bounds)),
}

OPTIMIZERS: tuple[str, ...] = tuple(_CHOICES)
"""The names of all optimizers."""


def choose_optimizer(
    name: str,
    learning_rate: float | None = None,
    bounds: Bounds | None = None,
    lr_factor: float = 1.0,
) -> Optimizer:
    """Create an optimizer by name.

    Args:
        name: ``adam``; ``gradient-descent``, with backtracking; ``lbfgs``; ``newton``.
        learning_rate: The change of a coordinate in one step for ``adam``; its largest change in
            the first step for ``lbfgs`` and, without curvature, for ``newton``; the initial η for
            ``gradient-descent``, which adapts it. If None, the optimizer's default for an image in
            ``[0, 1]``.
        bounds: Lower and upper bound of every coordinate, or None.
        lr_factor: Factor of the learning rate.

    Raises:
        SettingsError: If the name is unknown.

    Example:
        >>> from nstk.optimizers import choose_optimizer
        >>> choose_optimizer("adam", 0.02, bounds=(0.0, 1.0)).learning_rate
        0.02
    """
    if name not in _CHOICES:
        raise SettingsError(f"unknown optimizer {name!r}; choose from {', '.join(OPTIMIZERS)}.")
    default, make = _CHOICES[name]
    return make(lr_factor * (default if learning_rate is None else learning_rate), bounds)
