"""How much memory this process has needed so far."""

import sys


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
