"""Frames of metrics become the SDK's data without loss, and deltas are exactly what came in between."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricsData

from tests.telemetry.agent.agents import (
    INSTRUMENTATION_SCOPE,
    RESOURCE,
    START_NS,
    calls,
    collected,
    durations,
    snapshot,
)
from thv.telemetry.agent.metric_builder import MetricBuilder, Snapshot, delta_since
from thv.telemetry.frames import SumPoint
from thv.telemetry.instruments import DURATION_BOUNDS


def metrics(data: MetricsData | None) -> list[Any]:
    assert data is not None
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    assert scope.schema_url == INSTRUMENTATION_SCOPE.schema_url
    return list(scope.metrics)


def test_a_snapshot_is_cumulative_and_has_its_bounds() -> None:
    counter, histogram = metrics(collected(calls(3), durations(0.01, 500)))
    assert counter.data.is_monotonic
    assert counter.data.aggregation_temporality == AggregationTemporality.CUMULATIVE
    [point] = counter.data.data_points
    assert (point.value, point.start_time_unix_nano) == (3, START_NS)
    assert histogram.unit == "s"
    [durations_point] = histogram.data.data_points
    assert tuple(durations_point.explicit_bounds) == DURATION_BOUNDS
    assert list(durations_point.bucket_counts) == [1, *[0] * 13, 1]
    assert (durations_point.min, durations_point.max) == (0.01, 500)


def test_before_the_first_frame_there_is_nothing_to_collect() -> None:
    assert MetricBuilder(RESOURCE, INSTRUMENTATION_SCOPE).collect() is None


def test_no_session_is_open_after_the_end_even_of_a_relay_that_was_killed() -> None:
    builder = MetricBuilder(RESOURCE, INSTRUMENTATION_SCOPE)
    builder.put(snapshot(SumPoint("toolhive_mcp_active_connections", {}, 2), calls(3)))
    builder.end_session()
    connections, counter = metrics(builder.collect())
    assert (connections.data.data_points[0].value, counter.data.data_points[0].value) == (0, 3)


def test_a_delta_leaves_out_what_did_not_change_and_keeps_up_down_counters_cumulative() -> None:
    active = SumPoint("toolhive_mcp_active_connections", {"server": "demo"}, 2)
    before = collected(calls(3), calls(1, tool="other"), durations(1), active)
    after = collected(calls(5), calls(1, tool="other"), durations(1), active)
    counter, connections = metrics(delta_since(before, after))
    assert counter.data.aggregation_temporality == AggregationTemporality.DELTA
    [point] = counter.data.data_points
    assert (point.value, point.start_time_unix_nano) == (2, before.time_ns)
    assert connections.data.aggregation_temporality == AggregationTemporality.CUMULATIVE
    assert connections.data.data_points[0].value == 2


@given(
    st.lists(st.lists(st.floats(0, 1000), min_size=1, max_size=5), min_size=1, max_size=5),
)
def test_deltas_of_a_histogram_add_up_to_it(rounds: list[list[float]]) -> None:
    seen: list[float] = []
    before: Snapshot | None = None
    total = 0
    buckets = [0] * (len(DURATION_BOUNDS) + 1)
    for values in rounds:
        seen += values
        now = collected(durations(*seen))
        [histogram] = metrics(delta_since(before, now))
        [point] = histogram.data.data_points
        assert (point.min, point.max) == (None, None), "those of one interval are not known"
        total += point.count
        buckets = [sum(pair) for pair in zip(buckets, point.bucket_counts, strict=True)]
        before = now
    assert total == len(seen)
    assert buckets == durations(*seen).bucket_counts
