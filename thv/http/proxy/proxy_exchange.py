"""One request through the reverse proxy and its response: joins a client's request to a connection of the server.

Bytes pass as they come, in both directions at once; a slow side slows the other. A request is inspected before its end
is sent, a response after it was handed on. Inspection that fails ends the inspection and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVarTuple

from thv.core.net.tls_context import explain_tls_error
from thv.http.cors import cors_headers
from thv.http.proxy import forwarded_headers
from thv.http.proxy.body_reader import EVENT_STREAM, media_type
from thv.http.proxy.exchange_inspector import ExchangeInspector
from thv.http.proxy.legacy_endpoint import may_open_stream, rewriter
from thv.http.proxy.protected_resource import MAX_METADATA, metadata_for_client, plain
from thv.http.proxy.upstream import BODILESS, CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.proxy.legacy_endpoint import EndpointRewriter
    from thv.http.proxy.protected_resource import MetadataPlaces
    from thv.http.proxy.upstream import Fields, Pool, ResponseHead, ServerConnection
    from thv.http.server.handler_runner import Work
    from thv.http.server.request import HttpRequest

REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may be sent again when a kept connection turns out to be closed (RFC 9112, 9.3.1)."""

LAST_CHUNK: Final = b"0\r\n"

OK, BAD_GATEWAY, GATEWAY_TIMEOUT = 200, 502, 504

JSON: Final = (b"Content-Type", b"application/json")
TEXT: Final = (b"Content-Type", b"text/plain; charset=utf-8")
NOT_STORED: Final = (b"Cache-Control", b"no-store")


Shown = TypeVarTuple("Shown")


class ProxyExchange:
    """One exchange.

    Args:
        request: the client's.
        pool: the connections to the server.
        places: where the server has OAuth metadata; its challenges add to them.
        inspector: is shown what passes.
        on_inspection_failed: called with the error of an inspector.
    """

    def __init__(
        self,
        request: HttpRequest,
        pool: Pool,
        places: MetadataPlaces,
        inspector: ExchangeInspector,
        on_inspection_failed: Callable[[Exception], None],
    ) -> None:
        self._request = request
        self._pool = pool
        self._places = places
        self._inspector = inspector
        self._on_inspection_failed = on_inspection_failed
        self._is_chunked_request = b"transfer-encoding" in request.headers
        self._is_chunked = False
        self._is_metadata = False
        self._metadata: tuple[ResponseHead, bytearray] | None = None
        self._to_client: list[bytes] = []
        self._received: list[bytes] = []
        self._endpoint: EndpointRewriter | None = None
        self._server: ServerConnection | None = None
        self._repeat: bytes | None = None
        self._retry: asyncio.Task[None] | None = None
        self._has_response = False
        self._is_over = False
        self._over: asyncio.Future[None] | None = None  # for what waits for the end
        self.is_sent = False

    def start(self) -> Work | None:
        """Begin it, and return what is left to do where that has to wait for something.

        Nearly every request is whole by now and finds an open connection: it needs no task.
        """
        request = self._request
        request.forward_expectation()
        request.is_deferred = True
        request.on_disconnect = self._on_client_left
        request.on_writable = self._on_client_writable
        target = b"%b?%b" % (request.path, request.query) if request.query else request.path
        fields = forwarded_headers.for_server(request.fields, request.headers, self._pool.target, request.peer)
        if request.method == "GET":
            self._is_metadata = target in self._places
            if self._is_metadata or may_open_stream(request.headers):
                fields = forwarded_headers.uncompressed(fields)  # it may have to be changed
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode(), target, _lines(fields))
        if not request.is_whole:
            return self._stream(head)
        body = request.take()
        self._inspect(self._inspector.request_end, body)
        data = head + (self._last_framed(body) if self._is_chunked_request else body)
        self.is_sent = True
        server = self._pool.idle()
        if server is None:
            return self._send_on_new(data)
        if request.method in REPEATABLE:
            self._repeat = data
        self._acquire(server)
        server.write(data)
        return None

    # What the server's connection reports: see `upstream.Exchange`.

    def on_informational(self, head: ResponseHead) -> None:
        """An interim response."""
        if self._request.speaks_1_1:
            fields = forwarded_headers.for_client(head, self._pool.target, self._request.headers)
            self._request.send_raw(_status_line(head) + _lines(fields) + b"\r\n", is_interim=True)

    def on_response(self, head: ResponseHead) -> None:
        """The head of the response."""
        request, target = self._request, self._pool.target
        self._has_response = True
        if self._is_metadata and head.status == OK and media_type(head.headers) != EVENT_STREAM:
            self._metadata = head, bytearray()  # sent once its length is known
            return
        if b"www-authenticate" in head.headers:
            self._places.note(head.headers[b"www-authenticate"], target)
        fields = forwarded_headers.for_client(head, target, request.headers)
        is_sized = b"content-length" in head.headers and not head.is_chunked
        origin = request.headers.get(b"origin")
        if origin is not None and b"access-control-allow-origin" not in head.headers:
            fields += cors_headers(origin)  # the policy has let the page in, and the server has no opinion
        has_body = head.status not in BODILESS and request.method != "HEAD"
        if has_body and not is_sized:
            self._is_chunked = request.speaks_1_1
            if self._is_chunked:
                fields.append((b"Transfer-Encoding", b"chunked"))
            else:
                request.keep_alive = False
        if not request.keep_alive:
            fields.append((b"Connection", b"close"))
        self._to_client.append(_status_line(head) + _lines(fields) + b"\r\n")
        if request.method == "GET":
            self._endpoint = rewriter(head.status, fields, target, forwarded_headers.seen_origin(request.headers))
        self._inspect(self._inspector.response, head.status, head.headers)

    def on_body(self, data: bytes) -> None:
        """A piece of the response's body."""
        if self._metadata is not None:
            self._metadata[1].extend(data)
            if len(self._metadata[1]) > MAX_METADATA:
                self._send_metadata(is_whole=False)
            return
        passing = data if self._endpoint is None else self._endpoint.feed(data)
        if passing:
            self._to_client.append(_chunk(passing) if self._is_chunked else passing)
        self._received.append(data)

    def on_read(self) -> None:
        """All that was read at once has been reported: hand it on, then inspect it."""
        self._hand_on()
        if self._received:
            received, self._received = self._received, []
            self._inspect(self._inspector.response_data, received)

    def on_end(self, trailers: Fields) -> None:
        """The response is whole."""
        self._server = None
        if self._metadata is not None:
            self._send_metadata(is_whole=True)
        if self._endpoint is not None and (rest := self._endpoint.rest()):
            self._to_client.append(_chunk(rest) if self._is_chunked else rest)
        if self._is_chunked:
            self._to_client.append(LAST_CHUNK + _lines(forwarded_headers.trailers(trailers)) + b"\r\n")
        self._hand_on()
        self._inspect(self._inspector.response_end, self._received)
        self._end()
        self._request.end_raw()

    def _hand_on(self) -> None:
        if self._to_client:
            data = b"".join(self._to_client)
            self._to_client = []
            self._request.send_raw(data)

    def _send_metadata(self, *, is_whole: bool) -> None:
        """Send the metadata of a protected resource, with the proxy in the server's place if it is whole."""
        if self._metadata is None:
            return
        head, body = self._metadata
        document = bytes(body)
        proxy = forwarded_headers.seen_origin(self._request.headers)
        if is_whole and proxy is not None:
            known = plain(document, head.headers.get(b"content-encoding", b"").lower())
            changed = known and metadata_for_client(known, self._pool.target, proxy)
            if changed and changed != known:
                document = changed
                head.fields = forwarded_headers.uncoded(head.fields, len(document))
        self._is_metadata, self._metadata = False, None
        self.on_response(head)
        if document:
            self.on_body(document)

    def on_broken(self, problem: str) -> None:
        """The server's connection ended too early."""
        server, self._server = self._server, None
        if self._is_over:
            return
        if server is not None and server.uses > 1 and not self._has_response and self._repeat is not None:
            self._retry = asyncio.get_running_loop().create_task(self._send_on_new(self._repeat))
            self._repeat = None
            return
        self._fail(BAD_GATEWAY, f"the server at {self._pool.target} gave no answer: {problem}")

    # The request.

    async def _send_on_new(self, data: bytes) -> None:
        """Send a whole request on a new connection."""
        server = await self._connect()
        if server is not None:
            self._acquire(server)
            server.write(data)

    async def _stream(self, head: bytes) -> None:
        """Send a request of which only this has come, and wait for the end of the exchange."""
        server = self._pool.idle() or await self._connect()
        if server is None:
            return
        self._acquire(server)
        server.write(head)
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        pump = loop.create_task(self._pump())
        try:
            await self._over
        finally:
            pump.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await pump

    async def _pump(self) -> None:
        """Send the rest of a request as it comes."""
        request = self._request
        while True:
            piece = await request.read()
            server = self._server
            if server is None:
                return
            if request.is_whole:
                self._inspect(self._inspector.request_end, piece)
                self.is_sent = True
                server.write(self._last_framed(piece) if self._is_chunked_request else piece)
                return
            self._inspect(self._inspector.request_data, piece)
            server.write(_chunk(piece) if self._is_chunked_request else piece)
            await server.drain()

    def _last_framed(self, piece: bytes) -> bytes:
        """The last piece of a request that comes in chunks, and its end."""
        end = LAST_CHUNK + _lines(forwarded_headers.trailers(self._request.trailers)) + b"\r\n"
        return _chunk(piece) + end if piece else end

    async def _connect(self) -> ServerConnection | None:
        """A new connection to the server; None if there is none, or the exchange is over before it is open."""
        target = self._pool.target
        try:
            server = await self._pool.connect()
        except TimeoutError:
            waited = f"{CONNECT_TIMEOUT:.0f} s"
            self._fail(GATEWAY_TIMEOUT, f"the server at {target} accepted no connection within {waited}")
        except (OSError, ssl.CertificateError) as error:
            self._fail(BAD_GATEWAY, f"the server at {target} cannot be reached: {_in_words(error)}")
        else:
            if not self._is_over:
                return server
            server.abort()
        return None

    def _acquire(self, server: ServerConnection) -> None:
        self._server = server
        server.acquire(self, is_head_request=self._request.method == "HEAD")

    # The end.

    def _on_client_left(self) -> None:
        """The client closed its connection: so is the server's, or it would work for nothing."""
        if self._is_over:
            return
        self._end()
        if self._server is not None:
            self._server.drop()
        self._inspect(self._inspector.client_left)

    def _on_client_writable(self, is_writable: bool) -> None:
        if self._server is not None:
            self._server.pause(not is_writable)

    def _fail(self, status: int, problem: str) -> None:
        if self._is_over:
            return
        self._end()
        if self._has_response:
            self._send_metadata(is_whole=False)
            self.on_read()
            self._request.break_off()
        else:
            body = b""
            with suppress(Exception):  # a bug in inspection must not hide what went wrong
                body = self._inspector.error_reply(problem)
            self._request.respond(status, (JSON if body else TEXT, NOT_STORED), body or f"{problem}\n".encode())
        self._inspect(self._inspector.broke, status)

    def _end(self) -> None:
        self._is_over = True
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if self._retry is not None:
            self._retry.cancel()

    def _inspect(self, inspect: Callable[[*Shown], None], *shown: *Shown) -> None:
        try:
            inspect(*shown)
        except Exception as error:  # noqa: BLE001  a bug in inspection must not reach the session
            self._inspector = ExchangeInspector()
            self._on_inspection_failed(error)


def _status_line(head: ResponseHead) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _lines(fields: Fields) -> bytes:
    return b"\r\n".join([*map(b": ".join, fields), b""])


def _in_words(error: OSError | ssl.CertificateError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return explain_tls_error(error)  # its number is none of the system's
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio's own words repeat the address
    return error.strerror or str(error)
