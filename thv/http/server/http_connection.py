"""One client's connection: its bytes become requests, handed to a handler one after the other.

Parsed by llhttp (httptools). Promises: no client holds memory or a connection by sending slowly, sending too much, or
sending what is not HTTP; a request whose framing could be read in two ways is refused, so that nothing in a body is
ever taken for a request; `Upgrade` is ignored (RFC 9110, 7.8), since nothing here speaks another protocol.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import httptools

from thv.http.keep_alive import keep_alive
from thv.http.server.request import STATUS_LINES, HttpRequest
from thv.http.server.request_framing import BAD_REQUEST
from thv.http.server.request_head import RepeatedHead, read_head, size_of

if TYPE_CHECKING:
    from thv.http.server.handler_runner import HandlerRunner
    from thv.http.server.request_head import Header

MAX_HEAD: Final = 64 << 10
"""Bytes of a request's line and headers, and of anything else that is not a body: trailers, chunk extensions."""

HEAD_TIMEOUT_S: Final = 10.0
"""From the first byte of a request, or the connection's begin, to the end of its head; as long for its trailers."""

IDLE_TIMEOUT_S: Final = 75.0
"""Between two requests: longer than the 60 after which proxies close their idle connections."""

LINGER_TIMEOUT_S: Final = 5.0
LINGER_BYTES: Final = 1 << 20
"""How long, and for how much, a request that was answered early is read on: closing at once would reset the connection,
and the client could lose the answer."""

FAR_FUTURE: Final = float("inf")

CONTENT_TOO_LARGE, HEAD_TOO_LARGE = 413, 431


class ConnectionOwner(Protocol):
    """What the connections of one listener share."""

    connections: set[HttpConnection]
    """Those that are open."""
    runner: HandlerRunner
    """Answers their requests."""


class HttpConnection(asyncio.Protocol):
    """One connection.

    Args:
        owner: the listener that accepted it.
        loop: the running loop.

    Attributes:
        deadline: the loop's time at which the listener closes it.
    """

    _transport: asyncio.Transport

    def __init__(self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser = self._new_parser()
        self._repeated = RepeatedHead()
        self._current: HttpRequest | None = None
        self._unstarted: HttpRequest | None = None  # the current one, until what came with its head is parsed
        self._waiting: deque[HttpRequest] | None = None  # once there is one: most clients wait for each response
        self._parsed: HttpRequest | None = None  # the request whose body is being parsed
        self._url = b""
        self._fields: list[Header] = []
        self._head_size = 0
        self._in_head = True
        self._upgrades = False
        self._replays_head = False
        self._discarded = 0
        self._refusal: tuple[int, str] | None = None
        self._is_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._is_next_due = False  # the next request waits until the client has taken the answers to those before it
        self.deadline = FAR_FUTURE
        self.peer = "unknown"
        self.peer_port: int | None = None

    # For requests.

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written, or has left."""
        if self._drained is not None:
            await asyncio.shield(self._drained)

    def resume_reading(self) -> None:
        """Read on."""
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    def answered(self, request: HttpRequest) -> None:
        """The response to the current request is whole."""
        if request is not self._current:
            return
        self._current = None
        if self._transport.is_closing():
            return
        if not request.keep_alive:
            self._waiting = None
            if request.is_whole:
                self._transport.close()
            else:
                self._refusal = (CONTENT_TOO_LARGE, "")  # nothing more is parsed
                self._linger()
        elif not request.is_whole:
            self._discarded = 0
            self.deadline = self._loop.time() + LINGER_TIMEOUT_S
            self.resume_reading()
        else:
            self._next()

    # For the listener.

    @property
    def open_method(self) -> str | None:
        """The method of the request that is not answered yet, if there is one."""
        return None if self._current is None else self._current.method

    def shut_down(self) -> None:
        """End once the current request is answered."""
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive = False

    def abort(self) -> None:
        """End now."""
        self._transport.abort()

    def close(self) -> None:
        """End once what was written is sent."""
        self._transport.close()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = transport  # type: ignore[assignment]  # asyncio names the base class only
        self._owner.connections.add(self)
        self.deadline = self._loop.time() + HEAD_TIMEOUT_S
        address = transport.get_extra_info("peername")
        if address:
            self.peer, self.peer_port = str(address[0]), int(address[1])
        keep_alive(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """It is closed."""
        self._owner.connections.discard(self)
        self._leave()
        del self._parser  # they know each other: what is left would wait for the garbage collector

    def eof_received(self) -> None:
        """The client closed, or will send no more: both look the same, and no stream may outlive its client."""
        self._leave()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is written to."""
        self._drained = self._loop.create_future()
        self._tell_writable(False)

    def resume_writing(self) -> None:
        """It has caught up."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        self._tell_writable(True)
        if self._is_next_due:
            self._is_next_due = False
            self._next()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._refusal is not None:
            self._discard(len(data))
            return
        is_first = self._in_head and self._current is None and not self._head_size
        if is_first:
            known = self._repeated.find(data)
            if known is not None:
                self.deadline = FAR_FUTURE
                self._current = repeated = HttpRequest(self, *known)
                self._owner.runner.run(repeated)
                return
            self.deadline = self._loop.time() + HEAD_TIMEOUT_S
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._parse_without_upgrade(data[stopped.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(BAD_REQUEST, str(error))
        request, self._unstarted = self._unstarted, None
        if request is not None and not request.is_disconnected and not request.is_answered:
            if is_first and request.is_whole:
                self._repeated.learn(data, request.head)
            self._owner.runner.run(request)
        if self._refusal is None:
            self._bound_lines()

    def _bound_lines(self) -> None:
        """Bound the size of what is no body, and the time for trailers or a line around a chunk that was begun."""
        if self._head_size > MAX_HEAD:
            self._refuse(HEAD_TOO_LARGE if self._in_head else BAD_REQUEST, "the head of the request is too large")
        elif self._parsed is not None and self._parsed is self._current:
            if not self._head_size:
                self.deadline = FAR_FUTURE
            elif self.deadline == FAR_FUTURE:
                self.deadline = self._loop.time() + HEAD_TIMEOUT_S

    def _parse_without_upgrade(self, rest: bytes) -> None:
        """Parse what follows the head of a request that asked for another protocol."""
        while self._refusal is None:
            self._renew_parser()
            if not rest:
                return
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stopped:
                rest = rest[stopped.args[0] :]
                continue
            except httptools.HttpParserError as error:
                self._refuse(BAD_REQUEST, str(error))
            return

    def _renew_parser(self) -> None:
        """A new parser for the body of a request that asked for another protocol: llhttp takes that as said and done.

        It is given a head that frames the body in the same way and asks for nothing.
        """
        self._upgrades = False
        request = self._parsed
        if request is None:
            return
        self._parser = self._new_parser()
        self._replays_head = True
        framing = b"".join(
            b"%b: %b\r\n" % (name, request.headers[name])
            for name in (b"content-length", b"transfer-encoding")
            if name in request.headers
        )
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What follows a request that ends the connection is ignored; by itself the parser would refuse that request.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    # For httptools.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._fields = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        if self._replays_head:
            self._replays_head = False
            self._in_head = False
            return
        if self._refusal is not None:
            return
        parser = self._parser
        if self._head_size > MAX_HEAD and self._size_of_head() > MAX_HEAD:
            self._refuse(HEAD_TOO_LARGE, "the head of the request is too large")
            return
        self._in_head = False
        self._head_size = 0
        self._upgrades = parser.should_upgrade()
        head = read_head(
            parser.get_method(),
            self._url,
            self._fields,
            version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive(),
        )
        if isinstance(head, tuple):
            self._refuse(*head)
            return
        request = HttpRequest(self, head)
        self._fields = []  # what follows are trailers
        self._parsed = request
        if self._current is None:
            self._current = self._unstarted = request
            self.deadline = FAR_FUTURE
        else:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(request)
            self._pause_reading()

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._head_size = 0
        request = self._parsed
        if request is None or self._refusal is not None:
            return
        if request.is_answered:
            self._discard(len(body))
        elif not request.feed(body):
            self._pause_reading()

    def on_chunk_complete(self) -> None:
        """The line that ends a chunk was read."""
        self._head_size = 0

    def on_message_complete(self) -> None:
        """Its body is whole."""
        if self._upgrades:
            return  # the parser skipped the body; see `_renew_parser`
        self._in_head = True
        self._head_size = 0
        request, self._parsed = self._parsed, None
        if request is None or self._refusal is not None:
            return
        if self._fields and size_of(self._fields) > MAX_HEAD:  # in one read with the end of the body
            self._parsed = request
            self._refuse(BAD_REQUEST, "the trailers of the request are too large")
            return
        if request is self._current:
            self.deadline = FAR_FUTURE
        request.trailers = self._fields
        request.complete()
        if request.is_answered:
            self._next()

    # Inside.

    def _next(self) -> None:
        """Turn to the next request, once the client has taken most of the answers so far: others would pile up here."""
        if self._drained is not None:
            self._is_next_due = True
            self.deadline = FAR_FUTURE  # a client that reads slowly is not idle
            self._pause_reading()
        elif self._waiting:
            self._current = self._waiting.popleft()
            self.deadline = FAR_FUTURE
            self._owner.runner.run_later(self._current)
            if not self._waiting:
                self.resume_reading()
        elif self._refusal is not None:
            self._send_refusal()
        else:
            self.deadline = self._loop.time() + (HEAD_TIMEOUT_S if self._head_size else IDLE_TIMEOUT_S)
            if self._is_paused:
                self.resume_reading()

    def _refuse(self, status: int, problem: str) -> None:
        """Nothing that comes from now on can be understood: say so, once what came before is answered."""
        self._refusal = (status, problem)
        request = self._current
        if request is None:
            self._send_refusal()
        elif request is self._parsed:
            request.disconnect()
            if request.has_begun:
                self._transport.close()
            else:
                self._send_refusal()

    def _send_refusal(self) -> None:
        status, problem = self._refusal or (BAD_REQUEST, "")
        body = problem.encode()
        head = b"%bcontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.write(head % (STATUS_LINES[status], len(body)) + body)
        self._linger()

    def _linger(self) -> None:
        """Nothing more is sent; what the client still sends is read for a while, so that it sees the answer."""
        self._discarded = 0
        self.deadline = self._loop.time() + LINGER_TIMEOUT_S
        self.resume_reading()
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self._transport.close()

    def _pause_reading(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def _tell_writable(self, is_writable: bool) -> None:
        request = self._current
        if request is not None and request.on_writable is not None:
            request.on_writable(is_writable)

    def _leave(self) -> None:
        request, self._current = self._current, None
        self._waiting = None
        self._is_next_due = False
        self.resume_writing()
        if request is not None:
            request.disconnect()

    def _size_of_head(self) -> int:
        return len(self._url) + size_of(self._fields)
