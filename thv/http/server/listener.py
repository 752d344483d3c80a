"""Listens for HTTP and hands each request to a handler."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from thv.errors import ThvError
from thv.http.server.handler_runner import HandlerRunner
from thv.http.server.http_connection import HttpConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.server.handler_runner import Handler

BACKLOG: Final = 1024
"""Connections that wait to be accepted: hundreds of clients may start at once."""

LAST_BYTES_TIMEOUT_S: Final = 0.3
"""For what was answered to go out when the listener ends."""

SWEEP_INTERVAL_S: Final = 1.0
"""Between two looks for connections whose deadline has passed: one timer for all costs less than one for each."""


class Listener:
    """Serves one handler.

    Args:
        handler: answers a request.
        host: the address to listen on, without brackets.
        port: the port; 0 for one that is free.
        port_option: the command line option that chose the port.
        warn: told when a handler failed.
    """

    def __init__(
        self, handler: Handler, host: str, port: int, *, port_option: str, warn: Callable[[str], None]
    ) -> None:
        self.runner = HandlerRunner(handler, warn)
        self.host = host
        self.port = port
        self.connections: set[HttpConnection] = set()
        self._port_option = port_option
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ThvError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: HttpConnection(self, loop), self.host, self.port, backlog=BACKLOG
            )
        except (OSError, UnicodeError) as error:
            # An address that is not there does so on every port. UnicodeError is IDNA's word for a name that is none.
            if isinstance(error, UnicodeError | socket.gaierror):
                reason, option = "there is no such name", "--host"
            elif error.errno in {errno.EADDRNOTAVAIL, None}:  # since Python 3.13 asyncio names no number for it
                reason, option = "it is no address of this machine", "--host"
            else:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
                option = self._port_option
            raise ThvError(f"cannot listen on {self.host} port {self.port}: {reason}; {option} names another") from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = loop.create_task(self._sweep())

    @property
    def has_open_post(self) -> bool:
        """Whether a POST is not answered yet."""
        return any(connection.open_method == "POST" for connection in self.connections)

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
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.shut_down()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_BYTES_TIMEOUT_S):
                while self.connections:  # noqa: ASYNC110  the end of each is an event of its own
                    await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            now = loop.time()
            for connection in list(self.connections):
                if connection.deadline <= now:
                    connection.close()
