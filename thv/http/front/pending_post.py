"""One POST and its replies: a single JSON text when they come soon, a stream of events otherwise.

A quick reply costs nothing but itself. A message that is related to a request and comes before its reply (progress, a
request of the server) needs a stream; so does a reply that takes long, because a stream can be kept alive, and resumed
by a client that lost it (MCP 2025-11-25, "Sending Messages to the Server").
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.front.event_store import EventStream

JSON_TIMEOUT_S = 1.0
"""A reply within this time goes out as plain JSON; then a stream is opened, which can be kept alive."""


class JsonDeadlines:
    """Opens a stream for each POST that has not been answered in time: one timer for all of them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, PendingPost]] = deque()
        self._is_armed = False

    def add(self, pending: PendingPost) -> None:
        """Watch over one more."""
        queue = self._queue
        while queue and queue[0][1].is_decided:
            queue.popleft()
        queue.append((self._loop.time() + JSON_TIMEOUT_S, pending))
        if not self._is_armed:
            self._is_armed = True
            self._loop.call_later(JSON_TIMEOUT_S, self._expire)

    def _expire(self) -> None:
        now = self._loop.time()
        queue = self._queue
        while queue and (queue[0][1].is_decided or queue[0][0] <= now):
            queue.popleft()[1].begin_stream()
        self._is_armed = bool(queue)
        if queue:
            self._loop.call_at(queue[0][0], self._expire)


class PendingPost:
    """The requests of one POST, until each is answered.

    Args:
        requests: how many replies are due.
        accepts_json, accepts_events: what the client takes, at least one of them.
        is_batch: the replies go into an array where they go out as JSON.
        open_stream: makes a stream when one is needed.
        deadlines: opens one when the replies take long.
        on_decided: called once it is known what goes out: nothing (`left`), `refusal`, `stream`, or else `body()`.
    """

    __slots__ = (
        "_accepts_events",
        "_is_batch",
        "_on_decided",
        "_open_stream",
        "_replies",
        "due",
        "error_code",
        "is_decided",
        "left",
        "refusal",
        "stream",
    )

    def __init__(
        self,
        requests: int,
        *,
        accepts_json: bool,
        accepts_events: bool,
        is_batch: bool,
        open_stream: Callable[[], EventStream],
        deadlines: JsonDeadlines,
        on_decided: Callable[[PendingPost], None],
    ) -> None:
        self.due = requests
        self.error_code: int | float | None = None
        """The code of the last reply that was an error."""
        self.refusal: tuple[int, bytes] | None = None
        """An HTTP status and a body to answer with instead."""
        self.stream: EventStream | None = None
        self.left = False
        """Whether the client left before anything went out."""
        self.is_decided = False
        """Whether it is known what goes out."""
        self._accepts_events = accepts_events
        self._is_batch = is_batch
        self._open_stream = open_stream
        self._on_decided: Callable[[PendingPost], None] | None = on_decided
        self._replies: list[bytes] = []
        if not accepts_json:
            self.begin_stream()
        elif accepts_events:
            deadlines.add(self)

    @property
    def carries_more_than_replies(self) -> bool:
        """Whether messages other than replies can go with it."""
        return self._accepts_events and self.due > 0 and (self.stream is not None or not self.is_decided)

    @property
    def is_awaited(self) -> bool:
        """Whether a connection is open for what will come."""
        return not self.left and (self.stream is None or self.stream.attached)

    def reply(self, line: bytes, error_code: float | None = None) -> None:
        """One of the requests was answered."""
        self.due -= 1
        if error_code is not None:
            self.error_code = error_code
        if self.stream is not None:
            self.stream.put(line)
            if self.due <= 0:
                self.stream.end()
            return
        self._replies.append(line)
        if self.due <= 0:
            self._decide()

    def note(self, line: bytes) -> EventStream | None:
        """A related message comes before the reply; returns the stream it went to, if it could go with this."""
        if not self.carries_more_than_replies:
            return None
        self.begin_stream()
        if self.stream is not None:
            self.stream.put(line)
        return self.stream

    def fail(self, status: int, body: bytes) -> None:
        """No reply will come: say so, in the body of an error status or in an event."""
        self.due = 0
        if self.stream is not None:
            self.stream.put(body)
            self.stream.end()
        elif not self.is_decided:
            self.refusal = (status, body)
            self._decide()

    def client_left(self) -> None:
        """The client closed its connection before anything went out."""
        if not self.is_decided:
            self.left = True
            self._decide()

    def body(self) -> bytes:
        """The replies as JSON, which are not kept."""
        replies, self._replies = self._replies, []
        if self._is_batch:
            return b"[%b]" % b",".join(reply.rstrip(b"\r\n") for reply in replies)
        return replies[0].removesuffix(b"\n")

    def begin_stream(self) -> None:
        """Open a stream, unless it is decided already what goes out."""
        if self.stream is None and not self.is_decided:
            self.stream = self._open_stream()
            for reply in self._replies:
                self.stream.put(reply)
            self._replies.clear()
            self._decide()

    def _decide(self) -> None:
        on_decided, self._on_decided = self._on_decided, None  # it leads back here, so keeping it would be a cycle
        if on_decided is not None:
            self.is_decided = True
            on_decided(self)
