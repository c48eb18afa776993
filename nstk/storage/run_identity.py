"""What the result of a run depends on, so that a checkpoint resumes only the run it belongs to."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata

from nstk.types import Json

_PACKAGES = ("nstk", "tensorflow", "keras", "numpy", "pillow")


@dataclass(frozen=True)
class RunIdentity:
    """Everything that the result of a run depends on.

    Attributes:
        job: The command: ``stylize``.
        settings: The value of every parameter by name, as plain JSON.
        inputs: SHA-256 of every input, by its name in messages.
    """

    job: str
    settings: Mapping[str, Json]
    inputs: Mapping[str, str]

    def list_changes(self, other: Mapping[str, Json]) -> list[str]:
        """List the differences from another run, as phrases for an error message.

        Args:
            other: The identity of the other run, as plain JSON.
        """
        if other["job"] != self.job:
            return [f"it is a run of nstk {other['job']}"]
        mine = json.loads(json.dumps(asdict(self)))
        changes = [
            f"`{name}` is {mine['settings'].get(name)!r} and was {other['settings'].get(name)!r}"
            for name in dict.fromkeys([*mine["settings"], *other["settings"]])
            if mine["settings"].get(name) != other["settings"].get(name)
        ]
        for name in dict.fromkeys([*mine["inputs"], *other["inputs"]]):
            now, before = mine["inputs"].get(name), other["inputs"].get(name)
            if now != before:
                change = "is new" if before is None else "is missing" if now is None else "changed"
                changes.append(f"the {name} {change}")
        return changes


def list_versions() -> dict[str, str]:
    """List the installed version of each package that affects results."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
