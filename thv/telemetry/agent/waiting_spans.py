"""What waits in the SDK's queue to be exported: spans as the relay told them, half as large as the SDK's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanContext, TraceFlags

from thv.telemetry.frames import FinishedSpan  # noqa: TC001 - msgspec looks it up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

    from thv.telemetry.agent.span_builder import SpanBuilder
    from thv.telemetry.agent.span_records import SpanRecords

_SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class WaitingSpan(Struct, frozen=True, gc=False):
    """A span that is not made yet; `offset_ns` turns its times into nanoseconds since the epoch."""

    finished: FinishedSpan
    offset_ns: int

    @property
    def context(self) -> SpanContext:
        """That it is sampled, which is what the SDK's queue asks before it takes a span."""
        return _SAMPLED


class WaitingSpans(SpanExporter):
    """Makes spans when they are handed to `exporter`."""

    def __init__(self, records: SpanRecords, builder: SpanBuilder, exporter: SpanExporter) -> None:
        self._records = records
        self._builder = builder
        self._exporter = exporter

    def waiting(self, span: WaitingSpan) -> ReadableSpan:
        """What is to wait for it: the span itself where the relay told much more than is shown."""
        told = span.finished
        if told.arguments is None and told.result is None and told.tracestate is None and told.peer is None:
            return span  # type: ignore[return-value]  # the SDK's queue asks for no more than its context
        return self._made(span)

    def export(self, spans: Sequence[ReadableSpan | WaitingSpan]) -> SpanExportResult:
        """Hand on a batch."""
        return self._exporter.export([self._made(one) if isinstance(one, WaitingSpan) else one for one in spans])

    def _made(self, span: WaitingSpan) -> ReadableSpan:
        return self._builder.build(self._records.make(span.finished, span.offset_ns))

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()
