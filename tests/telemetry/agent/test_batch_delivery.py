"""A batch is held until it is delivered, refused for good, or the session ends; what became of it is known."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace.export import SpanExportResult

from tests.collector import Answer, Backend
from tests.ports import free_port
from tests.sink import PATIENCE, Sink
from tests.telemetry.agent.agents import (
    INSTRUMENTATION_SCOPE,
    RESOURCE,
    calls,
    collected,
    durations,
    readable,
    snapshot,
)
from thv.telemetry.agent import batch_delivery as module
from thv.telemetry.agent.batch_delivery import MetricDelivery, SpanDelivery
from thv.telemetry.agent.diagnostics import Diagnostics
from thv.telemetry.agent.metric_builder import MetricBuilder
from thv.telemetry.agent.otlp_http_exporter import HttpAttempts
from thv.telemetry.frames import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from thv.telemetry.agent.metric_builder import Snapshot
    from thv.telemetry.frames import HistogramPoint, SumPoint


@contextmanager
def delivering(url: str, ending: Event | None = None, **changes: object) -> Iterator[SpanDelivery]:
    attempts = HttpAttempts(Signal(f"{url}/v1/traces", **changes), "traces")  # type: ignore[arg-type]  # its members
    made = SpanDelivery(attempts, Diagnostics(), ending or Event())
    try:
        yield made
    finally:
        made.shutdown()


def delivering_to(sink: Sink, ending: Event | None = None) -> AbstractContextManager[SpanDelivery]:
    return delivering(f"https://127.0.0.1:{sink.port}", ending, ca_file=str(sink.ca_file))


class Said(Diagnostics):
    """Keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)


def partly(rejected: int, message: str = "") -> Answer:
    """An answer that rejects so many spans or points, with a remark."""
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return Answer(body=ExportTraceServiceResponse(partial_success=partial).SerializeToString())


def test_a_passing_failure_is_tried_again_until_it_passes() -> None:
    soon = Answer(503, {"Retry-After": "0.1"})
    with Backend([soon] * 9) as backend, delivering(backend.url) as sending:
        assert sending.export(readable(3)) is SpanExportResult.SUCCESS
        assert len({post.body for post in backend.posts}) == 1
        assert len(backend.posts) == 10, "more attempts than the SDK's six"
        assert sending.totals() == (3, 0)


def test_a_collector_that_is_away_is_asked_again_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    port = free_port()
    with delivering(f"http://127.0.0.1:{port}", timeout_s=0.05) as sending:
        thread = Thread(target=sending.export, args=(readable(5),))
        thread.start()
        thread.join(0.5)  # longer than the time for one export
        assert thread.is_alive()
        with Backend(port=port) as backend:
            thread.join(PATIENCE)
            assert len(backend.spans()) == 5
        assert sending.totals() == (5, 0)


def test_a_refusal_for_good_is_not_repeated() -> None:
    with Backend([Answer(400)]) as backend, delivering(backend.url) as sending:
        assert sending.export(readable(3)) is SpanExportResult.FAILURE
        assert len(backend.posts) == 1
        assert sending.totals() == (0, 0)


def test_what_the_collector_rejected_is_not_delivered() -> None:
    with Backend([Answer(body=b"\x0a\x02\x08\x02")]) as backend, delivering(backend.url) as sending:
        sending.export(readable(5))
        assert sending.totals() == (3, 0)


def test_no_more_is_rejected_than_was_sent() -> None:
    said = Said()
    with Backend([partly(99), partly(99)]) as backend:
        sending = SpanDelivery(HttpAttempts(Signal(f"{backend.url}/v1/traces"), "traces"), said, Event())
        sending.export(readable(5))
        assert sending.totals() == (0, 0)
        sending.shutdown()
        points = MetricDelivery(
            HttpAttempts(Signal(f"{backend.url}/v1/metrics"), "metrics"), said, Event(), interval_s=60, delta=False
        )
        points.export(collected(calls(1), calls(2, tool="sub"), durations(1)))
        points.shutdown()
    assert said.lines == [
        f"telemetry: {backend.url} rejected 5 of the spans that it was sent",
        f"telemetry: {backend.url} rejected 3 of the points that it was sent",
    ]


def test_each_different_remark_is_told_once_whatever_numbers_are_in_it() -> None:
    remarks = ["3 spans are late", "span 0a1b has no name", "4 spans are late", "span 0c is late"]
    said = Said()
    with Backend([partly(0, remark) for remark in remarks]) as backend:
        sending = SpanDelivery(HttpAttempts(Signal(f"{backend.url}/v1/traces"), "traces"), said, Event())
        for _ in remarks:
            sending.export(readable(1))
        sending.shutdown()
    told = [remarks[0], remarks[1], remarks[3]]
    assert said.lines == [f"telemetry: {backend.url} remarks: {remark}" for remark in told]


def test_a_request_without_an_answer_may_have_been_taken() -> None:
    ending = Event()
    ending.set()
    with Sink(mode="close-after-request") as sink, delivering_to(sink, ending) as sending:
        sending.export(readable(4))
        assert sending.totals() == (0, 4)


def test_a_request_on_its_way_may_be_taken() -> None:
    ending = Event()
    with Sink(mode="blackhole") as sink, delivering_to(sink, ending) as sending:
        thread = Thread(target=sending.export, args=(readable(4),))
        thread.start()
        sink.wait_for(1)
        assert sending.totals() == (0, 4)
        ending.set()
        sink.close_connections()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_the_end_of_the_session_ends_a_pause_with_one_last_attempt() -> None:
    ending = Event()
    with Backend([Answer(503)] * 9) as backend, delivering(backend.url, ending) as sending:
        thread = Thread(target=sending.export, args=(readable(1),))
        thread.start()
        backend.wait_for(lambda: len(backend.posts) == 1)
        ending.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert len(backend.posts) == 2


def test_at_the_end_a_collector_that_asks_for_it_gets_another_attempt() -> None:
    ending = Event()
    ending.set()
    with Backend([Answer(503, {"Retry-After": "0.1"})] * 2) as backend, delivering(backend.url, ending) as sending:
        sending.export(readable(1))
        assert len(backend.posts) == 3
        assert sending.totals() == (1, 0)


class Pauses(Event):
    """The event of a session's end, which takes no time: each wait is recorded, and the last one is ended by it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        if len(self.seconds) == self.most:
            self.set()
        return self.is_set()


def test_the_pauses_double_up_to_eight_seconds_and_vary_by_a_fifth() -> None:
    seen = []
    for _ in range(20):
        ending = Pauses(5)
        with Backend([Answer(503)] * 6) as backend, delivering(backend.url, ending) as sending:
            assert sending.export(readable(1)) is SpanExportResult.FAILURE
            assert len(backend.posts) == 6, "one more than there are pauses"
        seen.append(ending.seconds)
    for expected, seconds in zip((1, 2, 4, 8, 8), zip(*seen, strict=True), strict=True):
        assert 0.8 * expected <= min(seconds) < 0.97 * expected
        assert 1.03 * expected < max(seconds) <= 1.2 * expected


@pytest.mark.parametrize(("asked", "obeyed"), [("0.25", 0.25), ("59", 59), ("3600", 60)])
def test_a_collector_names_its_own_pause_of_a_minute_at_most(asked: str, obeyed: float) -> None:
    ending = Pauses(3)
    with Backend([Answer(503, {"Retry-After": asked})] * 3) as backend, delivering(backend.url, ending) as sending:
        assert sending.export(readable(1)) is SpanExportResult.SUCCESS
    assert ending.seconds == [obeyed] * 3


NO_PAUSES = ["0", "-5", "0.001", "Wed, 21 Oct 2015 07:28:00 GMT"]


@pytest.mark.parametrize("asked", NO_PAUSES)
def test_a_collector_that_names_no_real_pause_is_not_asked_without_one(asked: str) -> None:
    ending = Pauses(3)
    with Backend([Answer(429, {"Retry-After": asked})] * 3) as backend, delivering(backend.url, ending) as sending:
        assert sending.export(readable(1)) is SpanExportResult.SUCCESS
    for expected, seconds in zip((1, 2, 4), ending.seconds, strict=True):
        assert 0.8 * expected <= seconds <= 1.2 * expected


@pytest.mark.parametrize("asked", NO_PAUSES)
def test_at_the_end_too_it_is_not_asked_without_a_pause(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("thv.telemetry.agent.batch_delivery.time.sleep", paused.append)
    ending = Event()
    ending.set()
    with Backend([Answer(429, {"Retry-After": asked})] * 3) as backend, delivering(backend.url, ending) as sending:
        assert sending.export(readable(1)) is SpanExportResult.SUCCESS
    assert paused == [module.SHORTEST_HOLD_OFF_S] * 3


@pytest.mark.parametrize("status", [503, 400])
def test_after_the_end_a_refusal_is_not_paused_for(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("thv.telemetry.agent.batch_delivery.time.sleep", paused.append)
    ending = Pauses(0)
    ending.set()
    with Backend([Answer(status)] * 9) as backend, delivering(backend.url, ending) as sending:
        assert sending.export(readable(1)) is SpanExportResult.FAILURE
        assert len(backend.posts) == 1
    assert ending.seconds == paused == []


def test_after_the_end_nothing_listening_is_not_paused_for(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("thv.telemetry.agent.batch_delivery.time.sleep", paused.append)
    ending = Pauses(0)
    ending.set()
    with delivering(f"http://127.0.0.1:{free_port()}", ending) as sending:
        assert sending.export(readable(1)) is SpanExportResult.FAILURE
    assert ending.seconds == paused == []


def test_a_delta_of_nothing_makes_no_request() -> None:
    builder = MetricBuilder(RESOURCE, INSTRUMENTATION_SCOPE)

    def collect(*points: HistogramPoint | SumPoint) -> Snapshot:
        builder.put(snapshot(*points))
        found = builder.collect()
        assert found is not None
        return found

    with Backend() as backend:
        attempts = HttpAttempts(Signal(f"{backend.url}/v1/metrics"), "metrics")
        sending = MetricDelivery(attempts, Diagnostics(), Event(), interval_s=60, delta=True)
        first, second, third = (collect(calls(3), durations(1)) for _ in range(3))
        for same in (first, dataclasses.replace(first, time_ns=first.time_ns + 1), second, third):
            assert sending.export(same) is MetricExportResult.SUCCESS
            assert sending.version == same.version, "nothing is missing"
        assert len(backend.posts) == 1
        assert sending.export(collect(calls(5), durations(1))) is MetricExportResult.SUCCESS
        assert [point["asInt"] for point in backend.points("toolhive_mcp_tool_calls")] == ["3", "2"]
        sending.shutdown()
