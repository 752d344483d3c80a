"""Where a reverse proxy leads: `--target-uri`, taken apart and checked. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thv.core.net.loopback import is_loopback
from thv.core.net.tls_context import create_tls_context
from thv.core.net.urls import DEFAULT_PORTS
from thv.errors import UsageError

if TYPE_CHECKING:
    import ssl

_LOWEST_PRINTABLE = 0x21

_URL = re.compile(
    rb"(?:(?P<scheme>https?):)?//(?P<host>\[[0-9a-f:.]+\]|[^/?#@:\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>(?:[/?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)


class ProxyTarget:
    """A server that speaks MCP over HTTP.

    Attributes:
        scheme: ``http`` or ``https``.
        host: its name or address, without brackets.
        port: its port.
        path: the path of its endpoint; the proxy passes every path on as it is, so this one is only shown and probed.
        authority: the value of ``Host``.
        origin: ``scheme://authority``.
    """

    def __init__(self, scheme: str, host: str, port: int, path: str = "/", *, authority: str | None = None) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        shown = f"[{host}]" if ":" in host else host
        self.authority = authority or (shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}")
        self.origin = f"{scheme}://{self.authority}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"

    def tls(self) -> ssl.SSLContext | None:
        """How to trust the server: as this system does, or `SSL_CERT_FILE` says; None for plain HTTP."""
        if self.scheme == "http":
            return None
        return create_tls_context()

    def path_of(self, url: bytes) -> bytes | None:
        """What follows the server's own origin in a URL, maybe nothing; None for a URL of another server.

        A server on this machine may call itself by another of its names: ``localhost`` for ``127.0.0.1``. A URL without
        a scheme (``//host/path``) has the server's own.
        """
        found = _URL.fullmatch(url)
        if found is None or (found["scheme"] and found["scheme"].lower().decode() != self.scheme):
            return None
        host = found["host"].decode("ascii", "replace").lower().removeprefix("[").removesuffix("]")
        port = int(found["port"]) if found["port"] else DEFAULT_PORTS[self.scheme]
        if port != self.port or (host != self.host.lower() and not (is_loopback(host) and is_loopback(self.host))):
            return None
        return found["rest"]

    def is_at(self, host: str, port: int) -> bool:
        """Whether the proxy, which listens there, would lead to itself."""
        return port == self.port and (host.lower() == self.host or (is_loopback(host) and is_loopback(self.host)))


def parse_target(uri: str) -> ProxyTarget:
    """The server that a ``--target-uri`` names.

    Raises:
        UsageError: it is no URI of an HTTP server.
    """
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(f"it cannot be read: {error}") from None
    if any(ord(character) < _LOWEST_PRINTABLE or not character.isascii() for character in uri):
        raise _refused("it holds blanks or characters that a URI must escape")
    if parts.scheme not in DEFAULT_PORTS:
        raise _refused(
            f"it begins with {parts.scheme + '://' if parts.scheme else 'no scheme'}, not http:// or https://"
        )
    if parts.username is not None or parts.password is not None:
        raise _refused("it holds credentials, which a command line shows to everyone; let clients send their own")
    if not host:
        raise _refused("it names no host")
    if port == 0:
        raise _refused("port 0 cannot be connected to")
    if parts.query or parts.fragment:
        raise _refused("it has a query or a fragment: every request brings its own")
    return ProxyTarget(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], parts.path or "/")


def _refused(problem: str) -> UsageError:
    return UsageError(f"--target-uri: {problem}; write http://127.0.0.1:9000/mcp")
