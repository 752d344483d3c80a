"""Frames of metrics into the SDK's data model, and the difference of two snapshots (delta temporality).

The relay counts in integers of its own, since the SDK's instruments cost too much beside live traffic; from here on
everything is the SDK's. Rules: "Metrics Data Model", "Temporality". Pure but for the clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from thv.telemetry.frames import HistogramPoint
from thv.telemetry.instruments import ACTIVE_CONNECTIONS, INSTRUMENTS, Kind

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from thv.telemetry.frames import Metrics, SumPoint
    from thv.telemetry.instruments import Instrument

Series: TypeAlias = tuple[str, frozenset[tuple[str, Any]]]


@dataclass(frozen=True)
class Snapshot(MetricsData):
    """Every series as it stands. A higher `version` is newer; equal ones differ in their time alone."""

    version: int = 0
    time_ns: int = 0


class MetricBuilder:
    """Keeps the latest frame, and hands it to the SDK's readers as a `Snapshot`."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        self._resource = resource
        self._scope = scope
        self._latest: Metrics | None = None
        self._session_over = False
        self.version = 0

    def put(self, metrics: Metrics) -> None:
        """Replace the latest frame."""
        self._latest = metrics
        self.version += 1

    def end_session(self) -> None:
        """No session is open any more, even if the relay was killed before it could count that."""
        self._session_over = True

    def collect(self, *_: object, **__: object) -> Snapshot | None:
        """The latest frame as of now, cumulative; None before the first one."""
        version, latest = self.version, self._latest
        if latest is None:
            return None
        now = time.time_ns()
        points: dict[str, list[Any]] = {}
        for point in latest.points:
            points.setdefault(point.name, []).append(self._point(point, latest.start_ns, now))
        metrics = [_metric(INSTRUMENTS[name], found) for name, found in points.items()]
        return Snapshot(_wrapped(self._resource, self._scope, metrics), version, now)

    def _point(self, point: HistogramPoint | SumPoint, start_ns: int, now: int) -> NumberDataPoint | HistogramDataPoint:
        if isinstance(point, HistogramPoint):
            return HistogramDataPoint(
                point.attributes,
                start_ns,
                now,
                point.count,
                point.sum,
                point.bucket_counts,
                INSTRUMENTS[point.name].bounds,
                point.min,
                point.max,
            )
        closed = self._session_over and point.name == ACTIVE_CONNECTIONS.name
        return NumberDataPoint(point.attributes, start_ns, now, 0 if closed else point.value)


def points_in(data: MetricsData) -> int:
    """How many data points there are."""
    return sum(len(metric.data.data_points) for metric in data.resource_metrics[0].scope_metrics[0].metrics)


def delta_since(before: Snapshot | None, now: Snapshot) -> MetricsData | None:
    """What came since `before`, or since the beginning: series without anything new are left out; None if all are.

    Up-down counters stay cumulative (OTLP exporter, "Delta" preference). A histogram loses its minimum and maximum:
    those of one interval are not known.
    """
    earlier: dict[Series, Any] = {}
    for metric in [] if before is None else before.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            earlier[_series(metric.name, point)] = point
    resource = now.resource_metrics[0]
    scope = resource.scope_metrics[0]
    metrics = []
    for metric in scope.metrics:
        data: Any = metric.data
        if isinstance(data, Sum) and not data.is_monotonic:
            metrics.append(metric)
            continue
        changed = []
        for point in data.data_points:
            start_ns = point.start_time_unix_nano if before is None else before.time_ns
            news = _minus(point, earlier.get(_series(metric.name, point)), start_ns)
            if news is not None:
                changed.append(news)
        if changed:
            delta = replace(data, data_points=changed, aggregation_temporality=AggregationTemporality.DELTA)
            metrics.append(replace(metric, data=delta))
    if not metrics:
        return None
    return MetricsData([replace(resource, scope_metrics=[replace(scope, metrics=metrics)])])


def _minus(point: Any, earlier: Any, start_ns: int) -> Any:
    if isinstance(point, NumberDataPoint):
        value = point.value - (0 if earlier is None else earlier.value)
        return replace(point, value=value, start_time_unix_nano=start_ns) if value else None
    if earlier is None:
        earlier = replace(point, count=0, sum=0, bucket_counts=[0] * len(point.bucket_counts))
    if point.count == earlier.count:
        return None
    return replace(
        point,
        start_time_unix_nano=start_ns,
        count=point.count - earlier.count,
        sum=point.sum - earlier.sum,
        bucket_counts=[a - b for a, b in zip(point.bucket_counts, earlier.bucket_counts, strict=True)],
        min=None,
        max=None,
    )


def _series(name: str, point: Any) -> Series:
    return name, frozenset((point.attributes or {}).items())


def _metric(instrument: Instrument, points: list[Any]) -> Metric:
    cumulative = AggregationTemporality.CUMULATIVE
    data: Histogram | Sum
    if instrument.kind is Kind.HISTOGRAM:
        data = Histogram(points, cumulative)
    else:
        data = Sum(points, cumulative, instrument.monotonic)
    return Metric(instrument.name, instrument.description, instrument.unit, data)


def _wrapped(resource: Resource, scope: InstrumentationScope, metrics: list[Metric]) -> list[ResourceMetrics]:
    url = scope.schema_url or ""
    return [ResourceMetrics(resource, [ScopeMetrics(scope, metrics, url)], url)]
