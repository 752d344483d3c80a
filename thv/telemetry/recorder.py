"""The user's telemetry inside the relay: every request becomes a few integers, and a span if it is sampled.

What the relay's threads do here takes 2 to 4 µs a request: a decision, a time, a few additions, one item in a queue.
The agent client's thread hands that on; everything else happens in the agent's process. Metrics lose nothing; spans may
be dropped, and are counted then.

What the semantic conventions for MCP (status: development) leave open is decided like this:

- `error.type` is the JSON-RPC code as a string, `tool_error` for `isError: true`, `_OTHER` for an error without a code
  and for a request that was given up by us (too many open, or an unreadable reply); `cancelled` when the client
  cancelled; `abandoned` when it left without waiting; `server_gone` when the server ended. All but success are ERROR.
- Errors that are the caller's fault (`CALLER_FAULTS`) are none: there is only the code.
- A call that is answered with a task, or with a question, is a request that was answered: its span ends there, without
  error. The call's own outcome, whenever it comes, is counted in `toolhive_mcp_tool_calls`.
- The parent is the span that `_meta` names. The one that an HTTP header names is linked to, and the parent where
  `_meta` names none.
- `mcp.protocol.version` is the request's own (2026-07-28), else that of `initialize`.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from thv.core.current_request import CURRENT_REQUEST
from thv.core.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, RESOURCE_NOT_FOUND
from thv.telemetry.agent_client import CLOSE_TIMEOUT_S, AgentClient
from thv.telemetry.agent_process import start_agent
from thv.telemetry.aggregates import LABEL_BYTES, RESOURCE, SHORT, Aggregates, cut, target_kind
from thv.telemetry.frames import CAPTURED_BYTES, FinishedSpan, Peer
from thv.telemetry.open_spans import OpenSpan, SampledRequest
from thv.telemetry.tracing import LONGEST_TRACESTATE, Parent, Sampler, SpanContext, parse_traceparent

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from thv.core.current_request import RequestHead
    from thv.core.interfaces import EndReason, Outcome
    from thv.core.message import ErrorObject, Message
    from thv.telemetry.telemetry_settings import TelemetrySettings

CALLER_FAULTS: Final = frozenset({PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, RESOURCE_NOT_FOUND})
"""Errors that are none on the side of the server, as statuses 4xx are none in HTTP (conventions for MCP, "Status")."""

URI_BYTES: Final = 1024
"""UTF-8 bytes of a resource's URI on a span: long enough to know it by."""

UNNAMED: Final = "_OTHER"
"""The method of a request whose own is empty, or too long to be read: a span without a name would be none."""

MAX_CONTEXTS: Final = 4096
"""Contexts that wait to be passed on: those of one line, so this is a batch larger than any."""

MAX_SERVER_REQUESTS: Final = 1024
"""Requests of the server that its client has not answered: few servers have two at a time."""

MESSAGE_BYTES: Final = 1024
"""UTF-8 bytes of an error's message that are kept."""

_WIDEST: Final = 1 << 63
"""No integer of the protocol reaches it (MessagePack)."""

_END_ERRORS: Final[dict[EndReason, str]] = {
    "cancelled": "cancelled",
    "client_closed": "abandoned",
    "server_exited": "server_gone",
    "evicted": "_OTHER",
}
"""How a request without a reply ended -> `error.type`."""


class Telemetry:
    """The user's telemetry of one thv process.

    Args:
        settings: what the user wants.
        transport: how clients reach the server: `stdio`, `streamable-http` or `sse`.
        warn: writes a line for the user; may raise OSError.
        launch: starts the agent; another one in tests.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        *,
        transport: str,
        warn: Callable[[str], None],
        launch: Callable[[], Any] = start_agent,
    ) -> None:
        self._settings = settings
        self._over_http = transport != "stdio"
        self._aggregates = Aggregates(settings.server, transport) if settings.metrics else None
        self._sampler = (
            Sampler(settings.ratio, parent_based=settings.parent_based, propagate=settings.propagate)
            if settings.tracing
            else None
        )
        on_every_span = {
            "server": settings.server,
            "transport": transport,
            # What is no UTF-8 in the environment would be refused by every encoder after this.
            "span_environment": {
                name: value.encode("utf-8", "replace").decode() for name, value in settings.span_environment.items()
            },
            "legacy_attributes": settings.legacy_attributes,
        }
        self._client = AgentClient(
            {**settings.agent, **on_every_span}, self._aggregates, launch, warn, captures=settings.capture_arguments
        )

    def start(self) -> None:
        """Begin. The agent is started by `initialize`, the first other request that ends, or now for Prometheus."""
        self._client.start()

    def open_session(self, session_id: str | None = None) -> SessionRecorder:
        """The `RequestObserver` of a session that begins now; `session_id` is its transport's name for it, if any."""
        return SessionRecorder(
            self._aggregates, self._sampler, self._client, session_id, self._settings, over_http=self._over_http
        )

    def client_disconnected(self) -> None:
        """The last client left: what is recorded may be exported now. Returns at once."""
        self._client.flush()

    def end(self) -> None:
        """Nothing more will be recorded: begin to export what is left. Returns at once."""
        self._client.end()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Export what is left, in so many seconds at most."""
        self._client.close(timeout_s)


class SessionRecorder:
    """Records one session. A `RequestObserver`: several threads may call it, though each request is begun by one."""

    def __init__(
        self,
        aggregates: Aggregates | None,
        sampler: Sampler | None,
        client: AgentClient,
        session_id: str | None,
        settings: TelemetrySettings,
        *,
        over_http: bool,
    ) -> None:
        self._aggregates = aggregates
        self._sampler = sampler
        self._agent = client
        self._session_id = session_id or os.urandom(16).hex()
        self._http_session = session_id is not None
        self._over_http = over_http
        self._capture = settings.capture_arguments
        self._propagate = settings.propagate
        self._extract = settings.extract
        self._contexts: deque[tuple[int | float | str | None, str]] = deque(maxlen=MAX_CONTEXTS)
        self._server_requests: OrderedDict[Hashable, OpenSpan] = OrderedDict()
        self._version: str | None = None
        self._client: str | None = None
        self._began = perf_counter_ns()
        self._is_open = True
        if aggregates is not None:
            aggregates.session_opened()

    def on_request_started(  # noqa: C901, PLR0912 - the hot path: another function would cost it a tenth
        self, request: Message, at_ns: int
    ) -> object:
        """A request is about to be forwarded. The hot path: what is not needed now is done later."""
        began = at_ns or perf_counter_ns()
        if began < self._began:  # noqa: PLR1730 - min() costs more; what is inspected late passed before there was a recorder
            self._began = began
        method = request.method or UNNAMED
        params = request.params
        target = version = client = traceparent = tracestate = None
        if params is not None:
            kind = target_kind(method)
            if kind is not None:
                target = params.uri if kind == RESOURCE else params.name
            elif method == "initialize":
                self._agent.notify()  # the agent starts while the server does
            meta = params.meta
            if meta is not None:
                traceparent, tracestate, version = meta.traceparent, meta.tracestate, _short(meta.protocol_version)
                if meta.client_info is not None:
                    client = _short(meta.client_info.name)
            elif method == "initialize" and params.client_info is not None:
                self._client = _short(params.client_info.name)
        if len(method) > SHORT or (target is not None and len(target) > SHORT):
            method, target = _cut_both(method, target)
        sampler = self._sampler
        if sampler is None or self._agent.broken:
            return OpenSpan(began, method, target, version, None)
        link = None
        head = CURRENT_REQUEST.get() if self._over_http else None
        header = None if head is None else head.headers.get(b"traceparent")
        if (traceparent is not None or header is not None) and self._extract:
            span, tracestate, link = self._continue(sampler, traceparent, tracestate, header)
            if span is None:
                return OpenSpan(began, method, target, version, None)
        elif sampler.passed_over > 0:  # as `passes_over` does, without the call
            sampler.passed_over -= 1
            return OpenSpan(began, method, target, version, None)
        else:
            tracestate = None
            span = sampler.decide(None) if self._propagate else None
            if span is None and sampler.passes_over():
                return OpenSpan(began, method, target, version, None)
        if span is not None:
            if self._propagate:
                self._contexts.append((request.key, span.traceparent))
            if not span.sampled:
                return OpenSpan(began, method, target, version, None)
        arguments = _start_of(params.arguments) if self._capture and params is not None else None
        return SampledRequest(
            began, method, target, version, None, client, request.key, span, tracestate, arguments, _peer(head), link
        )

    def _continue(
        self, sampler: Sampler, traceparent: str | None, tracestate: str | None, header: bytes | None
    ) -> tuple[SpanContext | None, str | None, Parent | None]:
        """The span of a request for which a parent is named, its `tracestate`, and what it links to."""
        parent = None if traceparent is None else parse_traceparent(traceparent)
        by_header = None if header is None else parse_traceparent(header.decode("latin-1"))
        link = None
        if parent is None:
            head = CURRENT_REQUEST.get()
            parent = by_header
            tracestate = None if head is None else _text(head.headers.get(b"tracestate"))
        elif by_header is not None and by_header.span_id != parent.span_id:
            link = by_header
        span = sampler.decide(parent)
        if span is None or span.parent_span_id is None or len(tracestate or "") > LONGEST_TRACESTATE:
            tracestate = None
        return span, tracestate, link

    def on_request_finished(
        self, token: object, reason: EndReason, reply: Message | None, at_ns: int, http_status: int | None
    ) -> None:
        """The request is open no more. The hot path, too."""
        now = at_ns or perf_counter_ns()
        if not isinstance(token, OpenSpan):
            return
        error_type = code = message = result = None
        if reply is None:
            error_type = _END_ERRORS.get(reason, "_OTHER")
        elif reply.error is not None:
            error_type, code, message = _failure(reply.error)
        elif reply.result:
            seen = reply.result
            if seen.is_error and token.method == "tools/call":
                error_type = "tool_error"
            if token.method == "initialize" and seen.protocol_version is not None:
                self._version = _short(seen.protocol_version)
            result = _start_of(seen.content) if self._capture else None
        version = token.version or self._version
        if self._aggregates is not None:
            key = (token.method, token.target, version, error_type, code, http_status)
            token.counted = self._aggregates.request(key, now - token.began)
        if isinstance(token, SampledRequest):
            self._queue(token, now, (error_type, code, message), result)
        if not self._agent.awake:
            self._agent.notify()

    def _queue(
        self,
        request: SampledRequest,
        now: int,
        failure: tuple[str | None, str | None, str | None],
        result: bytes | None,
    ) -> None:
        if self._sampler is None or not self._agent.has_room():
            return
        id_ = request.id
        if isinstance(id_, str):
            if len(id_) > SHORT:
                id_ = cut(id_)  # thousands may wait in the queue
        elif isinstance(id_, int) and not -_WIDEST <= id_ < _WIDEST:
            id_ = cut(str(id_))
        self._agent.queue(
            FinishedSpan(
                request.began,
                now,
                request.method,
                request.target,
                request.version or self._version,
                request.client or self._client,
                id_,
                request.span or self._sampler.recorded_root(),
                self._session_id,
                self._http_session,
                request.tracestate,
                request.arguments,
                request.peer,
                request.link,
                request.kind,
                *failure,
                result,
            )
        )

    def on_server_request(self, request: Message, at_ns: int, scope: Hashable) -> None:
        """The server asked its client for something: its span is of kind CLIENT."""
        began, method = at_ns or perf_counter_ns(), cut(request.method or UNNAMED)
        token = OpenSpan(began, method, None, None, None)
        meta = request.meta
        if self._sampler is not None and not self._agent.broken:
            traceparent = None if meta is None or not self._extract else meta.traceparent
            span = self._sampler.decide(None if traceparent is None else parse_traceparent(traceparent))
            if span is not None and span.sampled:
                token = SampledRequest(
                    began, method, None, None, None, None, request.key, span, None, None, kind="client"
                )
        self._server_requests[scope, request.key] = token
        if len(self._server_requests) > MAX_SERVER_REQUESTS:
            self._server_requests.popitem(last=False)

    def on_server_request_answered(self, reply: Message, at_ns: int, scope: Hashable) -> None:
        """The client answered."""
        token = self._server_requests.pop((scope, reply.key), None)
        if token is None:
            return
        now = at_ns or perf_counter_ns()
        failure = (None, None, None) if reply.error is None else _failure(reply.error, faults=False)
        error_type, code, _ = failure
        if self._aggregates is not None:
            self._aggregates.server_request(token.method, self._version, error_type, code, now - token.began)
        if isinstance(token, SampledRequest):
            self._queue(token, now, failure, None)
        self._agent.notify()

    def on_tool_outcome(self, token: object, outcome: Outcome) -> None:
        """A tool call has its outcome."""
        if self._aggregates is not None and isinstance(token, OpenSpan) and token.counted is not None:
            self._aggregates.call(token.counted, outcome)
            if not self._agent.awake:
                self._agent.notify()

    def on_session_closed(self, error_type: str | None) -> None:
        """The session is over."""
        if not self._is_open:
            return
        self._is_open = False
        if self._aggregates is not None:
            self._aggregates.session_closed(self._version, error_type, perf_counter_ns() - self._began)
            self._agent.notify()

    def take_contexts(self) -> list[tuple[int | float | str | None, str]]:
        """Id and `traceparent` of each request begun since the last time, in order; only where they are passed on."""
        contexts = list(self._contexts)
        self._contexts.clear()
        return contexts


def _cut_both(method: str, target: str | None) -> tuple[str, str | None]:
    limit = URI_BYTES if target_kind(method) == RESOURCE else LABEL_BYTES
    return cut(method), None if target is None else cut(target, limit)


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHORT else cut(text)


def _failure(error: ErrorObject, *, faults: bool = True) -> tuple[str | None, str | None, str | None]:
    """`error.type`, the code and the message; with `faults`, one of the caller's is no error."""
    code = _code(error.code)
    if faults and error.code in CALLER_FAULTS:
        return None, code, None
    message = None if error.message is None else cut(error.message, MESSAGE_BYTES)
    return code or "_OTHER", code, message


def _peer(head: RequestHead | None) -> Peer | None:
    if head is None:
        return None
    return Peer(_text(head.headers.get(b"tracestate")), head.peer, head.peer_port)


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _code(code: float | None) -> str | None:
    if code is None:
        return None
    # float() is no way to find out: an int may be too large for it.
    return _short(str(int(code)) if code % 1 == 0 else str(code))


def _start_of(raw: Any) -> bytes | None:
    """As much of raw JSON as is ever shown, copied: the original holds its whole line."""
    return bytes(memoryview(raw)[:CAPTURED_BYTES]) if raw else None
