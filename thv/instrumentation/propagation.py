"""Passes our own trace context on: writes `params._meta.traceparent` into the requests that a client sends.

The only place that ever changes bytes, and only where the user asked for it. Promises: of a request it changes that one
member and no other byte, and of everything else nothing; a line that is too long, cannot be decoded, or has one of the
members on the way twice passes as it is; nothing is lost. Pure: no I/O.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Raw
from msgspec.json import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from thv.core.interfaces import Look
    from thv.core.message import Id

MAX_LINE: Final = 1 << 20
"""Bytes of a line up to which it is rewritten; a longer one would be delayed, and passes."""

MAX_PIECES: Final = 20_000
"""Strings, numbers and brackets of a line up to which it is rewritten: about 10 ms."""

_PIECE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
_whole = Decoder(Raw).decode
_name = Decoder(str).decode
_id = Decoder(int | float | str).decode
_DEPTH: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}


class Propagation:
    """Looks at what a client sends, line by line, and rewrites it.

    Args:
        look: shown every byte before it is rewritten; it learns of requests, and decides about their contexts.
        contexts: id and `traceparent` of each request that `look` learned of since the last time, in order.
    """

    def __init__(self, look: Look, contexts: Callable[[], Sequence[tuple[Id | None, str]]]) -> None:
        self._look = look
        self._contexts = contexts
        self._held = bytearray()
        self._passing = False  # in the middle of a line that is too long

    def rewrite(self, chunk: bytes) -> bytes:
        """What is to be forwarded for this chunk. Half a line waits for its end; an empty chunk is the end."""
        if not chunk:
            rest, self._held = bytes(self._held), bytearray()
            return self._line(rest, b"")  # the end makes the last line whole
        return b"".join([self._piece(piece) for piece in _lines(chunk)])

    def _piece(self, piece: bytes) -> bytes:
        if self._passing:
            self._passing = not piece.endswith(b"\n")
            return self._see(piece)
        if not piece.endswith(b"\n"):
            self._held += piece
            if len(self._held) <= MAX_LINE:
                return b""
            self._passing = True
        elif not self._held:
            return self._line(piece)
        else:
            self._held += piece
        line, self._held = bytes(self._held), bytearray()
        return self._see(line) if self._passing else self._line(line)

    def _line(self, line: bytes, *more: bytes) -> bytes:
        for piece in (line, *more) if line else more:
            self._look(piece)
        contexts = self._contexts()
        return with_contexts(line, contexts) if contexts and len(line) <= MAX_LINE else line

    def _see(self, piece: bytes) -> bytes:
        self._look(piece)
        self._contexts()
        return piece


def _lines(chunk: bytes) -> Iterator[bytes]:
    start = 0
    while (end := chunk.find(b"\n", start) + 1) > 0:
        yield chunk[start:end]
        start = end
    if start < len(chunk):
        yield chunk[start:]


class _Value(NamedTuple):
    """Where a value stands, and its first piece: a bracket, a string or a word."""

    start: int
    end: int
    first: bytes


class _Object(NamedTuple):
    """An object's members, and the place behind the last one, or behind the opening bracket."""

    members: dict[str, _Value]
    behind: int

    def insertion(self, member: bytes) -> _Edit:
        """One more member."""
        return _Edit(self.behind, self.behind, b"," + member if self.members else member)


class _Edit(NamedTuple):
    start: int
    end: int
    text: bytes


class _UnclearError(Exception):
    """The line is left as it is."""


def with_contexts(line: bytes, contexts: Sequence[tuple[Id | None, str]]) -> bytes:
    """The line with `traceparent` set in each request.

    Args:
        line: one message, or a batch.
        contexts: id and header of each of its requests, in order. If those are not its requests, nothing is set.
    """
    try:
        _whole(line)
        edits = list(_edits(line, contexts))
    except (ValueError, RecursionError, _UnclearError):
        return line
    parts = []
    done = 0
    for edit in edits:
        parts += [line[done : edit.start], edit.text]
        done = edit.end
    return b"".join((*parts, line[done:]))


def _edits(line: bytes, contexts: Sequence[tuple[Id | None, str]]) -> list[_Edit]:
    edits = []
    waiting = list(reversed(contexts))
    for message in _Scan(line).messages():
        id_, method = message.members.get("id"), message.members.get("method")
        if id_ is None or method is None or method.first == b"null":
            continue
        if not waiting:
            raise _UnclearError
        expected, traceparent = waiting.pop()
        if _id(line[id_.start : id_.end]) != expected:
            raise _UnclearError
        edit = _edit(line, message, traceparent.encode())
        if edit is not None:
            edits.append(edit)
    if waiting:
        raise _UnclearError
    return edits


def _edit(line: bytes, message: _Object, traceparent: bytes) -> _Edit | None:
    member = b'"traceparent":"%b"' % traceparent
    value = message.members.get("params")
    if value is None:
        return message.insertion(b'"params":{"_meta":{%b}}' % member)
    if value.first != b"{":
        return None
    params = _Scan(line, value.start).object()
    value = params.members.get("_meta")
    if value is None:
        return params.insertion(b'"_meta":{%b}' % member)
    if value.first != b"{":
        return None
    meta = _Scan(line, value.start).object()
    value = meta.members.get("traceparent")
    if value is None:
        return meta.insertion(member)
    return _Edit(value.start, value.end, b'"%b"' % traceparent)


class _Scan:
    """One pass over JSON that is known to be valid."""

    def __init__(self, line: bytes, start: int = 0) -> None:
        self._matches = islice(_PIECE.finditer(line, start), MAX_PIECES)

    def messages(self) -> Iterator[_Object]:
        """The objects of a batch, or the one object that the line is."""
        opening = self._next()
        if opening[0] == b"{":
            yield self._object(opening)
            return
        while (piece := self._next())[0] != b"]":
            if piece[0] == b"{":
                yield self._object(piece)
            else:
                self._end_of(piece)

    def object(self) -> _Object:
        """The object that begins here."""
        return self._object(self._next())

    def _object(self, opening: re.Match[bytes]) -> _Object:
        members: dict[str, _Value] = {}
        behind = opening.end()
        while (piece := self._next())[0] != b"}":
            if piece[0] == b",":
                continue
            self._next()  # the colon
            first = self._next()
            name, behind = _name(piece[0]), self._end_of(first)
            if name in members:
                raise _UnclearError
            members[name] = _Value(first.start(), behind, first[0])
        return _Object(members, behind)

    def _end_of(self, first: re.Match[bytes]) -> int:
        depth = _DEPTH.get(first[0], 0)
        piece = first
        while depth:
            piece = self._next()
            depth += _DEPTH.get(piece[0], 0)
        return piece.end()

    def _next(self) -> re.Match[bytes]:
        piece = next(self._matches, None)
        if piece is None:  # there are too many
            raise _UnclearError
        return piece
