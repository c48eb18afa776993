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
    """Bytes that programs can still take without swapping, None where it is unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((1024 * int(figure) for figure in kilobytes), None)
