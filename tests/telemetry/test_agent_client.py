"""The connection to the agent closes in time, and everything lost on it is reported."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from thv.telemetry import agent_client
from thv.telemetry.agent_client import (
    CAPTURED_A_STEP,
    CLOSE_TIMEOUT_S,
    HURRY_AT,
    MAX_QUEUED,
    SPANS_A_STEP,
    AgentClient,
)
from thv.telemetry.aggregates import Aggregates
from thv.telemetry.frames import Configure, FinishedSpan, Flush, Metrics, Spans, read_frames
from thv.telemetry.tracing import SpanContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.telemetry.frames import Frame

PATIENCE = 60.0
"""Seconds any wait may take before the test fails."""

OURS = SpanContext(b"t" * 16, b"s" * 8, None, sampled=True)
SPAN = FinishedSpan(1, 2, "tools/call", "echo", None, None, 1, OURS, "session")

DEAF = [sys.executable, "-c", "import time; time.sleep(600)"]
"""An agent that takes no notice of anything, the end of its pipe included."""


def test_an_agent_that_does_not_end_is_ended_and_that_is_said() -> None:
    said: list[str] = []
    agents: list[subprocess.Popen[bytes]] = []

    def launch() -> subprocess.Popen[bytes]:
        agents.append(subprocess.Popen(DEAF, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
        return agents[-1]

    metrics = Aggregates("demo", "stdio")
    courier = AgentClient({"traces": None, "metrics": None}, metrics, launch, said.append)
    courier.start()
    metrics.session_opened()
    courier.notify()
    deadline = time.monotonic() + 60
    while not agents and time.monotonic() < deadline:
        time.sleep(0.01)
    courier.close(0.2)
    assert agents[0].poll() is not None
    assert said == ["telemetry: not everything was exported before the session ended; what was left may be lost"]


def test_an_agent_that_did_not_start_in_time_is_reported_too() -> None:
    said: list[str] = []
    may_start = Event()

    def launch() -> subprocess.Popen[bytes]:
        may_start.wait(PATIENCE)
        raise OSError

    metrics = Aggregates("demo", "stdio")
    client = AgentClient({"traces": None, "metrics": None}, metrics, launch, said.append)
    client.start()
    metrics.session_opened()
    client.notify()
    client.close(0)
    assert said == ["telemetry: not everything was exported before the session ended; what was left may be lost"]
    may_start.set()
    client._thread.join(PATIENCE)


class TakenDown:
    """An agent's process whose pipe keeps each write."""

    pid = 0
    """No process leads a session of this number."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.stdin = self
        self.stdout = io.BytesIO()
        self.returncode = 0

    def write(self, data: memoryview) -> int:
        self.writes.append(bytes(data))
        return len(data)

    def close(self) -> None:
        """The end of the frames."""

    def wait(self) -> int:
        return 0

    def frames(self) -> list[Frame]:
        """What was written; each write is one frame."""
        frames = [list(read_frames(io.BytesIO(write))) for write in self.writes]
        assert {len(each) for each in frames} <= {1}
        return [each[0] for each in frames]


def client_of(agent: TakenDown, metrics: Aggregates | None, **changes: Any) -> AgentClient:
    start: Any = lambda: agent  # noqa: E731 - it stands for a process
    said: list[str] = []
    return AgentClient({"traces": None, "metrics": None}, metrics, start, said.append, **changes)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("captures", "step"), [(False, SPANS_A_STEP), (True, CAPTURED_A_STEP)])
def test_spans_take_the_interpreter_from_the_relay_once_for_many(*, captures: bool, step: int) -> None:
    # Each write gives the interpreter away and takes it again, and so does standing aside after it.
    agent = TakenDown()
    courier = client_of(agent, None, captures=captures)
    for _ in range(MAX_QUEUED):
        courier.queue(SPAN)
    courier.start()
    courier.close(PATIENCE)
    configure, *spans = agent.frames()
    assert isinstance(configure, Configure)
    assert [len(frame.spans) for frame in spans if isinstance(frame, Spans)] == [step] * (MAX_QUEUED // step)
    assert len(spans) == MAX_QUEUED // step


def test_nothing_new_is_no_write() -> None:
    agent = TakenDown()
    courier = client_of(agent, Aggregates("demo", "stdio"))
    courier.start()
    courier.queue(SPAN)
    courier.notify()
    courier.flush()
    wait_until(lambda: any(isinstance(frame, Flush) for frame in agent.frames()))
    courier.close(CLOSE_TIMEOUT_S)
    assert [type(frame) for frame in agent.frames()] == [Configure, Spans, Flush]


def test_many_spans_are_sent_early_and_the_metrics_at_their_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_client, "COLLECT_S", 100 * PATIENCE)
    agent = TakenDown()
    metrics = Aggregates("demo", "stdio")
    courier = client_of(agent, metrics)
    courier.start()
    for _ in range(HURRY_AT + 1):
        metrics.request(("tools/call", "echo", None, None, None, None), 1)
        courier.queue(SPAN)
    courier.notify()
    wait_until(lambda: not courier._queue)
    courier.queue(SPAN)
    courier.close(PATIENCE)
    frames = agent.frames()
    assert sum(len(frame.spans) for frame in frames if isinstance(frame, Spans)) == HURRY_AT + 2
    assert [isinstance(frame, Metrics) for frame in frames] == [False] * (len(frames) - 1) + [True]


def test_the_agent_steps_back_when_it_starts_and_catches_up_when_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    class Watched(TakenDown):
        def write(self, data: memoryview) -> int:
            events.append(type(next(read_frames(io.BytesIO(data)))).__name__)
            return len(data)

        def close(self) -> None:
            events.append("the end of its input")

    def step_back(_agent: object) -> bool:
        events.append("step back")
        return events.count("step back") > 1  # the system asks for another attempt

    monkeypatch.setattr(agent_client, "step_back", step_back)
    monkeypatch.setattr(agent_client, "catch_up", lambda _agent: events.append("catch up"))
    courier = client_of(Watched(), None)
    courier.start()
    for _ in range(3):
        before = len(events)
        courier.queue(SPAN)
        courier.notify()
        courier.flush()
        wait_until(lambda: "Flush" in events[before:])  # noqa: B023 - within this turn
    courier.close(CLOSE_TIMEOUT_S)
    turn = ["Spans", "Flush"]
    assert events == [
        *("Configure", "step back", *turn),
        *("step back", *turn),
        *turn,
        *("the end of its input", "catch up"),
    ]


def test_an_agent_that_never_stepped_back_has_nothing_to_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    caught_up: list[object] = []
    monkeypatch.setattr(agent_client, "step_back", lambda _agent: False)
    monkeypatch.setattr(agent_client, "catch_up", caught_up.append)
    agent = TakenDown()
    courier = client_of(agent, None)
    courier.start()
    courier.queue(SPAN)
    courier.close(PATIENCE)
    assert [type(frame) for frame in agent.frames()] == [Configure, Spans]
    assert caught_up == []
