"""What a reverse proxy changes in the fields of requests and responses (RFC 9110, 7.6 "Message Forwarding"). Pure.

Everything not named here passes as it came: its order, its spelling, what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import h11

    from thv.http.proxy.proxy_target import Target

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


def for_server(request: h11.Request, target: Target, peer: str) -> Fields:
    """The fields of a request as the server gets them.

    Args:
        request: as the client sent it.
        target: the server.
        peer: the client's address.
    """
    named = _named_in_connection(request.headers)
    fields: Fields = []
    host = None
    chunked = False
    for (name, value), (spelled, _) in zip(request.headers, request.headers.raw_items(), strict=True):
        if name == b"transfer-encoding":
            chunked = True
        if name in HOP_BY_HOP or name in FORWARDED or name in named:
            continue
        if name == b"host":
            host = value
            fields.append((spelled, target.authority.encode()))
        elif name == b"accept-encoding":
            fields.append((spelled, _narrowed(value)))
        else:
            fields.append((spelled, value))
    if chunked:  # it wins over a length (RFC 9112, 6.3), which then must not reach anybody who thinks otherwise
        fields = [field for field in fields if field[0].lower() != b"content-length"]
        fields.append((b"Transfer-Encoding", b"chunked"))
    if host is None:
        fields.append((b"Host", target.authority.encode()))
    fields += [(b"X-Forwarded-For", peer.encode()), (b"X-Forwarded-Proto", b"http")]
    if host is not None:
        fields.append((b"X-Forwarded-Host", host))
    return [*fields, (b"Via", b"1.1 thv")]


def for_client(response: h11.Response | h11.InformationalResponse, target: Target, host: bytes | None) -> Fields:
    """The fields of a response as the client gets them; how it is framed is for its connection to say.

    Args:
        response: as the server sent it.
        target: the server; a redirect to itself must not lead around the proxy.
        host: what the client calls the proxy, as it said in ``Host``.
    """
    named = _named_in_connection(response.headers)
    chunked = any(name == b"transfer-encoding" for name, _ in response.headers)
    origin = target.origin.encode()
    fields: Fields = []
    for (name, value), (spelled, _) in zip(response.headers, response.headers.raw_items(), strict=True):
        if name in HOP_BY_HOP or name in named or (chunked and name == b"content-length"):
            continue
        if name == b"location" and host is not None and value.startswith(origin) and value[len(origin) :][:1] in b"/?#":
            fields.append((spelled, b"http://" + host + value[len(origin) :]))
        else:
            fields.append((spelled, value))
    return fields


def trailers(end: h11.EndOfMessage) -> Fields:
    """The fields that follow a chunked body."""
    return [field for field in end.headers.raw_items() if field[0].lower() not in HOP_BY_HOP]


def _named_in_connection(fields: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    named = {token.strip().lower() for name, value in fields if name == b"connection" for token in value.split(b",")}
    return named - {b"host", b"content-length"}  # without them the message would be another one


def _narrowed(codings: bytes) -> bytes:
    kept = [coding for coding in codings.split(b",") if coding.partition(b";")[0].strip().lower() in DECODABLE]
    return b",".join(kept).strip() or b"identity"
