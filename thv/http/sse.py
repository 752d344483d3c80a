"""Server-sent events (WHATWG HTML, section 9.2): bytes cut anywhere become events.

Promises: the time spent is linear in the bytes seen; no event grows beyond a limit; the payload's bytes are kept as
they are. It knows nothing of MCP or HTTP.
"""

from __future__ import annotations

from codecs import BOM_UTF8

from msgspec import Struct

MAX_EVENT = 256 << 20
"""Bytes of one event: as much as one message may have."""

_CR, _LF = 13, 10


class EventTooLargeError(ValueError):
    """An event grew beyond the limit; the stream cannot be read any further."""


class Event(Struct, frozen=True, gc=False):
    """One event, or a block that only primes the receiver with an id or a delay.

    Attributes:
        data: the payload, its lines joined by newlines; empty for a block without one.
        type: what it is called.
        id: what `Last-Event-ID` is to be from now on; None if the block said nothing of it, empty to forget it.
        retry: milliseconds to wait before reconnecting, if the block said so.
    """

    data: bytes
    type: str = "message"
    id: str | None = None
    retry: int | None = None


class EventParser:
    """Reads the events of one stream.

    Args:
        limit: bytes that one event may have.
    """

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._size = 0  # of the event so far, its unfinished line included
        self._partial: list[bytes] = []
        self._at_start = True
        self._skip_lf = False
        self._forget()

    def _forget(self) -> None:
        self._size = 0
        self._data: list[bytes] = []
        self._type = self._id = self._retry = None
        self._any = False

    _type: str | None
    _id: str | None
    _retry: int | None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes. What no blank line ended is never an event.

        Raises:
            EventTooLargeError: one is too large.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == _LF:
                chunk = chunk[1:]
        if not chunk:
            return []
        if b"\n" not in chunk and b"\r" not in chunk:
            self._partial.append(chunk)
            self._grow(len(chunk))
            return []
        self._size -= sum(map(len, self._partial))
        lines = (b"".join((*self._partial, chunk)) if self._partial else chunk).splitlines()
        self._partial = [] if chunk[-1] in {_CR, _LF} else [lines.pop()]
        self._skip_lf = chunk[-1] == _CR
        if self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        events = []
        for line in lines:
            if line:
                self._grow(len(line))
                self._take(line)
            elif self._any:
                events.append(Event(b"\n".join(self._data), self._type or "message", self._id, self._retry))
                self._forget()
            else:
                self._size = 0
        if self._partial:
            self._grow(len(self._partial[0]))
        return events

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise EventTooLargeError(f"an event of more than {self._limit} bytes")

    def _take(self, line: bytes) -> None:
        colon = line.find(b":")
        if colon == 0:
            self._size -= len(line)  # a comment, which keeps the connection alive
            return
        name, start = (line, len(line)) if colon < 0 else (line[:colon], colon + 1)
        value = line[start + 1 :] if line[start : start + 1] == b" " else line[start:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self._retry = int(value[:MAX_DIGITS])
        else:
            return
        self._any = True


MAX_DIGITS = 18
"""Digits of a delay that are read: a longer one is as good as for ever, and Python refuses to read thousands."""
