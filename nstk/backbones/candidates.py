"""Networks that can be tried without a download: packaged ones, Keras's downloads, own files."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nstk.backbones.applications import APPLICATIONS, Application
from nstk.backbones.backbone import Backbone
from nstk.backbones.listing import PACKAGED, Packaged
from nstk.backbones.loading import WEIGHTS_EXTENSIONS, StrPath, load_backbone
from nstk.backbones.weights import open_weights
from nstk.errors import WeightsError
from nstk.progress import Reporter, no_progress

AUTO = "auto"

_IMAGENET_CLASSES = 1000

BackboneChoice = Backbone | StrPath | Sequence[Backbone | StrPath]
"""A backbone, as `load_backbone` takes it, ``"auto"``, or several to choose from."""


@dataclass(frozen=True)
class Candidate:
    """A network to try, with its number of weights; ``weights`` is its own file."""

    given: Backbone | StrPath
    weights: StrPath | None = None
    parameters: float = math.inf

    @property
    def name(self) -> str:
        return self.given.name if isinstance(self.given, Backbone) else os.fspath(self.given)

    def load(self, on_progress: Reporter = no_progress) -> Backbone:
        return load_backbone(self.given, weights=self.weights, on_progress=on_progress)


def list_candidates(given: BackboneChoice) -> tuple[Candidate, ...]:
    """List the networks to choose from, small ones first.

    Raises:
        WeightsError: If a weights file belongs to no known network.
    """
    if isinstance(given, Backbone | str | os.PathLike):
        if given != AUTO:
            return (Candidate(given),)
        given = [given]
    found = [candidate for each in given for candidate in _expand(each)]
    first = {(candidate.name, candidate.weights): candidate for candidate in reversed(found)}
    return tuple(sorted(first.values(), key=lambda each: (each.parameters, each.name)))


def _expand(given: Backbone | StrPath) -> Iterator[Candidate]:
    if given == AUTO:
        for name, packaged in PACKAGED.items():
            yield Candidate(name, parameters=packaged.parameters)
        yield from _find_downloads()
    elif isinstance(given, Backbone):
        yield Candidate(given, parameters=given.model.count_params())
    elif os.fspath(given).endswith(WEIGHTS_EXTENSIONS):
        yield identify_weights(given)
    else:
        row = PACKAGED.get(os.fspath(given)) or APPLICATIONS.get(os.fspath(given))
        yield Candidate(given, parameters=row.parameters if row else math.inf)


def _find_downloads() -> Iterator[Candidate]:
    """The networks in the folder where Keras keeps its downloads."""
    home = os.environ.get("KERAS_HOME")
    folder = (Path(home) if home else Path.home() / ".keras") / "models"
    for path in sorted(folder.glob("*.h5")):
        try:
            yield identify_weights(path)
        except WeightsError:  # of something else that uses this folder
            continue


def identify_weights(path: StrPath) -> Candidate:
    """Find the network of a weights file by its number of weights, which is different for each.

    Raises:
        WeightsError: If no network has so many.
    """
    with open_weights(path) as stored:
        count = sum(math.prod(array.shape) for layer in stored.values() for array in layer)
    rows: list[Packaged | Application] = [*PACKAGED.values(), *APPLICATIONS.values()]
    for row in rows:
        if count - row.parameters in (0, (row.channels + 1) * _IMAGENET_CLASSES):
            return Candidate(row.name, path, row.parameters)
    raise WeightsError(
        f"{os.fspath(path)} has {count} weights, as many as no network of `nstk backbones`; give "
        "the weights of one of these, without a classification top."
    )
