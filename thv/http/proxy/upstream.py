"""The connections of a proxy to its server: opened when needed, kept for a while, lent to one exchange at a time.

Promises: a request is never sent twice unless it may be; nothing is read faster than it can be handed on.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol

import h11

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from thv.http.proxy.proxy_target import Target

MAX_HEAD = 64 << 10
"""Bytes of a request's or a response's head, trailers included: eight times what common servers take."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for the server to accept a connection. How long it takes to answer is its own affair."""

KEEP_IDLE = 4.0
"""Seconds an idle connection may be used again: Node.js and uvicorn close theirs after 5, and a request that meets that
close is lost."""

MAX_IDLE = 64
"""Idle connections kept: their number follows the clients' within seconds."""


class Exchange(Protocol):
    """Whoever a connection to the server is lent to."""

    def informed(self, response: h11.InformationalResponse) -> None:
        """An interim response (1xx)."""

    def responded(self, response: h11.Response) -> None:
        """The head of the response."""

    def body(self, data: bytes) -> None:
        """A piece of its body."""

    def ended(self, end: h11.EndOfMessage) -> None:
        """Its end. The connection is not lent any more."""

    def flush_to_client(self) -> None:
        """All that was read at once has been told of."""

    def broke(self, problem: str) -> None:
        """The connection ended too early. It is not lent any more."""

    def server_can_take(self, ready: bool) -> None:
        """Whether more of the request may be sent now."""


def prepare(transport: asyncio.BaseTransport) -> None:
    """Let the system notice a peer that vanished without a word: event streams are silent for hours."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class ServerConnection(asyncio.Protocol):
    """One connection to the server."""

    _transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._exchange: Exchange | None = None
        self._keep = KEEP_IDLE
        self.uses = 0
        self.good_until = 0.0

    @property
    def usable(self) -> bool:
        """Whether the server still keeps it open."""
        return not self._transport.is_closing()

    def lend(self, exchange: Exchange) -> None:
        """From now on it is the exchange's, until `ended` or `broke`."""
        self._exchange = exchange
        self.uses += 1

    def send(self, events: Sequence[h11.Request | h11.Data | h11.EndOfMessage]) -> None:
        """Send parts of the request."""
        try:
            data = b"".join(self._http.send(event) or b"" for event in events)
        except h11.LocalProtocolError:
            self.abort()  # the server said that it is done with us while the request was still on its way
        else:
            if data:
                self._transport.write(data)

    def pause(self, paused: bool) -> None:
        """Stop reading the response, or go on."""
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def drop(self) -> None:
        """The exchange wants no more of it: whatever the server still does, nobody waits for."""
        self._exchange = None
        self._transport.abort()

    def abort(self) -> None:
        """End it; the exchange is told."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport  # type: ignore[assignment]  # asyncio names the base class only
        self._pool.connections.add(self)
        prepare(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the response."""
        if self._exchange is None:
            self._transport.abort()  # the server speaks without having been asked
            return
        self._http.receive_data(data)
        self._advance()

    def eof_received(self) -> None:
        """The server has no more to say; a body without length ends so."""
        if self._exchange is not None:
            self._http.receive_data(b"")
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._pool.forget(self)
        self._break(_reason(exc))

    def pause_writing(self) -> None:
        """The server does not read as fast as the client sends."""
        if self._exchange is not None:
            self._exchange.server_can_take(False)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._exchange is not None:
            self._exchange.server_can_take(True)

    def _break(self, problem: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.broke(problem)

    def _advance(self) -> None:
        exchange = self._exchange
        try:
            while exchange is not None:
                event = self._http.next_event()
                if event is h11.NEED_DATA or not self._tell(exchange, event):
                    break
        except h11.RemoteProtocolError as error:
            if exchange is not None:
                exchange.flush_to_client()
            self._break(f"it does not speak HTTP as it should: {error}")
            self._transport.abort()
            return
        if exchange is not None:
            exchange.flush_to_client()

    def _tell(self, exchange: Exchange, event: object) -> bool:
        """Tell the exchange of one event; whether it waits for more."""
        if isinstance(event, h11.Data):
            exchange.body(bytes(event.data))
        elif isinstance(event, h11.Response):
            self._keep = _promised(event)
            exchange.responded(event)
        elif isinstance(event, h11.InformationalResponse):
            exchange.informed(event)
        elif isinstance(event, h11.EndOfMessage):
            self._exchange = None
            exchange.ended(event)
            self._release()
        else:
            self._break("it closed the connection without an answer")
            self._transport.abort()
        return self._exchange is not None

    def _release(self) -> None:
        reusable = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not reusable or self._http.trailing_data[0] or self._keep <= 0:
            self._transport.close()
            return
        self._http.start_next_cycle()
        self._transport.resume_reading()  # or its end would go unnoticed
        self.good_until = asyncio.get_running_loop().time() + self._keep
        self._pool.keep(self)


class Pool:
    """The connections to one server.

    Args:
        target: the server.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.connections: set[ServerConnection] = set()
        self._tls: ssl.SSLContext | None = None
        self._idle: list[ServerConnection] = []

    def idle(self) -> ServerConnection | None:
        """The connection that rested the shortest, if it may be used again."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.good_until > now:
                return connection
            connection.abort()
        return None

    def keep(self, connection: ServerConnection) -> None:
        """Take back a connection that can carry another exchange."""
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.pop(0).abort()

    def forget(self, connection: ServerConnection) -> None:
        """It is closed."""
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self) -> None:
        """Close what rested too long."""
        now = asyncio.get_running_loop().time()
        for connection in [each for each in self._idle if each.good_until <= now]:
            self._idle.remove(connection)
            connection.abort()

    async def connect(self) -> ServerConnection:
        """A new connection.

        Raises:
            OSError: the server cannot be reached (TimeoutError among them), or not be trusted.
        """
        target = self.target
        if self._tls is None:
            self._tls = target.tls()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, connection = await loop.create_connection(
                lambda: ServerConnection(self), target.host, target.port, ssl=self._tls
            )
        return connection

    def close(self) -> None:
        """End every connection."""
        for connection in list(self.connections):
            connection.abort()


def _promised(response: h11.Response) -> float:
    """Seconds for which the server keeps the connection open, as far as it is to be relied on."""
    for name, value in response.headers:
        if name == b"keep-alive":
            for parameter in value.lower().split(b","):
                key, _, seconds = parameter.strip().partition(b"=")
                if key == b"timeout" and seconds.isdigit():
                    return min(KEEP_IDLE, int(seconds[:6]) - 1.0)
    return KEEP_IDLE


def _reason(error: Exception | None) -> str:
    return "it closed the connection" if error is None else f"the connection broke: {error}"
