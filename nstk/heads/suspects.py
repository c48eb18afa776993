"""Labels that are likely wrong, by predictions of heads that have not seen them."""

import numpy as np
import numpy.typing as npt

from nstk.types import Matrix, Targets


def find_suspects(probabilities: Matrix, labels: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Find labels that are likely wrong (confident learning; Northcutt, Jiang and Chuang 2021).

    An image counts toward the likeliest of those classes whose probability is at least the
    average that images of that class have. It is suspect if that class is not its label, and
    likelier than its label. Unlike a fixed threshold this works for classes that are hard to tell
    apart and for overconfident heads; and a class of few images, which get low probabilities
    themselves, does not claim those of others.
    Returns index and likely class of each suspect, the least likely label first. Rows of NaN are
    left out.
    """
    known: npt.NDArray[np.bool_] = np.isfinite(probabilities.sum(axis=1))
    own = probabilities[np.arange(len(labels)), labels]
    average = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[known]):
        average[label] = own[known & (labels == label)].mean()
    counted = np.where(known[:, np.newaxis] & (probabilities >= average), probabilities, -1.0)
    likely = counted.argmax(axis=1)
    suspect = np.flatnonzero(counted.max(axis=1) > np.maximum(own, 0))
    suspect = suspect[np.argsort(own[suspect], kind="stable")]
    return [(int(index), int(likely[index])) for index in suspect]


def find_label_errors(probabilities: Matrix, targets: Targets) -> list[tuple[int, int]]:
    """Find labels that are likely wrong or missing, where images may have several.

    Every label is a binary problem of its own for `find_suspects`. Returns indices of image and
    label, the least likely first.
    """
    found = []
    for label, (yes, truth) in enumerate(zip(probabilities.T, targets.T, strict=True)):
        binary = np.stack([1 - yes, yes], axis=1)
        for index, other in find_suspects(binary, truth.astype(np.int64)):
            found.append((float(binary[index, 1 - other]), index, label))
    return [(index, label) for _, index, label in sorted(found)]
