"""The stream on which a server of sessions sends of its own accord (2025-11-25, "Listening for Messages").

Promises: it is opened again for as long as the session lasts, with growing delays while that fails. Some servers accept
requests with 202 and send every reply here, perhaps before the 202 has come: a request waits for its reply as long as
there is such a stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx

from thv.core.jsonrpc import METHOD_NOT_FOUND
from thv.core.message import read_line
from thv.http.client.client_messages import answers, line_of_body
from thv.http.client.client_state import ResumptionState
from thv.http.client.http_client import RemoteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from thv.core.message import Id
    from thv.http.client.client_messages import PendingRequest
    from thv.http.client.client_state import McpSession, PostExchange, Tell
    from thv.http.client.http_client import HttpClient

    Follow = Callable[[httpx.Response, ResumptionState, McpSession, None], Awaitable[None]]

EVENTS: Final = "text/event-stream"

ERROR_BODY: Final = 1 << 20
"""Bytes that are read of the body of an error."""

TOLD_STATUSES: Final = frozenset({401, 403, 407})
"""The statuses that the user has to know of even if the server's own words go to the client."""

MAX_GIVEN_UP: Final = 1000
"""Requests whose late replies are recognised."""


class ServerStream:
    """The GET stream of one connection.

    Args:
        http: the HTTP client.
        follow: hands on what a stream brings.
        is_current: whether a session is still the one in use.
        renew: begins a session anew that the server does not know any more.
        debug: called with what is done, when that was asked for.
    """

    def __init__(
        self,
        http: HttpClient,
        follow: Follow,
        *,
        is_current: Callable[[McpSession], bool],
        renew: Callable[[McpSession], Awaitable[object]],
        debug: Tell,
    ) -> None:
        self._http = http
        self._follow = follow
        self._is_current = is_current
        self._renew = renew
        self._debug = debug
        self._task: asyncio.Task[None] | None = None
        self._posted: list[PostExchange] = []  # those whose replies may come here
        self._waiting: list[PostExchange] = []  # those of them whose replies can come nowhere else
        self._given_up: deque[Id] = deque(maxlen=MAX_GIVEN_UP)

    def start(self, session: McpSession) -> None:
        """Open it for a session; an earlier one ends."""
        self.stop()
        self._task = asyncio.create_task(self._run(session))

    def stop(self) -> None:
        """Close it."""
        self._release()
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    @contextmanager
    def expecting(self, exchange: PostExchange) -> Iterator[None]:
        """As long as this lasts, a reply to the exchange may come here, before its POST is answered too."""
        self._posted.append(exchange)
        try:
            yield
        finally:
            self._posted.remove(exchange)

    async def wait_for(self, exchange: PostExchange, seconds: float | None) -> None:
        """Wait until the replies have come here, the time is over, or the server turns out to have no such stream."""
        if self._task is None or self._task.done() or exchange.silent:
            return
        self._waiting.append(exchange)
        try:
            async with asyncio.timeout(seconds):
                await exchange.settled.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.remove(exchange)

    def give_up(self, exchange: PostExchange) -> None:
        """The requests that still wait get an error: a reply that comes later would be a second one."""
        self._given_up.extend(ask.key for ask in exchange.waiting)

    def is_late(self, keys: Sequence[Id | None]) -> bool:
        """Whether these replies come after the error."""
        return bool(self._given_up) and all(key in self._given_up for key in keys)

    def waiting_for(self, keys: Sequence[Id | None]) -> PostExchange | None:
        """The exchange that one of these replies is to."""
        named = [key for key in keys if key is not None]
        return next(
            (each for each in self._posted for ask in each.waiting if any(answers(key, ask) for key in named)), None
        )

    def _release(self) -> None:
        """No reply will come here."""
        for exchange in self._waiting:
            exchange.settled.set()

    async def _run(self, session: McpSession) -> None:
        cursor = ResumptionState()
        failures = 0
        while self._is_current(session):
            events = cursor.events
            try:
                async with self._http.stream("GET", stream_headers(session, cursor)) as response:
                    status = response.status_code
                    self._debug(f"GET: {status} {media_type(response)}".rstrip())
                    if response.is_success and media_type(response) == EVENTS:
                        await self._follow(response, cursor, session, None)
                    elif response.is_success or response.is_client_error:
                        body = line_of_body(await self._http.body(response, ERROR_BODY))
                        if failures and is_expired(status, session, body):
                            await self._renew(session)
                        self._release()
                        return  # it has no such stream
            except RemoteError as problem:
                self._debug(problem.sentence)
            failures = 1 if cursor.events > events else failures + 1
            await asyncio.sleep(cursor.delay(failures - 1))


def is_expired(status: int, session: McpSession, body: bytes, asks: Sequence[PendingRequest] = ()) -> bool:
    """Whether a refusal says that the server does not know the session: 404, and 400 from those who confuse them.

    Args:
        status: the HTTP status.
        session: the one that the refused message belongs to.
        body: what the server says of it.
        asks: the requests in that message. An error that names one of them is its reply, which may have any words: the
            server has read the request. Only with 404 it may be about the session all the same.
    """
    if session.id is None or status not in {httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST}:
        return False
    for message in read_line(body):
        if message.error is not None and message.key is not None and any(answers(message.key, ask) for ask in asks):
            return status == httpx.codes.NOT_FOUND and message.error.code != METHOD_NOT_FOUND
    return status == httpx.codes.NOT_FOUND or b"session" in body.lower()


def media_type(response: httpx.Response) -> str:
    """The media type of a body, the first if there are several, without its parameters."""
    first = str(response.headers.get("Content-Type", "")).partition(",")[0]
    return first.partition(";")[0].strip().lower()


def stream_headers(session: McpSession, cursor: ResumptionState) -> dict[str, str]:
    """The headers of a GET that opens a stream, or resumes it."""
    headers = {"Accept": EVENTS, **session.headers}
    if cursor.last_id is not None:
        headers["Last-Event-ID"] = cursor.last_id
    return headers
