"""What a reverse proxy changes in the fields of requests and responses (RFC 9110, 7.6 "Message Forwarding"). Pure.

Everything not named here passes as it came: its order, its spelling, what it says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thv.http.proxy.protected_resource import challenge_for_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.http.proxy.proxy_target import ProxyTarget
    from thv.http.proxy.upstream import ResponseHead

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

_FORWARDED_BY_TLS = re.compile(rb'(?:^|;)[ \t]*proto="?https"?[ \t]*(?:;|$)', re.IGNORECASE)
_NOT_PASSED = HOP_BY_HOP | FORWARDED
_REWRITTEN_FOR_CLIENT = frozenset({b"location", b"www-authenticate"})
_LENGTH = frozenset({b"content-length"})

DECODABLE = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})
"""Content codings whose copies can be read. Others are not asked for, or replies would pass unread."""


def for_server(fields: Fields, headers: Mapping[bytes, bytes], target: ProxyTarget, peer: str) -> Fields:
    """The fields of a request as the server gets them.

    Args:
        fields: as the client sent them.
        headers: the same by their names in lower case; ``host`` is what the client calls the proxy, be it in an
            absolute target.
        target: the server.
        peer: the client's address.
    """
    dropped = _NOT_PASSED
    if b"connection" in headers:
        dropped |= _named_in(headers[b"connection"])
    passed: Fields = []
    has_host = False
    for field in fields:
        name = field[0].lower()
        if name in dropped:
            continue
        if name == b"host":
            has_host = True
            passed.append((field[0], target.authority.encode()))
        elif name == b"accept-encoding":
            passed.append((field[0], _narrowed(field[1])))
        else:
            passed.append(field)
    if b"transfer-encoding" in headers:
        passed.append((b"Transfer-Encoding", b"chunked"))
    if not has_host:
        passed.append((b"Host", target.authority.encode()))
    passed += ((b"X-Forwarded-For", peer.encode()), (b"X-Forwarded-Proto", b"http"))
    host = headers.get(b"host")
    if host is not None:
        passed.append((b"X-Forwarded-Host", host))
    passed.append((b"Via", b"1.1 thv"))
    return passed


def uncompressed(fields: Fields) -> Fields:
    """The fields of a request for a body as it is. To ask for no coding would allow every one (RFC 9110, 12.5.3)."""
    return [*(field for field in fields if field[0].lower() != b"accept-encoding"), (b"Accept-Encoding", b"identity")]


def seen_origin(headers: Mapping[bytes, bytes]) -> bytes | None:
    """What the client calls the proxy, as ``scheme://host[:port]``; None if its request does not say.

    A tunnel that ends TLS in front of the proxy says so (RFC 7239, or `X-Forwarded-Proto`). Anybody can claim that, so
    it decides nothing but how links are written in the response to the same request.

    Args:
        headers: of the request, by their names in lower case.
    """
    host = headers.get(b"host")
    if host is None:
        return None
    said = headers.get(b"x-forwarded-proto")
    if said is not None:
        is_tls = said.partition(b",")[0].strip().lower() == b"https"  # the first is the client's own
    else:
        is_tls = _FORWARDED_BY_TLS.search(headers.get(b"forwarded", b"").partition(b",")[0]) is not None
    return (b"https://" if is_tls else b"http://") + host


def for_client(head: ResponseHead, target: ProxyTarget, request: Mapping[bytes, bytes]) -> Fields:
    """The fields of a response as the client gets them; how it is framed is for its connection to say.

    Args:
        head: of the response, as the server sent it. A length beside chunks is dropped (RFC 9112, 6.3).
        target: the server; a redirect to itself must not lead around the proxy.
        request: the headers of the request, by their names in lower case.
    """
    dropped = HOP_BY_HOP
    if b"connection" in head.headers:
        dropped |= _named_in(head.headers[b"connection"])
    if head.is_chunked:
        dropped |= _LENGTH
    passed = [field for field in head.fields if field[0].lower() not in dropped]
    if _REWRITTEN_FOR_CLIENT.isdisjoint(head.headers) or (proxy := seen_origin(request)) is None:
        return passed
    return [(spelled, _rewritten(spelled.lower(), value, target, proxy)) for spelled, value in passed]


def _rewritten(name: bytes, value: bytes, target: ProxyTarget, proxy: bytes) -> bytes:
    """The value of a field of a response that may name the server's own origin."""
    if name == b"location" and (rest := target.path_of(value)) is not None:
        return proxy + rest
    if name == b"www-authenticate":
        return challenge_for_client(value, target, proxy)
    return value


def uncoded(fields: Fields, length: int) -> Fields:
    """The fields of a response whose body became another one of this length, without compression."""
    names = {b"content-length": b"%d" % length}
    return [(n, names.get(n.lower(), v)) for n, v in fields if n.lower() != b"content-encoding"]


def trailers(fields: Fields) -> Fields:
    """The fields that follow a chunked body."""
    return [field for field in fields if field[0].lower() not in HOP_BY_HOP]


def _named_in(connection: bytes) -> set[bytes]:
    """The fields that `Connection` says are about one connection."""
    named = {token.strip().lower() for token in connection.split(b",")}
    return named - {b"host", b"content-length"}  # without them the message would be another one


def _narrowed(codings: bytes) -> bytes:
    kept = [coding for coding in codings.split(b",") if coding.partition(b";")[0].strip().lower() in DECODABLE]
    return b",".join(kept).strip() or b"identity"
