"""The HTTP front of a stdio server, an ASGI application: `/mcp` as every revision since 2025-03-26 has it; `/health`.

At the level of JSON-RPC: what client and server say to each other passes as it is, whatever it says. What the
specification asks of HTTP is kept here: statuses, headers, sessions, streams, resumption.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from thv.errors import ThvError
from thv.http import wire
from thv.http.app.event_store import Stream
from thv.http.app.pending_post import Exchange
from thv.http.app.request_validation import McpHeaders, RefusalError, read_body, read_messages
from thv.http.app.response_writer import ResponseWriter
from thv.http.app.session_manager import TooManySessionsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thv.http.app.event_store import Send
    from thv.http.app.health import HealthCheck
    from thv.http.app.http_session import Session
    from thv.http.app.request_validation import Receive, Scope
    from thv.http.app.session_manager import SessionManager
    from thv.http.host_policy import HostPolicy
    from thv.http.wire import Id, Message

    Header = tuple[bytes, bytes]
    Posted = list[tuple[bytes, Message]]

SESSION_ID = b"mcp-session-id"

ALLOW = (b"allow", b"POST, GET, DELETE")
ALLOW_POST = (b"allow", b"POST")

PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-max-age", b"600"),
)

STATUS_OF: Mapping[float, int] = {
    wire.METHOD_NOT_FOUND: 404,
    wire.HEADER_MISMATCH: 400,
    wire.MISSING_CAPABILITY: 400,
    wire.UNSUPPORTED_VERSION: 400,
}
"""Statuses that the revision without sessions wants with certain errors (2026-07-28, "Request Metadata")."""


class StatelessCall:
    """One POST without a session, as a member of the server that it shares."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def reply(self, _id: Id, line: bytes, message: Message) -> Stream | None:
        """The request was answered."""
        self._exchange.reply(line, None if message.error is None else message.error.code or wire.INTERNAL_ERROR)
        return self._exchange.stream

    def status_of(self, message: Message) -> int:
        """An error has its own status, unless a stream is open."""
        if message.error is None or self._exchange.stream is not None:
            return wire.OK
        return _status_of(message.error.code or wire.INTERNAL_ERROR, STATUS_OF)

    def related(self, _id: Id | None, line: bytes) -> Stream | None:
        """Something belongs to the request."""
        return self._exchange.note(line)

    def unrelated(self, line: bytes) -> Stream | None:
        """Something is said to the only client that there is."""
        return self._exchange.note(line)

    def end(self, reason: str) -> None:
        """The server is gone."""
        self._exchange.fail(502, wire.error_reply(wire.INTERNAL_ERROR, reason))


class StreamableHttpApp:
    """The application.

    Args:
        hub: the sessions.
        health: whether the server answers.
        policy: who is let in.
        warn: told of what should not happen.

    Attributes:
        passed: a number that changes whenever a message passes.
    """

    def __init__(
        self, hub: SessionManager, health: HealthCheck, policy: HostPolicy, *, warn: Callable[[str], None]
    ) -> None:
        self._hub = hub
        self._health = health
        self._policy = policy
        self._say = warn
        self.passed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        self.passed += 1
        answer = ResponseWriter(receive, send)
        try:
            refusal = self._policy.refusal(scope["headers"])
            if refusal is not None:
                raise RefusalError(*refusal)  # noqa: TRY301  every refusal is answered in one place
            answer.headers = _cors(scope["headers"])
            await self._answer(scope, answer)
        except RefusalError as refused:
            await answer.json(refused.status, refused.body, *refused.headers)
        except TooManySessionsError:
            body = wire.error_reply(wire.INTERNAL_ERROR, "as many sessions are open as --max-sessions allows")
            await answer.json(503, body, (b"retry-after", b"5"))
        except ThvError as error:
            self._health.failed(str(error))
            await answer.json(502, wire.error_reply(wire.INTERNAL_ERROR, f"the server cannot be started: {error}"))
        except ConnectionError:
            pass  # the client is gone
        except Exception as error:  # noqa: BLE001  one request must not take the others with it
            self._say(f"internal error while answering {scope['method']} {scope['path']}: {error!r}")
            body = wire.error_reply(wire.INTERNAL_ERROR, "internal error of thv; see its stderr")
            await answer.json(500, body, (b"connection", b"close"))

    async def _answer(self, scope: Scope, answer: ResponseWriter) -> None:
        path, method = scope["path"], scope["method"]
        if path in {"/mcp", "/mcp/"}:
            if method == "POST":
                await self._post(McpHeaders(scope), answer)
            elif method == "GET":
                await self._get(McpHeaders(scope), answer)
            elif method == "DELETE":
                await self._delete(McpHeaders(scope), answer)
            elif method == "OPTIONS" and answer.headers:
                asked = dict(scope["headers"]).get(b"access-control-request-headers", b"content-type")
                await answer.empty(204, *PREFLIGHT, (b"access-control-allow-headers", asked))
            else:
                raise RefusalError(405, "the MCP endpoint takes POST, GET and DELETE", headers=(ALLOW,))
        elif path == "/health" and method in {"GET", "HEAD"}:
            await self._tell_health(answer)
        else:
            raise RefusalError(404, "there is nothing here; the MCP endpoint is /mcp")

    async def _tell_health(self, answer: ResponseWriter) -> None:
        if self._health.look():
            await answer.json(200, b'{"status":"ready"}')
        else:
            reason = wire.encoded(self._health.problem)
            await answer.json(503, b'{"status":"not ready","reason":%b}' % reason)

    async def _post(self, head: McpHeaders, answer: ResponseWriter) -> None:
        head.check_post()
        posted, batch = read_messages(await read_body(answer.receive), head.version)
        meta = posted[0][1].meta
        if head.is_stateless or (meta is not None and meta.protocol_version is not None):
            if batch:
                raise RefusalError(400, "this revision has no batches: send one message a POST")
            head.check_mirrors(posted[0][1])
            if not head.is_stateless:
                raise RefusalError(400, f"revision {head.version} has sessions: begin with initialize")
            await self._post_stateless(head, posted[0], answer)
        elif head.session is not None:
            session = self._session(head)
            exchange = await self._submit(head, session, posted, batch=batch)
            await _finish(exchange, answer)
        elif posted[0][1].method == "initialize" and posted[0][1].is_request and not batch:
            await self._greet(head, posted, answer)
        else:
            raise RefusalError(400, "no Mcp-Session-Id header: begin a session with a POST of initialize alone")

    async def _greet(self, head: McpHeaders, posted: Posted, answer: ResponseWriter) -> None:
        """A session begins. It is one once the server agrees; then the answer names it."""
        session = await self._hub.open_session()
        exchange = await self._submit(head, session, posted, batch=False)
        if exchange is not None:
            await _decide(exchange, answer)
            if exchange.error_code is None and exchange.refusal is None:
                answer.headers.append((SESSION_ID, session.id.encode()))
        await _finish(exchange, answer)
        if exchange is None or exchange.error_code is not None:
            session.end("the server refused to initialize the session")
        elif exchange.left:
            session.end("the client left before it knew the session")

    async def _submit(self, head: McpHeaders, session: Session, posted: Posted, *, batch: bool) -> Exchange | None:
        requests = sum(message.is_request for _, message in posted)
        exchange = self._exchange(head, requests, session.open_stream, batch=batch) if requests else None
        try:
            await session.submit(posted, exchange)
        except OSError:
            session.end("the server ended")
            if exchange is None:
                raise RefusalError(404, session.ended or "the session is over") from None
        return exchange

    async def _post_stateless(self, head: McpHeaders, posted: tuple[bytes, Message], answer: ResponseWriter) -> None:
        message = posted[1]
        if message.is_response:
            raise RefusalError(400, "in this revision clients send no responses")
        if not message.is_request:
            # Nobody could say whose request a cancellation means; a client closes its stream instead.
            await answer.empty(202)
            return
        server, account = await self._hub.stateless()
        exchange = self._exchange(head, 1, _unkept_stream, batch=False)
        call = StatelessCall(exchange)
        server.join(call, account)
        try:
            try:
                await server.send(call, *posted)
            except OSError:
                call.end("the server ended")
            await _finish(exchange, answer, STATUS_OF)
        finally:
            await server.leave(call)

    async def _get(self, head: McpHeaders, answer: ResponseWriter) -> None:
        if head.is_stateless:
            raise RefusalError(405, "this revision has no GET stream", headers=(ALLOW_POST,))
        if not head.accepts_events:
            raise RefusalError(406, "Accept must list text/event-stream")
        session = self._session(head)
        if head.last_event_id is None:
            stream, after = session.listen(), 0
        else:
            found = session.resume(head.last_event_id)
            if found is None:
                raise RefusalError(400, "no stream has an event of this Last-Event-ID any more")
            stream, after = found
        answer.headers.append((SESSION_ID, session.id.encode()))
        session.flush()
        await answer.carry(stream, after)

    async def _delete(self, head: McpHeaders, answer: ResponseWriter) -> None:
        if head.is_stateless:
            raise RefusalError(405, "this revision has no sessions", headers=(ALLOW_POST,))
        self._session(head).end("the client ended the session")
        await answer.empty(204)

    def _session(self, head: McpHeaders) -> Session:
        if head.session is None:
            raise RefusalError(400, "no Mcp-Session-Id header")
        session = self._hub.find(head.session)
        if session is None:
            raise RefusalError(404, "there is no such session any more; begin a new one with initialize")
        return session

    def _exchange(self, head: McpHeaders, requests: int, open_stream: Callable[[], Stream], *, batch: bool) -> Exchange:
        return Exchange(
            requests,
            accepts_json=head.accepts_json,
            accepts_events=head.accepts_events,
            batch=batch,
            open_stream=open_stream,
        )


def _unkept_stream() -> Stream:
    return Stream(0, None)


def _cors(headers: list[Header]) -> list[Header]:
    """What a browser wants to hear; the policy has let its page in."""
    for name, value in headers:
        if name == b"origin":
            return [
                (b"access-control-allow-origin", value),
                (b"access-control-expose-headers", b"Mcp-Session-Id"),
                (b"vary", b"Origin"),
            ]
    return []


async def _finish(
    exchange: Exchange | None, answer: ResponseWriter, status_of: Mapping[float, int] | None = None
) -> None:
    """Answer a POST with what came for it; None, because nothing is due."""
    if exchange is None:
        await answer.empty(202)
        return
    await _decide(exchange, answer)
    if exchange.left:
        return
    if exchange.stream is not None:
        await answer.carry(exchange.stream)
    elif exchange.refusal is not None:
        await answer.json(*exchange.refusal)
    else:
        await answer.json(_status_of(exchange.error_code, status_of or {}), exchange.body())


async def _decide(exchange: Exchange, answer: ResponseWriter) -> None:
    """Wait until it is known what goes out, or the client has left. A stream would show that; without one we watch."""
    if not exchange.takes_json_only or exchange.decided.done():
        await exchange.decided
        return
    leaving = asyncio.ensure_future(answer.left())
    try:
        await asyncio.wait([leaving, exchange.decided], return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
    exchange.left = not exchange.decided.done()


def _status_of(code: float | None, statuses: Mapping[float, int]) -> int:
    return wire.OK if code is None else statuses.get(code, wire.OK)
