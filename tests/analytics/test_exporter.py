"""Whatever the SDK hands over, only counts of success and error go on; and no outcome goes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tests.analytics.conftest import PATIENT
from tests.sink import Mode, Sink
from thv.analytics.constants import METRIC
from thv.analytics.exporter import AllowListExporter, allowed
from thv.analytics.otlp import Counts, encode

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000_000_000_000
DELTA = AggregationTemporality.DELTA

secrets = st.text("SECRET", min_size=6)
"""Words of nobody's contract."""

attributes = st.dictionaries(
    st.sampled_from(["status", "tool", "service.instance.id", "Status"]) | secrets,
    st.sampled_from(["success", "error", "SUCCESS"]) | secrets | st.integers() | st.booleans(),
    max_size=4,
)
exemplars = st.builds(
    Exemplar,
    filtered_attributes=st.dictionaries(secrets, secrets, max_size=2),
    value=st.integers(),
    time_unix_nano=st.integers(0, 2**63),
    span_id=st.integers(1, 2**64 - 1),
    trace_id=st.integers(1, 2**128 - 1),
)
values = st.integers() | st.floats() | st.booleans()
points = st.builds(
    NumberDataPoint,
    attributes=attributes,
    start_time_unix_nano=st.integers(0, 2**63),
    time_unix_nano=st.integers(0, 2**63),
    value=values,
    exemplars=st.lists(exemplars, max_size=2),
)
point_lists = st.lists(points, max_size=4)
sums = st.builds(
    Sum, point_lists, st.sampled_from([DELTA, AggregationTemporality.CUMULATIVE]), is_monotonic=st.booleans()
)
metrics = st.builds(
    Metric, st.sampled_from([METRIC, METRIC.upper()]) | secrets, secrets, secrets, sums | st.builds(Gauge, point_lists)
)
scopes = st.builds(InstrumentationScope, secrets, secrets, secrets)
resources = st.builds(Resource, st.dictionaries(secrets, secrets, max_size=2), secrets)
everything = st.builds(
    MetricsData,
    st.lists(
        st.builds(
            ResourceMetrics,
            resources,
            st.lists(st.builds(ScopeMetrics, scopes, st.lists(metrics, max_size=3), secrets), max_size=2),
            secrets,
        ),
        max_size=2,
    ),
)


def data(*given_points: NumberDataPoint, **changes: Any) -> MetricsData:
    total = Sum(**{"data_points": given_points, "aggregation_temporality": DELTA, "is_monotonic": True, **changes})
    scope = ScopeMetrics(InstrumentationScope("any"), [Metric(METRIC, "", "", total)], "")
    return MetricsData([ResourceMetrics(Resource({}), [scope], "")])


def point(status: Any, value: Any, **more: Any) -> NumberDataPoint:
    return NumberDataPoint({"status": status, **more}, 0, 0, value)


def counted(success: int, error: int = 0) -> MetricsData:
    return data(point("success", success), point("error", error))


@PATIENT
@given(given_data=everything)
def test_nothing_leaves_but_positive_counts_of_the_two_statuses(given_data: MetricsData) -> None:
    said = allowed(given_data)
    body = encode(said, NOW)
    rebuilt = ExportMetricsServiceRequest()
    rebuilt.CopyFrom(ExportMetricsServiceRequest.FromString(encode(Counts(1, 1), NOW)))
    [allowed_metric] = rebuilt.resource_metrics[0].scope_metrics[0].metrics
    sent = ExportMetricsServiceRequest.FromString(body)
    [sent_metric] = sent.resource_metrics[0].scope_metrics[0].metrics
    by_status = {bytes(p.attributes[0].SerializeToString()): p for p in allowed_metric.sum.data_points}
    for sent_point in sent_metric.sum.data_points:
        assert sent_point.as_int > 0
        sent_point.as_int = 1
        assert sent_point == by_status[bytes(sent_point.attributes[0].SerializeToString())]
    del allowed_metric.sum.data_points[:]
    del sent_metric.sum.data_points[:]
    assert sent == rebuilt


@pytest.mark.parametrize(
    ("given_data", "said"),
    [
        (counted(3, 4), Counts(3, 4)),
        (data(point("success", 1), point("success", 2)), Counts(3, 0)),
        (data(point("success", 2, tool="SECRET")), Counts(2, 0)),
        (data(point("success", True)), Counts()),
        (data(point("success", 1.0)), Counts()),
        (data(point("success", 0)), Counts()),
        (data(point("success", -1)), Counts()),
        (data(point("success", 2**63)), Counts()),
        (data(point("SUCCESS", 1)), Counts()),
        (data(point(1, 1)), Counts()),
        (data(NumberDataPoint({}, 0, 0, 1)), Counts()),
        (data(NumberDataPoint(None, 0, 0, 1)), Counts()),
        (data(point("success", 1), is_monotonic=False), Counts()),
        (data(point("success", 1), aggregation_temporality=AggregationTemporality.CUMULATIVE), Counts()),
        (MetricsData([]), Counts()),
    ],
)
def test_what_is_not_exactly_a_count_of_the_contract_is_left_behind(given_data: MetricsData, said: Counts) -> None:
    assert allowed(given_data) == said


def exporter_to(sink: Sink, clock: Callable[[], int] = lambda: NOW, timeout: float = 20.0) -> AllowListExporter:
    return AllowListExporter(endpoint=sink.endpoint, context=sink.client_context(), clock=clock, timeout=timeout)


def test_with_nothing_to_say_there_is_no_connection(sink: Sink) -> None:
    exporter = exporter_to(sink)
    assert exporter.export(counted(0, 0)) is MetricExportResult.SUCCESS
    assert exporter.export(MetricsData([])) is MetricExportResult.SUCCESS
    assert sink.connections == 0


def test_a_status_that_did_not_occur_is_not_mentioned(sink: Sink) -> None:
    exporter_to(sink).export(counted(2, 0))
    assert sink.requests[0].counts == {"success": 2}
    assert b"error" not in sink.requests[0].body


@pytest.mark.parametrize("mode", ["429", "503", "tls-bad-cert"])
def test_counts_that_were_surely_not_taken_go_with_the_next_export_once(mode: Mode, sink: Sink) -> None:
    exporter = exporter_to(sink)
    sink.mode = mode
    assert exporter.export(counted(1, 2)) is MetricExportResult.FAILURE
    assert exporter.export(counted(0, 4)) is MetricExportResult.FAILURE
    assert exporter.keeps_counts()
    sink.mode = "ok"
    sink.requests.clear()
    assert exporter.export(counted(8)) is MetricExportResult.SUCCESS
    assert not exporter.keeps_counts()
    assert exporter.export(counted(16)) is MetricExportResult.SUCCESS
    assert [request.counts for request in sink.requests] == [{"success": 9, "error": 6}, {"success": 16}]


def test_counts_kept_while_nobody_listened_go_with_the_next_export(sink: Sink) -> None:
    with Sink(mode="refuse") as closed:
        exporter = exporter_to(closed)
        assert exporter.export(counted(1)) is MetricExportResult.FAILURE
        assert exporter.keeps_counts()
    exporter._endpoint, exporter._context = sink.endpoint, sink.client_context()
    assert exporter.export(counted(0)) is MetricExportResult.SUCCESS
    assert sink.requests[0].counts == {"success": 1}


@pytest.mark.parametrize(
    "mode",
    ["400", "404", "500", "502", "redirect", "close-after-request", "not-http", "flood", "blackhole", "drip"],
)
def test_counts_that_may_have_been_taken_are_never_sent_again(mode: Mode, sink: Sink) -> None:
    exporter = exporter_to(sink, timeout=1.0 if mode in {"blackhole", "drip"} else 20.0)
    sink.mode = mode
    assert exporter.export(counted(1, 2)) is MetricExportResult.FAILURE
    assert not exporter.keeps_counts()
    sink.wait_for(1)
    sink.mode = "ok"
    exporter._timeout = 20.0
    assert exporter.export(counted(8)) is MetricExportResult.SUCCESS
    assert [request.counts for request in sink.requests[1:]] == [{"success": 8}]


def test_the_only_time_sent_is_the_minute_of_our_own_clock(sink: Sink) -> None:
    exporter_to(sink).export(data(NumberDataPoint({"status": "success"}, 12345, 67890, 1)))
    assert sink.requests[0].body == encode(Counts(1, 0), NOW)


def test_flushing_and_shutting_down_send_nothing(sink: Sink) -> None:
    exporter = exporter_to(sink)
    assert exporter.force_flush()
    exporter.shutdown()
    assert sink.connections == 0
