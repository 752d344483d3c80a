"""The HTTP front of a stdio server: `/mcp` as every revision since 2025-03-26 has it, and `/health`.

At the level of JSON-RPC: what client and server say to each other passes unchanged, whatever it says. What the
specification asks of HTTP is implemented here: statuses, headers, sessions, streams, resumption.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Literal

from msgspec.json import encode

from thv.core.jsonrpc import INTERNAL_ERROR, error_reply
from thv.errors import ThvError
from thv.http.bearer_auth import CHALLENGE
from thv.http.cors import cors_headers, is_preflight, preflight_headers
from thv.http.front.event_store import EventStream
from thv.http.front.pending_post import JsonDeadlines, PendingPost
from thv.http.front.request_validation import McpHeaders, RefusalError, read_body, read_messages, take_whole_body
from thv.http.front.response_writer import OK, ResponseWriter
from thv.http.front.session_manager import TooManySessionsError
from thv.http.front.stateless_call import STATUS_OF, StatelessCall, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from thv.core.message import Message
    from thv.http.bearer_auth import BearerAuth
    from thv.http.front.health import HealthCheck
    from thv.http.front.http_session import HttpSession
    from thv.http.front.session_manager import SessionManager, StatelessServer
    from thv.http.host_policy import HostPolicy
    from thv.http.server.handler_runner import Work
    from thv.http.server.request import HttpRequest

    Header = tuple[bytes, bytes]
    Posted = list[tuple[bytes, Message]]
    Answered = Callable[[PendingPost], None]

SESSION_ID = b"mcp-session-id"

ABOUT_TO_STOP = "thv is about to stop; begin anew"

ALLOW = (b"allow", b"POST, GET, DELETE")
ALLOW_POST = (b"allow", b"POST")


class StreamableHttpApp:
    """The application.

    Args:
        sessions: all that are open.
        health: whether the server answers.
        policy: who may call.
        auth: the token that callers have to present, if they do.
        warn: called with lines for the user.

    Attributes:
        passed: a number that changes whenever a message passes.
        drain_state: whether thv is about to stop; then nothing new is begun.
    """

    def __init__(
        self,
        sessions: SessionManager,
        health: HealthCheck,
        policy: HostPolicy,
        auth: BearerAuth | None = None,
        *,
        warn: Callable[[str], None],
    ) -> None:
        self._sessions = sessions
        self._health = health
        self._policy = policy
        self._auth = auth
        self._warn = warn
        self._deadlines = JsonDeadlines()
        self._background_tasks: set[asyncio.Task[None]] = set()
        self.passed = 0
        self.drain_state: Literal["", "draining", "drained"] = ""

    def handle(self, request: HttpRequest) -> Work | None:
        """Answer one request, or begin to: nearly every call goes on to its server at once, and needs no task."""
        self.passed += 1
        answer = ResponseWriter(request)
        try:
            work = self._answer(request, answer)
        except Exception as error:  # noqa: BLE001  one request must not take the others with it
            self._answer_error(answer, error)
            return None
        return None if work is None else self._finish(answer, work)

    async def _finish(self, answer: ResponseWriter, work: Work) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  as above
            self._answer_error(answer, error)

    def _answer_error(self, answer: ResponseWriter, error: Exception) -> None:
        request = answer.request
        if isinstance(error, RefusalError):
            if not request.is_whole:
                request.keep_alive = False  # the rest of the body is of no use
            answer.json(error.status, error.body, *error.headers)
        elif isinstance(error, TooManySessionsError):
            body = error_reply(INTERNAL_ERROR, "as many sessions are open as --max-sessions allows", answer.id)
            answer.json(503, body, (b"retry-after", b"5"))
        elif isinstance(error, ThvError):
            self._health.failed(str(error))
            answer.json(502, error_reply(INTERNAL_ERROR, f"the server cannot be started: {error}", answer.id))
        elif not isinstance(error, ConnectionError):  # then the client left
            self._warn(f"internal error while answering {request.method} {request.path.decode('latin-1')}: {error!r}")
            request.keep_alive = False
            answer.json(500, error_reply(INTERNAL_ERROR, "internal error of thv; see its stderr", answer.id))

    def _answer(self, request: HttpRequest, answer: ResponseWriter) -> Work | None:
        headers = request.headers
        origin = headers.get(b"origin")
        is_known = request.head.findings is not None  # a POST that came this far before, at most with another length
        refusal = None if is_known else self._policy.decide(headers.get(b"host"), origin)
        if refusal is not None:
            raise RefusalError(*refusal)
        if origin is not None:
            answer.headers = cors_headers(origin)
        if is_known:
            return self._call(request, answer)
        path, method = request.path, request.method
        if path == b"/health" and method in {"GET", "HEAD"}:
            self._answer_health(answer)
        elif path not in {b"/mcp", b"/mcp/"}:
            raise RefusalError(404, "there is nothing here; the MCP endpoint is /mcp")
        elif is_preflight(method, headers):
            answer.headers = []
            answer.empty(204, *preflight_headers(headers))
        else:
            return self._call(request, answer)
        return None

    def _call(self, request: HttpRequest, answer: ResponseWriter) -> Work | None:
        """Answer a request to the MCP endpoint itself."""
        headers, method = request.headers, request.method
        if self._auth is not None and not self._auth.allows(headers.get(b"authorization")):
            raise RefusalError(401, "a bearer token is required", headers=(CHALLENGE,))
        if self.drain_state and method in {"POST", "GET"}:
            # 404 makes a client begin a session anew (MCP, "Session Management"), with the next pod.
            raise RefusalError(404 if SESSION_ID in headers else 503, ABOUT_TO_STOP)
        if method == "POST":
            return self._post(request, answer)
        if method == "GET":
            return self._get(McpHeaders(headers), answer)
        if method == "DELETE":
            self._delete(McpHeaders(headers), answer)
            return None
        raise RefusalError(405, "the MCP endpoint takes POST, GET and DELETE", headers=(ALLOW,))

    def _check_servers_stay(self, answer: ResponseWriter) -> None:
        """Refuse what came before thv was about to stop, and would only now reach a server, or start one.

        Raises:
            RefusalError: 503.
        """
        if self.drain_state == "drained":
            raise RefusalError(503, ABOUT_TO_STOP, id_=answer.id)

    def _answer_health(self, answer: ResponseWriter) -> None:
        if self.drain_state:
            answer.json(503, b'{"status":%b}' % encode(self.drain_state))
        elif self._health.look():
            answer.json(200, b'{"status":"ready"}')
        else:
            reason = encode(self._health.problem)
            answer.json(503, b'{"status":"not ready","reason":%b}' % reason)

    def _post(self, request: HttpRequest, answer: ResponseWriter) -> Work | None:
        known = request.head.findings
        if isinstance(known, McpHeaders):
            headers = known
        else:
            headers = McpHeaders(request.headers)
            headers.validate_post()
            request.head.findings = headers
        if request.is_whole:
            return self._accept(headers, take_whole_body(request), answer)
        return self._read_and_accept(headers, answer)

    async def _read_and_accept(self, headers: McpHeaders, answer: ResponseWriter) -> None:
        work = self._accept(headers, await read_body(answer.request), answer)
        if work is not None:
            await work

    def _accept(self, headers: McpHeaders, body: bytes, answer: ResponseWriter) -> Work | None:
        """Hand on the messages in the body of a POST."""
        posted, is_batch = read_messages(body, headers.version)
        first = posted[0][1]
        if first.is_request and not is_batch:
            answer.id = first.key
        if headers.is_stateless or (first.meta is not None and first.meta.protocol_version is not None):
            if is_batch:
                raise RefusalError(400, "this revision has no batches: send one message a POST")
            return self._post_stateless(headers, posted[0], answer)
        if headers.session is not None:
            session = self._session(headers)
            answered = partial(self._answer_post, answer, None, None)
            return self._submit(headers, session, posted, answer, answered, is_batch=is_batch)
        if first.method == "initialize" and first.is_request and not is_batch:
            return self._initialize(headers, posted, answer)
        raise RefusalError(400, "no Mcp-Session-Id header: begin a session with a POST of initialize alone")

    async def _initialize(self, headers: McpHeaders, posted: Posted, answer: ResponseWriter) -> None:
        """Begin a session. It exists once the server agrees; then the answer names it."""
        self._check_servers_stay(answer)
        session = await self._sessions.open_session()

        def answered(pending: PendingPost) -> None:
            if pending.error_code is None and pending.refusal is None:
                answer.headers.append((SESSION_ID, session.id.encode()))
            self._answer_post(answer, None, ended, pending)

        def ended(pending: PendingPost) -> None:
            if pending.error_code is not None:
                session.end("the server refused to initialize the session")
            elif pending.left:
                session.end("the client left before it knew the session", ended_by="client")

        work = self._submit(headers, session, posted, answer, answered, is_batch=False)
        if work is not None:
            await work

    def _submit(
        self,
        headers: McpHeaders,
        session: HttpSession,
        posted: Posted,
        answer: ResponseWriter,
        answered: Answered,
        *,
        is_batch: bool,
    ) -> Work | None:
        pending = None
        requests = [message for _, message in posted if message.is_request]
        if requests:
            pending = self._pending(headers, len(requests), session.open_stream, answer, answered, is_batch=is_batch)
        try:
            rest = session.submit(posted, requests, pending)
        except OSError:
            _end_unsent(session, pending)
            return None
        if rest is not None:
            return self._submit_rest(rest, session, pending, answer)
        if pending is None:
            answer.empty(202)
        return None

    async def _submit_rest(
        self, rest: Work, session: HttpSession, pending: PendingPost | None, answer: ResponseWriter
    ) -> None:
        try:
            await rest
        except OSError:
            _end_unsent(session, pending)
        if pending is None:
            answer.empty(202)

    def _post_stateless(
        self, headers: McpHeaders, posted: tuple[bytes, Message], answer: ResponseWriter
    ) -> Work | None:
        message = posted[1]
        if not message.is_request:
            if message.is_response:
                raise RefusalError(400, "in this revision clients send no responses")
            _check_revision(headers)
            # It is unknown which client's request a cancellation means; here a client closes its stream instead.
            answer.empty(202)
            return None
        headers.validate_stateless(message)
        stateless = self._sessions.running_stateless()
        if stateless is None or stateless.catalogue.has_to_ask(message):
            return self._prepare_stateless(headers, posted, answer)
        return self._call_stateless(stateless, headers, posted, answer)

    async def _prepare_stateless(
        self, headers: McpHeaders, posted: tuple[bytes, Message], answer: ResponseWriter
    ) -> None:
        """Call without a session when the server has to be started, or asked for its tools."""
        self._check_servers_stay(answer)
        stateless = await self._sessions.stateless()
        if stateless.catalogue.has_to_ask(posted[1]):
            await stateless.catalogue.ask(posted[1])
        self._check_servers_stay(answer)
        work = self._call_stateless(stateless, headers, posted, answer)
        if work is not None:
            await work

    def _call_stateless(
        self, stateless: StatelessServer, headers: McpHeaders, posted: tuple[bytes, Message], answer: ResponseWriter
    ) -> Work | None:
        line, message = posted
        problem = stateless.catalogue.mismatch(message, answer.request.headers)
        if problem is not None:
            raise headers.mismatch(message, problem)
        server = stateless.server
        call = StatelessCall(message.key, server, partial(self._answer_post, answer, STATUS_OF), self._in_background)
        call.pending = self._pending(headers, 1, _unkept_stream, answer, call.answered, is_batch=False)
        if call.pending.left:
            return None
        rest = server.call(call, stateless.instrumentation, line, message, scope=call)
        return None if rest is None else call.wait_sent(rest)

    def _pending(
        self,
        headers: McpHeaders,
        requests: int,
        open_stream: Callable[[], EventStream],
        answer: ResponseWriter,
        answered: Answered,
        *,
        is_batch: bool,
    ) -> PendingPost:
        """What waits for the replies to a POST. It answers the request itself, however long that takes."""
        request = answer.request
        request.is_deferred = True
        pending = PendingPost(
            requests,
            accepts_json=headers.accepts_json,
            accepts_events=headers.accepts_events,
            is_batch=is_batch,
            open_stream=open_stream,
            deadlines=self._deadlines,
            on_decided=answered,
        )
        if pending.stream is None:
            request.on_disconnect = pending.client_left
        if request.is_disconnected:
            pending.client_left()
        return pending

    def _answer_post(
        self, answer: ResponseWriter, statuses: Mapping[float, int] | None, ended: Answered | None, pending: PendingPost
    ) -> None:
        """It is decided what goes out for a POST: send it. `ended` is called once that is done or has failed."""
        try:
            if pending.stream is not None:
                self._in_background(self._stream_post(answer, pending.stream, ended, pending))
                return
            if pending.refusal is not None:
                answer.json(*pending.refusal)
            elif not pending.left:
                answer.json(OK if statuses is None else status_of(pending.error_code, statuses), pending.body())
            if ended is not None:
                ended(pending)
        except Exception as error:  # noqa: BLE001  the server's other clients must not suffer
            self._warn(f"internal error while answering a POST: {error!r}")

    async def _stream_post(
        self, answer: ResponseWriter, stream: EventStream, ended: Answered | None, pending: PendingPost
    ) -> None:
        try:
            await answer.stream_to(stream)
        finally:
            if ended is not None:
                ended(pending)

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        """Run it beside the requests."""
        task = asyncio.create_task(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    async def _get(self, headers: McpHeaders, answer: ResponseWriter) -> None:
        _check_revision(headers)
        if headers.is_stateless:
            raise RefusalError(405, "this revision has no GET stream", headers=(ALLOW_POST,))
        if not headers.accepts_events:
            raise RefusalError(406, "Accept must list text/event-stream")
        session = self._session(headers)
        if headers.last_event_id is None:
            stream, after = session.listen(), 0
        else:
            found = session.resume(headers.last_event_id)
            if found is None:
                raise RefusalError(400, "no stream has an event of this Last-Event-ID any more")
            stream, after = found
        answer.headers.append((SESSION_ID, session.id.encode()))
        session.flush(stream)
        await answer.stream_to(stream, after)

    def _delete(self, headers: McpHeaders, answer: ResponseWriter) -> None:
        _check_revision(headers)
        if headers.is_stateless:
            raise RefusalError(405, "this revision has no sessions", headers=(ALLOW_POST,))
        self._session(headers).end("the client ended the session", ended_by="client")
        answer.empty(204)

    def _session(self, headers: McpHeaders) -> HttpSession:
        if headers.session is None:
            raise RefusalError(400, "no Mcp-Session-Id header")
        session = self._sessions.find(headers.session)
        if session is None:
            raise RefusalError(404, "there is no such session any more; begin a new one with initialize")
        return session


def _end_unsent(session: HttpSession, pending: PendingPost | None) -> None:
    """The server accepts no more messages: end the session, which fails its open requests."""
    session.end("the server ended")
    if pending is None:
        raise RefusalError(404, session.ended or "the session is over") from None


def _check_revision(headers: McpHeaders) -> None:
    if not headers.is_known_revision:
        raise RefusalError(400, "the MCP-Protocol-Version header names no revision of the protocol")


def _unkept_stream() -> EventStream:
    return EventStream(0, None)
