"""Serving the page: the socket, the address with its token, and the end by Ctrl-C."""

import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from nstk.errors import FolderError, OutputError, SettingsError
from nstk.page.access import AccessRules
from nstk.settings import PageSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_PACKAGES = ("starlette", "uvicorn", "python_multipart")


def serve_page(
    folder: str | Path,
    settings: PageSettings,
    *,
    backbone: str | None = None,
    cache: Path | None = None,
    label: tuple[str, str, bool] | None = None,
    on_ready: Callable[[str], object],
) -> None:
    """Serve the page of a folder until Ctrl-C or SIGTERM.

    Args:
        folder: The folder; nothing outside is read.
        settings: Port and address.
        backbone: The frozen network of all tabs; None takes the default of each.
        cache: Folder of cached features; None keeps none.
        label: What to label at once: a folder and a table, relative to ``folder``, and whether
            images may have several labels.
        on_ready: Called with the address to open, once connections are accepted.

    Raises:
        FolderError: If the folder is not one.
        OutputError: If the port cannot be used.
        SettingsError: If others could connect without the consent.
    """
    missing = next((each for each in _PACKAGES if find_spec(each) is None), None)
    if missing:
        raise SettingsError(f"The page needs {missing}; pip install 'nstk[page]'.")
    if settings.host not in LOOPBACK and not settings.i_know_others_can_connect:
        raise SettingsError(
            f"`host` is {settings.host}, where other machines can connect and act with your "
            "rights; leave it out, or add `i_know_others_can_connect` if you want that."
        )
    if not Path(folder).is_dir():
        raise FolderError(f"{folder} is not a folder; give one with images.")
    listening = _listen(settings.host, settings.port)
    with closing(listening):
        access = AccessRules(
            listening.getsockname()[1], settings.host, settings.i_know_others_can_connect
        )
        on_ready(access.address)  # requests wait while the rest is imported
        from nstk.page.app import serve

        serve(Path(folder), listening, access, backbone, cache, label)


def _listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections from now on, so that the address works at once."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        raise OutputError(
            f"Cannot listen at {host}, port {port}: {error}; choose another `port`, or 0 for a "
            "free one."
        ) from error
    return listening
