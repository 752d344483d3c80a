"""What a finished request becomes: a span record with the attributes of the semantic conventions for MCP, and our own.

Made in the agent's process, so that the relay only keeps what is needed for it. Names of our own stand in the namespace
`toolhive.`; the older ones, in the conventions' namespace, are added where the user has not turned them off
(`use-legacy-attributes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from thv.core.revisions import STATELESS
from thv.telemetry.aggregates import EXECUTE_TOOL, RESOURCE, TOOL, cut, network_attributes, target_kind
from thv.telemetry.telemetry_settings import OWN, SPAN_ENVIRONMENT
from thv.telemetry.tracing import valid_tracestate

if TYPE_CHECKING:
    from thv.telemetry.frames import AgentSettings, FinishedSpan, Peer
    from thv.telemetry.tracing import Parent

MESSAGE_CHARACTERS: Final = 256
"""How much of a JSON-RPC error's message is the description of a status."""


class SpanLink(Struct, frozen=True, gc=False):
    """Another trace that a span belongs to."""

    trace_id: bytes
    span_id: bytes
    trace_state: str = ""


class SpanRecord(Struct, frozen=True):
    """One finished span. Times are nanoseconds since the epoch.

    `error_type` set means status ERROR, with `status_message`, and is the attribute `error.type`, too. `trace_state` is
    the header's text, "" for none. `parent_span_id` is None for a root; `parent_is_remote` says that another process
    made it.
    """

    name: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    trace_state: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    error_type: str | None = None
    parent_is_remote: bool = True
    status_message: str | None = None
    links: list[SpanLink] = []
    kind: Literal["server", "client"] = "server"


class SpanRecords:
    """Makes the records of one session, according to `settings`."""

    def __init__(self, settings: AgentSettings) -> None:
        self._legacy = settings.legacy_attributes
        variables = {SPAN_ENVIRONMENT + name: value for name, value in settings.span_environment.items()}
        self._constant: dict[str, Any] = {
            "rpc.system.name": "jsonrpc",
            **network_attributes(settings.transport),
            f"{OWN}server.name": settings.server,
            **{OWN + name: value for name, value in variables.items()},
        }
        if self._legacy:
            self._constant |= {"mcp.server.name": settings.server, **variables}

    def make(self, finished: FinishedSpan, offset_ns: int) -> SpanRecord:
        """The record; `offset_ns` turns a time of the relay's `time.perf_counter_ns` into one since the epoch."""
        span = finished.span
        attributes = self._constant.copy()
        name = _describe(finished, attributes)
        attributes[f"{OWN}session.id"] = finished.session_id
        if finished.http_session and (finished.version or "") < STATELESS:  # later ones must not name a session
            attributes["mcp.session.id"] = finished.session_id
        for key, value in (
            ("mcp.protocol.version", finished.version),
            (f"{OWN}client.name", finished.client),
            ("mcp.client.name", finished.client if self._legacy else None),
            ("error.type", finished.error_type),
            ("rpc.response.status_code", finished.code),
        ):
            if value is not None:
                attributes[key] = value
        if finished.result is not None:
            attributes["gen_ai.tool.call.result"] = _redacted(finished.result)
        return SpanRecord(
            name,
            span.trace_id,
            span.span_id,
            span.parent_span_id,
            valid_tracestate(finished.tracestate) if finished.tracestate is not None else "",
            finished.began + offset_ns,
            finished.ended + offset_ns,
            attributes,
            finished.error_type,
            status_message=None if finished.message is None else finished.message[:MESSAGE_CHARACTERS],
            links=[] if finished.link is None else [_link(finished.link, finished.peer)],
            kind=finished.kind,
        )


def _describe(finished: FinishedSpan, attributes: dict[str, Any]) -> str:
    """Adds what the request says, and returns the span's name."""
    name = attributes["mcp.method.name"] = finished.method
    if finished.id is not None:
        attributes["jsonrpc.request.id"] = cut(str(finished.id))
    kind = target_kind(finished.method)
    if finished.target is not None and kind is not None:
        attributes[kind] = finished.target
        if kind != RESOURCE:
            name = f"{finished.method} {finished.target}"
    if kind == TOOL:
        attributes["gen_ai.operation.name"] = EXECUTE_TOOL
    if finished.arguments is not None:
        attributes["gen_ai.tool.call.arguments"] = _redacted(finished.arguments)
    if finished.peer is not None:
        attributes["client.address"] = finished.peer.address
        if finished.peer.port is not None:
            attributes["client.port"] = finished.peer.port
    return name


def _redacted(raw: bytes) -> Any:
    from thv.core.payload_redaction import redact_structure  # seldom needed, and half a MiB

    return redact_structure(raw)


def _link(link: Parent, peer: Peer | None) -> SpanLink:
    state = "" if peer is None or peer.tracestate is None else valid_tracestate(peer.tracestate)
    return SpanLink(link.trace_id, link.span_id, state)
