"""Whose account each exchange belongs to, as seen from between client and server (MCP, "Session Management").

A session has an account from its `initialize`, or from when it is first met, to its DELETE, its 404 or a long rest.
What has no session shares one account, in which each request goes by an id of its own: clients that know nothing of
each other use the same ids, while a task that one exchange began may end in another.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from thv.http import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import Instrumentation, SessionInstrumentation
    from thv.http.wire import Id

MAX_SESSIONS = 4096
"""Sessions known at once; the one that rested longest is forgotten, and begins anew when it is met again."""

REST = 1800.0
"""Seconds without an exchange after which a session is taken to be over: few clients say that they leave."""


class Session:
    """One session, or one event stream of the legacy transport.

    Attributes:
        account: what it owes to those who count.
        exchanges: how many are under way.
        unanswered: ids whose event stream broke, and which the client may still hear of by resuming it.
    """

    def __init__(self, account: SessionInstrumentation) -> None:
        self.account = account
        self.exchanges = 0
        self.used = 0.0
        self.unanswered: set[Id] = set()

    def show_late(self, line: bytes, passed_at: int) -> None:
        """Show what a client sent when `time.perf_counter_ns` was `passed_at`; who measures time is told."""
        self.account.on_client_data(line, passed_at)

    def fail(self, ids: set[Id], status: int) -> None:
        """Nobody will answer these requests, and their client was there to hear it, by an HTTP response like this."""
        for id_ in ids:
            line = wire.error_reply(wire.INTERNAL_ERROR, "no answer came", id_) + b"\n"
            self.account.from_response(line, status)


class Sessions:
    """Every account of one proxy.

    Args:
        accounting: opens them.
        clock: monotonic seconds.
    """

    def __init__(self, instrumentation: Instrumentation, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounting = instrumentation
        self._clock = clock
        self._known: OrderedDict[str, Session] = OrderedDict()
        self._common: SessionlessCalls | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def common(self) -> SessionlessCalls:
        """The account of all that has no session."""
        if self._common is None:
            self._common = SessionlessCalls(self._accounting.open_session())
        return self._common

    def open(self, name: str | None) -> Session:
        """A session that the server calls by this name, if it has one."""
        return Session(self._accounting.open_session(name))

    def get(self, name: str) -> Session:
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

    def leave(self, session: Session) -> None:
        """An exchange of this session is over."""
        session.exchanges -= 1
        session.used = self._clock()

    def add(self, name: str, session: Session) -> Session:
        """Give a session its name."""
        session.used = self._clock()
        before = self._known.pop(name, None)
        if before is not None:
            before.account.abandon()
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
            session.account.abandon()

    def server_left(self, name: str) -> None:
        """The server ended this session while its client was there."""
        session = self._known.pop(name, None)
        if session is not None:
            session.account.server_exited()

    def sweep(self) -> None:
        """Drop the sessions that rested too long."""
        before = self._clock() - REST
        for name in [each for each, one in self._known.items() if not one.exchanges and one.used < before]:
            self.drop(name)

    def close(self) -> None:
        """The proxy ends: what is open is not counted."""
        for name in list(self._known):
            self.drop(name)
        if self._common is not None:
            self._common.account.abandon()


class SessionlessCalls:
    """The account that everything without a session shares.

    Args:
        account: that account.
    """

    def __init__(self, account: SessionInstrumentation) -> None:
        self.account = account
        self._serial = 0
        self._open: dict[Id, list[str]] = {}

    def begin(self, line: bytes, id_: Id) -> str:
        """Show a request under a name of its own; returns that."""
        self._serial += 1
        name = f"{self._serial}/{id_}"
        self._open.setdefault(id_, []).append(name)
        self.account.from_client(self._renamed(line, name))
        return name

    def reply(self, line: bytes, id_: Id, name: str, status: int) -> None:
        """Show the reply to a request that began under this name; an HTTP response of this status brought it."""
        self._close(id_, name)
        self.account.from_response(self._renamed(line, name), status)

    def fail(self, id_: Id, name: str, status: int) -> None:
        """No reply came, and the client was there to hear it, by an HTTP response like this."""
        self.reply(wire.error_reply(wire.INTERNAL_ERROR, "no answer came", id_) + b"\n", id_, name, status)

    def cancel(self, id_: Id, name: str) -> None:
        """The client waits no more."""
        self._close(id_, name)
        self._tell_cancelled(name)

    def cancelled_by_notification(self, id_: Id) -> None:
        """A client cancels what it calls by this id: that one, if no other client uses the same id just now."""
        names = self._open.get(id_, [])
        if len(names) == 1:
            self._tell_cancelled(names[0])

    def _tell_cancelled(self, name: str) -> None:
        id_ = wire.encoded(name)
        self.account.from_client(
            b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%b}}\n' % id_
        )

    def _close(self, id_: Id, name: str) -> None:
        names = self._open.get(id_, [])
        if name in names:
            names.remove(name)
        if not names:
            self._open.pop(id_, None)

    @staticmethod
    def _renamed(line: bytes, name: str) -> bytes:
        return wire.ID.replaced(line, wire.encoded(name)) or line
