"""The optimizers by the names that users give them, with defaults that suit an image."""

from collections.abc import Callable

from nstk.errors import SettingsError
from nstk.optimizers.adam import Adam
from nstk.optimizers.bounds import Bounds
from nstk.optimizers.gradient_descent import GradientDescent
from nstk.optimizers.lbfgs import LBFGS
from nstk.optimizers.newton import Newton
from nstk.optimizers.protocol import Optimizer

LEVELS = 5
"""Of the pyramid in which `LBFGS` sees an image: up to cells of 16×16 pixels."""

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
"""The names that `choose_optimizer` knows."""


def choose_optimizer(
    name: str,
    learning_rate: float | None = None,
    bounds: Bounds | None = None,
    share: float = 1.0,
) -> Optimizer:
    """Make an optimizer by its name.

    Args:
        name: ``adam``; ``gradient-descent``, with backtracking; ``lbfgs``; ``newton``.
        learning_rate: The change of a coordinate in one step for ``adam``; its largest change in
            the first step for ``lbfgs`` and, where it has to guess, for ``newton``; η at the start
            for ``gradient-descent``, which adapts it. When None, the optimizer's own for an image
            in ``[0, 1]``.
        bounds: The box that every coordinate stays in, or None.
        share: How much of that learning rate to use.

    Raises:
        SettingsError: If there is no such optimizer.

    Example:
        >>> from nstk.optimizers import choose_optimizer
        >>> choose_optimizer("adam", 0.02, bounds=(0.0, 1.0)).learning_rate
        0.02
    """
    if name not in _CHOICES:
        raise SettingsError(
            f"{name!r} is no optimizer; there are {', '.join(OPTIMIZERS)}: choose one of them."
        )
    own, make = _CHOICES[name]
    return make(share * (own if learning_rate is None else learning_rate), bounds)
