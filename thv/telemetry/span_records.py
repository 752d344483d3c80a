"""What a finished request becomes: a span record with the attributes of the semantic conventions for MCP, and our own.

Made on the agent client's thread, so that the relay's threads only keep what is needed for it. Names of our own stand
in the namespace `toolhive.`; the older ones, in the conventions' namespace, are added where the user has not turned
them off (`use-legacy-attributes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from thv.core.redaction import redact_structure
from thv.core.revisions import STATELESS
from thv.telemetry.aggregates import EXECUTE_TOOL, RESOURCE, TOOL, cut, network_attributes, target_kind
from thv.telemetry.frames import SpanLink, SpanRecord
from thv.telemetry.telemetry_settings import OWN, SPAN_ENVIRONMENT
from thv.telemetry.tracing import Parent, SpanContext, valid_tracestate

if TYPE_CHECKING:
    from thv.telemetry.aggregates import Combination
    from thv.telemetry.telemetry_settings import TelemetrySettings

MESSAGE_CHARACTERS: Final = 256
"""How much of a JSON-RPC error's message is the description of a status."""


class Peer(Struct, frozen=True, gc=False):
    """The HTTP request that brought a message: its `tracestate`, and the address it came from."""

    tracestate: str | None
    address: str
    port: int | None


class OpenSpan(Struct, gc=False, eq=False):
    """A request that has begun: the ledger's token. Clients may have tens of thousands of them open."""

    began: int
    method: str
    target: str | None
    version: str | None
    counted: Combination | None


class SampledRequest(OpenSpan, gc=False, eq=False):
    """One with a span."""

    client: str | None
    id: int | float | str | None
    span: SpanContext
    tracestate: str | None
    arguments: bytes | None
    peer: Peer | None = None
    link: Parent | None = None
    kind: Literal["server", "client"] = "server"


class FinishedRequest(Struct, gc=False, eq=False):
    """A request that has ended and becomes a span.

    `session_id` is our own, `http_session` whether it is its transport's, too.
    """

    request: SampledRequest
    ended: int
    version: str | None
    client: str | None
    session_id: str
    http_session: bool
    error_type: str | None
    code: str | None
    message: str | None
    result: bytes | None


class SpanRecords:
    """Makes the records of one process.

    Args:
        settings: what the user wants on spans.
        transport: how clients reach the server.
    """

    def __init__(self, settings: TelemetrySettings, transport: str) -> None:
        self._legacy = settings.legacy_attributes
        variables = {
            # What is no UTF-8 in the environment would be refused by every encoder after this.
            SPAN_ENVIRONMENT + name: value.encode("utf-8", "replace").decode()
            for name, value in settings.span_environment.items()
        }
        self._constant: dict[str, Any] = {
            "rpc.system.name": "jsonrpc",
            **network_attributes(transport),
            f"{OWN}server.name": settings.server,
            **{OWN + name: value for name, value in variables.items()},
        }
        if self._legacy:
            self._constant |= {"mcp.server.name": settings.server, **variables}

    def make(self, finished: FinishedRequest, offset: int) -> SpanRecord:
        """The record; `offset` turns a time of `time.perf_counter_ns` into one since the epoch."""
        request, span = finished.request, finished.request.span
        attributes = self._constant.copy()
        name = self._describe(request, attributes)
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
            attributes["gen_ai.tool.call.result"] = redact_structure(finished.result)
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
            status_message=None if finished.message is None else finished.message[:MESSAGE_CHARACTERS],
            links=[] if request.link is None else [_link(request.link, request.peer)],
            kind=request.kind,
        )

    def _describe(self, request: SampledRequest, attributes: dict[str, Any]) -> str:
        """Adds what the request says, and returns the span's name."""
        name = attributes["mcp.method.name"] = request.method
        if request.id is not None:
            attributes["jsonrpc.request.id"] = cut(str(request.id))
        kind = target_kind(request.method)
        if request.target is not None and kind is not None:
            attributes[kind] = request.target
            if kind != RESOURCE:
                name = f"{request.method} {request.target}"
        if kind == TOOL:
            attributes["gen_ai.operation.name"] = EXECUTE_TOOL
        if request.arguments is not None:
            attributes["gen_ai.tool.call.arguments"] = redact_structure(request.arguments)
        if request.peer is not None:
            attributes["client.address"] = request.peer.address
            if request.peer.port is not None:
                attributes["client.port"] = request.peer.port
        return name


def _link(link: Parent, peer: Peer | None) -> SpanLink:
    state = "" if peer is None or peer.tracestate is None else valid_tracestate(peer.tracestate)
    return SpanLink(link.trace_id, link.span_id, state)
