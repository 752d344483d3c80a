"""What the remote client remembers: of one POST and its replies, of one session, of one event stream that may break.

Plain state, without I/O.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

from thv.http.client.client_messages import answers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from thv.core.message import Id, Message
    from thv.http.client.client_messages import Sent
    from thv.http.sse import Event

    Deliver = Callable[[bytes, Sequence[Message]], Awaitable[None]]
    """Hands on a line of the server, with the messages in it."""

    Tell = Callable[[str], None]

T = TypeVar("T")

FIRST_DELAY: Final = 1.0
"""Seconds before a broken stream is asked for again, if the server did not say."""

MIN_DELAY: Final = 0.1
"""Seconds that lie between two attempts whatever the server says."""

MAX_DELAY: Final = 30.0
"""Seconds that the delay grows to while attempts fail."""

MAX_DOUBLINGS: Final = 16
"""Doublings of the delay, by when the longest one is reached; a server may be away for weeks."""

MAX_RETRY: Final = 300.0
"""Seconds up to which the server's own `retry` is heeded."""


class ResumptionState:
    """Where one event stream stands.

    Attributes:
        last_id: what `Last-Event-ID` is to be; None if the server gave nothing to resume from.
        retry: seconds that the server wants between two connections, if it said so.
        events: how many events came.
    """

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.retry: float | None = None
        self.events = 0

    def note(self, event: Event) -> None:
        """Take note of what an event says about reconnecting."""
        self.events += 1
        if event.id is not None:
            # An id that no header can carry cannot be resumed from.
            self.last_id = event.id if event.id.isascii() and event.id.isprintable() and event.id else None
        if event.retry is not None:
            self.retry = min(event.retry / 1000, MAX_RETRY)

    def delay(self, failures: int) -> float:
        """Seconds to wait before the next attempt, `failures` of them having brought nothing."""
        first = FIRST_DELAY if self.retry is None else max(self.retry, MIN_DELAY)
        if failures == 0:
            return first
        longest = max(first, MAX_DELAY)
        # Many clients of one server that restarts must not come back all at once.
        return max(first, min(first * 2.0 ** min(failures, MAX_DOUBLINGS), longest) * random.uniform(0.5, 1.0))  # noqa: S311  no secret


class Patience:
    """How long a stream is waited for: without end at first, for some seconds once nothing need come any more.

    Args:
        linger: those seconds.
    """

    def __init__(self, linger: float) -> None:
        self._linger = linger
        self._deadline: float | None = None
        self._timeout: asyncio.Timeout | None = None

    def shorten(self) -> None:
        """Nothing need come any more, or something came all the same: the seconds begin now."""
        self._deadline = asyncio.get_running_loop().time() + self._linger
        if self._timeout is not None:
            self._timeout.reschedule(self._deadline)

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """Wait for what comes next.

        Raises:
            TimeoutError: the seconds are over.
        """
        async with asyncio.timeout_at(self._deadline) as timeout:
            self._timeout = timeout
            try:
                return await awaitable
            finally:
                self._timeout = None


class PostExchange:
    """One POST, and everything it is answered with.

    Attributes:
        sent: what is posted.
        waiting: the requests in it that have no reply yet.
        cancelled: the ids of those that our client does not wait for any more.
        silent: it is a request of our own: its reply is kept in `reply`, and not handed on.
        cursor: where the event stream of its replies stands.
        on_its_way: set once it was handed to the system, or has failed.
        settled: set once every request in it has its reply, or can get none.
        patience: how long its stream is waited for; shortened once every request has its reply, wherever that came.
    """

    def __init__(self, sent: Sent, *, silent: bool = False) -> None:
        self.sent = sent
        self.waiting = list(sent.asks)
        self.cancelled: set[Id] = set()
        self.silent = silent
        self.reply: bytes | None = None
        self.cursor = ResumptionState()
        self.on_its_way = asyncio.Event()
        self.settled = asyncio.Event()
        self.patience: Patience | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether our client waits for none of the replies that are missing."""
        return bool(self.waiting) and all(ask.key in self.cancelled for ask in self.waiting)

    def settle(self, keys: list[Id | None]) -> None:
        """Replies to these ids were handed on; None is a reply that names no request."""
        for key in keys:
            exact = (at for at, ask in enumerate(self.waiting) if ask.key == key)
            position = next(exact, None)
            if position is None:
                position = next((at for at, ask in enumerate(self.waiting) if answers(key, ask)), None)
            if position is not None:
                del self.waiting[position]
        if not self.waiting:
            self.settled.set()
            if self.patience is not None:
                self.patience.shorten()


def is_visible(text: str) -> bool:
    """Whether a text has visible ASCII characters only, as session ids must (2025-11-25, "Session Management")."""
    return all("!" <= character <= "~" for character in text)


class McpSession:
    """A session of the eras that have one; `id` is None for a server that keeps none."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.version: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every request of the session carries."""
        headers = {}
        if self.id is not None:
            headers["Mcp-Session-Id"] = self.id
        if self.version is not None and is_visible(self.version):
            headers["MCP-Protocol-Version"] = self.version
        return headers
