"""Which session each exchange belongs to, as seen from between client and server (MCP, "Session Management").

A session lasts from its `initialize`, or from the first request that names it, to its DELETE, its 404 or a long pause.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thv.core.interfaces import Instrumentation, SessionInstrumentation
    from thv.core.message import Id, Message

MAX_SESSIONS = 4096
"""Sessions known at once; the one that rested longest is forgotten, and begins anew when it is met again."""

IDLE_TIMEOUT_S = 1800.0
"""Seconds without an exchange after which a session is taken to be over: few clients say that they leave."""


class ProxySession:
    """One session, or one event stream of the legacy transport.

    Attributes:
        instrumentation: of this session.
        exchanges: how many are under way.
        used: when the last one ended, by the clock of `Sessions`.
        unanswered: ids whose event stream broke, and whose reply the client may still get by resuming it.
    """

    def __init__(self, instrumentation: SessionInstrumentation) -> None:
        self.instrumentation = instrumentation
        self.exchanges = 0
        self.used = 0.0
        self.unanswered: set[Id] = set()

    def fail(self, ids: Iterable[Id], status: int) -> None:
        """These requests will not be answered, and their client saw it, by an HTTP response of this status."""
        for id_ in ids:
            self.instrumentation.on_request_failed(id_, http_status=status)


class Sessions:
    """Every session of one proxy.

    Args:
        instrumentation: opens them.
        clock: monotonic seconds.
    """

    def __init__(self, instrumentation: Instrumentation, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._instrumentation = instrumentation
        self._clock = clock
        self._known: OrderedDict[str, ProxySession] = OrderedDict()
        self._sessionless: SessionlessCalls | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def sessionless(self) -> SessionlessCalls:
        """What all calls without a session share."""
        if self._sessionless is None:
            self._sessionless = SessionlessCalls(self._instrumentation.open_session())
        return self._sessionless

    def leave_sessionless(self, exchange: object, ids: Iterable[Id]) -> None:
        """An exchange without a session, whose requests had these ids, is over."""
        if self._sessionless is not None:
            self._sessionless.leave(exchange, ids)

    def open(self, name: str | None) -> ProxySession:
        """A session that the server calls by this name, if it has one."""
        return ProxySession(self._instrumentation.open_session(name))

    def get(self, name: str) -> ProxySession:
        """The session of this name, which an exchange that begins now belongs to: `leave` it once."""
        session = self._known.get(name)
        if session is None:
            session = self.add(name, self.open(name))
        self._known.move_to_end(name)
        session.exchanges += 1
        return session

    def known(self, name: str) -> bool:
        """Whether there is a session of this name."""
        return name in self._known

    def leave(self, session: ProxySession) -> None:
        """An exchange of this session is over."""
        session.exchanges -= 1
        session.used = self._clock()

    def add(self, name: str, session: ProxySession) -> ProxySession:
        """Give a session its name."""
        session.used = self._clock()
        before = self._known.pop(name, None)
        if before is not None:
            before.instrumentation.close()
        self._known[name] = session
        if len(self._known) > MAX_SESSIONS:
            oldest = next((each for each, session in self._known.items() if not session.exchanges), name)
            if oldest != name:
                self.drop(oldest)
        return session

    def drop(self, name: str) -> None:
        """The session is over."""
        session = self._known.pop(name, None)
        if session is not None:
            session.instrumentation.close()

    def server_left(self, name: str) -> None:
        """The server ended this session while its client was there."""
        session = self._known.pop(name, None)
        if session is not None:
            session.instrumentation.server_exited()

    def sweep(self) -> None:
        """Drop the sessions that rested too long."""
        before = self._clock() - IDLE_TIMEOUT_S
        for name in [each for each, one in self._known.items() if not one.exchanges and one.used < before]:
            self.drop(name)

    def close(self) -> None:
        """The proxy ends: what is open is not counted."""
        for name in list(self._known):
            self.drop(name)
        if self._sessionless is not None:
            self._sessionless.close()


class SessionlessCalls:
    """One instrumentation for everything without a session.

    Clients that know nothing of each other use the same ids, so an exchange is part of the key of each of its requests;
    a task that one exchange began may end in another.

    Args:
        instrumentation: what they share.
    """

    def __init__(self, instrumentation: SessionInstrumentation) -> None:
        self._instrumentation = instrumentation
        self._open: dict[Id, list[object]] = {}

    def on_client_message(self, line: bytes, message: Message, *, exchange: object) -> None:
        """A client sent a message."""
        id_ = message.key
        if message.is_request and id_ is not None:
            self._open.setdefault(id_, []).append(exchange)
        elif message.method == "notifications/cancelled":
            # It may mean the request of any client with that id: of the only one, if there is no other.
            cancelled = None if message.params is None else message.params.request_id
            exchanges = self._open.get(cancelled, []) if cancelled is not None else []
            if cancelled is not None and len(exchanges) == 1:
                self._instrumentation.on_request_cancelled(cancelled, scope=exchanges[0])
            return
        self._instrumentation.on_client_message(line, message, scope=exchange)

    def on_server_message(self, line: bytes, message: Message, *, exchange: object, http_status: int) -> None:
        """A server answered, or said something on the way to its answer."""
        if message.is_response:
            self._close(message.key, exchange)
        self._instrumentation.on_server_message(line, message, scope=exchange, http_status=http_status)

    def on_request_failed(self, id_: Id, *, exchange: object, http_status: int) -> None:
        """No reply came, and the client saw it, by an HTTP response of this status."""
        self._close(id_, exchange)
        self._instrumentation.on_request_failed(id_, scope=exchange, http_status=http_status)

    def on_request_cancelled(self, id_: Id, *, exchange: object) -> None:
        """The client waits no longer."""
        self._close(id_, exchange)
        self._instrumentation.on_request_cancelled(id_, scope=exchange)

    def leave(self, exchange: object, ids: Iterable[Id]) -> None:
        """An exchange is over; what it left open of these requests is open no more."""
        for id_ in ids:
            self._close(id_, exchange)

    def close(self) -> None:
        """The proxy ends: what is open is not counted."""
        self._instrumentation.close()

    def _close(self, id_: Id | None, exchange: object) -> None:
        exchanges = self._open.get(id_, []) if id_ is not None else []
        if exchange in exchanges:
            exchanges.remove(exchange)
            if not exchanges and id_ is not None:
                del self._open[id_]
