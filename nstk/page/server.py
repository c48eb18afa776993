"""Serving the page: the socket, the address with its token, and the end by Ctrl-C."""

import socket
from collections.abc import Callable
from pathlib import Path

from nstk.errors import OutputError, SettingsError
from nstk.page.process import Worker
from nstk.page.security import Door
from nstk.page.workspace import Workspace
from nstk.settings import PageSettings

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_MAX_CONNECTIONS = 200


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
    import uvicorn

    from nstk.page.app import Application
    from nstk.page.site import Site

    shared = settings.i_know_others_can_connect
    if settings.host not in LOOPBACK and not shared:
        raise SettingsError(
            f"`host` is {settings.host}, where other machines can connect and act with your "
            "rights; leave it out, or add `i_know_others_can_connect` if you want that."
        )
    workspace = Workspace(folder)
    listening = _listen(settings.host, settings.port)
    door = Door(listening.getsockname()[1], settings.host, shared)
    site = Site(workspace, Worker(workspace.root, backbone, cache), door)
    application = Application(site)
    if label is not None:
        site.start = "label"
        application.open_at_start = label
    config = uvicorn.Config(
        application.app,
        log_level="error",
        access_log=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    on_ready(door.address)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


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
