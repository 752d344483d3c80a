"""All sessions of one HTTP front and the servers behind them: started when needed, ended when no longer used.

With sessions (up to 2025-11-25) each has a server of its own, or all share one; without (2026-07-28) every POST shares
one. A server that dies takes only its own clients with it; the next client gets a new one.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from thv.errors import ThvError
from thv.http.front.backend_connection import DedicatedServer
from thv.http.front.http_session import HttpSession
from thv.http.front.inspection_queue import InspectionQueue
from thv.http.front.shared_server import SharedServer
from thv.http.front.tool_catalogue import ToolCatalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from thv.core.interfaces import Instrumentation, SessionInstrumentation
    from thv.core.message import Message
    from thv.http.front.backend_connection import StoppableBackend
    from thv.http.server.handler_runner import Work

SESSION_ID_BYTES = 24
"""Random bytes of a session id: 192 bits cannot be guessed (MCP, "Session Management")."""

LOOKS_PER_TTL = 8
"""How often within `session_ttl` idle sessions are looked for."""

SLOWEST_LOOK = 30.0
"""Seconds between two such looks at most."""

STOPPING = "thv is stopping"


class TooManySessionsError(Exception):
    """`max_sessions` sessions are open."""


class Limits:
    """How many sessions, and how long.

    Attributes:
        max_sessions: sessions open at once.
        session_ttl: seconds without any use after which a session, or a shared server without clients, is ended.
        shared: all sessions share one server.
    """

    def __init__(self, max_sessions: int, session_ttl: float, *, shared: bool) -> None:
        self.max_sessions = max_sessions
        self.session_ttl = session_ttl
        self.shared = shared


class SharedLink:
    """The link of a session to a server that it shares."""

    def __init__(self, server: SharedServer, session: HttpSession, instrumentation: SessionInstrumentation) -> None:
        self._server = server
        self._session = session
        self._instrumentation = instrumentation
        server.join(session, instrumentation)

    def send(self, line: bytes, message: Message) -> Work | None:
        """Hand on one line of the client; returns what is left to do. Raises OSError once the server has ended."""
        return self._server.send(self._session, line, message)

    async def close(self, *, hurry: bool) -> None:  # noqa: ARG002  the server stays
        """The session is over."""
        await self._server.leave(self._session)
        self._session.note_end(self._instrumentation)
        self._instrumentation.close()


class StatelessServer:
    """The server of all requests without a session, with what they share.

    Attributes:
        server: the server.
        instrumentation: of all these requests.
        catalogue: the annotations of its tools.
    """

    def __init__(self, server: SharedServer, instrumentation: SessionInstrumentation) -> None:
        self.server = server
        self.instrumentation = instrumentation
        self.catalogue = ToolCatalogue(server)


class SessionManager:
    """The sessions of one front.

    Args:
        make_backend: makes what reaches a new server.
        instrumentation: instruments each session.
        limits: how many, how long.
        warn: called with lines for the user.
        on_failure: called with the reason when a server failed.
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
        self._instrumentation = instrumentation
        self._limits = limits
        self._warn = warn
        self._on_failure = on_failure
        self._sessions: dict[str, HttpSession] = {}
        self._background_tasks: set[asyncio.Task[None]] = set()
        self._starting: dict[bool, asyncio.Task[SharedServer]] = {}
        self._shared: dict[bool, SharedServer] = {}
        self._stateless: StatelessServer | None = None
        self._loop = asyncio.get_running_loop()
        self._inspections = InspectionQueue()
        self._sweeper = asyncio.create_task(self._sweep())

    @property
    def count(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    def find(self, session_id: str) -> HttpSession | None:
        """The open session of this id; this counts as use."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.last_used = self._loop.time()
        return session

    async def open_session(self) -> HttpSession:
        """A new session, with a server behind it.

        Raises:
            TooManySessionsError: there are as many as may be.
            ThvError: its server cannot be started.
        """
        if len(self._sessions) >= self._limits.max_sessions:
            raise TooManySessionsError
        session = HttpSession(secrets.token_urlsafe(SESSION_ID_BYTES), self._session_ended)
        self._sessions[session.id] = session
        try:
            if self._limits.shared:
                await self._link_shared(session)
            else:
                instrumentation = self._instrumentation.open_session(session.id)
                server = DedicatedServer(session, self._make_backend(), instrumentation, self._inspections, self._warn)
                await server.start()
                session.link = server
        except BaseException:
            self._sessions.pop(session.id, None)
            raise
        return session

    async def _link_shared(self, session: HttpSession) -> None:
        server = await self._shared_server(has_sessions=True)
        if session.ended is not None:
            raise ThvError(session.ended)
        session.link = SharedLink(server, session, self._instrumentation.open_session(session.id))

    def running_stateless(self) -> StatelessServer | None:
        """The server of all requests without a session, if it runs."""
        server = self._shared.get(False)
        return None if server is None else self._stateless_on(server)

    async def stateless(self) -> StatelessServer:
        """The same, which is started if it does not run.

        Raises:
            ThvError: it cannot be started.
        """
        return self._stateless_on(await self._shared_server(has_sessions=False))

    def _stateless_on(self, server: SharedServer) -> StatelessServer:
        found = self._stateless
        if found is None or found.server is not server:
            found = self._stateless = StatelessServer(server, self._instrumentation.open_session())
        return found

    def end_all(self, reason: str) -> None:
        """End every session; their clients are answered 404 from now on, and begin anew elsewhere."""
        for session in list(self._sessions.values()):
            session.end(reason, ended_by="thv")

    async def close(self) -> None:
        """End every session, every other open request and every server, at once."""
        self._sweeper.cancel()
        for session in list(self._sessions.values()):
            session.end(STOPPING, ended_by=None)
        self._forget_stateless(ended_by=None)
        for server in list(self._shared.values()):
            self._end_members(server, STOPPING)
        servers = [server.close(hurry=True) for server in self._shared.values()]
        self._shared.clear()
        await asyncio.gather(*servers, *self._background_tasks, return_exceptions=True)

    def _session_ended(self, session: HttpSession) -> None:
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
            server = SharedServer(
                self._make_backend(), self._inspections, has_sessions=has_sessions, on_end=ended, warn=self._warn
            )
            await server.start()
            self._shared[has_sessions] = server
            return server
        finally:
            del self._starting[has_sessions]

    def _end_members(self, server: SharedServer, reason: str) -> None:
        if not server.has_sessions:
            self._stateless = None
        for member in server.members():
            member.end(reason)

    def _forget_stateless(self, *, ended_by: str | None = "thv") -> None:
        if self._stateless is not None:
            if ended_by is not None:
                self._stateless.instrumentation.set_end(ended_by)
            self._stateless.instrumentation.close()
            self._stateless = None

    async def _sweep(self) -> None:
        ttl = self._limits.session_ttl
        loop = self._loop
        while True:
            await asyncio.sleep(min(ttl / LOOKS_PER_TTL, SLOWEST_LOOK))
            oldest = loop.time() - ttl
            for session in list(self._sessions.values()):
                if not session.is_idle:
                    session.last_used = loop.time()
                elif session.last_used < oldest:
                    session.end(f"the session was not used for {ttl:g} seconds", ended_by="thv")
            for has_sessions, server in list(self._shared.items()):
                if server.is_idle and server.last_used < oldest:
                    del self._shared[has_sessions]
                    if not has_sessions:
                        self._forget_stateless()
                    self._run(server.close())

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)
