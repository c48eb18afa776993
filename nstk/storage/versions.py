"""The packages that have a say in a result."""

from importlib import metadata

_PACKAGES = ("nstk", "tensorflow", "keras", "numpy", "pillow")


def list_versions() -> dict[str, str]:
    """The installed version of each package that has a say in a result."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
