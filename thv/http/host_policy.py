"""Who may call an HTTP endpoint of ours: the defence against DNS rebinding (MCP, "Security Warning").

A browser sends the page's Origin and the Host it believes it is talking to; a page of another site that was rebound to
our address gives itself away by one of them. Programs other than browsers send no Origin, and are let in.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from thv.core.net.loopback import is_loopback
from thv.core.net.urls import hostname_of
from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Refusal = tuple[int, str]

BAD_REQUEST, FORBIDDEN = 400, 403

MAX_DECISIONS = 256
"""Pairs of Host and Origin whose decision is remembered: a client sends the same ones with every request."""

MAX_NAME = 253
"""Characters of a host name at most (RFC 1035, 2.3.4)."""

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]+)(?::[0-9]*)?")
"""`uri-host [ ":" port ]` (RFC 9110, 7.2) without a comma: two Host headers, joined, do not match."""

_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[\x21-\x2b\x2d-\x7e]+")


class HostPolicy:
    """Decides from a request's Host and Origin whether it is served.

    Args:
        host: the address that is listened on. On a loopback address only hosts that mean this machine are served. On
            any other address the name by which clients reach it is unknown, so Host is checked only if `allowed_hosts`
            names some.
        port: the port that is listened on.
        allowed_origins: origins allowed besides loopback ones, as ``scheme://host[:port]``; ``*`` allows all.
        allowed_hosts: host names allowed besides loopback ones and those of `allowed_origins`; ``*`` allows all.

    Raises:
        UsageError: an allowed origin or host is not valid.
    """

    def __init__(
        self, host: str, port: int, allowed_origins: Sequence[str] = (), allowed_hosts: Sequence[str] = ()
    ) -> None:
        self.host = host
        self.port = port
        self._any_origin = "*" in allowed_origins
        self._origins = {_normal_origin(origin) for origin in allowed_origins if origin != "*"}
        self._hosts = {urlsplit(origin).hostname for origin in self._origins}
        self._hosts |= {_normal_host(name) for name in allowed_hosts if name != "*"}
        self._checks_host = "*" not in allowed_hosts and (is_loopback(host) or bool(allowed_hosts))
        self.decide = lru_cache(maxsize=MAX_DECISIONS)(self._decide)

    def _decide(self, host: bytes | None, origin: bytes | None) -> Refusal | None:
        """Why a request with these values of `Host` and `Origin` is not served, or None when it is.

        Args:
            host: the value of `Host`; None if there is none, joined by commas if it was sent more than once.
            origin: the same of `Origin`.

        Returns:
            An HTTP status and a sentence.
        """
        text = None if host is None else host.decode("latin-1")
        if text is None or not _HOST.fullmatch(text) or len(text) > MAX_NAME:
            return BAD_REQUEST, "the Host header must be given once, as a host name and perhaps a port"
        name = hostname_of(text)
        if self._checks_host and (name is None or not (is_loopback(name) or name in self._hosts)):
            return (
                FORBIDDEN,
                f"the Host header names {name}, which is not this machine; --allowed-hosts {name} allows it",
            )
        if origin is not None and not self.allows_origin(origin):
            return FORBIDDEN, "this Origin is not allowed; --allowed-origins ORIGIN allows it"
        return None

    def allows_origin(self, origin: bytes) -> bool:
        """Whether a page of this origin may call."""
        if self._any_origin:
            return True
        try:
            text = origin.decode("ascii")
            parts = urlsplit(text)
            host, _ = parts.hostname, parts.port  # reading the port checks it
        except ValueError:
            return False
        if not _ORIGIN.fullmatch(text) or not host or parts.path or parts.query or parts.fragment:
            return False
        if _joined(parts.scheme, parts.netloc) in self._origins:
            return True
        return parts.scheme in {"http", "https"} and parts.username is None and is_loopback(host)


def _joined(scheme: str, netloc: str) -> str:
    netloc = netloc.lower()
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return f"{scheme}://{netloc.removesuffix(default)}"


def _normal_host(name: str) -> str:
    host = hostname_of(name.strip()) if _HOST.fullmatch(name.strip()) else None
    if host is None or "*" in host:  # a pattern, which would match nothing
        raise UsageError(f"--allowed-hosts: {name!r} is not a host name such as mcp.example.com, or *")
    return host


def _normal_origin(origin: str) -> str:
    try:
        parts = urlsplit(origin.strip().rstrip("/"))
        extra = parts.path or parts.query or parts.fragment or parts.username
        if parts.scheme and parts.hostname and "*" not in parts.hostname and not extra:
            _ = parts.port
            return _joined(parts.scheme.lower(), parts.netloc)
    except ValueError:
        pass
    raise UsageError(f"--allowed-origins: {origin!r} is not an origin such as https://app.example.com, or *")
