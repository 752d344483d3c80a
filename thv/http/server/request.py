"""One HTTP request and its response, as a handler sees them.

Promises: a body is read no further than its reader takes it; a response is written once; a client that leaves is
reported by a callback and by `ConnectionError`. The connection that carries both is `thv.http.server.http_connection`.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thv.http.server.request_head import Header, ParsedHead

MAX_UNREAD_BODY: Final = 256 << 10
"""Bytes of a body that wait for the handler before the connection is read no further."""

MAX_REMEMBERED: Final = 64
"""Sets of headers whose bytes are remembered: nearly all responses have the same ones."""

STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

BODILESS: Final = frozenset({204, 304})
"""Statuses of responses without a body (RFC 9110, 6.4.1)."""


class Carrier(Protocol):
    """The connection that carries a request and its response."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written, or has left."""

    def resume_reading(self) -> None:
        """Read on."""

    def answered(self, request: HttpRequest) -> None:
        """The response is whole."""

    def close(self) -> None:
        """End once what was written is sent."""

    @property
    def peer(self) -> str:
        """The client's address."""

    @property
    def peer_port(self) -> int | None:
        """The client's port."""


class HttpRequest:
    """One request.

    Args:
        connection: carries it.
        head: what its head says.
        body: all of its body, if that is known already.

    Attributes:
        head: what its head says; `method`, `path` and `headers` are that one's.
        keep_alive: whether the connection stays open after the response.
        trailers: the fields that followed a chunked body, once that is whole.
        on_disconnect: called once if the client leaves before the response is whole.
        on_writable: called with False when the client reads more slowly than it is written to, with True when it has
            caught up.
        is_disconnected: the client has left.
        is_answered: the response is whole, or can never be.
        is_deferred: set by a handler that returns before the response, which is sent later.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_expects_continue",
        "_has_begun",
        "_pieces",
        "_reader",
        "_unread",
        "head",
        "headers",
        "is_answered",
        "is_deferred",
        "is_disconnected",
        "is_whole",
        "keep_alive",
        "method",
        "on_disconnect",
        "on_writable",
        "path",
        "trailers",
    )

    def __init__(self, connection: Carrier, head: ParsedHead, body: bytes | None = None) -> None:
        self._connection = connection
        self.head = head
        self.method = head.method
        self.path = head.path
        self.headers = head.headers
        self.keep_alive = head.keep_alive
        self.trailers: list[Header] = []
        self.on_disconnect: Callable[[], None] | None = None
        self.on_writable: Callable[[bool], None] | None = None
        self.is_disconnected = False
        self.is_answered = False
        self.is_deferred = False
        self.is_whole = body is not None
        self._pieces = [body] if body else []
        self._unread = 0
        self._reader: asyncio.Future[None] | None = None
        self._expects_continue = head.speaks_1_1 and bool(head.headers.get(b"expect"))  # 1.0 has no interim responses
        self._has_begun = False
        self._chunked = False

    @property
    def query(self) -> bytes:
        """What follows the question mark of the target."""
        return self.head.query

    @property
    def fields(self) -> list[Header]:
        """The headers as they were spelled, in order."""
        return self.head.fields

    @property
    def speaks_1_1(self) -> bool:
        """Whether the client speaks HTTP/1.1."""
        return self.head.speaks_1_1

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._connection.peer

    @property
    def peer_port(self) -> int | None:
        """The client's port."""
        return self._connection.peer_port

    @property
    def has_begun(self) -> bool:
        """Whether the response has begun."""
        return self._has_begun

    # For the handler: the request's body.

    async def read(self) -> bytes:
        """What came of the body since the last call, once there is anything; empty at its end.

        Raises:
            ConnectionError: the client left before the body was whole.
        """
        while not self._pieces:
            if self.is_whole:
                return b""
            if self.is_disconnected:
                raise ConnectionResetError("the client left")
            if self._expects_continue and not self._has_begun:
                self._expects_continue = False
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._connection.resume_reading()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self.take()

    def take(self) -> bytes:
        """What came of the body since the last call, or nothing."""
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = []
        self._unread = 0
        return piece

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written, or has left."""
        await self._connection.drain()

    # For a handler that passes on what another server says, byte for byte.

    def forward_expectation(self) -> None:
        """The handler passes `Expect` on: no interim response is sent from here."""
        self._expects_continue = False

    def send_raw(self, data: bytes, *, is_interim: bool = False) -> None:
        """Send parts of the response as they are: the handler encodes head, framing and body itself."""
        self._has_begun = self._has_begun or not is_interim
        if not self.is_disconnected:
            self._connection.write(data)

    def end_raw(self) -> None:
        """The response that `send_raw` sent is whole."""
        if not self.is_answered:
            self._end()

    # For the handler: the response.

    def respond(self, status: int, headers: Iterable[Header], body: bytes = b"") -> None:
        """Send the whole response."""
        if self._has_begun or self.is_disconnected:
            return
        self._has_begun = True
        length = b"" if status in BODILESS else b"content-length: %d\r\n" % len(body)
        self._connection.write(self._head(status, headers, length, b"" if self.method == "HEAD" else body))
        self._end()

    def begin(self, status: int, headers: Iterable[Header]) -> None:
        """Send the head of a response whose body comes piece by piece."""
        if self._has_begun or self.is_disconnected:
            return
        self._has_begun = True
        self._chunked = self.head.speaks_1_1
        if not self._chunked:
            self.keep_alive = False
        self._connection.write(self._head(status, headers, b"transfer-encoding: chunked\r\n" if self._chunked else b""))

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; returns when the client has room for more, or has left."""
        if self.is_disconnected or not piece:
            return
        self._connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
        await self._connection.drain()

    def end(self) -> None:
        """The body is whole."""
        if self.is_answered:
            return
        if self._chunked and not self.is_disconnected:
            self._connection.write(b"0\r\n\r\n")
        self._end()

    def break_off(self) -> None:
        """The response ends here, and the client sees that it is not whole."""
        self._connection.close()

    # For what runs the handler.

    def check_response(self) -> None:
        """The handler is done: if it has not answered, and will not do so later, nothing more comes."""
        if not self.is_answered and not self.is_deferred and not self.is_disconnected:
            self.break_off()

    # For the connection.

    def feed(self, piece: bytes) -> bool:
        """A piece of the body came; whether the connection may read on."""
        self._pieces.append(piece)
        self._unread += len(piece)
        if self._reader is not None:
            self._wake()
        return self._unread <= MAX_UNREAD_BODY

    def complete(self) -> None:
        """The body is whole."""
        self.is_whole = True
        if self._reader is not None:
            self._wake()

    def disconnect(self) -> None:
        """The client left, or its body cannot be read any further."""
        if self.is_disconnected:
            return
        self.is_disconnected = True
        self._wake()
        callback, self.on_disconnect = self.on_disconnect, None
        if callback is not None and not self.is_answered:
            callback()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _head(self, status: int, headers: Iterable[Header], framing: bytes, body: bytes = b"") -> bytes:
        lines = _lines(tuple(headers))
        close = b"" if self.keep_alive else b"connection: close\r\n"
        return b"".join((STATUS_LINES[status], lines, framing, close, b"\r\n", body))

    def _end(self) -> None:
        self.is_answered = True
        self.on_disconnect = self.on_writable = None
        self._connection.answered(self)


@lru_cache(MAX_REMEMBERED)
def _lines(headers: tuple[Header, ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
