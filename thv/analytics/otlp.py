"""What goes over the wire: two counts and a minute, as one OTLP/HTTP request. Pure; opens nothing.

The protobuf message is built here field by field from integers and constants, so there is no path by which a resource,
an exemplar, an attribute or a time of anyone else's could enter it. The SDK's own `encode_metrics` gives the same
bytes, but importing it imports `opentelemetry.sdk.trace`, which raises when a variable such as
`OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` is malformed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from thv.analytics.constants import ERROR, METRIC, SCOPE, STATUS, SUCCESS, USER_AGENT

MINUTE_NS = 60_000_000_000

LARGEST_COUNT = 2**63 - 1
"""`as_int` is a signed 64-bit integer (OTLP, metrics.proto, NumberDataPoint)."""

HTTPS_PORT = 443


@dataclass(frozen=True)
class Counts:
    """How many tool calls succeeded and failed. False when there is nothing to say."""

    success: int = 0
    error: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            min(self.success + other.success, LARGEST_COUNT),
            min(self.error + other.error, LARGEST_COUNT),
        )

    def __bool__(self) -> bool:
        return self.success > 0 or self.error > 0


@dataclass(frozen=True)
class Request:
    """One HTTP/1.1 POST, whole: what is here is sent, and nothing else is."""

    url: str
    host: str
    port: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"

    @property
    def target(self) -> str:
        """The request target (RFC 9112, 3.2.1)."""
        return urlsplit(self.url).path or "/"

    def to_bytes(self) -> bytes:
        """The exact bytes written to the connection, inside TLS."""
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("ascii") + self.body

    def readable_body(self) -> str:
        """The body as OTLP/JSON, decoded from the very bytes that are sent."""
        from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # protobuf has no stubs

        message = ExportMetricsServiceRequest.FromString(self.body)
        return json.dumps(MessageToDict(message), indent=2)


def request_for(counts: Counts, *, endpoint: str, now_ns: int) -> Request:
    """The request that reports `counts` to `endpoint` at `now_ns` (nanoseconds since the epoch).

    Raises ValueError if the endpoint is not an https URL with a host.
    """
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"usage analytics are only ever sent over https, not to {endpoint!r}")
    body = encode(counts, now_ns)
    headers = (
        ("Host", parts.netloc.rpartition("@")[2]),
        ("User-Agent", USER_AGENT),
        ("Content-Type", "application/x-protobuf"),
        ("Content-Length", str(len(body))),
        # RFC 9112, 9.6: a client that keeps no connection must say so.
        ("Connection", "close"),
    )
    return Request(endpoint, parts.hostname, parts.port or HTTPS_PORT, headers, body)


def encode(counts: Counts, now_ns: int) -> bytes:
    """An OTLP `ExportMetricsServiceRequest` with one point per outcome that occurred; zeros are left out.

    The interval of a point is always the last whole minute before `now_ns`. A true interval would begin where the one
    before it ended, which joins the exports of one machine to each other; and one shorter than a minute, floored, would
    have no length at all, which backends read as an unknown start (OpenTelemetry metrics data model, "Temporality").
    """
    end = now_ns - now_ns % MINUTE_NS
    points = [
        NumberDataPoint(
            attributes=[KeyValue(key=STATUS, value=AnyValue(string_value=status))],
            start_time_unix_nano=end - MINUTE_NS,
            time_unix_nano=end,
            as_int=count,
        )
        for status, count in ((SUCCESS, counts.success), (ERROR, counts.error))
        if count > 0
    ]
    total = Sum(
        data_points=points,
        aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
        is_monotonic=True,
    )
    scope = ScopeMetrics(scope=InstrumentationScope(name=SCOPE), metrics=[Metric(name=METRIC, sum=total)])
    everything = ResourceMetrics(resource=Resource(), scope_metrics=[scope])
    body: bytes = ExportMetricsServiceRequest(resource_metrics=[everything]).SerializeToString()
    return body
