"""How much memory this process uses, and how much is available to it."""

import os
import sys
from pathlib import Path


def peak_memory() -> int | None:
    """Return the largest resident size of this process since its start, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts in KiB


def current_memory() -> int:
    """Return the resident size of this process in bytes; 0 if unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return peak_memory() or 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int | None:
    """Return the bytes this process can still allocate without swapping; None if unknown.

    This is the least of three limits: the free memory of the machine, the control groups of the
    process (which limit containers), and ``ulimit -v``.
    """
    limits = [_available_on_machine(), _available_in_cgroups(), _available_addresses()]
    return min((limit for limit in limits if limit is not None), default=None)


def _available_on_machine() -> int | None:
    for line in _read_lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _available_in_cgroups(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The least limit among the control group of this process and its parents."""
    paths = (line[3:] for line in _read_lines(Path("/proc/self/cgroup")) if line[:3] == "0::")
    group = root / next(paths, "/").lstrip("/")
    limits = [
        _available_in_cgroup(each) for each in (group, *group.parents) if each.is_relative_to(root)
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def _available_in_cgroup(group: Path) -> int | None:
    limit, used = (_read_lines(group / f"memory.{name}")[:1] for name in ("max", "current"))
    if not limit or not used or limit == ["max"]:
        return None
    # The file cache counts as used, but is released when memory is needed.
    facts = dict(line.split() for line in _read_lines(group / "memory.stat"))
    return max(int(limit[0]) - int(used[0]) + int(facts.get("inactive_file", 0)), 0)


def _available_addresses() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _read_lines(Path("/proc/self/statm"))[:1]
    if limit == resource.RLIM_INFINITY or not used:
        return None
    return max(limit - int(used[0].split()[0]) * os.sysconf("SC_PAGE_SIZE"), 0)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
