"""What goes over the wire: two counts and a minute, as one OTLP/HTTP request. Pure; opens nothing.

The protobuf message is built field by field from integers and constants, so there is no path by which a resource, an
exemplar, an attribute or a time of another origin could enter it. The bytes are those of the OpenTelemetry SDK's own
encoder, which a test compares; the SDK itself is not needed for two integers.
"""

from __future__ import annotations

from typing import NamedTuple

from thv.analytics.constants import ERROR, METRIC, SCOPE, STATUS, SUCCESS, USER_AGENT

MINUTE_NS = 60_000_000_000

LARGEST_COUNT = 2**63 - 1
"""`as_int` is a signed 64-bit integer (OTLP, metrics.proto, NumberDataPoint)."""

HTTPS_PORT = 443


class Counts(NamedTuple):
    """How many tool calls succeeded and failed. False when there is nothing to report."""

    success: int = 0
    error: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sum, within what the wire can hold."""
        return Counts(min(self.success + other.success, LARGEST_COUNT), min(self.error + other.error, LARGEST_COUNT))

    def __bool__(self) -> bool:
        return self.success > 0 or self.error > 0


class ReportRequest(NamedTuple):
    """One HTTP/1.1 POST, whole: what is here is sent, and nothing else is."""

    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"

    @property
    def url(self) -> str:
        """Where it goes."""
        return f"https://{dict(self.headers)['Host']}{self.target}"

    def to_bytes(self) -> bytes:
        """The exact bytes written to the connection, inside TLS."""
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("ascii") + self.body

    def readable_body(self) -> str:
        """The body as OTLP/JSON, decoded from the very bytes that are sent."""
        import json

        from thv.analytics.explain import to_json

        return json.dumps(to_json(self.body), indent=2)


def request_for(counts: Counts, *, endpoint: str, now_ns: int) -> ReportRequest:
    """The request that reports `counts` to `endpoint` at `now_ns` (nanoseconds since the epoch).

    Raises ValueError if the endpoint is not an https URL with a host.
    """
    scheme, _, rest = endpoint.partition("://")
    authority, slash, path = rest.partition("/")
    host, _, port = authority.partition(":")
    if scheme != "https" or not host:
        raise ValueError(f"usage analytics are only ever sent over https, not to {endpoint!r}")
    body = encode(counts, now_ns)
    headers = (
        ("Host", authority),
        ("User-Agent", USER_AGENT),
        ("Content-Type", "application/x-protobuf"),
        ("Content-Length", str(len(body))),
        # RFC 9112, 9.6: a client that keeps no connection must say so.
        ("Connection", "close"),
    )
    return ReportRequest(host, int(port or HTTPS_PORT), f"{slash or '/'}{path}", headers, body)


def encode(counts: Counts, now_ns: int) -> bytes:
    """An OTLP `ExportMetricsServiceRequest` with one point per outcome that occurred; zeros are left out.

    The interval of a point is always the last whole minute before `now_ns`. A true interval would begin where the one
    before it ended, which joins the exports of one machine to each other; and one shorter than a minute, floored, would
    have no length at all, which backends read as an unknown start (OpenTelemetry metrics data model, "Temporality").
    """
    end = now_ns - now_ns % MINUTE_NS
    points = b"".join(
        _field(1, _point(status, count, end))  # Sum.data_points
        for status, count in ((SUCCESS, counts.success), (ERROR, counts.error))
        if count > 0
    )
    total = points + b"\x10\x01" + b"\x18\x01"  # Sum.aggregation_temporality: DELTA; Sum.is_monotonic: true
    metric = _field(1, METRIC.encode()) + _field(7, total)  # Metric.name, Metric.sum
    scope = _field(1, _field(1, SCOPE.encode())) + _field(2, metric)  # ScopeMetrics.scope and its name, .metrics
    return _field(1, _field(1, b"") + _field(2, scope))  # .resource_metrics: an empty .resource, and .scope_metrics


def _point(status: str, count: int, end: int) -> bytes:
    """A `NumberDataPoint`: start_time_unix_nano, time_unix_nano, as_int (all fixed64), attributes."""
    numbers = ((0x11, end - MINUTE_NS), (0x19, end), (0x31, count))
    fixed = b"".join(bytes([tag]) + number.to_bytes(8, "little") for tag, number in numbers)
    return fixed + _field(7, _field(1, STATUS.encode()) + _field(2, _field(1, status.encode())))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field (Protocol Buffers, "Encoding"): its tag, its length as a varint, its content."""
    length = len(content)
    prefix = bytearray([number << 3 | 2])
    while length > 0x7F:  # noqa: PLR2004  seven bits a byte
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(prefix) + bytes([length]) + content
