"""One POST and its replies: a single JSON text when they come soon, a stream of events otherwise.

A quick reply costs nothing but itself. A message that is related to a request and comes before its reply (progress, a
request of the server) needs a stream; so does a reply that takes long, because a stream can be kept alive, and resumed
by a client that lost it (MCP 2025-11-25, "Sending Messages to the Server").
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.app.event_store import EventStream

JSON_TIMEOUT_S = 1.0
"""A reply within this time goes out as plain JSON; then a stream is opened, which can be kept alive."""


class PendingPost:
    """The requests of one POST, until each is answered.

    Args:
        requests: how many replies are due.
        accepts_json, accepts_events: what the client takes, at least one of them.
        is_batch: the replies go into an array where they go out as JSON.
        open_stream: makes a stream when one is needed.
    """

    __slots__ = (
        "_accepts_events",
        "_is_batch",
        "_open_stream",
        "_replies",
        "_timer",
        "decided",
        "due",
        "error_code",
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
    ) -> None:
        loop = asyncio.get_running_loop()
        self.due = requests
        self.error_code: int | float | None = None
        """The code of the last reply that was an error."""
        self.refusal: tuple[int, bytes] | None = None
        """An HTTP status and a body to answer with instead."""
        self.stream: EventStream | None = None
        self.left = False
        """Whether the client left before anything went out."""
        self.decided: asyncio.Future[None] = loop.create_future()
        """Done once it is known what goes out: nothing (`left`), `refusal`, `stream`, or else `body()`."""
        self._accepts_events = accepts_events
        self._is_batch = is_batch
        self._open_stream = open_stream
        self._replies: list[bytes] = []
        self._timer = loop.call_later(JSON_TIMEOUT_S, self._begin_stream) if accepts_events and accepts_json else None
        if not accepts_json:
            self._begin_stream()

    @property
    def carries_more_than_replies(self) -> bool:
        """Whether messages other than replies can go with it."""
        return self._accepts_events and self.due > 0 and (self.stream is not None or not self.decided.done())

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
        self._begin_stream()
        if self.stream is not None:
            self.stream.put(line)
        return self.stream

    def fail(self, status: int, body: bytes) -> None:
        """No reply will come: say so, in the body of an error status or in an event."""
        self.due = 0
        if self.stream is not None:
            self.stream.put(body)
            self.stream.end()
        elif not self.decided.done():
            self.refusal = (status, body)
            self._decide()

    def client_left(self) -> None:
        """The client closed its connection before anything went out."""
        if not self.decided.done():
            self.left = True
            self._decide()

    def body(self) -> bytes:
        """The replies as JSON."""
        if self._is_batch:
            return b"[%b]" % b",".join(reply.rstrip(b"\r\n") for reply in self._replies)
        return self._replies[0].removesuffix(b"\n")

    def _begin_stream(self) -> None:
        if self.stream is None and not self.decided.done():
            self.stream = self._open_stream()
            for reply in self._replies:
                self.stream.put(reply)
            self._replies.clear()
            self._decide()

    def _decide(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.decided.done():
            self.decided.set_result(None)
