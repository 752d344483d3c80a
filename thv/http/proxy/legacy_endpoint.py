"""The first event of the legacy transport: where messages go. A server that names its own origin means the proxy.

Clients refuse an endpoint of another origin than their own (MCP 2024-11-05, "HTTP with SSE"; both SDKs do). Everything
but that origin passes byte for byte. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thv.http.proxy.proxy_target import ProxyTarget

MAX_HELD = 8 << 10
"""Bytes held back until an event is whole; an endpoint is shorter, and everything else shall not wait."""

_BLOCK_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_PLACE = re.compile(rb"((?:^|[\r\n])data: ?)(\S+)")
_IS_ENDPOINT = re.compile(rb"(?:^|[\r\n])event: ?endpoint[\r\n]")
_HAS_DATA = re.compile(rb"(?:^|[\r\n])data[:\r\n]")

_ACCEPTING = b"text/event-stream", b"text/*", b"*/*"


class EndpointRewriter:
    """Passes an event stream, and leads its endpoint to the proxy.

    Args:
        target: the server.
        proxy: what the client calls the proxy, as ``scheme://host[:port]``.
    """

    def __init__(self, target: ProxyTarget, proxy: bytes) -> None:
        self._target = target
        self._proxy = proxy
        self._held = b""
        self._is_over = False

    def feed(self, data: bytes) -> bytes:
        """A piece as it came; what may go on now."""
        if self._is_over:
            return data
        self._held += data
        whole = b""
        while not self._is_over and (end := _BLOCK_END.search(self._held)) is not None:
            block, self._held = self._held[: end.end()], self._held[end.end() :]
            if _IS_ENDPOINT.search(block):
                block = _PLACE.sub(self._led_to_the_proxy, block)
            self._is_over = _HAS_DATA.search(block) is not None  # comments and delays may come before it
            whole += block
        return whole + self.rest() if self._is_over or len(self._held) > MAX_HELD else whole

    def _led_to_the_proxy(self, found: re.Match[bytes]) -> bytes:
        rest = self._target.path_of(found[2])
        return found[0] if rest is None else found[1] + self._proxy + rest

    def rest(self) -> bytes:
        """What is held back, at the end of the stream."""
        self._is_over = True
        held, self._held = self._held, b""
        return held


def may_open_stream(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a GET with these headers may open an event stream of the legacy transport."""
    accepted = headers.get(b"accept", b"*/*").lower()
    return b"mcp-session-id" not in headers and any(kind in accepted for kind in _ACCEPTING)


def rewriter(
    status: int, fields: Iterable[tuple[bytes, bytes]], target: ProxyTarget, proxy: bytes | None
) -> EndpointRewriter | None:
    """What rewrites the response to a GET; None where it is no event stream, or cannot be changed.

    Args:
        status: of the response.
        fields: of its head.
        target: the server.
        proxy: what the client calls the proxy, if that is known, as ``scheme://host[:port]``.
    """
    named = {name.lower(): value for name, value in fields}
    kind = named.get(b"content-type", b"").partition(b";")[0].strip().lower()
    is_plain = b"content-length" not in named and named.get(b"content-encoding", b"identity").lower() == b"identity"
    if status != 200 or kind != b"text/event-stream" or proxy is None or not is_plain:  # noqa: PLR2004  RFC 9110's OK
        return None
    return EndpointRewriter(target, proxy)
