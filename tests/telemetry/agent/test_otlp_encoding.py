"""Frames become OTLP messages without loss, and deltas are exactly what came in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.telemetry.agent.agents import SECOND, START_NS, calls, durations, snapshot, span
from thv import __version__
from thv.telemetry.agent.otlp_encoding import encode_metrics, encode_spans, resource_of
from thv.telemetry.frames import SpanRecord, SumPoint
from thv.telemetry.instruments import DURATION_BOUNDS

RESOURCE = resource_of({})


def only_span(record: SpanRecord) -> Span:
    request = ExportTraceServiceRequest.FromString(encode_spans([record], RESOURCE))
    [resource] = request.resource_spans
    [scope] = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("thv", __version__)
    [decoded] = scope.spans
    assert isinstance(decoded, Span)
    return decoded


def test_a_span_arrives_as_it_was_recorded() -> None:
    record = span(5, parent_span_id=b"12345678", trace_state="vendor=x,other=y", error_type="tool_error")
    decoded = only_span(record)
    assert decoded.name == record.name
    assert decoded.kind == Span.SPAN_KIND_SERVER
    assert (decoded.trace_id, decoded.span_id, decoded.parent_span_id) == (
        record.trace_id,
        record.span_id,
        b"12345678",
    )
    assert decoded.trace_state == "vendor=x,other=y"
    assert (decoded.start_time_unix_nano, decoded.end_time_unix_nano) == (record.start_ns, record.end_ns)
    assert decoded.status.code == Status.STATUS_CODE_ERROR
    assert decoded.flags == 0x301


def test_a_span_without_an_error_has_no_status_and_a_root_no_remote_parent() -> None:
    decoded = only_span(span())
    assert decoded.status.code == Status.STATUS_CODE_UNSET
    assert decoded.parent_span_id == b""
    assert decoded.flags == 0x101


@pytest.mark.parametrize(
    ("value", "kind", "arrives"),
    [
        ("text", "string_value", "text"),
        ("", "string_value", ""),
        (True, "bool_value", True),
        (3, "int_value", 3),
        (-(1 << 63), "int_value", -(1 << 63)),
        (1 << 63, "string_value", str(1 << 63)),
        (0.5, "double_value", 0.5),
    ],
)
def test_an_attribute_keeps_its_type(value: str | float, kind: str, arrives: object) -> None:
    [attribute] = only_span(span(attributes={"k": value})).attributes
    assert attribute.value.WhichOneof("value") == kind
    assert getattr(attribute.value, kind) == arrives


def test_a_users_resource_attribute_wins() -> None:
    resource = resource_of({"service.name": "mine", "telemetry.sdk.name": "theirs"})
    values = {pair.key: pair.value.string_value for pair in resource.attributes}
    assert values["service.name"] == "mine"
    assert values["telemetry.sdk.name"] == "theirs"
    assert values["telemetry.sdk.language"] == "python"


def test_a_snapshot_arrives_cumulative_with_its_bounds() -> None:
    body = encode_metrics(snapshot(calls(3), durations(0.01, 500)), RESOURCE, START_NS + 5 * SECOND)
    request = ExportMetricsServiceRequest.FromString(body)
    counter, histogram = request.resource_metrics[0].scope_metrics[0].metrics
    assert counter.sum.is_monotonic
    assert counter.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    [point] = counter.sum.data_points
    assert (point.as_int, point.start_time_unix_nano, point.time_unix_nano) == (3, START_NS, START_NS + 5 * SECOND)
    assert histogram.unit == "s"
    [durations_point] = histogram.histogram.data_points
    assert tuple(durations_point.explicit_bounds) == DURATION_BOUNDS
    assert list(durations_point.bucket_counts) == [1, *[0] * 13, 1]
    assert (durations_point.min, durations_point.max) == (0.01, 500)


def test_a_delta_leaves_out_what_did_not_change_and_keeps_up_down_counters_cumulative() -> None:
    active = SumPoint("toolhive_mcp_active_connections", {"server": "demo"}, 2)
    before = snapshot(calls(3), calls(1, tool="other"), durations(1), active)
    after = snapshot(calls(5), calls(1, tool="other"), durations(1), active, after_s=3)
    body = encode_metrics(after, RESOURCE, after.time_ns, before, delta=True)
    request = ExportMetricsServiceRequest.FromString(body)
    counter, connections = request.resource_metrics[0].scope_metrics[0].metrics
    assert counter.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
    [point] = counter.sum.data_points
    assert (point.as_int, point.start_time_unix_nano) == (2, before.time_ns)
    assert connections.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert not connections.sum.is_monotonic
    assert connections.sum.data_points[0].as_int == 2


def test_a_delta_of_nothing_is_no_request() -> None:
    same = snapshot(calls(3), durations(1))
    assert encode_metrics(same, RESOURCE, same.time_ns, same, delta=True) == b""


@given(
    st.lists(st.lists(st.floats(0, 1000), min_size=1, max_size=5), min_size=1, max_size=5),
)
def test_deltas_of_a_histogram_add_up_to_it(rounds: list[list[float]]) -> None:
    seen: list[float] = []
    before = None
    total = 0
    buckets = [0] * (len(DURATION_BOUNDS) + 1)
    for number, values in enumerate(rounds, 1):
        seen += values
        now = snapshot(durations(*seen), after_s=number)
        body = encode_metrics(now, RESOURCE, now.time_ns, before, delta=True)
        request = ExportMetricsServiceRequest.FromString(body)
        [point] = request.resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
        total += point.count
        buckets = [sum(pair) for pair in zip(buckets, point.bucket_counts, strict=True)]
        before = now
    assert total == len(seen)
    assert buckets == durations(*seen).bucket_counts
