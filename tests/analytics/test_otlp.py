"""The bytes hold two counts, one minute and constants."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tests.analytics.conftest import PATIENT
from tests.sink import decode
from thv.analytics.constants import ENDPOINT, METRIC, SCOPE
from thv.analytics.otlp import LARGEST_COUNT, MINUTE_NS, Counts, encode, request_for

NOON = 1_790_000_040_000_000_000
"""A whole minute, in nanoseconds since the epoch."""

counts = st.builds(Counts, st.integers(0, LARGEST_COUNT), st.integers(0, LARGEST_COUNT))
times = st.integers(2 * MINUTE_NS, 2**62)


def as_the_sdk_would(said: Counts, now_ns: int) -> bytes:
    end = now_ns // MINUTE_NS * MINUTE_NS
    points = [
        NumberDataPoint({"status": status}, end - MINUTE_NS, end, value)
        for status, value in (("success", said.success), ("error", said.error))
        if value
    ]
    total = Sum(points, AggregationTemporality.DELTA, is_monotonic=True)
    scope = ScopeMetrics(InstrumentationScope(SCOPE), [Metric(METRIC, None, None, total)], "")
    encoded: bytes = encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope], "")])).SerializeToString()
    return encoded


@PATIENT
@given(said=counts.filter(bool), now_ns=times)
def test_the_body_is_what_the_sdks_own_encoder_makes_of_the_same_points(said: Counts, now_ns: int) -> None:
    assert encode(said, now_ns) == as_the_sdk_would(said, now_ns)


@PATIENT
@given(said=counts, earlier=st.integers(0, MINUTE_NS - 1), later=st.integers(0, MINUTE_NS - 1))
def test_requests_of_the_same_counts_within_a_minute_cannot_be_told_apart(
    said: Counts, earlier: int, later: int
) -> None:
    assert encode(said, NOON + earlier) == encode(said, NOON + later)


@PATIENT
@given(now_ns=times)
def test_a_point_spans_the_last_whole_minute_and_is_never_in_the_future(now_ns: int) -> None:
    message = decode(encode(Counts(1, 0), now_ns))
    [point] = message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    start, end = int(point["startTimeUnixNano"]), int(point["timeUnixNano"])
    assert end - start == MINUTE_NS
    assert end % MINUTE_NS == 0
    assert 0 <= now_ns - end < MINUTE_NS


def test_the_message_in_full() -> None:
    assert decode(encode(Counts(3, 0), NOON + 1)) == {
        "resourceMetrics": [
            {
                "resource": {},
                "scopeMetrics": [
                    {
                        "scope": {"name": "toolhive.usage_analytics"},
                        "metrics": [
                            {
                                "name": "toolhive_usage_tool_calls_total",
                                "sum": {
                                    "dataPoints": [
                                        {
                                            "startTimeUnixNano": str(NOON - MINUTE_NS),
                                            "timeUnixNano": str(NOON),
                                            "asInt": "3",
                                            "attributes": [{"key": "status", "value": {"stringValue": "success"}}],
                                        }
                                    ],
                                    "aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA",
                                    "isMonotonic": True,
                                },
                            }
                        ],
                    }
                ],
            }
        ]
    }


def test_the_request_in_full() -> None:
    request = request_for(Counts(1, 1), endpoint=ENDPOINT, now_ns=NOON)
    head, _, body = request.to_bytes().partition(b"\r\n\r\n")
    assert body == request.body
    assert head.decode() == (
        "POST /v1/traces HTTP/1.1\r\n"
        "Host: analytics.toolhive.stacklok.dev\r\n"
        "User-Agent: toolhive-usage-analytics\r\n"
        "Content-Type: application/x-protobuf\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close"
    )
    assert json.loads(request.readable_body()) == decode(body)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1/v1/traces", "127.0.0.1:4318", "https:///v1/traces", ""])
def test_nothing_but_https_is_an_endpoint(endpoint: str) -> None:
    with pytest.raises(ValueError, match="only ever sent over https"):
        request_for(Counts(1, 0), endpoint=endpoint, now_ns=NOON)


@PATIENT
@given(one=counts, other=counts)
def test_sums_stay_within_what_the_wire_can_hold(one: Counts, other: Counts) -> None:
    both = one.plus(other)
    assert both.success == min(one.success + other.success, LARGEST_COUNT)
    assert both.error == min(one.error + other.error, LARGEST_COUNT)
    assert bool(both) == (bool(one) or bool(other))
