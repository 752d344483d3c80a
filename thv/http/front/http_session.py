"""One MCP session over HTTP, up to revision 2025-11-25: which message of the server goes to which stream of the client.

Each message goes to one stream: a reply to its request's, progress to the stream of the request that asked for it,
everything else to the client's GET stream, or else to its oldest open POST, or waits (bounded) until there is one.
Ids are the client's own. The link knows how the server is reached.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from thv.core.jsonrpc import INTERNAL_ERROR, REQUEST_CANCELLED, error_reply
from thv.core.message import ErrorObject, Message, Result, twin
from thv.core.revisions import PRIMES_SINCE
from thv.http.front.event_store import EventStore
from thv.http.front.response_writer import OK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thv.core.interfaces import SessionInstrumentation
    from thv.core.message import Id
    from thv.http.front.event_store import EventStream
    from thv.http.front.pending_post import PendingPost
    from thv.http.server.handler_runner import Work

WAITING_BYTES = 1 << 20
"""Bytes of messages that wait for a client without a stream; the oldest go first."""

CANCEL_GRACE_S = 1.0
"""Seconds a server has to answer a request that the client cancelled. It should not; then the POST is ended here."""


class SessionLink(Protocol):
    """A session's way to its server."""

    def send(self, line: bytes, message: Message) -> Work | None:
        """Hand on one line of the client; returns what is left to do. Raises OSError once the server has ended."""

    async def close(self, *, hurry: bool) -> None:
        """The session is over."""


class HttpSession:
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

    link: SessionLink | None = None
    server_failed = False

    def __init__(self, session_id: str, on_end: Callable[[HttpSession], None]) -> None:
        self.id = session_id
        self.version: str | None = None
        self.ended: str | None = None
        self.ended_by: str | None = None
        self.last_used = asyncio.get_running_loop().time()
        self._on_end = on_end
        self._store = EventStore()
        self._pending: dict[Id, list[PendingPost]] = {}
        self._tokens: dict[Id, Id] = {}
        self._listeners: list[EventStream] = []
        self._waiting: deque[bytes] | None = None  # once there is a message
        self._waiting_bytes = 0

    @property
    def is_idle(self) -> bool:
        """Whether no connection of the client is open; a request that it left behind does not keep the session."""
        awaited = any(pending.is_awaited for found in self._pending.values() for pending in found)
        return not awaited and self._open_listener() is None

    def open_stream(self, *, is_listener: bool = False) -> EventStream:
        """A stream for a POST, or for a GET."""
        stream = self._store.open(is_listener=is_listener)
        if self.version is not None and self.version >= PRIMES_SINCE:
            stream.prime()
        return stream

    def listen(self) -> EventStream:
        """A stream for a GET: it gets everything that belongs to no request, as long as it is the newest one."""
        stream = self.open_stream(is_listener=True)
        self._add_listener(stream)
        return stream

    def resume(self, event_id: str) -> tuple[EventStream, int] | None:
        """The stream that broke after this event, and how many of its events the client has."""
        found = self._store.find(event_id)
        if found is not None and found[0].is_listener:
            self._add_listener(found[0])
        return found

    def flush(self, stream: EventStream) -> None:
        """A connection is about to carry this stream: if it answers a GET, messages that waited for one go there."""
        waiting = self._waiting
        while waiting and stream.is_listener:
            stream.put(self._take(waiting))

    def submit(
        self, messages: list[tuple[bytes, Message]], requests: list[Message], pending: PendingPost | None
    ) -> Work | None:
        """Hand the messages of one POST on to the server; replies go to `pending`.

        Args:
            messages: all of them.
            requests: those that are requests.
            pending: waits for the replies, if there are requests.

        Returns:
            What is left to do, if the server does not take them at once.

        Raises:
            OSError: the server has ended; what is returned raises the same.
        """
        if pending is not None:
            for message in requests:
                self._open(message, pending)
            waiting = self._waiting
            if waiting and self._open_listener() is None:
                while waiting and pending.note(waiting[0]) is not None:
                    self._take(waiting)
        unsent = iter(messages)
        rest = self._send(unsent)
        return None if rest is None else self._send_on(rest, unsent)

    def _send(self, unsent: Iterator[tuple[bytes, Message]]) -> Work | None:
        """Send messages up to one that the server does not take at once; returns what is left to do for that."""
        for line, message in unsent:
            if self.link is None or self.ended is not None:
                raise BrokenPipeError(self.ended)
            rest = self.link.send(line, message)
            if message.method == "notifications/cancelled" and message.params is not None:
                self._cancelled(message.params.request_id)
            if rest is not None:
                return rest
        return None

    async def _send_on(self, rest: Work | None, unsent: Iterator[tuple[bytes, Message]]) -> None:
        while rest is not None:
            await rest
            rest = self._send(unsent)

    def status_of(self, message: Message) -> int:  # noqa: ARG002  the signature is SharedClient's
        """The HTTP status of a reply: in a session always the same one."""
        return OK

    def reply(self, id_: Id, line: bytes, message: Message) -> EventStream | None:
        """The server answered a request; the stream to wait for if it is full."""
        found = self._pending.get(id_)
        if found is None:
            id_ = twin(id_)
            found = self._pending.get(id_)
        if found is None:
            return None  # cancelled, or never asked
        pending = found.pop(0)  # some clients send every request as id 1: the oldest is meant
        if not found:
            del self._pending[id_]
            if self._tokens:
                for token in [token for token, owner in self._tokens.items() if owner == id_]:
                    del self._tokens[token]
        if isinstance(message.result, Result) and message.result.protocol_version and self.version is None:
            self.version = message.result.protocol_version
        pending.reply(line, None if message.error is None else message.error.code or INTERNAL_ERROR)
        return pending.stream

    @property
    def only_request(self) -> Id | None:
        """The request that is open, if there is just one."""
        if len(self._pending) != 1:
            return None
        ((id_, found),) = self._pending.items()
        return id_ if len(found) == 1 else None

    def related(self, id_: Id | None, line: bytes) -> EventStream | None:
        """The server said something that belongs to an open request; the stream to wait for if it is full."""
        found = self._pending.get(id_) if id_ is not None else None
        stream = found[0].note(line) if found is not None else None
        return stream if stream is not None else self.unrelated(line)

    def unrelated(self, line: bytes) -> EventStream | None:
        """The server said something that belongs to no request; the stream to wait for if it is full."""
        listener = self._open_listener()
        if listener is not None:
            listener.put(line)
            return listener
        for found in self._pending.values():
            for pending in found:
                stream = pending.note(line)
                if stream is not None:
                    return stream
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        waiting.append(line)
        self._waiting_bytes += len(line)
        while self._waiting_bytes > WAITING_BYTES and len(waiting) > 1:
            self._take(waiting)
        return None

    def token_owner(self, token: Id | None) -> Id | None:
        """The open request that asked for progress under this token."""
        if token is None:
            return None
        owner = self._tokens.get(token)
        return self._tokens.get(twin(token)) if owner is None else owner

    def end(self, reason: str, *, ended_by: str | None = "server") -> None:
        """The session is over: every open request fails (with 404, which asks for a new one), every stream ends.

        Args:
            reason: told the clients whose requests are open.
            ended_by: `client`, `server` or `thv`, for the user's journal; None: what ends thv ends the session.
        """
        if self.ended is not None:
            return
        self.ended = reason
        self.ended_by = ended_by
        status = 502 if self.version is None else 404  # 404 to `initialize` would say that no MCP is spoken here
        pending_posts, self._pending = self._pending, {}
        for id_, found in pending_posts.items():
            for pending in found:
                pending.fail(status, error_reply(INTERNAL_ERROR, reason, id_))
        self._store.end()
        self._waiting = None
        self._on_end(self)

    def note_end(self, instrumentation: SessionInstrumentation) -> None:
        """Say in the user's journal who ended the session; and why, if it was not its client."""
        if self.ended_by is not None:
            instrumentation.set_end(self.ended_by, detail=None if self.ended_by == "client" else self.ended)

    def _open(self, message: Message, pending: PendingPost) -> None:
        id_ = message.key
        if id_ is not None:
            self._pending.setdefault(id_, []).append(pending)
            token = None if message.meta is None else message.meta.progress_token
            if token is not None:
                self._tokens[token] = id_

    def _cancelled(self, id_: Id | None) -> None:
        found = None if id_ is None else self._pending.get(id_)
        if found and id_ is not None:
            asyncio.get_running_loop().call_later(CANCEL_GRACE_S, self._end_cancelled, id_, found[0])

    def _end_cancelled(self, id_: Id, pending: PendingPost) -> None:
        found = self._pending.get(id_)
        if found and found[0] is pending and pending.due:
            line = error_reply(REQUEST_CANCELLED, "the request was cancelled", id_)
            self.reply(id_, line, Message(id=id_, error=ErrorObject(REQUEST_CANCELLED)))

    def _add_listener(self, stream: EventStream) -> None:
        # The connections that are open stay, so that another gets what comes when the newest one closes.
        self._listeners = [other for other in self._listeners if other.attached and other is not stream]
        self._listeners.append(stream)

    def _open_listener(self) -> EventStream | None:
        """The newest GET stream that a connection carries."""
        for stream in reversed(self._listeners):
            if stream.attached:
                return stream
        return None

    def _take(self, waiting: deque[bytes]) -> bytes:
        line = waiting.popleft()
        self._waiting_bytes -= len(line)
        return line
