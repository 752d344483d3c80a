"""Reads the messages out of the bodies that pass a reverse proxy: JSON or event streams, compressed or not.

Bounded in memory, whatever the body stands for; what cannot be read says so and raises nothing. Knows bytes, not
whose they are.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from thv.core.jsonrpc import one_line
from thv.core.line_assembler import ELIDE_AFTER, LineAssembler
from thv.core.lines import MAX_INSPECTED
from thv.http.sse import EventParser, EventTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Headers = Mapping[bytes, bytes]
    """By their names in lower case; those given twice joined by a comma."""

EVENT_STREAM, JSON = b"text/event-stream", b"application/json"

DECODED_AT_ONCE = 1 << 20
"""Bytes decompressed in one step, so that a small body that stands for a huge one costs time and no memory."""

MAX_DECODED = 256 << 20
"""Bytes a body is decompressed to before it is given up."""


HEADED, HEADLESS = 47, -15
"""What `zlib` calls data in the form of zlib or gzip, as the first bytes say, and data in neither."""

HEAD_SIZE = 2
"""Bytes that tell the forms apart."""


class Body:
    """A body that grows into one line: decompressed, and without what no count needs.

    Args:
        coding: the value of `Content-Encoding`.
    """

    def __init__(self, coding: bytes = b"") -> None:
        self._only: bytes | None = None  # the whole body so far, as long as it came in one piece
        self._lines: LineAssembler | None = None
        self._decoded = 0
        self._inflate: Any = None  # its type has no public name
        self._is_compressed = coding in {b"gzip", b"x-gzip", b"deflate"}
        self._head: bytes | None = b"" if coding == b"deflate" else None  # as long as its form is unknown
        self._wbits = HEADED
        self.is_readable = self._is_compressed or coding in {b"", b"identity"}

    def feed(self, data: bytes) -> None:
        """A piece, as it passed."""
        if self._is_compressed:
            for piece in self._decompressed(data):
                self._add(piece)
        elif self.is_readable:
            self._add(data)

    def _add(self, piece: bytes) -> None:
        if self._lines is None:
            if self._only is None and len(piece) <= ELIDE_AFTER:
                self._only = piece
                return
            self._lines = LineAssembler()
            if self._only is not None:
                self._lines.feed(_without_breaks(self._only))
        self._lines.feed(_without_breaks(piece))

    def line(self) -> bytes | None:
        """All of it, as one line with its newline; None when there is nothing, or nothing that can be read."""
        if not self.is_readable:
            return None
        if self._lines is None:
            return None if self._only is None else _without_breaks(self._only) + b"\n"
        line = bytes(self._lines.feed(b"\n")[0])
        self.is_readable = bool(line)
        return line or None

    def decoded(self, data: bytes) -> Iterable[bytes]:
        """A piece, decompressed, in pieces of a bounded size."""
        if self._is_compressed:
            return self._decompressed(data)
        return (data,) if self.is_readable else ()

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        if self._head is not None:
            self._head += data
            if len(self._head) < HEAD_SIZE:
                return
            data, self._head = self._head, None
            self._wbits = HEADED if _has_head(data) else HEADLESS
        while data and self.is_readable:
            inflate = self._inflate or zlib.decompressobj(self._wbits)
            self._inflate = inflate
            try:
                piece = inflate.decompress(data, DECODED_AT_ONCE)
            except zlib.error:
                self.is_readable = False
                return
            self._decoded += len(piece)
            self.is_readable = self._decoded <= MAX_DECODED
            data = inflate.unconsumed_tail
            if inflate.eof:  # what follows is another one
                data, self._inflate = inflate.unused_data, None
            if piece:
                yield piece


def _has_head(data: bytes) -> bool:
    """Whether compressed data begins as RFC 1950 or RFC 1952 says; some send `deflate` without (RFC 9110, 8.4.1.2)."""
    is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:HEAD_SIZE], "big") % 31 == 0
    return is_zlib or data.startswith(b"\x1f\x8b")


def _without_breaks(piece: bytes) -> bytes:
    if b"\n" in piece or b"\r" in piece:
        return piece.replace(b"\n", b" ").replace(b"\r", b" ")
    return piece


class ReplyReader:
    """The messages in a response: one JSON text, or the events of a stream.

    Args:
        coding: the value of `Content-Encoding`.
        is_stream: it is an event stream.
        show: given each message, or batch, as one line; in a stream, only an event of type `message` brings any.
        endpoint: given the data of the legacy transport's first event, if it is waited for.
    """

    def __init__(
        self,
        coding: bytes,
        *,
        is_stream: bool,
        show: Callable[[bytes], None],
        endpoint: Callable[[bytes], None] | None = None,
    ) -> None:
        self._body = Body(coding)
        self._events = EventParser(MAX_INSPECTED) if is_stream else None
        self._show = show
        self._endpoint = endpoint
        self._too_large = False
        self.is_resumable = False
        """Whether an event had an id: a client can then ask for what comes after it."""

    @classmethod
    def to(
        cls, headers: Headers, show: Callable[[bytes], None], endpoint: Callable[[bytes], None] | None = None
    ) -> ReplyReader | None:
        """What reads a response with these headers, or None if it holds no messages."""
        kind = media_type(headers)
        if kind != EVENT_STREAM and not kind.startswith(JSON):  # official clients take application/json-rpc as well
            return None
        coding = headers.get(b"content-encoding", b"").lower()
        return cls(coding, is_stream=kind == EVENT_STREAM, show=show, endpoint=endpoint)

    @property
    def is_readable(self) -> bool:
        """Whether everything so far could be read."""
        return self._body.is_readable and not self._too_large

    def feed(self, data: bytes) -> None:
        """A piece of the body."""
        if self._events is None:
            self._body.feed(data)
            return
        for piece in self._body.decoded(data):
            if self._too_large:
                return
            try:
                events = self._events.feed(piece)
            except EventTooLargeError:
                self._too_large = True
                return
            for event in events:
                self.is_resumable = self.is_resumable or bool(event.id)
                if event.type == "endpoint":
                    if self._endpoint is not None:
                        self._endpoint(event.data)
                elif event.data and event.type == "message":  # another type's data is for clients that ask for it
                    self._show(one_line(event.data))

    def end(self) -> None:
        """The body is whole."""
        line = self._body.line() if self._events is None else None
        if line is not None:
            self._show(line)


def media_type(headers: Headers) -> bytes:
    """The type in `Content-Type`, in the first where several were given, without its parameters."""
    first = headers.get(b"content-type", b"").partition(b",")[0]
    return first.partition(b";")[0].strip().lower()
