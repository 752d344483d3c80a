"""The connections of clients to a reverse proxy: one exchange after the other, and what the proxy answers itself.

Promises: a request that is not HTTP, too long or too slow is answered or dropped; a client that leaves is noticed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import h11

from thv.http.proxy.proxy_exchange import ProxyExchange
from thv.http.proxy.upstream import MAX_HEAD, prepare

if TYPE_CHECKING:
    from thv.http.proxy.exchange_inspector import ExchangeInspector
    from thv.http.proxy.upstream import Pool

HEAD_TIMEOUT = 30.0
"""Seconds from the first byte of a request to the end of its head: a slow one must not keep a connection for ever."""

IDLE_TIMEOUT = 90.0
"""Seconds a connection may rest between two requests: longer than the clients' own 60 or 75, so that they close it."""

LINGER_TIMEOUT = 5.0
LINGER_BYTES = 1 << 20
"""How long, and for how much, an already answered request is read on, so that the answer is not lost to a reset."""


class Proxy(Protocol):
    """What the connections of clients lead to."""

    pool: Pool
    """The connections to the server."""
    clients: set[ClientConnection]
    """Those that are open."""
    passed: int
    """Changes whenever something passes."""

    def now(self) -> float:
        """Seconds, as deadlines are given."""

    def refusal(self, request: h11.Request) -> tuple[int, str] | None:
        """Why this request is not served, or None when it is."""

    def is_health(self, request: h11.Request) -> bool:
        """Whether this request is for the proxy itself."""

    def answer_health(self, client: ClientConnection) -> None:
        """Tell this client whether the server answers, once that is known."""

    def watch(self, request: h11.Request) -> ExchangeInspector:
        """What looks at the exchange that this request begins."""

    def looking_failed(self, error: Exception) -> None:
        """Something passes that is not understood."""


class ClientConnection(asyncio.Protocol):
    """One connection of a client.

    Args:
        proxy: what it leads to.
    """

    _transport: asyncio.Transport

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._exchange: ProxyExchange | None = None
        self._lingered = 0
        self._deadline: float | None = None
        self.peer = "unknown"
        self.can_take = True
        self.speaks_1_1 = True

    # For the exchange.

    def encode(self, event: h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        """The bytes of a part of the response."""
        return self._http.send(event) or b""

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    def read_on(self, ready: bool) -> None:
        """Read more of the request, or stop for now."""
        if ready:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def cut(self) -> None:
        """End in the middle of a response, so that the client sees that it is not whole."""
        self._exchange = None
        self._transport.close()

    def answer(self, status: int, body: bytes, words: str = "") -> None:
        """Answer in the server's place.

        Args:
            status: the HTTP status.
            body: JSON; empty to answer in words.
            words: a line.
        """
        kind = b"application/json" if body else b"text/plain; charset=utf-8"
        body = body or words.encode()
        fields = [(b"Content-Type", kind), (b"Content-Length", b"%d" % len(body)), (b"Cache-Control", b"no-store")]
        if self._http.their_state is h11.ERROR:
            fields.append((b"Connection", b"close"))
        data = self.encode(h11.Response(status_code=status, headers=fields, reason=_REASONS.get(status, b"")))
        self._transport.write(data + self.encode(h11.Data(data=body)) + self.encode(h11.EndOfMessage()))
        self.finished()

    def finished(self) -> None:
        """The response is sent."""
        self._exchange = None
        ours, theirs = self._http.our_state, self._http.their_state
        if ours is h11.DONE and theirs is h11.DONE:
            self._http.start_next_cycle()
            self._deadline = self._proxy.now() + IDLE_TIMEOUT
            self._transport.resume_reading()
            if self._http.trailing_data[0]:
                asyncio.get_running_loop().call_soon(self._advance)
        elif theirs in {h11.SEND_BODY, h11.ERROR}:
            if theirs is h11.ERROR:
                self._transport.write_eof()
            self._deadline = self._proxy.now() + LINGER_TIMEOUT
            self._transport.resume_reading()
        else:
            self._transport.close()

    def looking_failed(self, error: Exception) -> None:
        """What passes is not understood any more; it passes all the same."""
        self._proxy.looking_failed(error)

    # For the proxy.

    def expire(self, now: float) -> None:
        """Close it if it waited too long for its client."""
        if self._deadline is not None and now >= self._deadline:
            self._transport.close()

    def close(self) -> None:
        """End it; what was written still goes out."""
        self._leave()
        self._transport.close()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = transport  # type: ignore[assignment]  # asyncio names the base class only
        self._proxy.clients.add(self)
        peer = transport.get_extra_info("peername")
        if peer:
            self.peer = str(peer[0])
        self._deadline = self._proxy.now() + HEAD_TIMEOUT
        prepare(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        self._proxy.passed += 1
        if self._http.their_state is h11.ERROR:
            self._linger(len(data))
            return
        if self._http.their_state is h11.IDLE and not self._http.trailing_data[0]:
            self._deadline = self._proxy.now() + HEAD_TIMEOUT
        self._http.receive_data(data)
        self._advance()

    def eof_received(self) -> None:
        """The client closed, or at least will send no more: both look the same, and a stream must not outlive it."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """It is closed."""
        self._proxy.clients.discard(self)
        self._leave()

    def pause_writing(self) -> None:
        """The client does not read as fast as the server sends."""
        self.can_take = False
        if self._exchange is not None:
            self._exchange.client_can_take(False)

    def resume_writing(self) -> None:
        """It has caught up."""
        self.can_take = True
        if self._exchange is not None:
            self._exchange.client_can_take(True)

    def _leave(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_left()

    def _advance(self) -> None:
        try:
            while not self._transport.is_closing():
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    self._body(event)
                elif isinstance(event, h11.Request):
                    self._begin(event)
                elif isinstance(event, h11.EndOfMessage):
                    self._end(event)
                else:
                    if event is h11.PAUSED and self._http.trailing_data[0]:
                        self._transport.pause_reading()  # a request in advance waits for its turn
                    break
        except h11.RemoteProtocolError as error:
            self._refuse(error)
            return
        if self._exchange is not None:
            self._exchange.flush_to_server()

    def _body(self, event: h11.Data) -> None:
        if self._exchange is not None:
            self._exchange.request_body(event)
        else:
            self._linger(len(event.data))

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > LINGER_BYTES:
            self._transport.close()

    def _end(self, event: h11.EndOfMessage) -> None:
        if self._exchange is not None:
            self._exchange.request_ended(event)
        elif self._http.our_state in {h11.DONE, h11.MUST_CLOSE}:
            self.finished()  # it was answered before it was whole

    def _begin(self, request: h11.Request) -> None:
        self._deadline = None
        self._lingered = 0
        self.speaks_1_1 = request.http_version == b"1.1"
        plain = _in_origin_form(request)
        if plain is None:
            self.answer(501, b"", "this is no proxy for other servers\n")
        elif (refusal := self._proxy.refusal(plain)) is not None:
            self.answer(refusal[0], b"", f"{refusal[1]}\n")
        elif self._proxy.is_health(plain):
            self._proxy.answer_health(self)
        else:
            self._exchange = ProxyExchange(self, plain, self._proxy.pool, self._proxy.watch(plain))

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        self._leave()
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.answer(error.error_status_hint, b"", f"{error}\n")
        else:
            self._transport.close()


_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    403: b"Forbidden",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


def _in_origin_form(request: h11.Request) -> h11.Request | None:
    """The request without the proxy's own name in its target, which then counts as its `Host` (RFC 9112, 3.2.2).

    None if it asks for a tunnel, or for what no web server has.
    """
    if request.target[:1] in b"/*":
        return request
    try:
        parts = urlsplit(request.target)
    except ValueError:
        return None
    if request.method == b"CONNECT" or parts.scheme not in {b"http", b"https"} or not parts.netloc:
        return None
    target = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
    fields = [
        (spelled, parts.netloc if name == b"host" else value)
        for (name, value), (spelled, _) in zip(request.headers, request.headers.raw_items(), strict=True)
    ]
    return h11.Request(method=request.method, target=target, headers=fields, http_version=request.http_version)
