"""Forged checkpoints with matching digests."""

from nstk.storage.array_files import read_arrays, write_arrays
from nstk.storage.checkpoints import TITLE, _digest


def forge_newest(folder, change):
    """Change the state in the newest checkpoint of a folder by ``change(facts, arrays)``."""
    path = sorted(folder.glob("*.checkpoint"))[-1]
    facts, arrays = read_arrays(path, TITLE)
    del facts["digest"]
    change(facts["state"], arrays)
    write_arrays(path, TITLE, {**facts, "digest": _digest(facts, arrays)}, arrays)
