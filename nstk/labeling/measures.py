"""How much further answers would add."""

from nstk.heads.learning_curve import extrapolate

_STEP, _WORTH = 20, 0.005
"""Further answers are worth it while so many of them gain this much accuracy."""

_MOST = 1000


def count_worthwhile(answers: int, accuracy: float, accuracy_of_half: float) -> int:
    """How many further answers still gain half a point with twenty of them."""
    counts, errors = (answers / 2, answers), (1 - accuracy_of_half, 1 - accuracy)

    def error(wanted: int) -> float:
        return extrapolate(counts, errors, wanted)

    for more in range(0, _MOST, _STEP):
        if error(answers + more) - error(answers + more + _STEP) < _WORTH:
            return more
    return _MOST
