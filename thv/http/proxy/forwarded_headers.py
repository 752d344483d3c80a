"""What a reverse proxy changes in the fields of requests and responses (RFC 9110, 7.6 "Message Forwarding"). Pure.

Everything not named here passes as it came: its order, its spelling, what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.http.proxy.protected_resource import challenge_for_client

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thv.http.proxy.proxy_target import ProxyTarget

    Fields = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields about one connection (RFC 9110, 7.6.1, and RFC 9112, C.2.2): each side has its own."""

FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
"""What anybody can claim: replaced by what the proxy itself sees."""

DECODABLE = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})
"""Content codings whose copies can be read. Others are not asked for, or replies would pass unread."""


def for_server(fields: Fields, target: ProxyTarget, peer: str, host: bytes | None) -> Fields:
    """The fields of a request as the server gets them.

    Args:
        fields: as the client sent them.
        target: the server.
        peer: the client's address.
        host: what the client calls the proxy: its ``Host``, or the name in an absolute target.
    """
    named = _named_in_connection(fields)
    passed: Fields = []
    has_host = False
    is_chunked = False
    for spelled, value in fields:
        name = spelled.lower()
        if name == b"transfer-encoding":
            is_chunked = True
        if name in HOP_BY_HOP or name in FORWARDED or name in named:
            continue
        if name == b"host":
            has_host = True
            passed.append((spelled, target.authority.encode()))
        elif name == b"accept-encoding":
            passed.append((spelled, _narrowed(value)))
        else:
            passed.append((spelled, value.strip(b" \t")))
    if is_chunked:
        passed.append((b"Transfer-Encoding", b"chunked"))
    if not has_host:
        passed.append((b"Host", target.authority.encode()))
    passed += [(b"X-Forwarded-For", peer.encode()), (b"X-Forwarded-Proto", b"http")]
    if host is not None:
        passed.append((b"X-Forwarded-Host", host))
    return [*passed, (b"Via", b"1.1 thv")]


def for_client(fields: Fields, target: ProxyTarget, host: bytes | None, *, is_chunked: bool) -> Fields:
    """The fields of a response as the client gets them; how it is framed is for its connection to say.

    Args:
        fields: as the server sent them.
        target: the server; a redirect to itself must not lead around the proxy.
        host: what the client calls the proxy, as it said in ``Host``.
        is_chunked: the body comes in chunks, so a length beside them is dropped (RFC 9112, 6.3).
    """
    named = _named_in_connection(fields)
    proxy = None if host is None else b"http://" + host
    passed: Fields = []
    for spelled, value in fields:
        name = spelled.lower()
        if name in HOP_BY_HOP or name in named or (is_chunked and name == b"content-length"):
            continue
        if proxy is not None and name == b"location" and (rest := target.path_of(value)):
            passed.append((spelled, proxy + rest))
        elif proxy is not None and name == b"www-authenticate":
            passed.append((spelled, challenge_for_client(value, target, proxy)))
        else:
            passed.append((spelled, value))
    return passed


def trailers(fields: Fields) -> Fields:
    """The fields that follow a chunked body."""
    return [field for field in fields if field[0].lower() not in HOP_BY_HOP]


def _named_in_connection(fields: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    named = {
        token.strip().lower() for name, value in fields if name.lower() == b"connection" for token in value.split(b",")
    }
    return named - {b"host", b"content-length"}  # without them the message would be another one


def _narrowed(codings: bytes) -> bytes:
    kept = [coding for coding in codings.split(b",") if coding.partition(b";")[0].strip().lower() in DECODABLE]
    return b",".join(kept).strip() or b"identity"
