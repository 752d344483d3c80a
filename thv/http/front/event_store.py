"""Streams of server-sent events to one client: resumable, bounded, and never in the way of a server for long.

A stream outlives its connection: events stay for a while, so that a client that lost it asks for the rest by
``Last-Event-ID`` (MCP 2025-11-25, "Resumability and Redelivery"). An event id names its stream and its place in it, and
is worth nothing outside its session. Nothing here knows what an event says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Write = Callable[[bytes], Awaitable[None]]

KEEP_BYTES = 4 << 20
"""Bytes of events that a session keeps for clients that come back; the oldest go first."""

KEEP_EVENTS = 4096
"""How many of them: small ones cost more than their bytes."""

UNSENT_LIMIT = 4 << 20
"""Bytes that may wait for a client that reads slowly; then the server is paused."""

WRITE_TIMEOUT_S = 10.0
"""Seconds for which a slow client pauses its own server; then its connection is closed. The events stay resumable."""

KEEP_ALIVE_S = 15.0
"""Seconds without an event after which a comment is sent: proxies cut silent connections, and a dead one shows."""

RETRY_MS = 1000
"""What we ask a client to wait before it comes back."""

COMMENT = b":\n\n"


def event(data: bytes, event_id: bytes | None = None) -> bytes:
    """One event (WHATWG HTML, "Server-sent events") whose data is one line of JSON."""
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if b"\r" in data:  # white space in JSON, the end of a line in an event stream
        data = data.replace(b"\r", b" ")
    if event_id is None:
        return b"event: message\ndata: %b\n\n" % data
    return b"event: message\nid: %b\ndata: %b\n\n" % (event_id, data)


class EventStore:
    """What a session keeps of its streams' events."""

    def __init__(self, keep_bytes: int = KEEP_BYTES) -> None:
        self._keep_bytes = keep_bytes
        self._size = 0
        self._order: deque[tuple[EventStream, int]] | None = None  # once there is an event
        self._streams: dict[int, EventStream] = {}
        self._opened = 0

    def open(self, *, is_listener: bool = False) -> EventStream:
        """A new stream."""
        self._opened += 1
        stream = EventStream(self._opened, self, is_listener=is_listener)
        self._streams[stream.number] = stream
        return stream

    def find(self, event_id: str) -> tuple[EventStream, int] | None:
        """The stream that an event id belongs to, and how many of its events its client has; None when it is gone.

        Events that were given up meanwhile are missing: a stream with a gap is better than none.
        """
        number, _, count = event_id.partition("-")
        if not (number.isdecimal() and count.isdecimal() and number.isascii() and count.isascii()):
            return None
        if len(event_id) > len("18446744073709551615") * 2:
            return None
        stream = self._streams.get(int(number))
        return None if stream is None or int(count) > stream.count else (stream, int(count))

    def added(self, stream: EventStream, size: int) -> None:
        """An event was added to a stream of ours."""
        order = self._order
        if order is None:
            order = self._order = deque()
        order.append((stream, size))
        self._size += size
        while order and (self._size > self._keep_bytes or len(order) > KEEP_EVENTS):
            oldest, size = order[0]
            if oldest.attached and oldest.sent <= oldest.first:
                break  # its client is still to get it; there is another bound for that
            order.popleft()
            self._size -= size
            oldest.drop_first()
            if oldest.ended and not oldest.events:
                self._streams.pop(oldest.number, None)

    def ended(self, stream: EventStream) -> None:
        """A stream of ours ended."""
        if not stream.events:
            self._streams.pop(stream.number, None)

    def end(self) -> None:
        """The session is over: end every stream."""
        for stream in list(self._streams.values()):
            stream.end()
        self._streams.clear()
        self._order = None


class EventStream:
    """The events of one stream, and the connection that carries them at the moment.

    Attributes:
        number: unique in its session.
        is_listener: it answers a GET, and gets what belongs to no request.
        events: those that are kept, the oldest first.
        first: how many events came before those.
        sent: how many events were written to a connection.
        ended: nothing will be added.
        attached: a connection carries it.
    """

    def __init__(self, number: int, store: EventStore | None, *, is_listener: bool = False) -> None:
        self.number = number
        self.is_listener = is_listener
        self.events: deque[bytes] = deque()
        self.first = 0
        self.sent = 0
        self.ended = False
        self.attached = False
        self._store = store
        self._unsent = 0
        self._connection = 0
        self._writer: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    @property
    def count(self) -> int:
        """How many events there ever were."""
        return self.first + len(self.events)

    @property
    def is_full(self) -> bool:
        """Whether more waits for a slow client than may."""
        return self.attached and self._unsent > UNSENT_LIMIT

    def prime(self) -> None:
        """Add an event without data, by which the client can come back before anything was said (2025-11-25)."""
        self._add(b"id: %b\nretry: %d\ndata:\n\n" % (self._next_id(), RETRY_MS))

    def put(self, data: bytes) -> None:
        """Add an event."""
        self._add(event(data, self._next_id() if self._store is not None else None))

    def end(self) -> None:
        """Add nothing more; the connection ends once everything was written."""
        self.ended = True
        if self._store is not None:
            self._store.ended(self)
        self._wake()

    def attach(self) -> int:
        """A connection takes over, one a stream: the last that asks. Returns what names it here."""
        self.detach()
        self.attached = True
        return self._connection

    def detach(self, connection: int | None = None) -> None:
        """The connection is gone; nothing happens if another one has taken over from it."""
        if connection is not None and connection != self._connection:
            return
        self.attached = False
        self._connection += 1
        self._unsent = 0
        self._wake()
        self._note_drained()

    async def wait_drained(self, timeout: float) -> None:  # noqa: ASYNC109  a slow client is no error of the caller's
        """Wait until a slow client has caught up; after `timeout` seconds its connection is given up."""
        if self.is_full and timeout:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._drained], timeout=timeout)
        if self.is_full:
            self.detach()

    async def stream_to(self, write: Write, connection: int, after: int = 0) -> None:
        """Write the events after the first `after` ones, and those to come, to the attached connection.

        Returns when the stream has ended, or when another connection, or none, has it.
        """
        mine = connection
        self.sent = max(after, self.first)
        self._unsent = sum(map(len, list(self.events)[self.sent - self.first :]))
        while mine == self._connection:
            if self.sent < self.count:
                await self._write_waiting(write, mine)
            elif self.ended:
                break
            elif not await self._woken(KEEP_ALIVE_S):
                await write(COMMENT)
        if mine == self._connection:
            self.attached = False

    def drop_first(self) -> None:
        """Forget the oldest event."""
        self.events.popleft()
        self.first += 1
        self.sent = max(self.sent, self.first)

    async def _write_waiting(self, write: Write, mine: int) -> None:
        skip = self.sent - self.first
        block = b"".join(list(self.events)[skip:] if skip else self.events)
        self.sent = self.count
        if self._store is None:
            self.first += len(self.events)
            self.events.clear()
        await write(block)
        if mine == self._connection:
            self._unsent = max(0, self._unsent - len(block))
            self._note_drained()

    async def _woken(self, seconds: float) -> bool:
        self._writer = writer = asyncio.get_running_loop().create_future()
        await asyncio.wait([writer], timeout=seconds)
        return writer.done()

    def _next_id(self) -> bytes:
        return b"%d-%d" % (self.number, self.count + 1)

    def _add(self, block: bytes) -> None:
        self.events.append(block)
        if self.attached:
            self._unsent += len(block)
        if self._store is not None:
            self._store.added(self, len(block))
        self._wake()

    def _wake(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _note_drained(self) -> None:
        if self._drained is not None and not self.is_full and not self._drained.done():
            self._drained.set_result(None)
