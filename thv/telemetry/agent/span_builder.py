"""Span records into the SDK's `ReadableSpan`s, with the SDK's limits applied. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.util.types import Attributes

    from thv.telemetry.agent.span_records import SpanLink, SpanRecord
    from thv.telemetry.frames import AgentSettings

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)  # what is not sampled never gets here
_UNSET = Status(StatusCode.UNSET)


class SpanBuilder:
    """Makes spans of one resource and one scope."""

    def __init__(self, resource: Resource, scope: InstrumentationScope, settings: AgentSettings) -> None:
        self._resource = resource
        self._scope = scope
        self._count = settings.attribute_count_limit
        self._length = settings.attribute_length_limit
        self._links = settings.link_count_limit

    def build(self, record: SpanRecord) -> ReadableSpan:
        """The span of a record."""
        parent = None
        if record.parent_span_id is not None:
            parent = _context(record.trace_id, record.parent_span_id, "", is_remote=record.parent_is_remote)
        return ReadableSpan(
            name=record.name,
            context=_context(record.trace_id, record.span_id, record.trace_state, is_remote=False),
            parent=parent,
            resource=self._resource,
            attributes=self._attributes(record),
            links=self._linked(record.links),
            kind=_KINDS[record.kind],
            status=_UNSET if record.error_type is None else Status(StatusCode.ERROR, record.status_message),
            start_time=record.start_ns,
            end_time=record.end_ns,
            instrumentation_scope=self._scope,
        )

    def _attributes(self, record: SpanRecord) -> Attributes:
        if self._count is None and self._length is None:
            return record.attributes
        return BoundedAttributes(self._count, record.attributes, immutable=False, max_value_len=self._length)

    def _linked(self, links: Sequence[SpanLink]) -> Sequence[Link]:
        if not links:
            return ()
        made = [Link(_context(one.trace_id, one.span_id, one.trace_state, is_remote=True)) for one in links]
        return made if self._links is None else BoundedList.from_seq(self._links, made)


def _context(trace_id: bytes, span_id: bytes, trace_state: str, *, is_remote: bool) -> SpanContext:
    state = TraceState.from_header([trace_state]) if trace_state else None
    return SpanContext(int.from_bytes(trace_id), int.from_bytes(span_id), is_remote, _SAMPLED, state)
