"""One MCP session over HTTP, up to revision 2025-11-25: which message of the server goes to which stream of the client.

Each message goes to one stream: a reply to its request's, progress to the stream of the request that asked for it,
everything else to the client's GET stream, or else to its oldest open POST, or waits (bounded) until there is one.
Ids are the client's own. How the server is reached is the link's affair.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from thv.http import wire
from thv.http.app.event_store import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.app.event_store import Stream
    from thv.http.app.pending_post import Exchange
    from thv.http.wire import Id, Message

WAITING_BYTES = 1 << 20
"""Bytes of messages that wait for a client without a stream; the oldest go first."""

CANCEL_GRACE = 1.0
"""Seconds a server has to answer a request that the client cancelled. It should not, so somebody must end the POST."""

CANCELLED = -32800
"""The code by which LSP, and servers that follow it, say that a request was cancelled."""

PRIMES_SINCE = "2025-11-25"
"""The first revision in which a stream begins with an event without data; older clients take it for bad JSON."""


class Link(Protocol):
    """A session's way to its server."""

    async def send(self, line: bytes, message: Message) -> None:
        """Hand on one line of the client. Raises OSError once the server has ended."""

    async def close(self, *, hurry: bool) -> None:
        """The session is over."""


class Session:
    """One client.

    Args:
        session_id: what the client names it by.
        on_end: called once, when it is over.

    Attributes:
        link: set before the first message.
        server_failed: its server ended before it had answered `initialize`.
        version: the protocol revision agreed upon, once the server has answered `initialize`.
        last_used: when the client was last heard of, by the loop's clock.
        ended: why the session is over, or None.
    """

    link: Link | None = None
    server_failed = False

    def __init__(self, session_id: str, on_end: Callable[[Session], None]) -> None:
        self.id = session_id
        self.version: str | None = None
        self.ended: str | None = None
        self.last_used = asyncio.get_running_loop().time()
        self._on_end = on_end
        self._store = EventStore()
        self._exchanges: dict[Id, deque[Exchange]] = {}
        self._tokens: dict[Id, Id] = {}
        self._listener: Stream | None = None
        self._listeners: set[int] = set()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether no connection of the client is open; a request that it left behind does not keep the session."""
        awaited = any(exchange.is_awaited for found in self._exchanges.values() for exchange in found)
        return not awaited and (self._listener is None or not self._listener.attached)

    def open_stream(self) -> Stream:
        """A stream for a POST."""
        stream = self._store.open()
        if self.version is not None and self.version >= PRIMES_SINCE:
            stream.prime()
        return stream

    def listen(self) -> Stream:
        """A stream for a GET: the one for everything that belongs to no request."""
        self._listener = self.open_stream()
        self._listeners.add(self._listener.number)
        return self._listener

    def resume(self, event_id: str) -> tuple[Stream, int] | None:
        """The stream that broke after this event, and how many of its events the client has."""
        found = self._store.find(event_id)
        if found is not None and found[0].number in self._listeners:
            self._listener = found[0]
        return found

    def flush(self) -> None:
        """A connection is about to carry the GET stream: what waited may go."""
        while self._waiting and self._listener is not None:
            self._listener.put(self._take_waiting())

    async def submit(self, messages: list[tuple[bytes, Message]], exchange: Exchange | None) -> None:
        """Hand the messages of one POST on to the server; replies go to `exchange`.

        Raises:
            OSError: the server has ended.
        """
        for _, message in messages:
            if exchange is not None and message.is_request:
                self._open(message, exchange)
        if exchange is not None and self._waiting and not self._is_listened_to():
            while self._waiting and exchange.note(self._waiting[0]) is not None:
                self._take_waiting()
        for line, message in messages:
            if self.link is None or self.ended is not None:
                raise BrokenPipeError(self.ended)
            await self.link.send(line, message)
            if message.method == "notifications/cancelled" and message.params is not None:
                self._cancelled(message.params.request_id)

    def status_of(self, message: Message) -> int:  # noqa: ARG002  the signature is Member's
        """Whatever the reply says, in a session it comes with this."""
        return wire.OK

    def reply(self, id_: Id, line: bytes, message: Message) -> Stream | None:
        """The server answered a request; the stream to wait for if it is full."""
        found = self._exchanges.get(id_)
        if found is None:
            return None  # cancelled, or never asked
        exchange = found.popleft()  # some clients send every request as id 1: the oldest is meant
        if not found:
            del self._exchanges[id_]
            for token in [token for token, owner in self._tokens.items() if owner == id_]:
                del self._tokens[token]
        if isinstance(message.result, wire.Result) and message.result.protocol_version and self.version is None:
            self.version = message.result.protocol_version
        exchange.reply(line, None if message.error is None else message.error.code or wire.INTERNAL_ERROR)
        return exchange.stream

    def related(self, id_: Id | None, line: bytes) -> Stream | None:
        """The server said something that belongs to an open request; the stream to wait for if it is full."""
        found = self._exchanges.get(id_) if id_ is not None else None
        stream = found[0].note(line) if found is not None else None
        return stream if stream is not None else self.unrelated(line)

    def unrelated(self, line: bytes) -> Stream | None:
        """The server said something that belongs to no request; the stream to wait for if it is full."""
        if self._listener is not None and self._is_listened_to():
            self._listener.put(line)
            return self._listener
        for found in self._exchanges.values():
            for exchange in found:
                stream = exchange.note(line)
                if stream is not None:
                    return stream
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        while self._waiting_bytes > WAITING_BYTES and len(self._waiting) > 1:
            self._take_waiting()
        return None

    def token_owner(self, token: Id | None) -> Id | None:
        """The open request that asked for progress under this token."""
        return None if token is None else self._tokens.get(token)

    def end(self, reason: str) -> None:
        """The session is over: every open request fails (with 404, which asks for a new one), every stream ends."""
        if self.ended is not None:
            return
        self.ended = reason
        status = 502 if self.version is None else 404  # 404 to `initialize` would say that no MCP is spoken here
        exchanges, self._exchanges = self._exchanges, {}
        for id_, found in exchanges.items():
            for exchange in found:
                exchange.fail(status, wire.error_reply(wire.INTERNAL_ERROR, reason, id_))
        self._store.end()
        self._waiting.clear()
        self._on_end(self)

    def _open(self, message: Message, exchange: Exchange) -> None:
        id_ = message.id
        if isinstance(id_, int | float | str):
            self._exchanges.setdefault(id_, deque()).append(exchange)
            token = None if message.meta is None else message.meta.progress_token
            if token is not None:
                self._tokens[token] = id_

    def _cancelled(self, id_: Id | None) -> None:
        found = None if id_ is None else self._exchanges.get(id_)
        if found and id_ is not None:
            asyncio.get_running_loop().call_later(CANCEL_GRACE, self._end_cancelled, id_, found[0])

    def _end_cancelled(self, id_: Id, exchange: Exchange) -> None:
        found = self._exchanges.get(id_)
        if found and found[0] is exchange and exchange.due:
            line = wire.error_reply(CANCELLED, "the request was cancelled", id_)
            self.reply(id_, line, wire.Message(id=id_, error=wire.Error(CANCELLED)))

    def _is_listened_to(self) -> bool:
        return self._listener is not None and self._listener.attached

    def _take_waiting(self) -> bytes:
        line = self._waiting.popleft()
        self._waiting_bytes -= len(line)
        return line
