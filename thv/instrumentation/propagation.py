"""Passes thv's own trace context on: writes `params._meta.traceparent` into the requests that a client sends.

The only place that changes bytes on their way, and only where the user asked for it. Promises: of a request it changes
that one member and no other byte, and of everything else nothing; a line that is too long, cannot be decoded, or has
one of the members on the way twice passes as it is; nothing is lost. Pure: no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Raw
from msgspec.json import Decoder

from thv.core.lines import MAX_REWRITTEN
from thv.core.splice import Edit, UnclearError, apply, members_of, objects_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from thv.core.interfaces import ChunkObserver
    from thv.core.message import Id
    from thv.core.splice import ObjectSpan

_whole = Decoder(Raw).decode
_id = Decoder(int | float | str).decode


class Propagation:
    """Inspects what a client sends, line by line, and rewrites it.

    Args:
        inspect: given every byte before it is rewritten; it learns of requests, and decides about their contexts.
        contexts: id and `traceparent` of each request that `inspect` learned of since the last time, in order.
    """

    def __init__(self, inspect: ChunkObserver, contexts: Callable[[], Sequence[tuple[Id | None, str]]]) -> None:
        self._inspect = inspect
        self._contexts = contexts
        self._held = bytearray()
        self._passing = False  # in the middle of a line that is too long

    def rewrite(self, chunk: bytes) -> bytes:
        """What is to be forwarded for this chunk. Half a line waits for its end; an empty chunk is the end."""
        if not chunk:
            rest, self._held = bytes(self._held), bytearray()
            return self._line(rest, b"")  # the end makes the last line whole
        return b"".join([self._piece(piece) for piece in _lines(chunk)])

    def rewrite_message(self, line: bytes) -> bytes:
        """What is to be forwarded for this message, which was inspected already."""
        contexts = self._contexts()
        return with_contexts(line, contexts) if contexts and len(line) <= MAX_REWRITTEN else line

    def _piece(self, piece: bytes) -> bytes:
        if self._passing:
            self._passing = not piece.endswith(b"\n")
            return self._unchanged(piece)
        if not piece.endswith(b"\n"):
            self._held += piece
            if len(self._held) <= MAX_REWRITTEN:
                return b""
            self._passing = True
        elif not self._held:
            return self._line(piece)
        else:
            self._held += piece
        line, self._held = bytes(self._held), bytearray()
        return self._unchanged(line) if self._passing else self._line(line)

    def _line(self, line: bytes, *more: bytes) -> bytes:
        for piece in (line, *more) if line else more:
            self._inspect(piece)
        contexts = self._contexts()
        return with_contexts(line, contexts) if contexts and len(line) <= MAX_REWRITTEN else line

    def _unchanged(self, piece: bytes) -> bytes:
        self._inspect(piece)
        self._contexts()
        return piece


def _lines(chunk: bytes) -> Iterator[bytes]:
    start = 0
    while (end := chunk.find(b"\n", start) + 1) > 0:
        yield chunk[start:end]
        start = end
    if start < len(chunk):
        yield chunk[start:]


def with_contexts(line: bytes, contexts: Sequence[tuple[Id | None, str]]) -> bytes:
    """The line with `traceparent` set in each request.

    Args:
        line: one message, or a batch.
        contexts: id and header of each of its requests, in order. If those are not its requests, nothing is set.
    """
    try:
        _whole(line)
        return apply(line, _edits(line, contexts))
    except (ValueError, RecursionError, UnclearError):
        return line


def _edits(line: bytes, contexts: Sequence[tuple[Id | None, str]]) -> list[Edit]:
    edits = []
    waiting = list(reversed(contexts))
    for message in objects_in(line):
        id_, method = message.members.get("id"), message.members.get("method")
        if id_ is None or method is None or method.first == b"null":
            continue
        if not waiting:
            raise UnclearError
        expected, traceparent = waiting.pop()
        if _id(line[id_.start : id_.end]) != expected:
            raise UnclearError
        edit = _edit(line, message, traceparent.encode())
        if edit is not None:
            edits.append(edit)
    if waiting:
        raise UnclearError
    return edits


def _edit(line: bytes, message: ObjectSpan, traceparent: bytes) -> Edit | None:
    member = b'"traceparent":"%b"' % traceparent
    value = message.members.get("params")
    if value is None:
        return message.insertion(b'"params":{"_meta":{%b}}' % member)
    if value.first != b"{":
        return None
    params = members_of(line, value)
    value = params.members.get("_meta")
    if value is None:
        return params.insertion(b'"_meta":{%b}' % member)
    if value.first != b"{":
        return None
    meta = members_of(line, value)
    value = meta.members.get("traceparent")
    if value is None:
        return meta.insertion(member)
    return Edit(value.start, value.end, b'"%b"' % traceparent)
