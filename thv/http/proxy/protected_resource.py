"""Where an OAuth-protected server names itself, the client has to see the proxy (RFC 9728).

A client refuses to log in when the resource in the metadata is not the URL it connects to. So the server's own origin
becomes the proxy's in the challenge of a 401, and in the metadata's `resource`, wherever that challenge says it is. The
authorization server stays what it is, even at the same origin: its issuer is compared with what it says of itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Raw
from msgspec.json import Decoder, encode

from thv.core.splice import Edit, UnclearError, apply, objects_in
from thv.http.proxy.body_reader import Body

if TYPE_CHECKING:
    from thv.http.proxy.proxy_target import ProxyTarget

METADATA_PATH: Final = b"/.well-known/oauth-protected-resource"
"""RFC 9728, section 3.1; the path of the resource may follow, and some servers put it before."""

MAX_METADATA: Final = 256 << 10
"""Bytes of a metadata document that are held back; a larger one passes as it is."""

MAX_PLACES: Final = 64
"""Places of metadata that are remembered; a server has one for each of its resources."""

_METADATA_URL = re.compile(rb'(\bresource_metadata\s*=\s*"?)([^"\s,]+)', re.IGNORECASE)
_whole = Decoder(Raw).decode
_string = Decoder(str).decode


def is_metadata_path(path: bytes) -> bool:
    """Whether a request asks for the metadata of a protected resource, as far as its path says."""
    return METADATA_PATH + b"/" in path + b"/"


class MetadataPlaces:
    """Where a server has metadata of protected resources: at the well-known places, and where its challenges say."""

    def __init__(self) -> None:
        self._named: dict[bytes, None] = {}  # by age

    def __contains__(self, target: bytes) -> bool:
        """Whether a request with this target, its path and query, asks for such metadata."""
        return target in self._named or is_metadata_path(target.partition(b"?")[0])

    def note(self, challenge: bytes, target: ProxyTarget) -> None:
        """Remember the places that a value of `WWW-Authenticate` from this server names, if they are its own."""
        for found in _METADATA_URL.finditer(challenge):
            rest = target.path_of(found[2])
            if rest is None:
                continue
            place = rest.partition(b"#")[0]
            self._named[place if place.startswith(b"/") else b"/" + place] = None
            if len(self._named) > MAX_PLACES:
                del self._named[next(iter(self._named))]


def challenge_for_client(value: bytes, target: ProxyTarget, proxy: bytes) -> bytes:
    """The value of `WWW-Authenticate` as the client gets it.

    Args:
        value: as the server sent it.
        target: the server.
        proxy: the origin that the client knows, as ``scheme://host[:port]``.
    """

    def replaced(found: re.Match[bytes]) -> bytes:
        rest = target.path_of(found[2])
        return found[0] if rest is None else found[1] + proxy + rest

    return _METADATA_URL.sub(replaced, value)


def plain(document: bytes, coding: bytes) -> bytes | None:
    """A metadata document without its compression; None if it cannot be read, or is too large to be one.

    Args:
        document: as the server sent it.
        coding: the value of `Content-Encoding`, in lower case; empty for none.
    """
    whole = bytearray()
    body = Body(coding)
    for piece in body.decoded(document):
        whole += piece
        if len(whole) > MAX_METADATA:
            return None
    return bytes(whole) if body.is_readable else None


def metadata_for_client(document: bytes, target: ProxyTarget, proxy: bytes) -> bytes:
    """The metadata document as the client gets it: with the proxy's origin in `resource`, or as it was.

    Args:
        document: as the server sent it.
        target: the server.
        proxy: the origin that the client knows.
    """
    try:
        _whole(document)
        resource = next(iter(objects_in(document))).members.get("resource")
        if resource is None or not resource.first.startswith(b'"'):
            return document
        rest = target.path_of(_string(resource.first).encode())
    except (ValueError, RecursionError, UnclearError, StopIteration):
        return document
    if rest is None:
        return document
    return apply(document, [Edit(resource.start, resource.end, encode((proxy + rest).decode()))])
