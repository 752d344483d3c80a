"""Who may talk to an HTTP endpoint of ours: the answer to DNS rebinding (MCP, "Streamable HTTP", "Security Warning").

A browser tells the page's Origin and the Host it believes to talk to; a page of another site that was rebound to our
address gives itself away by one of them. Programs that are no browsers send no Origin, and are let in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thv.core.net import hostname_of, is_loopback
from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORBIDDEN = 403


class HostPolicy:
    """Decides from a request's Host and Origin whether it is served.

    Args:
        host: the address that is listened on. On a loopback address only hosts that mean this machine are answered; on
            any other one the name by which it is reached is not ours to know, and Origin alone decides.
        port: the port that is listened on.
        allowed_origins: origins allowed besides loopback ones, as ``scheme://host[:port]``; ``*`` allows every one.

    Raises:
        UsageError: an allowed origin is none.
    """

    def __init__(self, host: str, port: int, allowed_origins: Sequence[str] = ()) -> None:
        self.host = host
        self.port = port
        self._checks_host = is_loopback(host)
        self._any_origin = "*" in allowed_origins
        self._origins = {_normal_origin(origin) for origin in allowed_origins if origin != "*"}
        self._hosts = {urlsplit(origin).hostname for origin in self._origins}

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        """Why a request with these headers (names in lower case) is not served, or None when it is.

        Returns:
            An HTTP status and a sentence.
        """
        hosts = [value for name, value in headers if name == b"host"]
        if self._checks_host and not (len(hosts) == 1 and self._is_our_host(hosts[0])):
            return FORBIDDEN, "the Host header does not name this machine"
        for name, value in headers:
            if name == b"origin" and not self.allows_origin(value):
                return FORBIDDEN, "this Origin is not allowed; --allowed-origins names those that are"
        return None

    def allows_origin(self, origin: bytes) -> bool:
        """Whether a page of this origin may talk to us."""
        if self._any_origin:
            return True
        try:
            parts = urlsplit(origin.decode("ascii"))
            host, _ = parts.hostname, parts.port  # reading it checks it
        except ValueError:
            return False
        if not host or parts.path or parts.query or parts.fragment:
            return False
        if _joined(parts.scheme, parts.netloc) in self._origins:
            return True
        return parts.scheme in {"http", "https"} and parts.username is None and is_loopback(host)

    def _is_our_host(self, value: bytes) -> bool:
        host = hostname_of(value.decode("latin-1"))
        return host is not None and (is_loopback(host) or host in self._hosts)


def _joined(scheme: str, netloc: str) -> str:
    netloc = netloc.lower()
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{netloc.removesuffix(default)}"


def _normal_origin(origin: str) -> str:
    try:
        parts = urlsplit(origin.strip().rstrip("/"))
        if parts.scheme and parts.hostname and not (parts.path or parts.query or parts.fragment or parts.username):
            _ = parts.port
            return _joined(parts.scheme.lower(), parts.netloc)
    except ValueError:
        pass
    raise UsageError(f"--allowed-origins: {origin!r} is no origin such as https://app.example.com, or *")
