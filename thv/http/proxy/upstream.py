"""The connections of a proxy to its server: opened when needed, kept for a while, lent to one exchange at a time.

Parsed by llhttp (httptools). Promises: a request is never sent twice unless it may be; nothing is read faster than it
can be handed on; a response that ends too early is not taken for whole.
"""

from __future__ import annotations

import asyncio
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import httptools

from thv.core.net.tls_context import explain_tls_error
from thv.http.keep_alive import keep_alive
from thv.http.server.http_connection import MAX_HEAD
from thv.http.server.request_framing import by_name

if TYPE_CHECKING:
    from thv.http.proxy.proxy_target import ProxyTarget

    Fields = list[tuple[bytes, bytes]]

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to wait for the server to accept a connection. How long it takes to answer is its own affair."""

KEEP_IDLE: Final = 4.0
"""Seconds an idle connection may be used again: Node.js and uvicorn close theirs after 5, and a request that meets that
close is lost."""

MAX_IDLE: Final = 64
"""Idle connections kept: their number follows the clients' within seconds."""

BODILESS: Final = frozenset({204, 304})
"""Final statuses of responses without a body (RFC 9110, 6.4.1)."""

SWITCHING_PROTOCOLS, FIRST_FINAL = 101, 200


class ResponseHead:
    """The head of a response, interim or final.

    Attributes:
        status: the status.
        reason: the words behind it.
        fields: as they were spelled, in order, without the white space around their values.
        headers: the same by their names in lower case; those given twice joined by a comma (RFC 9110, 5.2).
        is_chunked: the body comes in chunks.
    """

    __slots__ = ("fields", "headers", "is_chunked", "reason", "status")

    def __init__(self, status: int, reason: bytes, fields: Fields) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields
        self.headers = by_name(fields)
        self.is_chunked = b"transfer-encoding" in self.headers


class Exchange(Protocol):
    """What a connection to the server is lent to."""

    @property
    def is_sent(self) -> bool:
        """Whether the whole request was written."""

    def on_informational(self, head: ResponseHead) -> None:
        """An interim response (1xx)."""

    def on_response(self, head: ResponseHead) -> None:
        """The head of the response."""

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""

    def on_read(self) -> None:
        """All that was read at once has been reported."""

    def on_end(self, trailers: Fields) -> None:
        """The response is whole. The connection is no longer lent."""

    def on_broken(self, problem: str) -> None:
        """The connection ended too early. It is no longer lent."""


class ServerConnection(asyncio.Protocol):
    """One connection to the server."""

    _transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._exchange: Exchange | None = None
        self._parser = self._new_parser()
        self._is_head_request = False
        self._is_paused = False
        self._keep = KEEP_IDLE
        self._drained: asyncio.Future[None] | None = None
        self.uses = 0
        self.good_until = 0.0
        self._reset()

    def _reset(self) -> None:
        """Forget the last response."""
        self._reason = b""
        self._fields: Fields = []
        self._unbounded = 0  # bytes since the last piece of a body
        self._in_head = True
        self._ends_with_connection = False
        self._is_whole = False
        self._is_surplus = False
        self._problem = ""

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        # A length beside chunks is dropped on the way, not refused: the chunks count (RFC 9112, 6.3).
        parser.set_dangerous_leniencies(lenient_chunked_length=True)
        return parser

    # For exchanges.

    @property
    def is_usable(self) -> bool:
        """Whether the server still keeps it open."""
        return not self._transport.is_closing()

    def acquire(self, exchange: Exchange, *, is_head_request: bool) -> None:
        """From now on it is the exchange's, until `on_end` or `on_broken`."""
        self._exchange = exchange
        self._is_head_request = is_head_request
        self.uses += 1

    def write(self, data: bytes) -> None:
        """Send a part of the request."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the server has taken most of what was written, or the connection is gone."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    def pause(self, paused: bool) -> None:
        """Stop reading the response, or go on."""
        if paused == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def drop(self) -> None:
        """The exchange needs it no longer, whatever the server still does."""
        self._exchange = None
        self._transport.abort()

    def abort(self) -> None:
        """End it; its exchange sees it break."""
        self._transport.abort()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport  # type: ignore[assignment]  # asyncio names the base class only
        self._pool.connections.add(self)
        keep_alive(transport)

    def pause_writing(self) -> None:
        """The server reads more slowly than it is written to."""
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes of the response."""
        exchange = self._exchange
        if exchange is None:
            self._transport.abort()  # the server speaks without having been asked
            return
        self._unbounded += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._problem = "it switched to another protocol without having been asked"
        except httptools.HttpParserError as error:
            self._problem = self._problem or f"it does not speak HTTP: {error}"
        if not self._is_whole and self._unbounded > MAX_HEAD:
            self._problem = self._problem or "the head of its response is too large"
        if self._exchange is not exchange:
            return  # the exchange has dropped it meanwhile
        if self._is_whole:
            self._is_surplus = self._is_surplus or bool(self._problem)  # what cannot be read came after it
            self._end(exchange)
        elif self._problem:
            self._break(self._problem)
            self._transport.abort()
        else:
            exchange.on_read()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._pool.forget(self)
        self.resume_writing()
        del self._parser  # they know each other: what is left would wait for the garbage collector
        exchange = self._exchange
        if exchange is None:
            return
        if exc is None and self._ends_with_connection and not self._in_head:
            self._exchange = None
            exchange.on_end([])
        else:
            words = explain_tls_error(exc) if isinstance(exc, ssl.SSLError) else exc
            self._break("it closed the connection" if exc is None else f"the connection broke: {words}")

    # For httptools.

    def on_message_begin(self) -> None:
        """A response begins."""
        if self._is_whole:
            self._is_surplus = True
            return
        self._reason = b""
        self._fields = []
        self._in_head = True

    def on_status(self, reason: bytes) -> None:
        """A part of the words behind the status."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer."""
        self._fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """A head is whole."""
        exchange = self._exchange
        if exchange is None or self._is_whole or self._problem:
            return
        if self._unbounded > MAX_HEAD and self._size_of_head() > MAX_HEAD:
            self._problem = "the head of its response is too large"
            return
        head = ResponseHead(self._parser.get_status_code(), self._reason, self._fields)
        self._fields = []  # what follows are trailers
        self._unbounded = 0
        if head.status < FIRST_FINAL:
            if head.status == SWITCHING_PROTOCOLS:
                self._problem = "it switched to another protocol without having been asked"
            else:
                exchange.on_informational(head)
            return
        named = head.headers
        coding = named.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            self._problem = f"it uses the transfer coding {coding.decode('latin-1')}, which is not understood"
            return
        self._in_head = False
        has_body = head.status not in BODILESS and not self._is_head_request
        self._ends_with_connection = has_body and coding is None and b"content-length" not in named
        if not self._parser.should_keep_alive():
            self._keep = 0.0
        else:
            self._keep = _promised(named[b"keep-alive"]) if b"keep-alive" in named else KEEP_IDLE
        exchange.on_response(head)
        if self._is_head_request:
            self._is_whole = True  # the parser would wait for the body that the length promises

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._unbounded = 0
        if self._is_whole:
            self._is_surplus = True
        elif self._exchange is not None:
            self._exchange.on_body(data)

    def on_message_complete(self) -> None:
        """A response is whole, interim ones included."""
        if not self._in_head:
            self._is_whole = True

    # Inside.

    def _size_of_head(self) -> int:
        return len(self._reason) + sum(len(name) + len(value) + len(b": \r\n") for name, value in self._fields)

    def _break(self, problem: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_broken(problem)

    def _end(self, exchange: Exchange) -> None:
        self._exchange = None
        trailers, self._fields = self._fields, []
        is_reusable = exchange.is_sent and self._keep > 0 and not self._is_surplus and self.is_usable
        if is_reusable:
            if self._is_head_request:
                self._parser = self._new_parser()
            self._reset()
            self.pause(False)  # or its end would go unnoticed
            self.good_until = monotonic() + self._keep
            self._pool.keep(self)
        else:
            self._transport.close()
        exchange.on_end(trailers)


class Pool:
    """The connections to one server.

    Args:
        target: the server.
    """

    def __init__(self, target: ProxyTarget) -> None:
        self.target = target
        self.connections: set[ServerConnection] = set()
        self._tls: ssl.SSLContext | None = None
        self._idle: list[ServerConnection] = []

    def idle(self) -> ServerConnection | None:
        """The connection that was used last, if it may be used again."""
        now = monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and connection.good_until > now:
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
        now = monotonic()
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
            try:
                _, connection = await loop.create_connection(
                    lambda: ServerConnection(self), target.host, target.port, ssl=self._tls
                )
            except UnicodeError:  # of IDNA, which refuses parts of a name that are empty or too long
                raise OSError("no host can have this name") from None
        return connection

    def close(self) -> None:
        """End every connection."""
        for connection in list(self.connections):
            connection.abort()


def _promised(keep_alive_value: bytes) -> float:
    """Seconds for which the server keeps the connection open, as far as it is to be relied on."""
    for parameter in keep_alive_value.lower().split(b","):
        key, _, seconds = parameter.strip().partition(b"=")
        if key == b"timeout" and seconds.isdigit():
            return min(KEEP_IDLE, int(seconds[:6]) - 1.0)
    return KEEP_IDLE
