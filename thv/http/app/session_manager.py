"""All the sessions of one HTTP front and the servers behind them: made when needed, ended when nobody uses them.

With sessions (up to 2025-11-25) each has a server of its own, or all share one; without (2026-07-28) every POST shares
one. A server that dies takes nobody with it but its own clients; the next one who comes gets a new one.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from thv.errors import ThvError
from thv.http.app.http_session import Session
from thv.http.app.server_connection import OwnServer
from thv.http.app.shared_server import SharedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from thv.core.interfaces import Instrumentation, SessionInstrumentation
    from thv.http.app.server_connection import StoppableBackend
    from thv.http.wire import Message

SESSION_ID_BYTES = 24
"""Random bytes of a session id: nobody guesses 192 bits (MCP, "Session Management")."""

LOOKS_PER_TTL = 8
"""How often within `session_ttl` idle sessions are looked for."""

SLOWEST_LOOK = 30.0
"""Seconds between two such looks at most."""

STOPPING = "thv is stopping"


class TooManySessionsError(Exception):
    """As many sessions are open as may be."""


class Limits:
    """How many sessions, and how long.

    Attributes:
        max_sessions: sessions open at once.
        session_ttl: seconds without any use after which a session, or a shared server nobody uses, is ended.
        shared: all sessions share one server.
    """

    def __init__(self, max_sessions: int, session_ttl: float, *, shared: bool) -> None:
        self.max_sessions = max_sessions
        self.session_ttl = session_ttl
        self.shared = shared


class SharedLink:
    """The link of a session to a server that it shares."""

    def __init__(self, server: SharedServer, session: Session, account: SessionInstrumentation) -> None:
        self._server = server
        self._session = session
        self._account = account
        server.join(session, account)

    async def send(self, line: bytes, message: Message) -> None:
        """Hand on one line of the client. Raises OSError once the server has ended."""
        await self._server.send(self._session, line, message)

    async def close(self, *, hurry: bool) -> None:  # noqa: ARG002  the server stays
        """The session is over."""
        await self._server.leave(self._session)
        self._account.abandon()


class SessionManager:
    """The sessions of one front.

    Args:
        make_backend: makes what reaches a new server.
        accounting: opens the account of each session.
        limits: how many, how long.
        warn: told what is worth knowing.
        on_failure: told how a server failed.
    """

    def __init__(
        self,
        make_backend: Callable[[], StoppableBackend],
        instrumentation: Instrumentation,
        limits: Limits,
        *,
        warn: Callable[[str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._make_backend = make_backend
        self._accounting = instrumentation
        self._limits = limits
        self._say = warn
        self._on_failure = on_failure
        self._sessions: dict[str, Session] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._starting: dict[bool, asyncio.Task[SharedServer]] = {}
        self._shared: dict[bool, SharedServer] = {}
        self._stateless_account: SessionInstrumentation | None = None
        self._sweeper = asyncio.create_task(self._sweep())

    @property
    def count(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    def find(self, session_id: str) -> Session | None:
        """The open session of this id; this counts as use."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.last_used = asyncio.get_running_loop().time()
        return session

    async def open_session(self) -> Session:
        """A new session, with a server behind it.

        Raises:
            TooManySessionsError: there are as many as may be.
            ThvError: its server cannot be started.
        """
        if len(self._sessions) >= self._limits.max_sessions:
            raise TooManySessionsError
        session = Session(secrets.token_urlsafe(SESSION_ID_BYTES), self._session_ended)
        self._sessions[session.id] = session
        try:
            if self._limits.shared:
                await self._link_shared(session)
            else:
                own = OwnServer(session, self._make_backend(), self._accounting.open_session(session.id), self._say)
                await own.start()
                session.link = own
        except BaseException:
            self._sessions.pop(session.id, None)
            raise
        return session

    async def _link_shared(self, session: Session) -> None:
        server = await self._shared_server(has_sessions=True)
        if session.ended is not None:
            raise ThvError(session.ended)
        session.link = SharedLink(server, session, self._accounting.open_session(session.id))

    async def stateless(self) -> tuple[SharedServer, SessionInstrumentation]:
        """The server of every request without a session, and the account of them all.

        Raises:
            ThvError: it cannot be started.
        """
        server = await self._shared_server(has_sessions=False)
        if self._stateless_account is None:
            self._stateless_account = self._accounting.open_session()
        return server, self._stateless_account

    async def close(self) -> None:
        """End every session and every server, at once."""
        self._sweeper.cancel()
        for session in list(self._sessions.values()):
            session.end(STOPPING)
        self._forget_stateless()
        servers = [server.close(hurry=True) for server in self._shared.values()]
        self._shared.clear()
        await asyncio.gather(*servers, *self._errands, return_exceptions=True)

    def _session_ended(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        if session.server_failed:
            self._on_failure(f"a session ended before it began: {session.ended}")
        if session.link is not None:
            self._run(session.link.close(hurry=session.ended == STOPPING))

    async def _shared_server(self, *, has_sessions: bool) -> SharedServer:
        server = self._shared.get(has_sessions)
        if server is None:
            starting = self._starting.get(has_sessions)
            if starting is None:
                starting = asyncio.create_task(self._start_shared(has_sessions=has_sessions))
                self._starting[has_sessions] = starting
            server = await asyncio.shield(starting)
        return server

    async def _start_shared(self, *, has_sessions: bool) -> SharedServer:
        def ended(reason: str) -> None:
            self._shared.pop(has_sessions, None)
            self._on_failure(reason)
            self._end_members(server, reason)

        try:
            server = SharedServer(self._make_backend(), has_sessions=has_sessions, on_end=ended, warn=self._say)
            await server.start()
            self._shared[has_sessions] = server
            return server
        finally:
            del self._starting[has_sessions]

    def _end_members(self, server: SharedServer, reason: str) -> None:
        if not server.has_sessions:
            self._stateless_account = None
        for member in server.members():
            member.end(reason)

    def _forget_stateless(self) -> None:
        if self._stateless_account is not None:
            self._stateless_account.abandon()
            self._stateless_account = None

    async def _sweep(self) -> None:
        ttl = self._limits.session_ttl
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(ttl / LOOKS_PER_TTL, SLOWEST_LOOK))
            oldest = loop.time() - ttl
            for session in list(self._sessions.values()):
                if not session.is_idle:
                    session.last_used = loop.time()
                elif session.last_used < oldest:
                    session.end(f"the session was not used for {ttl:g} seconds")
            for has_sessions, server in list(self._shared.items()):
                if server.is_idle and server.last_used < oldest:
                    del self._shared[has_sessions]
                    if not has_sessions:
                        self._forget_stateless()
                    self._run(server.close())

    def _run(self, errand: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
