"""One life of a container's process: who owns which request, what is in doubt after a link dropped, who is notified.

A dropped link loses bytes both ways and says not which. Promises: nothing is sent twice; a request that was open when
the link dropped is answered, by the server or, after a while, by an error of ours, and never by both; `initialize` is
passed on once, for the process is greeted once. Knows no link.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from msgspec.json import encode

from thv.core.jsonrpc import INTERNAL_ERROR, error_reply
from thv.core.message import is_batch, read_message, split_batch
from thv.core.splice import ID
from thv.http.pipes import QUEUE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.message import Id, Message

LOST = (
    "the connection to the server dropped while this request was open: it may have been carried out, "
    "and its answer is lost"
)
NOT_SENT = "the server cannot be reached, and was not sent this request: {}"

MOST_OPEN = 10_000
"""Requests that are remembered: some are never answered, such as those that their client cancelled."""


class LineQueue:
    """The lines that wait for one reader."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, line: bytes) -> None:
        """Add a line; dropped once the reader has gone."""
        if self._ended:
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size > QUEUE_LIMIT:
            self._room.clear()
        self._changed.set()

    async def take(self) -> bytes:
        """The next line; empty at the end."""
        while not self._lines:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        line = self._lines.popleft()
        self._size -= len(line)
        if self._size <= QUEUE_LIMIT // 2:
            self._room.set()
        return line

    async def room(self) -> None:
        """Wait until a slow reader has caught up."""
        await self._room.wait()

    def end(self) -> None:
        """Add nothing more."""
        self._ended = True
        self._changed.set()
        self._room.set()


class _Open(NamedTuple):
    """A request that is not answered yet."""

    inbox: LineQueue
    number: int
    is_greeting: bool


class ProcessSession:
    """What is known of one process.

    Args:
        warn: told what is worth knowing.

    Attributes:
        ended: why it is over, or None.
        exit_code: what it ended with; None while it runs, or where that is not known.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._say = warn
        self._inboxes: list[LineQueue] = []
        self._open: dict[Id, _Open] = {}
        self._given_up: dict[Id, None] = {}
        self._greeting: bytes | None = None
        self._is_greeted = False
        self._sent = 0
        self._confirmed = 0
        self.ended: str | None = None
        self.exit_code: int | None = None

    @property
    def is_in_doubt(self) -> bool:
        """Whether something was sent that the server has not shown to have read."""
        return self._sent > self._confirmed

    def join(self) -> LineQueue:
        """Register a client that uses the server; returns the queue of the lines for it."""
        inbox = LineQueue()
        self._inboxes.append(inbox)
        return inbox

    def leave(self, inbox: LineQueue) -> None:
        """Unregister it."""
        inbox.end()
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)
        self._open = {id_: request for id_, request in self._open.items() if request.inbox is not inbox}

    def answered_here(self, inbox: LineQueue, message: Message | None) -> bool:
        """Whether a line need not be sent, for this process has been greeted before; the answer is the one it gave."""
        if message is None or self._greeting is None:
            return False
        if message.method == "initialize" and isinstance(message.id, int | float | str):
            inbox.put(ID.replaced(self._greeting, encode(message.id)) or self._greeting)
            return True
        if message.method == "notifications/initialized":
            again, self._is_greeted = self._is_greeted, True
            return again
        return False

    def sending(self, inbox: LineQueue, message: Message | None) -> None:
        """A line is about to be sent."""
        self._sent += 1
        if message is None or not message.is_request or not isinstance(message.id, int | float | str):
            return
        self._given_up.pop(message.id, None)
        self._open[message.id] = _Open(inbox, self._sent, message.method == "initialize")
        if len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]

    def refuse(self, inbox: LineQueue, message: Message | None, problem: str) -> None:
        """A line cannot be sent: a request is answered, anything else is lost."""
        if message is not None and message.is_request:
            inbox.put(error_reply(INTERNAL_ERROR, NOT_SENT.format(problem), message.id) + b"\n")
        else:
            self._say(f"a message for the server is lost: {problem}")

    async def received(self, line: bytes) -> None:
        """A line of the server; waits for a reader that is slow."""
        elements = split_batch(line) if is_batch(line) else None
        for each in [line] if elements is None else [element + b"\n" for element in elements]:
            message = read_message(each)
            for inbox in self._readers(each, message):
                inbox.put(each)
        for inbox in list(self._inboxes):
            await inbox.room()

    def _readers(self, line: bytes, message: Message | None) -> list[LineQueue]:
        """Who is to see a line."""
        if message is None:
            return self._inboxes[:1]  # whoever it is will say that it is no message
        if message.is_response:
            return self._answers(line, message)
        # A request is for whoever began a session; where nobody did, somebody has to refuse it.
        return self._inboxes[:1] if message.is_request else list(self._inboxes)

    def _answers(self, line: bytes, message: Message) -> list[LineQueue]:
        id_ = message.id
        if not isinstance(id_, int | float | str):
            return list(self._inboxes)
        if id_ in self._given_up:
            del self._given_up[id_]
            self._say("a reply came after its request had been given up")
            return []
        request = self._open.pop(id_, None)
        if request is None:
            return list(self._inboxes)
        # A server reads its lines in order: it has read those before this request, too.
        self._confirmed = max(self._confirmed, request.number)
        if request.is_greeting and message.error is None:
            self._greeting = line
            if request.inbox in self._inboxes:  # the one with sessions is asked what the server wants to know
                self._inboxes.remove(request.inbox)
                self._inboxes.insert(0, request.inbox)
        return [request.inbox]

    def dropped(self) -> int:
        """The link dropped: up to which of the lines that were sent all is in doubt."""
        return self._sent

    def give_up(self, up_to: int) -> None:
        """Answer the requests among the first `up_to` lines that are still open: they, or their answers, are lost."""
        for id_, request in list(self._open.items()):
            if request.number <= up_to:
                del self._open[id_]
                self._given_up[id_] = None
                if len(self._given_up) > MOST_OPEN:
                    del self._given_up[next(iter(self._given_up))]
                request.inbox.put(error_reply(INTERNAL_ERROR, LOST, id_) + b"\n")

    def end(self, reason: str, exit_code: int | None) -> None:
        """The process is gone."""
        if self.ended is None:
            self.ended, self.exit_code = reason, exit_code
            for inbox in self._inboxes:
                inbox.end()
