"""What waits in the SDK's queue to be exported: spans as the relay told them, packed, a tenth as large as the SDK's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from msgspec import Struct, msgpack
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanContext, TraceFlags

from thv.telemetry.frames import FinishedSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace.export import SpanExportResult

    from thv.telemetry.agent.span_builder import SpanBuilder
    from thv.telemetry.agent.span_records import SpanRecords

_SAMPLED = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

_pack = msgpack.Encoder().encode
_unpack = msgpack.Decoder(FinishedSpan).decode


class WaitingSpan(Struct, frozen=True, gc=False):
    """A span that is not made yet; `offset_ns` turns its times into nanoseconds since the epoch."""

    packed: bytes
    offset_ns: int

    @property
    def context(self) -> SpanContext:
        """That it is sampled, which is what the SDK's queue asks before it takes a span."""
        return _SAMPLED


class WaitingSpans(SpanExporter):
    """Makes spans when `exporter` takes them from the batch that it is handed."""

    def __init__(self, records: SpanRecords, builder: SpanBuilder, exporter: SpanExporter) -> None:
        self._records = records
        self._builder = builder
        self._exporter = exporter

    def waiting(self, told: FinishedSpan, offset_ns: int) -> ReadableSpan:
        """What is to wait for it: the span itself where the relay told much more than is shown."""
        if told.arguments is None and told.result is None and told.tracestate is None and told.peer is None:
            return WaitingSpan(_pack(told), offset_ns)  # type: ignore[return-value]  # the SDK's queue asks for no more than its context
        return self._made(told, offset_ns)

    def export(self, spans: Sequence[ReadableSpan | WaitingSpan]) -> SpanExportResult:
        """Hand on a batch."""
        return self._exporter.export(_Batch(spans, self._span))

    def _span(self, one: ReadableSpan | WaitingSpan) -> ReadableSpan:
        return self._made(_unpack(one.packed), one.offset_ns) if isinstance(one, WaitingSpan) else one

    def _made(self, told: FinishedSpan, offset_ns: int) -> ReadableSpan:
        return self._builder.build(self._records.make(told, offset_ns))

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()


class _Batch(Sequence[ReadableSpan]):
    """Spans of which each is made anew when it is asked for, so that those of one batch do not exist all at once."""

    def __init__(
        self, waiting: Sequence[ReadableSpan | WaitingSpan], make: Callable[[ReadableSpan | WaitingSpan], ReadableSpan]
    ) -> None:
        self._waiting = waiting
        self._make = make

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[ReadableSpan]:
        return map(self._make, self._waiting)

    @overload
    def __getitem__(self, place: int) -> ReadableSpan: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[ReadableSpan]: ...
    def __getitem__(self, place: int | slice) -> ReadableSpan | Sequence[ReadableSpan]:
        if isinstance(place, slice):
            return _Batch(self._waiting[place], self._make)
        return self._make(self._waiting[place])
