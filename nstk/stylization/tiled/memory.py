"""How much memory this process takes, and how much there is."""

import os
import sys
from pathlib import Path


def peak_memory() -> int | None:
    """The largest resident size of this process since its start, in bytes.

    Returns:
        The figure of the operating system, or None where it keeps none.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in KiB


def current_memory() -> int:
    """The present resident size of this process in bytes; 0 where it is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return peak_memory() or 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int | None:
    """Bytes that this process can still take without swapping, None where it is unknown.

    It is the least of what the machine has to spare, what the control groups of the process leave
    it (which is how containers are limited) and what ``ulimit -v`` leaves it.
    """
    rooms = [_spared_by_machine(), _left_by_groups(), _left_of_addresses()]
    return min((room for room in rooms if room is not None), default=None)


def _spared_by_machine() -> int | None:
    for line in _read_lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _left_by_groups(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The least room in the group of this process and in those round it."""
    paths = (line[3:] for line in _read_lines(Path("/proc/self/cgroup")) if line[:3] == "0::")
    group = root / next(paths, "/").lstrip("/")
    rooms = [_left_in_group(each) for each in (group, *group.parents) if each.is_relative_to(root)]
    return min((room for room in rooms if room is not None), default=None)


def _left_in_group(group: Path) -> int | None:
    most, taken = (_read_lines(group / f"memory.{name}")[:1] for name in ("max", "current"))
    if not most or not taken or most == ["max"]:
        return None
    # What was read from files counts as taken, but is given back when it is needed.
    facts = dict(line.split() for line in _read_lines(group / "memory.stat"))
    return max(int(most[0]) - int(taken[0]) + int(facts.get("inactive_file", 0)), 0)


def _left_of_addresses() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = _read_lines(Path("/proc/self/statm"))[:1]
    if most == resource.RLIM_INFINITY or not taken:
        return None
    return max(most - int(taken[0].split()[0]) * os.sysconf("SC_PAGE_SIZE"), 0)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
