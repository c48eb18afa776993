"""Where the page is reached, and the secret that opens it."""

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlencode

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class AccessRules:
    """Where the server listens, and the secret of its first address.

    With ``shared``, other machines may connect, by any address of this one.
    """

    port: int
    host: str = "127.0.0.1"
    shared: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def address(self) -> str:
        """The address to open first."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{host}:{self.port}/?{urlencode({'token': self.token})}"

    @property
    def cookie(self) -> str:
        """Name of the cookie: servers on other ports of a host share its cookies."""
        return f"nstk-{self.port}"

    def accepts_host(self, host: str) -> bool:
        """Whether a Host header is this server; with ``shared``, by any address but no name."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        if name in _LOOPBACK or name == self.host:
            return True
        return self.shared and _is_address(name.strip("[]"))

    def accepts_token(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
