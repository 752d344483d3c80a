"""A reverse proxy in front of a server that speaks MCP over HTTP: bytes stream through, tool calls are counted.

Promises: what it does not understand passes all the same; every event of a stream leaves at once; when the client goes
the server notices, and when the server goes the client does. It knows paths only to answer `/health`.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.errors import ThvError, UsageError
from thv.http.host_policy import HostPolicy
from thv.http.proxy.downstream import ClientConnection
from thv.http.proxy.exchange_inspector import ExchangeInspector, watch_for
from thv.http.proxy.proxy_sessions import Sessions
from thv.http.proxy.upstream import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    import h11

    from thv.core.interfaces import Instrumentation
    from thv.http.proxy.proxy_target import Target

HEALTH = b"/health"

PROBE_TIMEOUT = 3.0
"""Seconds the server has for a probe: under the 5 that orchestrators usually wait."""

SWEEP_EVERY = 1.0
"""Seconds between two looks for connections and sessions that rested too long."""

BACKLOG = 1024
"""Connections that wait to be accepted: hundreds of clients may start at once."""

LAST_BYTES = 0.5
"""Seconds for what was written to go out when the proxy ends."""


class ReverseProxy:
    """One proxy, for one server.

    Args:
        target: the server.
        accounting: told of every session.
        host: the address to listen on.
        port: the port; 0 for one that is free.
        allowed_origins, allowed_hosts: see `HostPolicy`.
        report: told in one line, once, that something passes without being counted.

    Raises:
        UsageError: an origin is none, or the proxy would lead to itself.
    """

    def __init__(
        self,
        target: Target,
        instrumentation: Instrumentation,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_origins: Sequence[str] = (),
        allowed_hosts: Sequence[str] = (),
        report: Callable[[str], None] | None = None,
    ) -> None:
        if port and target.is_at(host, port):
            raise UsageError(f"the proxy would lead to itself: it listens on {host}:{port}, which is its target, too")
        self._policy = HostPolicy(host, port, allowed_origins, allowed_hosts)
        self._report = report
        self._sessions = Sessions(instrumentation)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.pool = Pool(target)
        self.clients: set[ClientConnection] = set()
        self.host = host
        self.port = port
        self.passed = 0
        """Changes whenever a request passes."""

    @property
    def url(self) -> str:
        """Where clients find the server's endpoint."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.pool.target.path}"

    async def start(self) -> None:
        """Listen.

        Raises:
            ThvError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: ClientConnection(self), self.host, self.port, backlog=BACKLOG
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            raise ThvError(f"cannot listen on {self.host}:{self.port}: {reason}") from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._in_background(self._sweep())

    async def close(self) -> None:
        """End every connection, quickly. What is open is not counted: whoever told us to end did not wait for it."""
        if self._server is not None:
            self._server.close()
        self._sessions.close()
        for client in list(self.clients):
            client.close()
        self.pool.close()
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_BYTES):
                while self.clients or self.pool.connections:  # noqa: ASYNC110  the end of each is an event of its own
                    await asyncio.sleep(0.01)

    async def answers(self) -> bool:
        """Whether the server answers a request, whatever it says: not every server knows a path for that."""
        target = self.pool.target
        writer = None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls())
                head = f"OPTIONS {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                return (await reader.readexactly(len(b"HTTP/1."))) == b"HTTP/1."
        except (OSError, EOFError):
            return False
        finally:
            if writer is not None:
                writer.transport.abort()

    # For the connections of clients.

    @staticmethod
    def now() -> float:
        """Seconds, as deadlines are given."""
        return asyncio.get_running_loop().time()

    def refusal(self, request: h11.Request) -> tuple[int, str] | None:
        """Why this request is not served, or None when it is. How the proxy does may be asked by any name."""
        return None if self.is_health(request) else self._policy.refusal(list(request.headers))

    @staticmethod
    def is_health(request: h11.Request) -> bool:
        """Whether this request is for the proxy itself."""
        return request.target.partition(b"?")[0] == HEALTH and request.method in {b"GET", b"HEAD"}

    def answer_health(self, client: ClientConnection) -> None:
        """Tell this client whether the server answers, once that is known."""
        self._in_background(self._answer_health(client))

    def watch(self, request: h11.Request) -> ExchangeInspector:
        """What looks at the exchange that this request begins."""
        try:
            return watch_for(request.method, request.target, list(request.headers), self._sessions)
        except Exception as error:  # noqa: BLE001  a bug in looking must not reach the session
            self.looking_failed(error)
            return ExchangeInspector()

    def looking_failed(self, error: Exception) -> None:
        """Something passes that is not understood."""
        report, self._report = self._report, None
        if report is not None:
            report(f"some tool calls are not counted: {error!r}")

    async def _answer_health(self, client: ClientConnection) -> None:
        if await self.answers():
            client.answer(200, b'{"status":"healthy"}\n')
        else:
            client.answer(503, b'{"status":"unhealthy"}\n')

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self.pool.sweep()
            self._sessions.sweep()
            now = self.now()
            for client in list(self.clients):
                client.expire(now)
