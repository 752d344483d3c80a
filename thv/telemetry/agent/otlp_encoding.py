"""Frames into OTLP's protobuf messages: pure, no clock, no I/O.

Kept apart from the OpenTelemetry SDK: building its span objects first would double the time a span takes and the memory
of the process. Rules: opentelemetry-proto 1.x, `trace.proto` and `metrics.proto`; "Metrics Data Model", "Temporality".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from thv import __version__
from thv.telemetry.frames import HistogramPoint, Metrics, SumPoint
from thv.telemetry.instruments import INSTRUMENTS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thv.telemetry.frames import Attribute, SpanRecord

Point: TypeAlias = HistogramPoint | SumPoint
Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

SCOPE = "thv"
"""The instrumentation scope of everything we send."""

SAMPLED = 0x01
"""Bits 0-7 of a span's flags: those of W3C Trace Context. What is not sampled never gets here."""

REMOTENESS_KNOWN = 0x100
PARENT_IS_REMOTE = 0x200

SDK = {"telemetry.sdk.name": SCOPE, "telemetry.sdk.language": "python", "telemetry.sdk.version": __version__}
"""Resource attributes every OTLP source has; one that is not OpenTelemetry's SDK names itself (conventions, "SDK")."""


def resource_of(attributes: Mapping[str, str]) -> Resource:
    """The resource of everything this process sends. A user's attribute wins over one of ours."""
    return Resource(attributes=_attributes({**SDK, **attributes}))


def encode_spans(records: Sequence[SpanRecord], resource: Resource) -> bytes:
    """An `ExportTraceServiceRequest`."""
    scope = ScopeSpans(scope=_scope(), spans=[_span(record) for record in records])
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope])])
    return _bytes(request)


def encode_metrics(
    snapshot: Metrics, resource: Resource, time_ns: int, since: Metrics | None = None, *, delta: bool = False
) -> bytes:
    """An `ExportMetricsServiceRequest` of a snapshot as of `time_ns`.

    With `delta`, counters and histograms are what came since the snapshot `since` (or since the beginning), and series
    without anything new are left out; up-down counters stay cumulative (OTLP exporter, "Delta" preference). A delta
    histogram has no minimum and maximum: those of one interval cannot be told from two of the whole.
    """
    before = _by_series(since) if since is not None and delta else {}
    delta_start = since.time_ns if since is not None else snapshot.start_ns
    metrics: dict[str, Metric] = {}
    for point in snapshot.points:
        instrument = INSTRUMENTS[point.name]
        as_delta = delta and instrument.kind is not Kind.UP_DOWN_COUNTER
        news = _minus(point, before.get(_series(point))) if as_delta else point
        if news is None:
            continue
        metric = metrics.get(point.name)
        if metric is None:
            metric = metrics[point.name] = _metric(point.name, delta=as_delta)
        times: dict[str, Any] = {
            "start_time_unix_nano": delta_start if as_delta else snapshot.start_ns,
            "time_unix_nano": time_ns,
            "attributes": _attributes(news.attributes),
        }
        if isinstance(news, HistogramPoint):
            extremes: dict[str, Any] = {} if as_delta else {"min": news.min, "max": news.max}
            metric.histogram.data_points.append(
                HistogramDataPoint(
                    **times,
                    **extremes,
                    count=news.count,
                    sum=news.sum,
                    bucket_counts=news.bucket_counts,
                    explicit_bounds=instrument.bounds,
                )
            )
        else:
            metric.sum.data_points.append(NumberDataPoint(**times, as_int=news.value))
    if not metrics:
        return b""
    scope = ScopeMetrics(scope=_scope(), metrics=metrics.values())
    request = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scope])])
    return _bytes(request)


def _bytes(message: Any) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name=SCOPE, version=__version__)


def _attributes(attributes: Mapping[str, Attribute]) -> Any:
    # Dicts in place of messages, which the generated types do not know: half the time for each.
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Attribute) -> dict[str, Attribute]:
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        # A protobuf integer has 64 bits; JSON's have no limit.
        return {"int_value": value} if -(1 << 63) <= value < 1 << 63 else {"string_value": str(value)}
    return {"double_value": value}


def _span(record: SpanRecord) -> Span:
    flags = SAMPLED | REMOTENESS_KNOWN
    if record.parent_span_id is not None and record.parent_is_remote:
        flags |= PARENT_IS_REMOTE
    span = Span(
        trace_id=record.trace_id,
        span_id=record.span_id,
        parent_span_id=record.parent_span_id or b"",
        trace_state=record.trace_state,
        flags=flags,
        name=record.name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=record.start_ns,
        end_time_unix_nano=record.end_ns,
        attributes=_attributes(record.attributes),
    )
    if record.error_type is not None:
        span.status.code = Status.STATUS_CODE_ERROR
    return span


def _metric(name: str, *, delta: bool) -> Metric:
    instrument = INSTRUMENTS[name]
    metric = Metric(name=name, unit=instrument.unit, description=instrument.description)
    temporality = AGGREGATION_TEMPORALITY_DELTA if delta else AGGREGATION_TEMPORALITY_CUMULATIVE
    if instrument.kind is Kind.HISTOGRAM:
        metric.histogram.aggregation_temporality = temporality
    else:
        metric.sum.aggregation_temporality = temporality
        metric.sum.is_monotonic = instrument.monotonic
    return metric


def _series(point: Point) -> Series:
    return point.name, tuple(sorted(point.attributes.items()))


def _by_series(snapshot: Metrics) -> dict[Series, Point]:
    return {_series(point): point for point in snapshot.points}


def _minus(point: Point, before: Point | None) -> Point | None:
    """What came since `before`; None if nothing did."""
    if isinstance(point, SumPoint):
        value = point.value - (before.value if isinstance(before, SumPoint) else 0)
        return SumPoint(point.name, point.attributes, value) if value else None
    if not isinstance(before, HistogramPoint):
        return point if point.count else None
    if point.count == before.count:
        return None
    buckets = [now - then for now, then in zip(point.bucket_counts, before.bucket_counts, strict=True)]
    return HistogramPoint(
        name=point.name,
        attributes=point.attributes,
        count=point.count - before.count,
        sum=point.sum - before.sum,
        min=0.0,
        max=0.0,
        bucket_counts=buckets,
    )
