"""The protocol between recorder and agent: frames on a pipe, each a length and a MessagePack body.

A frame is four bytes of length, little-endian, and one of `Configure`, `Spans`, `Metrics` or `Flush`. The pipe goes one
way, `Configure` comes first, and its end of file is the end of the session. Both sides are of one version: the recorder
starts the agent that stands beside it. Nothing here knows OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct, msgpack

from thv.telemetry.tracing import Parent, SpanContext  # noqa: TC001 - msgspec looks them up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO

LENGTH_BYTES = 4
"""Bytes of the length before each body, little-endian."""

MAX_FRAME = 64 << 20
"""Bytes of a body beyond which the stream cannot be ours: the largest real ones, full snapshots, stay under 4 MiB."""

CAPTURED_BYTES = 16 << 10
"""The most bytes of arguments, or of a result, sent to the agent: as many as `thv.core.payload_redaction` reads."""


class Signal(Struct, array_like=True, frozen=True):
    """Where one signal, traces or metrics, goes.

    `endpoint` is the full URL for http/protobuf (`https://host/v1/traces`), `host:port` or a URL for gRPC.
    `timeout_s` is in seconds. The three files are PEM: trust roots, and a client's certificate and key.
    """

    endpoint: str
    protocol: Literal["http/protobuf", "grpc"] = "http/protobuf"
    headers: dict[str, str] = {}
    insecure: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    timeout_s: float = 10.0
    compression: Literal["gzip", "none"] = "none"


class AgentSettings(Struct, array_like=True, frozen=True):
    """Everything the agent knows of the user's settings; it reads no `OTEL_*` variable.

    A signal that is None is off. `export_interval_s` is the time between two exports of metrics, in seconds.
    `linger_s` is how long Prometheus can still scrape the metrics after the end of the session.
    `temporality` is a value of `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`. Then come those of `OTEL_BSP_*`,
    `OTEL_SPAN_ATTRIBUTE_*` and `OTEL_SPAN_LINK_COUNT_LIMIT`; a limit that is None does not limit. The last members say
    what stands on every span: the server's name, how clients reach it (`stdio`, `streamable-http` or `sse`), variables,
    and whether our older attribute names do, too.
    """

    traces: Signal | None = None
    metrics: Signal | None = None
    prometheus_port: int | None = None
    resource: dict[str, str] = {}
    export_interval_s: float = 60.0
    debug: bool = False
    temporality: Literal["cumulative", "delta", "lowmemory"] = "cumulative"
    prometheus_host: str = "127.0.0.1"
    linger_s: float = 60.0
    metric_timeout_s: float = 30.0
    queue_size: int = 2048
    batch_size: int = 512
    schedule_delay_s: float = 5.0
    attribute_count_limit: int | None = None
    attribute_length_limit: int | None = None
    link_count_limit: int | None = None
    server: str = ""
    transport: str = "stdio"
    span_environment: dict[str, str] = {}
    legacy_attributes: bool = True


class Configure(Struct, array_like=True, frozen=True, tag="configure"):
    """The first frame, and the only one of its kind."""

    agent: AgentSettings


class Peer(Struct, array_like=True, frozen=True, gc=False):
    """The HTTP request that brought a message: its `tracestate`, and the address it came from."""

    tracestate: str | None
    address: str
    port: int | None


class FinishedSpan(Struct, array_like=True, frozen=True, gc=False):
    """A request that has ended and becomes a span: what the relay knows of it, as it knows it.

    Times are those of `time.perf_counter_ns`. `arguments` and `result` are the first bytes of raw JSON, not redacted
    yet. `session_id` is our own, `http_session` whether it is its transport's, too. With `error_type`, the status is
    ERROR, with `message`.
    """

    began: int
    ended: int
    method: str
    target: str | None
    version: str | None
    client: str | None
    id: int | float | str | None
    span: SpanContext
    session_id: str
    http_session: bool = False
    tracestate: str | None = None
    arguments: bytes | None = None
    peer: Peer | None = None
    link: Parent | None = None
    kind: Literal["server", "client"] = "server"
    error_type: str | None = None
    code: str | None = None
    message: str | None = None
    result: bytes | None = None


class Spans(Struct, array_like=True, frozen=True, tag="spans"):
    """Finished spans.

    `dropped` is how many had no room before they got here, since the session began; `offset_ns` turns their times into
    nanoseconds since the epoch.
    """

    spans: list[FinishedSpan]
    dropped: int = 0
    offset_ns: int = 0


class HistogramPoint(Struct, array_like=True, frozen=True, gc=False, tag="histogram"):
    """One series of a histogram: `bucket_counts` has one more entry than the instrument has bounds."""

    name: str
    attributes: dict[str, str]
    count: int
    sum: float
    min: float
    max: float
    bucket_counts: list[int]


class SumPoint(Struct, array_like=True, frozen=True, gc=False, tag="sum"):
    """One series of a counter or of an up-down counter."""

    name: str
    attributes: dict[str, str]
    value: int


class Metrics(Struct, array_like=True, frozen=True, tag="metrics"):
    """Every series as it stands at `time_ns`, cumulative since `start_ns` (nanoseconds since the epoch)."""

    start_ns: int
    time_ns: int
    points: list[HistogramPoint | SumPoint]


class Flush(Struct, array_like=True, frozen=True, tag="flush"):
    """Export what there is, now: the client has left, and the end of file is near."""


Frame: TypeAlias = Configure | Spans | Metrics | Flush

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Frame).decode


def agent_settings(plain: Mapping[str, Any]) -> AgentSettings:
    """The agent's settings from a dict by the same names, its signals being dicts or None."""
    signals = {name: None if plain[name] is None else Signal(**plain[name]) for name in ("traces", "metrics")}
    return AgentSettings(**{**plain, **signals})


def encode(frame: Frame) -> bytes:
    """The frame as it goes down the pipe, its length included."""
    return framed(_encode(frame))


def framed(body: bytes) -> bytes:
    """A body that is encoded already, with its length before it."""
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def metrics_frame(start_ns: int, time_ns: int, points: Sequence[bytes]) -> bytes:
    """A `Metrics` frame of points that were encoded one by one, so that no single step takes long."""
    head = _encode(Metrics(start_ns, time_ns, []))[:-1]  # an empty array is its last byte
    return framed(b"".join((head, b"\xdd", len(points).to_bytes(4, "big"), *points)))


def encode_point(point: HistogramPoint | SumPoint) -> bytes:
    """A point for `metrics_frame`."""
    return _encode(point)


def read_frames(stream: BinaryIO) -> Iterator[Frame]:
    """The frames in a stream until it ends; what an end in the middle of a frame leaves over is dropped.

    Raises:
        ValueError: this is no stream of ours.
    """
    while len(head := stream.read(LENGTH_BYTES)) == LENGTH_BYTES:
        size = int.from_bytes(head, "little")
        if size > MAX_FRAME:
            raise ValueError(f"a frame of {size} bytes")
        body = stream.read(size)
        if len(body) < size:
            return
        yield _decode(body)
