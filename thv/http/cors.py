"""What lets a browser's page call an endpoint of ours and read the answer (Fetch standard, "CORS protocol").

Only for pages that `HostPolicy` has let in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    Header = tuple[bytes, bytes]

PREFLIGHT_SECONDS: Final = 600

_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
)


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request is a browser's question, and no call."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def preflight_headers(headers: Mapping[bytes, bytes]) -> list[Header]:
    """What a browser is answered: a page of this origin may send these headers."""
    requested = headers.get(b"access-control-request-headers", b"content-type")
    return [*cors_headers(headers[b"origin"]), *_PREFLIGHT, (b"access-control-allow-headers", requested)]


def cors_headers(origin: bytes) -> list[Header]:
    """What lets a page of this origin read an answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"Mcp-Session-Id, WWW-Authenticate"),
        (b"vary", b"Origin"),
    ]
