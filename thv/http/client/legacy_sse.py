"""HTTP+SSE (2024-11-05) as a client speaks it: one event stream brings every message, each of ours is a POST beside it.

Promises: the place for our messages is of the stream's own origin, or nothing is sent there; when the stream ends,
every request that waits gets an error, and the next message opens a new stream and begins the session anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import httpx

from thv.core.jsonrpc import addressed
from thv.core.message import read_line
from thv.core.net.url_redaction import redact_url
from thv.http.client.client_messages import answered, answers, error_code, line_of_body
from thv.http.client.client_state import PostExchange
from thv.http.client.http_client import RemoteError, is_same_origin
from thv.http.client.server_stream import ERROR_BODY, EVENTS, TOLD_STATUSES, media_type
from thv.http.sse import EventParser, EventTooLargeError

if TYPE_CHECKING:
    from thv.http.client.client_messages import Sent
    from thv.http.client.client_state import Deliver, Tell
    from thv.http.client.http_client import HttpClient

ENDPOINT_TIMEOUT_S: Final = 5.0
"""Seconds to wait for the stream's first event, which names the place for our messages."""


class HttpSse:
    """The client's side of one connection to a server of HTTP+SSE. `StreamableHttp` says what the arguments are."""

    def __init__(self, http: HttpClient, deliver: Deliver, *, warn: Tell, debug: Tell) -> None:
        self._http = http
        self._deliver = deliver
        self._warn = warn
        self._debug = debug
        self._endpoint: httpx.URL | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._waiting: list[PostExchange] = []
        self._changed = asyncio.Condition()
        self._initialize: Sent | None = None
        self._initialized: Sent | None = None
        self.has_session = False

    async def open(self) -> None:
        """Open the stream and learn where messages go.

        Raises:
            RemoteError: this is no server of that transport, or it cannot be reached.
        """
        found: asyncio.Future[httpx.URL] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(found))
        try:
            async with asyncio.timeout(ENDPOINT_TIMEOUT_S):
                self._endpoint = await found
        except TimeoutError:
            await self.close()
            raise RemoteError(f"{self._http.place} opens an event stream and names no endpoint") from None

    async def initialize(self, exchange: PostExchange) -> None:
        """Bring `initialize` to its end.

        Raises:
            RemoteError: it failed.
        """
        self._initialize = self._initialized = None  # a stream that is opened now is for this one
        self.has_session = True
        await self._reopen()
        self._initialize = exchange.sent
        await self._exchange(exchange)

    async def request(self, exchange: PostExchange) -> None:
        """Bring requests to their end: every reply was handed on.

        Raises:
            RemoteError: those that still wait will get no reply.
        """
        await self._reopen()
        await self._exchange(exchange)

    async def notify(self, sent: Sent) -> None:
        """Hand on a notification or a reply.

        Raises:
            RemoteError: the server did not take it.
        """
        await self._reopen()
        await self._post(PostExchange(sent))
        if sent.method == "notifications/initialized":
            self._initialized = sent

    async def close(self) -> None:
        """Close the stream, which ends the session."""
        reader, self._reader, self._endpoint = self._reader, None, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _reopen(self) -> None:
        async with self._opening:
            if self._endpoint is not None:
                return
            await self.open()
            try:
                await self._begin_anew()
            except BaseException:  # cancelled, too
                await self.close()  # or the next message would meet a session that is half begun
                raise

    async def _begin_anew(self) -> None:
        """Begin the session on a new stream as our client began it on the first, if it did."""
        if self._initialize is not None:
            await self._exchange(PostExchange(self._initialize, silent=True))
            self._warn(f"{self._http.place} ended the session; a new one was begun")
            if self._initialized is not None:
                await self._post(PostExchange(self._initialized))

    async def _exchange(self, exchange: PostExchange) -> None:
        reader = self._reader
        self._waiting.append(exchange)
        try:
            await self._post(exchange)
            async with self._changed:
                await self._changed.wait_for(lambda: not exchange.waiting or self._reader is not reader)
        finally:
            self._waiting.remove(exchange)
        if exchange.waiting:
            raise RemoteError(f"{self._http.place} ended its stream before the reply came")

    async def _post(self, exchange: PostExchange) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            raise RemoteError(f"{self._http.place} ended its stream")
        headers = {"Accept": "*/*", "Content-Type": "application/json"}
        async with self._http.stream(
            "POST", headers, exchange.sent.line, url=endpoint, on_sent=exchange.on_its_way.set
        ) as response:
            self._debug(f"POST {exchange.sent.method or 'a reply'}: {response.status_code}")
            if not response.is_success:
                await self._refused(exchange, response)

    async def _refused(self, exchange: PostExchange, response: httpx.Response) -> None:
        """Deal with a status that is no success: the server's own error, if it gives one, says more.

        Raises:
            RemoteError: it gives none.
        """
        problem = RemoteError(self._http.refusal(response.status_code), status=response.status_code)
        body = line_of_body(await self._http.body(response, ERROR_BODY))
        if not body or error_code(body) is None or exchange.silent or not exchange.waiting:
            raise problem
        await self._take(body, exchange)
        if exchange.waiting:
            raise problem
        if response.status_code in TOLD_STATUSES:
            self._warn(problem.sentence)

    async def _read(self, found: asyncio.Future[httpx.URL]) -> None:
        """Read the stream to its end; `found` gets the endpoint, or the reason why there is none."""
        problem = RemoteError(f"{self._http.place} ended its stream")
        try:
            async with self._http.stream("GET", {"Accept": EVENTS}) as response:
                self._debug(f"GET: {response.status_code} {media_type(response)}".rstrip())
                if response.is_success and media_type(response) == EVENTS:
                    await self._follow(response, found)
                else:
                    problem = RemoteError(self._http.refusal(response.status_code), status=response.status_code)
        except RemoteError as failure:
            problem = failure
        except EventTooLargeError as error:
            problem = RemoteError(f"{self._http.place} sends {error}")
        self._debug(problem.sentence)
        if not found.done():
            found.set_exception(problem)
        if self._reader is asyncio.current_task():
            self._reader = self._endpoint = None
        async with self._changed:
            self._changed.notify_all()

    async def _follow(self, response: httpx.Response, found: asyncio.Future[httpx.URL]) -> None:
        parser = EventParser()
        async for chunk in response.aiter_bytes():
            for event in parser.feed(chunk):
                if event.type == "endpoint":
                    url = self._endpoint_of(response, event.data)
                    if not found.done():
                        found.set_result(url)
                    continue
                line = line_of_body(event.data) if event.type == "message" else b""
                if line:
                    await self._take(line)

    def _endpoint_of(self, response: httpx.Response, data: bytes) -> httpx.URL:
        try:
            url = response.url.join(data.decode().strip())
        except (httpx.InvalidURL, ValueError):
            raise RemoteError(f"{self._http.place} names an endpoint that is no URL") from None
        ours = response.url
        if not is_same_origin(url, ours):
            raise RemoteError(f"{self._http.place} names an endpoint of another origin: {redact_url(str(url))}")
        return url

    async def _take(self, line: bytes, exchange: PostExchange | None = None) -> None:
        """Hand on one line of the server; `exchange` is what it refuses, None for a line of the stream."""
        messages = read_line(line)
        keys = answered(messages)
        if exchange is None:
            exchange = next(
                (each for each in self._waiting for ask in each.waiting if any(answers(key, ask) for key in keys)),
                None,
            )
        elif None in keys:
            line = addressed(line, exchange.waiting[0].id) or line
            messages = read_line(line)
        if exchange is None or not exchange.silent:
            await self._deliver(line, messages)
        if exchange is not None:
            exchange.settle(keys)
            async with self._changed:
                self._changed.notify_all()
