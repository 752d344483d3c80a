"""A reverse proxy in front of a server that speaks MCP over HTTP: bytes stream through, tool calls are counted.

Promises: what it does not understand passes all the same; every event of a stream leaves at once; when the client goes
the server notices, and when the server goes the client does. It knows paths only to answer `/health`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.json import encode

from thv.core.net.urls import bare_host
from thv.errors import UsageError
from thv.http.cors import is_preflight, preflight_headers
from thv.http.host_policy import BAD_REQUEST, HostPolicy
from thv.http.proxy.exchange_inspector import ExchangeInspector, inspector_for
from thv.http.proxy.local_server import probe
from thv.http.proxy.protected_resource import MetadataPlaces
from thv.http.proxy.proxy_exchange import JSON, NOT_STORED, TEXT, ProxyExchange
from thv.http.proxy.proxy_sessions import Sessions
from thv.http.proxy.upstream import Pool
from thv.http.server.listener import LAST_BYTES_TIMEOUT_S, Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.core.interfaces import Instrumentation
    from thv.http.proxy.proxy_target import ProxyTarget
    from thv.http.server.handler_runner import Work
    from thv.http.server.http_connection import HttpConnection
    from thv.http.server.request import HttpRequest

HEALTH = b"/health"

SWEEP_INTERVAL_S = 1.0
"""Between two looks for connections and sessions that rested too long."""


class ReverseProxy:
    """One proxy, for one server.

    Args:
        target: the server.
        instrumentation: opens one for every session.
        host: the address to listen on.
        port: the port; 0 for one that is free.
        allowed_origins, allowed_hosts: see `HostPolicy`.
        report: told in one line, once, that something passes without being counted.

    Raises:
        UsageError: an origin is none, or the proxy would lead to itself.
    """

    def __init__(
        self,
        target: ProxyTarget,
        instrumentation: Instrumentation,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_origins: Sequence[str] = (),
        allowed_hosts: Sequence[str] = (),
        report: Callable[[str], None] | None = None,
    ) -> None:
        host = bare_host(host)
        if port and target.is_at(host, port):
            raise UsageError(f"the proxy would lead to itself: it listens on {host}:{port}, which is its target, too")
        self._policy = HostPolicy(host, port, allowed_origins, allowed_hosts)
        self._report = report
        self._sessions = Sessions(instrumentation)
        self._listener = Listener(self._handle, host, port, port_option="--port", warn=self._warn)
        self._places = MetadataPlaces()
        self._sweeper: asyncio.Task[None] | None = None
        self.pool = Pool(target)
        self.host = host
        self.passed = 0
        """Changes whenever a request passes."""
        self.problem = ""
        """What is known to keep the server from being used, for its health; empty for nothing."""

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._listener.port

    @property
    def clients(self) -> set[HttpConnection]:
        """The connections of clients that are open."""
        return self._listener.connections

    @property
    def url(self) -> str:
        """Where clients find the server's endpoint."""
        return f"{self._listener.url}{self.pool.target.path}"

    async def start(self) -> None:
        """Listen.

        Raises:
            ThvError: the address cannot be listened on.
        """
        await self._listener.start()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """End every connection, quickly. What is open is not counted."""
        self._sessions.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.pool.close()
        await self._listener.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_BYTES_TIMEOUT_S):
                while self.clients or self.pool.connections:  # noqa: ASYNC110  the end of each is an event of its own
                    await asyncio.sleep(0.01)

    async def why_unhealthy(self) -> str:
        """Why the server cannot be used; empty if it answers, whatever it says: few servers have a path for that."""
        if self.problem:
            return self.problem
        status = await probe(self.pool.target, "OPTIONS")
        return "" if status is not None else f"the server at {self.pool.target} does not answer"

    def _handle(self, request: HttpRequest) -> Work | None:
        """Answer one request of a client, or pass it on."""
        self.passed += 1
        # How the proxy does may be asked by any name.
        if request.path == HEALTH and request.method in {"GET", "HEAD"}:
            return self._answer_health(request)
        headers = request.headers
        refusal = self._policy.decide(headers.get(b"host"), headers.get(b"origin"))
        if refusal is not None:
            request.keep_alive = request.keep_alive and refusal[0] != BAD_REQUEST
            request.respond(refusal[0], (TEXT, NOT_STORED), f"{refusal[1]}\n".encode())
            return None
        if is_preflight(request.method, headers):
            request.respond(204, preflight_headers(headers))
            return None
        try:
            inspector = inspector_for(request, self._sessions)
        except Exception as error:  # noqa: BLE001  a bug in inspection must not reach the session
            self._inspection_failed(error)
            inspector = ExchangeInspector()
        return ProxyExchange(request, self.pool, self._places, inspector, self._inspection_failed).start()

    def _inspection_failed(self, error: Exception) -> None:
        """Something passes that is not understood."""
        report, self._report = self._report, None
        if report is not None:
            report(f"some tool calls are not counted: {error!r}")

    def _warn(self, text: str) -> None:
        if self._report is not None:
            self._report(text)

    async def _answer_health(self, request: HttpRequest) -> None:
        problem = await self.why_unhealthy()
        body = b'{"status":"unhealthy","reason":%b}\n' % encode(problem) if problem else b'{"status":"healthy"}\n'
        request.respond(503 if problem else 200, (JSON, NOT_STORED), body)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            self.pool.sweep()
            self._sessions.sweep()
