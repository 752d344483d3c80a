"""Listens for HTTP and runs an ASGI application for each request, on uvicorn's parser-driven protocol.

Of uvicorn only the protocol is used: no logging of its own, no signal handlers, no timer that wakes an idle process.
Headers have a bound and a time, so that a client that never ends them holds nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Callable

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than the 60 after which proxies let go of theirs."""

MAX_HEADERS = 64 << 10
"""Bytes of a request's line and headers, and of whatever else that is no body comes in one go: trailers, extensions."""

HEADER_PATIENCE = 10.0
"""Seconds a request's headers may take."""

BACKLOG = 1024
"""Connections that wait to be accepted: hundreds of clients may start at once."""

LAST_BYTES = 0.3
"""Seconds for what was answered to go out when the listener ends."""


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on headers."""

    _head_bytes = 0
    _in_head = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base has it
        super().connection_made(transport)
        self._in_head = True
        self._deadline = self.loop.call_later(HEADER_PATIENCE, transport.close)  # for its first byte, too

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._head_bytes or self.transport.is_closing():
            return
        if self._in_head and self._deadline is None:  # most requests come whole, and pay for no timer
            self._deadline = self.loop.call_later(HEADER_PATIENCE, self.transport.close)
        if self._head_bytes > MAX_HEADERS:
            if self._in_head:
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)


class Listener:
    """Serves one application.

    Args:
        application: the ASGI application.
        host: the address to listen on.
        port: the port; 0 for one that is free.
    """

    def __init__(self, application: Callable[..., Any], host: str, port: int) -> None:
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        logging.getLogger("uvicorn").propagate = False
        self._config = Config(
            application,
            interface="asgi3",
            lifespan="off",
            ws="none",
            http=_Protocol,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self.host = host
        self.port = port

    async def start(self) -> None:
        """Listen.

        Raises:
            ThvError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Protocol(config=self._config, server_state=self._state, app_state={}),
                self.host,
                self.port,
                backlog=BACKLOG,
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            raise ThvError(
                f"cannot listen on {self.host} port {self.port}: {reason}; --proxy-port names another"
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Where it can be reached."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def stop_listening(self) -> None:
        """Accept no more connections; what is open goes on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Let what was answered go out, and end every connection."""
        self.stop_listening()
        for connection in list(self._state.connections):
            connection.shutdown()
        deadline = asyncio.get_running_loop().time() + LAST_BYTES
        while self._state.connections and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.01)
        for connection in list(self._state.connections):
            connection.transport.abort()
