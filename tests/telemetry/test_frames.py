"""The frames between the recorder and the agent."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.payload_redaction import READ
from thv.telemetry.frames import (
    CAPTURED_BYTES,
    AgentSettings,
    Configure,
    FinishedSpan,
    Flush,
    Frame,
    HistogramPoint,
    Metrics,
    Peer,
    Signal,
    Spans,
    SumPoint,
    encode,
    encode_point,
    metrics_frame,
    read_frames,
)
from thv.telemetry.tracing import Parent, SpanContext

OURS = SpanContext(b"t" * 16, b"s" * 8, None, sampled=True)
SPAN = FinishedSpan(1, 2, "tools/call", "echo", None, "é", 0.5, OURS, "session")
FULL = FinishedSpan(
    *(-1, 1 << 62, "m", None, "v", None, "id", OURS, "session", True, "a=b", b"{", Peer("c=d", "::1", None)),
    *(Parent(b"t" * 16, b"l" * 8, sampled=False), "client", "tool_error", "-1", "why", b"["),
)
HISTOGRAM = HistogramPoint("h", {"mcp.method.name": "ping"}, 2, 0.5, 0.1, 0.4, [0, 2])
SUM = SumPoint("s", {}, -3)
FRAMES: list[Frame] = [
    Configure(
        AgentSettings(Signal("http://127.0.0.1:1/v1/traces", headers={"x": "y"}), None, 9464, {"service.name": "é"})
    ),
    Spans([SPAN, FULL], 7, -8),
    Metrics(1, 2, [HISTOGRAM, SUM]),
    Spans([]),
    Flush(),
]


def test_what_is_written_is_read() -> None:
    assert list(read_frames(io.BytesIO(b"".join(map(encode, FRAMES))))) == FRAMES


def test_as_much_is_told_as_is_read() -> None:
    assert CAPTURED_BYTES == READ


@given(st.integers(0, 400))
def test_points_encoded_one_by_one_are_the_same_snapshot(count: int) -> None:
    points: list[HistogramPoint | SumPoint] = [HISTOGRAM, SUM] * count
    frame = metrics_frame(5, 6, [encode_point(point) for point in points])
    assert list(read_frames(io.BytesIO(frame))) == [Metrics(5, 6, points)]


@given(st.integers(0, 600))
def test_an_end_in_the_middle_of_a_frame_costs_that_frame_only(cut: int) -> None:
    whole = b"".join(map(encode, FRAMES))
    read = list(read_frames(io.BytesIO(whole[:cut])))
    assert read == FRAMES[: len(read)]


def test_a_stream_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        list(read_frames(io.BytesIO(b"Traceback (most recent call last):\n")))
