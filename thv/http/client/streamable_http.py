"""Streamable HTTP as a client speaks it, in both eras: up to 2025-11-25 with sessions, since 2026-07-28 without.

Promises: every request gets one reply, the server's or an error of ours; a message is handed on in the bytes it came
in. A session that the server has forgotten is begun anew, once for each request that meets it; an event stream that
broke is resumed where it may be. Nothing is sent twice that the server may have acted on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import httpx
from msgspec import UNSET, Struct

from thv.core.jsonrpc import HEADER_MISMATCH, addressed, encode_header
from thv.core.message import read_line
from thv.http.client.client_messages import (
    answered,
    error_code,
    is_modern_error,
    line_of_body,
    list_tools,
    negotiated_version,
    next_cursor,
    parts_for,
)
from thv.http.client.client_state import McpSession, Patience, PostExchange, ResumptionState, is_visible
from thv.http.client.http_client import RemoteError
from thv.http.client.server_stream import (
    ERROR_BODY,
    EVENTS,
    TOLD_STATUSES,
    ServerStream,
    is_expired,
    media_type,
    stream_headers,
)
from thv.http.sse import EventParser, EventTooLargeError
from thv.http.tool_headers import ToolHeaders, without_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.message import Message
    from thv.http.client.client_messages import Sent
    from thv.http.client.client_state import Deliver, Tell
    from thv.http.client.http_client import HttpClient

LINGER_S: Final = 1.0
"""Seconds a stream is read on after its reply, and after each message that follows: then its connection is closed."""

MAX_RESUMES: Final = 4
"""Attempts without any event after which one more is the last: a request is given up after about half a minute."""

MAX_PAGES: Final = 64
"""Pages of `tools/list` that are read to learn which headers a tool wants."""

ACCEPTED_STATUSES: Final = frozenset({202, 204})
"""The server took a message; where it was a request, the reply may come on the server's own stream."""

NO_REPLY: Final = "answers without a reply to the request"

LOST_REPLY_TIMEOUT_S: Final = 5.0
"""How long a reply that did not come on the stream of its request may take to come on the server's own one."""

LEGACY_STATUSES: Final = frozenset({400, 404, 405})
"""How a server of the older transport may answer `initialize` (2025-11-25, "Backwards Compatibility")."""


class Rejected(Struct, frozen=True):
    """The server took nothing of a request, for a reason that can be mended; `body` is its error."""

    body: bytes


class NotStreamableError(Exception):
    """The server answers `initialize` as one of the older transport would; `problem` is what to say if it is none."""

    def __init__(self, problem: RemoteError, body: bytes) -> None:
        super().__init__()
        self.problem = problem
        self.body = body


class StreamableHttp:
    """The client's side of one connection to a server of streamable HTTP.

    Args:
        http: the HTTP client.
        deliver: hands one line, without its newline, to our client; returns once it was taken.
        warn: tells the user a sentence.
        debug: tells what is done, when that was asked for.
    """

    def __init__(self, http: HttpClient, deliver: Deliver, *, warn: Tell, debug: Tell) -> None:
        self._http = http
        self._deliver = deliver
        self._warn = warn
        self._debug = debug
        self._session: McpSession | None = None
        self._initialize: Sent | None = None
        self._initialized: Sent | None = None
        self._renewing = asyncio.Lock()
        self._server_stream = ServerStream(
            http,
            self._follow,
            is_current=lambda session: session is self._session,
            renew=self._renewed,
            debug=debug,
        )
        self._tools = ToolHeaders()
        self._modern_version: str | None = None

    @property
    def has_session(self) -> bool:
        """Whether `initialize` was answered."""
        return self._session is not None

    async def initialize(self, exchange: PostExchange) -> None:
        """Bring `initialize` to its end.

        Raises:
            RemoteError: it failed.
            NotStreamableError: the server may be one of the older transport.
        """
        self._server_stream.stop()
        self._initialize, self._initialized = exchange.sent, None
        session = McpSession()
        await self._post(exchange, session)
        self._session = session if session.version is not None else None

    async def request(self, exchange: PostExchange) -> None:
        """Bring requests to their end: every reply was handed on.

        Raises:
            RemoteError: those that still wait will get no reply.
        """
        sent = exchange.sent
        session = None if sent.is_modern else self._session
        if sent.version is not None:
            self._modern_version = sent.version
        with self._server_stream.expecting(exchange):
            rejected = await self._post(exchange, session)
            if rejected is None:
                return
            if session is not None:
                await self._repeat(exchange, session)
            else:
                if await self._learn_headers(exchange.sent):
                    rejected = await self._post(exchange, None)
                if rejected is not None:
                    await self._take(exchange, rejected.body, None)

    async def notify(self, sent: Sent) -> None:
        """Hand on a notification or a reply.

        Raises:
            RemoteError: the server did not take it.
        """
        session = None if sent.is_modern else self._session
        if await self._post(PostExchange(sent), session) is not None and session is not None:
            session = await self._repeat(PostExchange(sent), session)
        if sent.method == "notifications/initialized" and session is not None:
            self._initialized = sent
            self._server_stream.start(session)

    async def close(self) -> None:
        """End the session on the server."""
        self._server_stream.stop()
        session, self._session = self._session, None
        if session is not None and session.id is not None:
            try:
                async with self._http.stream("DELETE", session.headers) as response:
                    self._debug(f"DELETE: {response.status_code}")
            except RemoteError as problem:
                self._debug(f"DELETE: {problem.sentence}")

    # One POST.

    def _tool_headers(self, call: Sent) -> dict[str, str]:
        return self._tools.headers_of(call.name, call.arguments) if call.method == "tools/call" else {}

    def _headers(self, sent: Sent, session: McpSession | None) -> dict[str, str]:
        headers = {"Accept": f"application/json, {EVENTS}", "Content-Type": "application/json"}
        if sent.is_modern:
            return {**headers, **sent.headers, **self._tool_headers(sent)}
        if session is not None:
            return {**headers, **session.headers}
        if self._modern_version is not None and sent.method not in {None, "initialize"}:
            # A notification has no version of its own to repeat.
            return {
                **headers,
                "MCP-Protocol-Version": encode_header(self._modern_version),
                "Mcp-Method": encode_header(str(sent.method)),
            }
        return headers

    async def _post(self, exchange: PostExchange, session: McpSession | None) -> Rejected | None:
        """Post it and hand on what comes.

        Raises:
            RemoteError: it failed.
        """
        sent = exchange.sent
        async with self._http.stream(
            "POST", self._headers(sent, session), sent.line, on_sent=exchange.on_its_way.set
        ) as response:
            exchange.on_its_way.set()
            kind = media_type(response)
            self._debug(f"POST {sent.method or 'a reply'}: {response.status_code} {kind}".rstrip())
            if not response.is_success:
                return await self._refused(exchange, session, response)
            if session is not None and sent.method == "initialize":
                session.id = response.headers.get("Mcp-Session-Id") or None
                if session.id is not None and not is_visible(session.id):
                    session.id = None
                    raise RemoteError(f"{self._http.place} names a session by an id that no header can carry")
            if kind == EVENTS:
                await self._follow(response, exchange.cursor, session, exchange)
            elif exchange.waiting and response.status_code not in ACCEPTED_STATUSES:
                await self._take_body(exchange, response, kind, session)
        if exchange.waiting and kind == EVENTS:
            await self._resume(exchange, session)
        elif exchange.waiting:
            accepted = response.status_code in ACCEPTED_STATUSES
            await self._server_stream.wait_for(exchange, None if accepted else LOST_REPLY_TIMEOUT_S)
            if exchange.waiting:
                self._server_stream.give_up(exchange)
                how = f"takes the request and answers nothing ({response.status_code})" if accepted else NO_REPLY
                raise RemoteError(f"{self._http.place} {how}")
        return None

    async def _take_body(
        self, exchange: PostExchange, response: httpx.Response, kind: str, session: McpSession | None
    ) -> None:
        place = self._http.place
        if not kind.startswith("application/json"):  # official clients take application/json-rpc as well
            raise RemoteError(f"{place} answers with {kind or 'no media type'}, where MCP wants JSON or events")
        line = line_of_body(await self._http.body(response))
        if not line:
            raise RemoteError(f"{place} answers with a body that is no JSON-RPC message")
        for part in parts_for(exchange.sent, line):
            await self._take(exchange, part, session)

    async def _refused(
        self, exchange: PostExchange, session: McpSession | None, response: httpx.Response
    ) -> Rejected | None:
        """Deal with a status that is no success."""
        sent, status = exchange.sent, response.status_code
        body = line_of_body(await self._http.body(response, ERROR_BODY))
        problem = RemoteError(self._http.refusal(status), status=status)
        code = error_code(body) if body else None
        if sent.method == "initialize":
            if status in LEGACY_STATUSES and not exchange.silent and not is_modern_error(code):
                raise NotStreamableError(problem, body)
        elif session is not None and is_expired(status, session, body, sent.asks):
            return Rejected(body)
        if code == HEADER_MISMATCH and sent.is_modern and sent.method == "tools/call":
            return Rejected(body)
        if await self.explained(exchange, body):
            if status in TOLD_STATUSES:
                self._warn(problem.sentence)
            return None
        raise problem

    async def explained(self, exchange: PostExchange, body: bytes) -> bool:
        """Hand on the server's own error, if the body is one: it says more than a status. Whether it is the reply."""
        if not body or error_code(body) is None or not exchange.waiting:
            return False
        await self._take(exchange, body, None)
        return not exchange.waiting

    async def _take(self, exchange: PostExchange | None, line: bytes, session: McpSession | None) -> None:
        """Hand on one line of the server, and take note of what it settles."""
        messages = read_line(line)
        if not messages:
            self._debug("the server sent an event that is not a message")
            return
        keys = answered(messages)
        if exchange is None and keys:
            exchange = self._server_stream.waiting_for(keys)
            if exchange is None and self._server_stream.is_late(keys):
                return
        if exchange is not None and keys:
            if exchange.sent.method == "initialize" and session is not None and session.version is None:
                session.version = negotiated_version(messages)
            elif exchange.sent.method == "tools/list" and exchange.sent.is_modern:
                line = self._learn_tools(line, messages)
            if exchange.silent:
                exchange.reply = line
                exchange.settle(keys)
                return
            if None in keys and exchange.waiting:
                line = addressed(line, exchange.waiting[0].id) or line
                messages = read_line(line)
        await self._deliver(line, messages)
        if exchange is not None:
            exchange.settle(keys)

    # Event streams.

    async def _follow(
        self,
        response: httpx.Response,
        cursor: ResumptionState,
        session: McpSession | None,
        exchange: PostExchange | None,
    ) -> None:
        """Hand on what an event stream brings, until it ends or breaks.

        Raises:
            RemoteError: it cannot be read any further, so resuming it would not help.
        """
        parser = EventParser()
        chunks = response.aiter_bytes()
        patience = Patience(LINGER_S)
        if exchange is not None:
            exchange.patience = patience
            if not exchange.waiting:
                patience.shorten()  # the reply came elsewhere
        try:
            while (chunk := await patience.wait_for(anext(chunks, None))) is not None:
                for event in parser.feed(chunk):
                    cursor.note(event)
                    line = line_of_body(event.data) if event.type == "message" else b""
                    for part in parts_for(None if exchange is None else exchange.sent, line):
                        await self._take(exchange, part, session)
                    if line and exchange is not None and not exchange.waiting:
                        patience.shorten()
        except TimeoutError:
            return  # the reply came, and the server keeps the stream open for no reason
        except EventTooLargeError as error:
            raise RemoteError(f"{self._http.place} sends {error}") from error
        except httpx.HTTPError as error:
            self._debug(self._http.explain(error))

    async def _resume(self, exchange: PostExchange, session: McpSession | None) -> None:
        """Ask for the rest of a broken stream until its replies have come (2025-11-25, "Resumability")."""
        cursor = exchange.cursor
        failures = 0
        while exchange.waiting:
            if session is not None and cursor.last_id is None:
                await self._server_stream.wait_for(exchange, LOST_REPLY_TIMEOUT_S)
                if not exchange.waiting:
                    return
            if session is None or cursor.last_id is None or failures > MAX_RESUMES:
                self._server_stream.give_up(exchange)
                raise RemoteError(f"{self._http.place} ended its stream before the reply came")
            await asyncio.sleep(cursor.delay(failures))
            events = cursor.events
            try:
                async with self._http.stream("GET", stream_headers(session, cursor)) as response:
                    self._debug(f"GET to resume: {response.status_code}")
                    if response.is_success and media_type(response) == EVENTS:
                        await self._follow(response, cursor, session, exchange)
                    elif not response.is_server_error:
                        cursor.last_id = None  # it does not resume
            except RemoteError as problem:
                self._debug(problem.sentence)
            failures = 0 if cursor.events > events else failures + 1

    def _learn_tools(self, line: bytes, messages: Sequence[Message]) -> bytes:
        """Take note of a list of tools; returns it without those that a client has to drop (2026-07-28)."""
        results = [message.result for message in messages if message.result is not UNSET]
        invalid = [name for result in results if result is not None for name in self._tools.learn(result.tools)]
        if not invalid:
            return line
        self._warn(
            f"{self._http.place}: not listed, for its x-mcp-header annotations are invalid: {', '.join(invalid)}"
        )
        return without_tools(line, invalid)

    # A session that the server forgot, and headers that it misses.

    async def _renewed(self, stale: McpSession) -> McpSession:
        """A session in place of one that the server does not know any more: begun as our client began the first.

        Raises:
            RemoteError: the server refuses, or speaks another revision now.
        """
        async with self._renewing:
            if self._session is not None and self._session is not stale:
                return self._session
            place = self._http.place
            if self._initialize is None:
                raise RemoteError(f"{place} forgot the session")
            session = McpSession()
            exchange = PostExchange(self._initialize, silent=True)
            await self._post(exchange, session)
            if session.version is None:
                raise RemoteError(f"{place} forgot the session and refuses a new one")
            if session.version != stale.version:
                raise RemoteError(f"{place} forgot the session and speaks another revision of MCP now: start anew")
            if self._initialized is not None:
                await self._post(PostExchange(self._initialized), session)
            # Only now, for the request that this is done for may be cancelled meanwhile.
            self._session = session
            self._warn(f"{place} forgot the session; a new one was begun")
            if self._initialized is not None:
                self._server_stream.start(session)
            return session

    async def _repeat(self, exchange: PostExchange, stale: McpSession) -> McpSession:
        """Post it once more, in a new session, which is returned. The client gets the server's error if it has one.

        Raises:
            RemoteError: it failed.
        """
        session = await self._renewed(stale)
        rejected = await self._post(exchange, session)
        if rejected is not None:
            problem = RemoteError(f"{self._http.place} forgets each session at once")
            if not await self.explained(exchange, rejected.body):
                raise problem
            self._warn(problem.sentence)
        return session

    async def _learn_headers(self, call: Sent) -> bool:
        """Ask which headers the server's tools want; whether that changes those of the call."""
        before = self._tool_headers(call)
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            exchange = PostExchange(list_tools(call, cursor), silent=True)
            await self._post(exchange, None)
            cursor = None if exchange.reply is None else next_cursor(exchange.reply)
            if cursor is None:
                break
        return self._tool_headers(call) != before
