"""Arrays that carry their value range, as the images do that nstk returns."""

import numpy as np


class UnitImage(np.ndarray):
    """Floats in [0, 1]."""

    value_range = (0.0, 1.0)


def unit_image(array) -> UnitImage:
    return np.asarray(array, np.float32).view(UnitImage)
