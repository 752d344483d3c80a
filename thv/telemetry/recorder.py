"""The user's telemetry inside the relay: every request becomes a few integers, and a span if it is sampled.

What the relay's threads do here takes 2 to 4 µs a request: a decision, a time, a few additions, one item in a queue.
Everything else happens on the courier's thread and in the agent's process. Metrics lose nothing; spans may be dropped,
and are counted then.

What the semantic conventions for MCP (status: development) leave open is decided like this:

- `error.type` is the JSON-RPC code as a string, `tool_error` for `isError: true`, `_OTHER` for an error without a code
  and for a request that was given up by us (too many open, or an unreadable reply); `cancelled` when the client
  cancelled; `abandoned` when it left without waiting; `server_exited` when the server ended. All but success are ERROR.
- A call that is answered with a task, or with a question, is a request that was answered: its span ends there, without
  error. The call's own outcome, whenever it comes, is counted in `toolhive_mcp_tool_calls`.
- A session over stdio has no id on the wire; it gets a random one, so that its spans can be found together.
- `mcp.protocol.version` is what the request says (2026-07-28), else what `initialize` settled.
"""

from __future__ import annotations

import os
from collections import deque
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from thv.core.redaction import READ, show
from thv.telemetry.agent_client import CLOSE_TIMEOUT_S, AgentClient
from thv.telemetry.agent_process import start_agent
from thv.telemetry.aggregates import (
    EXECUTE_TOOL,
    LABEL_BYTES,
    RESOURCE,
    TOOL,
    Aggregates,
    cut,
    network_attributes,
    target_kind,
)
from thv.telemetry.frames import SpanRecord
from thv.telemetry.tracing import LONGEST_TRACESTATE, Sampler, SpanContext, valid_tracestate

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import EndReason, Outcome
    from thv.core.message import Message
    from thv.telemetry.frames import Attribute
    from thv.telemetry.telemetry_settings import TelemetrySettings

URI_BYTES: Final = 1024
"""UTF-8 bytes of a resource's URI on a span: long enough to know it by."""

UNNAMED: Final = "_OTHER"
"""The method of a request whose own is empty, or too long to be read: a span without a name would be none."""

MAX_CONTEXTS: Final = 4096
"""Contexts that wait to be passed on: those of one line, so this is a batch larger than any."""

_END_ERRORS: Final[dict[EndReason, str]] = {
    "cancelled": "cancelled",
    "client_closed": "abandoned",
    "server_exited": "server_gone",
    "evicted": "_OTHER",
}
"""How a request without a reply ended -> `error.type`."""


_SHORT: Final = LABEL_BYTES // 4
"""Characters that need not be counted in bytes: what is longer is cut before it is kept."""


class _Open(Struct, gc=False, eq=False):
    """A request that has begun: the token."""

    began: int
    method: str
    target: str | None
    version: str | None
    client: str | None
    id: int | float | str | None
    span: SpanContext | None
    tracestate: str | None
    arguments: bytes | None


class _Finished(Struct, gc=False, eq=False):
    """A request that has ended and becomes a span."""

    request: _Open
    ended: int
    version: str | None
    client: str | None
    session_id: str
    error_type: str | None
    code: str | None
    result: bytes | None


class Telemetry:
    """The user's telemetry of one thv process.

    Args:
        settings: what the user wants.
        transport: how clients reach the server: `stdio`, `streamable-http` or `sse`.
        warn: tells the user something; may raise OSError.
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
        self._aggregates = Aggregates(settings.server, transport) if settings.metrics else None
        self._sampler = (
            Sampler(settings.ratio, parent_based=settings.parent_based, propagate=settings.propagate)
            if settings.tracing
            else None
        )
        self._span_attributes: dict[str, Attribute] = {
            "rpc.system.name": "jsonrpc",
            "mcp.server.name": settings.server,
            **network_attributes(transport),
            # What is no UTF-8 in the environment would be refused by every encoder after this.
            **{name: value.encode("utf-8", "replace").decode() for name, value in settings.span_environment.items()},
        }
        self._courier = AgentClient(settings.agent, self._aggregates, self._make_span, launch, warn)

    def start(self) -> None:
        """Begin. The agent is started by the first request, or at once if Prometheus is to find it."""
        self._courier.start()

    def open_session(self, session_id: str | None = None) -> SessionRecorder:
        """Whoever records the session that begins now: a `thv.core.interfaces.RequestObserver`."""
        return SessionRecorder(
            self._aggregates,
            self._sampler,
            self._courier,
            session_id or os.urandom(16).hex(),
            capture=self._settings.capture_arguments,
            propagate=self._settings.propagate,
        )

    def client_disconnected(self) -> None:
        """The last client left: what is recorded may be exported now. Returns at once."""
        self._courier.flush()

    def end(self) -> None:
        """Nothing more will be recorded: begin to export what is left. Returns at once."""
        self._courier.end()

    def close(self, budget_s: float = CLOSE_TIMEOUT_S) -> None:
        """Export what is left, in so many seconds at most."""
        self._courier.close(budget_s)

    def _make_span(self, finished: object, offset: int) -> SpanRecord:
        """The record of a finished request. On the courier's thread."""
        if not isinstance(finished, _Finished) or finished.request.span is None:
            raise TypeError("no finished span")
        request, span = finished.request, finished.request.span
        attributes = self._span_attributes.copy()
        name = attributes["mcp.method.name"] = request.method
        attributes["mcp.session.id"] = finished.session_id
        if request.id is not None:
            attributes["jsonrpc.request.id"] = cut(str(request.id))
        kind = target_kind(request.method)
        if request.target is not None and kind is not None:
            attributes[kind] = request.target
            if kind != RESOURCE:
                name = f"{request.method} {request.target}"
        if kind == TOOL:
            attributes["gen_ai.operation.name"] = EXECUTE_TOOL
        for key, value in (
            ("mcp.protocol.version", finished.version),
            ("mcp.client.name", finished.client),
            ("error.type", finished.error_type),
            ("rpc.response.status_code", finished.code),
        ):
            if value is not None:
                attributes[key] = value
        if request.arguments is not None:
            attributes["gen_ai.tool.call.arguments"] = show(request.arguments)
        if finished.result is not None:
            attributes["gen_ai.tool.call.result"] = show(finished.result)
        return SpanRecord(
            name,
            span.trace_id,
            span.span_id,
            span.parent_span_id,
            valid_tracestate(request.tracestate) if request.tracestate is not None else "",
            request.began + offset,
            finished.ended + offset,
            attributes,
            finished.error_type,
        )


class SessionRecorder:
    """Records one session. A `RequestObserver`: several threads may call it, though each request is begun by one."""

    def __init__(
        self,
        aggregates: Aggregates | None,
        sampler: Sampler | None,
        courier: AgentClient,
        session_id: str,
        *,
        capture: bool,
        propagate: bool,
    ) -> None:
        self._aggregates = aggregates
        self._sampler = sampler
        self._courier = courier
        self._session_id = session_id
        self._capture = capture
        self._propagate = propagate
        self._contexts: deque[tuple[int | float | str | None, str]] = deque(maxlen=MAX_CONTEXTS)
        self._version: str | None = None
        self._client: str | None = None
        self._began = perf_counter_ns()
        self._is_open = True
        if aggregates is not None:
            aggregates.session_opened()

    def on_request_started(self, request: Message, at_ns: int) -> object:
        """A request is about to be forwarded. The hot path: what is not needed now is done later."""
        began = at_ns or perf_counter_ns()
        self._began = min(self._began, began)  # what is inspected late passed before there was a recorder
        method = request.method or UNNAMED
        params = request.params
        target = version = client = traceparent = tracestate = None
        if params is not None:
            kind = target_kind(method)
            if kind is not None:
                target = params.uri if kind == RESOURCE else params.name
            meta = params.meta
            if meta is not None:
                traceparent, tracestate, version = meta.traceparent, meta.tracestate, _short(meta.protocol_version)
                if meta.client_info is not None:
                    client = _short(meta.client_info.name)
            elif method == "initialize" and params.client_info is not None:
                self._client = _short(params.client_info.name)
        span = arguments = None
        if self._sampler is not None and not self._courier.broken:
            span = self._sampler.decide(traceparent)
            if span is None or span.parent_span_id is None or len(tracestate or "") > LONGEST_TRACESTATE:
                tracestate = None
            if span is not None:
                arguments = self._spanned(request, span)
        if len(method) > _SHORT or (target is not None and len(target) > _SHORT):
            method, target = _cut_both(method, target)
        return _Open(began, method, target, version, client, request.key, span, tracestate, arguments)

    def _spanned(self, request: Message, span: SpanContext) -> bytes | None:
        """Keeps the context that may be passed on; returns the arguments, if they are to be shown."""
        if self._propagate:
            self._contexts.append((request.key, span.traceparent))
        if self._capture and span.sampled and request.params is not None:
            return _start_of(request.params.arguments)
        return None

    def on_request_finished(
        self, token: object, reason: EndReason, reply: Message | None, at_ns: int, http_status: int | None
    ) -> None:
        """The request is open no more. The hot path, too."""
        now = at_ns or perf_counter_ns()
        if not isinstance(token, _Open):
            return
        error_type = code = result = None
        if reply is None:
            error_type = _END_ERRORS.get(reason, "_OTHER")
        elif reply.error is not None:
            code = _code(reply.error.code)
            error_type = code or "_OTHER"
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
            self._aggregates.request(key, now - token.began)
        span, courier = token.span, self._courier
        if span is not None and span.sampled:
            if isinstance(token.id, str) and len(token.id) > _SHORT:
                token.id = cut(token.id)  # thousands may wait in the queue
            courier.queue(
                _Finished(
                    token,
                    now,
                    version,
                    token.client or self._client,
                    self._session_id,
                    error_type,
                    code,
                    result,
                )
            )
        courier.notify()

    def on_tool_outcome(self, token: object, outcome: Outcome) -> None:
        """A tool call has its outcome."""
        if self._aggregates is not None and isinstance(token, _Open):
            self._aggregates.call(token.target or "", outcome)
            self._courier.notify()

    def on_session_closed(self, error_type: str | None) -> None:
        """The session is over."""
        if not self._is_open:
            return
        self._is_open = False
        if self._aggregates is not None:
            self._aggregates.session_closed(self._version, error_type, perf_counter_ns() - self._began)
            self._courier.notify()

    def take_contexts(self) -> list[tuple[int | float | str | None, str]]:
        """Id and `traceparent` of each request begun since the last time, in order; only where they are passed on."""
        contexts = list(self._contexts)
        self._contexts.clear()
        return contexts


def _cut_both(method: str, target: str | None) -> tuple[str, str | None]:
    limit = URI_BYTES if target_kind(method) == RESOURCE else LABEL_BYTES
    return cut(method), None if target is None else cut(target, limit)


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHORT else cut(text)


def _code(code: float | None) -> str | None:
    if code is None:
        return None
    # float() is no way to find out: an int may be too large for it.
    return _short(str(int(code)) if code % 1 == 0 else str(code))


def _start_of(raw: Any) -> bytes | None:
    """As much of raw JSON as is ever shown, copied: the original holds its whole line."""
    return bytes(memoryview(raw)[:READ]) if raw else None
