"""One request through the reverse proxy and its response: joins a client's connection to one of the server.

Bytes pass as they come, in both directions at once; whoever is slow slows the other side. A request is looked at before
its end is sent, a response after it was handed on. Looking that fails ends the looking, nothing else.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

import h11

from thv.http.proxy import forwarded_headers as proxy_headers
from thv.http.proxy.exchange_inspector import ExchangeInspector
from thv.http.proxy.legacy_endpoint import rewriter
from thv.http.proxy.upstream import CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.proxy.legacy_endpoint import EndpointRewriter
    from thv.http.proxy.upstream import Pool, ServerConnection

MAX_WAITING = 256 << 10
"""Bytes of a request held while the connection to the server is being opened."""

REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that may be sent again when a kept connection turns out to be closed (RFC 9112, 9.3.1)."""


class Client(Protocol):
    """The connection that a request came on."""

    peer: str
    """The client's address."""
    can_take: bool
    """Whether it reads as fast as it is sent to."""
    speaks_1_1: bool
    """Whether it knows interim responses and trailers: HTTP/1.1."""

    def encode(self, event: h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage) -> bytes:
        """The bytes of a part of the response."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read_on(self, ready: bool) -> None:
        """Read more of the request, or stop for now."""

    def cut(self) -> None:
        """End in the middle of a response, so that the client sees that it is not whole."""

    def answer(self, status: int, body: bytes, words: str = "") -> None:
        """Answer in the server's place: with JSON, or in words."""

    def finished(self) -> None:
        """The response is sent."""

    def looking_failed(self, error: Exception) -> None:
        """What passes is not understood any more."""


class ProxyExchange:
    """One exchange. It ends by telling the client's connection `finished`, or by `client_left`.

    Args:
        client: the connection that the request came on.
        request: its head.
        pool: the connections to the server.
        watch: shown what passes.
    """

    def __init__(self, client: Client, request: h11.Request, pool: Pool, watch: ExchangeInspector) -> None:
        self._client = client
        self._pool = pool
        self._watch = watch
        self._host = next((value for name, value in request.headers if name == b"host"), None)
        self._method = request.method
        fields = proxy_headers.for_server(request, pool.target, client.peer)
        head = h11.Request(method=request.method, target=request.target, headers=fields)
        self._to_server: list[h11.Request | h11.Data | h11.EndOfMessage] = [head]
        self._repeat: list[h11.Request | h11.Data | h11.EndOfMessage] | None = None
        self._to_client: list[bytes] = []
        self._seen: list[bytes] = []
        self._waiting = 0
        self._sized = False
        self._endpoint: EndpointRewriter | None = None
        self._server: ServerConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.request_done = False
        self._response_begun = False
        self._over = False

    # What the client's connection tells.

    def request_body(self, event: h11.Data) -> None:
        """A piece of the request's body."""
        data = bytes(event.data)
        self._waiting += len(data)
        self._look(partial(self._watch.request_data, data))
        self._to_server.append(h11.Data(data=data))

    def request_ended(self, event: h11.EndOfMessage) -> None:
        """The end of the request."""
        self.request_done = True
        self._look(self._watch.request_end)
        self._to_server.append(h11.EndOfMessage(headers=proxy_headers.trailers(event)))

    def flush_to_server(self) -> None:
        """All that was read at once has been told of."""
        if self._over or not self._to_server:
            return
        if self._server is None and self._connecting is None:
            self._obtain()
        if self._server is not None:
            events, self._to_server, self._waiting = self._to_server, [], 0
            self._server.send(events)
        elif self._waiting > MAX_WAITING:
            self._client.read_on(False)

    def client_left(self) -> None:
        """The client closed its connection: so is the server's, or it would work for nobody."""
        if self._over:
            return
        self._end()
        if self._server is not None:
            self._server.drop()
        self._look(self._watch.client_left)

    def client_can_take(self, ready: bool) -> None:
        """Whether the client reads as fast as the server sends."""
        if self._server is not None and not self._over:
            self._server.pause(not ready)

    # What the server's connection tells: see `proxy_upstream.Exchange`.

    def informed(self, response: h11.InformationalResponse) -> None:
        """An interim response."""
        if self._client.speaks_1_1:
            fields = proxy_headers.for_client(response, self._pool.target, self._host)
            self._to_client.append(
                self._client.encode(
                    h11.InformationalResponse(
                        status_code=response.status_code, headers=fields, reason=bytes(response.reason)
                    )
                )
            )

    def responded(self, response: h11.Response) -> None:
        """The head of the response."""
        self._response_begun = True
        fields = proxy_headers.for_client(response, self._pool.target, self._host)
        self._sized = any(name.lower() == b"content-length" for name, _ in fields)
        self._to_client.append(
            self._client.encode(
                h11.Response(status_code=response.status_code, headers=fields, reason=bytes(response.reason))
            )
        )
        if self._method == b"GET":
            self._endpoint = rewriter(response.status_code, fields, self._pool.target.origin.encode(), self._host)
        self._look(partial(self._watch.response, response.status_code, list(response.headers)))

    def body(self, data: bytes) -> None:
        """A piece of the response's body."""
        passing = data if self._endpoint is None else self._endpoint.feed(data)
        if passing:
            self._to_client.append(self._client.encode(h11.Data(data=passing)))
        self._seen.append(data)

    def ended(self, end: h11.EndOfMessage) -> None:
        """The end of the response."""
        if self._endpoint is not None and (rest := self._endpoint.rest()):
            self._to_client.append(self._client.encode(h11.Data(data=rest)))
        after = proxy_headers.trailers(end) if self._client.speaks_1_1 and not self._sized else []
        self._to_client.append(self._client.encode(h11.EndOfMessage(headers=after)))
        self.flush_to_client()
        self._server = None
        self._end()
        self._look(self._watch.response_end)
        self._client.finished()

    def flush_to_client(self) -> None:
        """All that was read at once has been told of: hand it on, then look at it."""
        if self._to_client:
            data, self._to_client = b"".join(self._to_client), []
            self._client.write(data)
        seen, self._seen = self._seen, []
        for each in seen:
            self._look(partial(self._watch.response_data, each))

    def broke(self, problem: str) -> None:
        """The server's connection ended too early."""
        server, self._server = self._server, None
        if self._over:
            return
        if server is not None and server.uses > 1 and not self._response_begun and self._repeat is not None:
            self._to_server = self._repeat
            self._obtain(fresh=True)
            return
        self._fail(502, f"the server at {self._pool.target} gave no answer: {problem}")

    def server_can_take(self, ready: bool) -> None:
        """Whether more of the request may be sent now."""
        self._client.read_on(ready)

    # Ours.

    def _obtain(self, *, fresh: bool = False) -> None:
        server = None if fresh else self._pool.idle()
        if server is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        if self.request_done and self._method in REPEATABLE:
            self._repeat = list(self._to_server)
        self._lend(server)

    def _lend(self, server: ServerConnection) -> None:
        self._server = server
        server.lend(self)
        if not self._client.can_take:
            server.pause(True)

    async def _connect(self) -> None:
        target = self._pool.target
        try:
            server = await self._pool.connect()
        except TimeoutError:
            self._connecting = None
            self._fail(504, f"the server at {target} accepted no connection within {CONNECT_TIMEOUT:.0f} s")
        except (OSError, ssl.CertificateError) as error:
            self._connecting = None
            self._fail(502, f"the server at {target} cannot be reached: {_in_words(error)}")
        else:
            self._connecting = None
            if self._over:
                server.abort()
                return
            self._lend(server)
            self.flush_to_server()
            self._client.read_on(True)

    def _fail(self, status: int, problem: str) -> None:
        self._end()
        if self._response_begun:
            self.flush_to_client()
            self._client.cut()
            self._look(partial(self._watch.broke, status))
            return
        body = b""
        with suppress(Exception):  # a bug in looking must not hide what went wrong
            body = self._watch.error_reply(problem)
        self._client.answer(status, body, f"{problem}\n")
        self._look(partial(self._watch.broke, status))

    def _end(self) -> None:
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()

    def _look(self, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception as error:  # noqa: BLE001  a bug in looking must not reach the session
            self._watch = ExchangeInspector()
            self._client.looking_failed(error)


def _in_words(error: OSError | ssl.CertificateError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own words repeat the address
    return error.strerror or str(error)
