"""Access control before every request: who may connect, what may be sent, what a page may load.

The page acts with the rights of its user, so nobody else may make it act: not other users of the
machine, not other sites in the same browser, not names that are made to point here. A request needs
the token of the first address, as a cookie from then on; a Host that is this server (against DNS
rebinding); and an Origin that is this server, where the browser sends one (against cross-site
requests). Bodies are limited in size and in the time that they may take.
"""

import asyncio
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nstk.page.access import AccessRules

MAX_BODY = 128 * 2**20
"""Largest body of a request, in bytes."""

BODY_SECONDS = 20.0
"""Longest wait for the next part of a body."""

_SAFE = frozenset({"GET", "HEAD"})
_SAME_SITE = frozenset({"", "same-origin", "none"})

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'"
)
"""For reports, which are shown in a frame: no script, and nothing from this server."""

_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class AccessControl:
    """ASGI middleware that refuses requests which are not the user's, before they are read."""

    def __init__(self, app: ASGIApp, access: AccessRules) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSockets
            return
        answer = self._refuse(scope)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        await self.app(scope, _Body(receive).receive, _with_headers(send))

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that must not pass; None if it may."""
        headers = Headers(scope=scope)
        if not self.access.accepts_host(headers.get("host", "")):
            return _say(421, "This is not the address that nstk printed.")
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if scope["method"] == "GET" and given and self.access.accepts_token(given[0]):
            return self._welcome(scope["path"])
        if not self.access.accepts_token(_read_cookie(headers, self.access.cookie)):
            return _say(403, "Open the address that nstk printed, with its token.")
        origin = headers.get("origin")
        if origin is None:
            is_ours = scope["method"] in _SAFE
        else:
            is_ours = origin == f"http://{headers['host']}"
        if not is_ours or headers.get("sec-fetch-site", "") not in _SAME_SITE:
            return _say(403, "Another site sent this request.")
        return _check_length(headers)

    def _welcome(self, path: str) -> Response:
        """Exchange the token of the address for a cookie, so that it stays out of the history."""
        answer = RedirectResponse("/" + path.lstrip("/"), 303)
        answer.set_cookie(self.access.cookie, self.access.token, httponly=True, samesite="strict")
        return answer


class TooLargeError(Exception):
    """A body that is larger, or slower, than it may be."""


class _Body:
    """Counts the bytes of a body, and ends a request that sends too many or too slowly."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes, self._complete = receive, 0, False

    async def receive(self) -> Message:
        if self._complete:  # waits for the end of the connection
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), BODY_SECONDS)
        except TimeoutError as error:
            raise TooLargeError("The upload was too slow.") from error
        self._bytes += len(message.get("body", b""))
        if self._bytes > MAX_BODY:
            raise TooLargeError(f"The upload is larger than {MAX_BODY // 2**20} MiB.")
        self._complete = not message.get("more_body", False)
        return message


def _check_length(headers: Headers) -> Response | None:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MAX_BODY:
        return _say(413, f"The upload is larger than {MAX_BODY // 2**20} MiB.")
    return None


def _read_cookie(headers: Mapping[str, str], name: str) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _say(status: int, text: str) -> Response:
    return PlainTextResponse(f"nstk: {text}\n", status, headers={"connection": "close"})
