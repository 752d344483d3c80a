"""From the bytes of a session to the frames that the agent reads: what was done, whole, and nothing kept back.

The agent's place is taken by a process that writes down what it is sent; each test reads that when it has ended.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from thv.core.message import read_line
from thv.instrumentation.inspector import TrafficInspector
from thv.ledger.ledger import ToolCallLedger
from thv.telemetry import agent_client, recorder
from thv.telemetry.agent.span_records import SpanRecord, SpanRecords
from thv.telemetry.agent_client import MAX_QUEUED
from thv.telemetry.frames import (
    Configure,
    Flush,
    Frame,
    HistogramPoint,
    Metrics,
    Spans,
    SumPoint,
    read_frames,
)
from thv.telemetry.recorder import Telemetry
from thv.telemetry.telemetry_settings import TelemetrySettings
from thv.telemetry.tracing import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE = 60.0
"""Seconds any wait may take before the test fails."""

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = PARENT[:-1] + "0"
SIGNAL = {"endpoint": "http://127.0.0.1:1/unused"}

WRITES_DOWN = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
READS_NOTHING = "import sys, time; time.sleep(600)"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Run:
    """One run of telemetry with one session, told as lines."""

    def __init__(self, tmp_path: Path, *, program: str = WRITES_DOWN, **changes: Any) -> None:
        self.words: list[str] = []
        self.agents: list[subprocess.Popen[bytes]] = []
        self._written = tmp_path / "frames"
        self._program = program
        agent = {"traces": SIGNAL, "metrics": SIGNAL, "prometheus_port": None, "resource": {}}
        agent |= changes.pop("agent", {})
        choices: dict[str, Any] = {
            "server": "demo",
            "parent_based": True,
            "ratio": 1.0,
            "span_environment": {},
            "capture_arguments": False,
        }
        choices |= {"propagate": False} | changes
        session_id, transport = choices.pop("session_id", None), choices.pop("transport", "stdio")
        self.settings = TelemetrySettings(agent, **choices)
        self.telemetry = Telemetry(self.settings, transport=transport, warn=self.words.append, launch=self._launch)
        self.telemetry.start()
        self.recorder = self.telemetry.open_session(session_id)
        self.outcomes: list[str] = []
        self.reports: list[str] = []
        self.ledger = ToolCallLedger([self.outcomes.extend], requests=self.recorder, report=self.reports.append)
        self.tap = TrafficInspector(self.ledger)

    def _launch(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-c", self._program, str(self._written)]
        self.agents.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
        return self.agents[-1]

    def tell(self, *lines: str, at_ns: int = 0, http_status: int | None = None) -> None:
        for line in lines:
            if line.startswith(">"):
                self.tap.on_client_data(line[1:].encode() + b"\n", at_ns)
            else:
                now = at_ns or time.perf_counter_ns()
                replies = [(False, reply, 0, now) for reply in read_line(line[1:].encode())]
                self.ledger.passed(replies, http_status=http_status)

    def end(self) -> list[Frame]:
        self.ledger.close()
        self.telemetry.close(PATIENCE)
        for agent in self.agents:
            agent.wait(PATIENCE)
        assert not self.reports
        return list(read_frames(io.BytesIO(self._written.read_bytes()))) if self.agents else []

    def spans(self) -> list[SpanRecord]:
        return records(self.end())

    def span(self, *lines: str) -> SpanRecord:
        self.tell(*lines)
        (span,) = self.spans()
        return span


def records(frames: list[Frame]) -> list[SpanRecord]:
    """What the agent makes of the spans."""
    first = frames[0]
    assert isinstance(first, Configure)
    make = SpanRecords(first.agent).make
    return [make(span, frame.offset_ns) for frame in frames if isinstance(frame, Spans) for span in frame.spans]


def last_metrics(frames: list[Frame]) -> Metrics:
    return [frame for frame in frames if isinstance(frame, Metrics)][-1]


def call(params: str = '"name":"echo"', id_: str = "7") -> str:
    return f'>{{"id":{id_},"method":"tools/call","params":{{{params}}}}}'


OK = '<{"id":7,"result":{"content":[{"type":"text","text":"hi"}]}}'
INITIALIZE = '>{"id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","clientInfo":{"name":"tester"}}}'
INITIALIZED = '<{"id":0,"result":{"protocolVersion":"2025-06-18"}}'


def test_a_call_becomes_a_span_with_everything_that_is_documented(tmp_path: Path) -> None:
    run = Run(tmp_path, span_environment={"USER": "me\udcff"})
    before = time.time_ns()
    run.tell(
        INITIALIZE, INITIALIZED, call(f'"name":"echo","_meta":{{"traceparent":"{PARENT}","tracestate":"a=b"}}'), OK
    )
    after = time.time_ns()
    initialize, span = run.spans()
    session = initialize.attributes.pop("toolhive.session.id")
    assert (initialize.name, initialize.parent_span_id, initialize.trace_state) == ("initialize", None, "")
    assert span.name == "tools/call echo"
    assert (span.trace_id.hex(), span.parent_span_id) == (PARENT[3:35], bytes.fromhex(PARENT[36:52]))
    assert span.trace_state == "a=b"
    assert span.error_type is None
    assert before - 10**9 < span.start_ns <= span.end_ns < after + 10**9
    assert span.attributes == {
        "rpc.system.name": "jsonrpc",
        "toolhive.server.name": "demo",
        "mcp.server.name": "demo",
        "network.transport": "pipe",
        "toolhive.environment.USER": "me?",
        "environment.USER": "me?",
        "mcp.method.name": "tools/call",
        "toolhive.session.id": session,
        "jsonrpc.request.id": "7",
        "gen_ai.tool.name": "echo",
        "gen_ai.operation.name": "execute_tool",
        "mcp.protocol.version": "2025-06-18",
        "toolhive.client.name": "tester",
        "mcp.client.name": "tester",
    }


ERRORS = {
    "a JSON-RPC error": (['<{"id":7,"error":{"code":-32603}}'], "-32603", "-32603"),
    "a code that is a float": (['<{"id":7,"error":{"code":-32603.0}}'], "-32603", "-32603"),
    "one that is the caller's fault": (['<{"id":7,"error":{"code":-32602.0}}'], None, "-32602"),
    "no code": (['<{"id":7,"error":"boom"}'], "_OTHER", None),
    "a tool error": (['<{"id":7,"result":{"isError":true}}'], "tool_error", None),
    "a cancellation": (['>{"method":"notifications/cancelled","params":{"requestId":7}}'], "cancelled", None),
    "the client goes": ([], "abandoned", None),
    "a task": (['<{"id":7,"result":{"resultType":"task","taskId":"t"}}'], None, None),
    "a question": (['<{"id":7,"result":{"resultType":"input_required"}}'], None, None),
    "text": (['<{"id":7,"result":"text"}'], None, None),
}


@pytest.mark.parametrize("story", ERRORS)
def test_how_a_request_ended_is_its_error_type(tmp_path: Path, story: str) -> None:
    lines, error_type, code = ERRORS[story]
    span = Run(tmp_path).span(call(), *lines)
    assert span.error_type == span.attributes.get("error.type") == error_type
    assert span.attributes.get("rpc.response.status_code") == code


def test_a_server_that_goes_is_the_error_of_its_requests_and_of_the_session(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.tell(call())
    run.ledger.server_exited()
    frames = run.end()
    assert [span.error_type for span in records(frames)] == ["server_gone"]
    session = [point for point in last_metrics(frames).points if point.name == "mcp.server.session.duration"]
    assert [point.attributes["error.type"] for point in session] == ["server_gone"]
    assert run.outcomes == ["error"]


def test_what_a_request_says_of_itself_comes_before_what_initialize_said(tmp_path: Path) -> None:
    meta = '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"n"}}'
    run = Run(tmp_path)
    run.tell(INITIALIZE, INITIALIZED, call(f'"name":"echo","_meta":{meta}'), OK)
    span = run.spans()[-1]
    assert (span.attributes["mcp.protocol.version"], span.attributes["mcp.client.name"]) == ("2026-07-28", "n")


def test_a_resource_stands_on_the_span_and_not_in_its_name(tmp_path: Path) -> None:
    span = Run(tmp_path).span('>{"id":7,"method":"resources/read","params":{"uri":"file:///x"}}', OK)
    assert (span.name, span.attributes["mcp.resource.uri"]) == ("resources/read", "file:///x")
    assert "gen_ai.operation.name" not in span.attributes


def test_names_that_are_too_long_are_cut(tmp_path: Path) -> None:
    span = Run(tmp_path).span(call('"name":"' + "é" * 1000 + '"'), OK)
    assert span.attributes["gen_ai.tool.name"] == "é" * 64


@pytest.mark.parametrize("capture", [False, True])
def test_arguments_and_results_are_shown_only_when_asked_for_and_never_their_secrets(
    tmp_path: Path, *, capture: bool
) -> None:
    run = Run(tmp_path, capture_arguments=capture)
    span = run.span(call('"name":"echo","arguments":{"text":"hi","password":"hunter2"}'), OK)
    asked, answered = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
    if capture:
        assert span.attributes[asked] == {"text": "hi", "password": "[redacted]"}
        assert span.attributes[answered] == [{"type": "text", "text": "hi"}]
    else:
        assert asked not in span.attributes
        assert answered not in span.attributes


@pytest.mark.parametrize(("ratio", "header", "spans"), [(0.0, None, 0), (0.0, PARENT, 1), (1.0, UNSAMPLED, 0)])
def test_what_is_not_sampled_is_counted_all_the_same(
    tmp_path: Path, ratio: float, header: str | None, spans: int
) -> None:
    run = Run(tmp_path, ratio=ratio)
    run.tell(call('"name":"echo"' + (f',"_meta":{{"traceparent":"{header}"}}' if header else "")), OK)
    frames = run.end()
    assert len(records(frames)) == spans
    counts = [point.count for point in last_metrics(frames).points if isinstance(point, HistogramPoint)]
    assert counts == [1, 1, 1]  # the operation, the session and the request


def test_a_signal_that_is_off_is_not_made(tmp_path: Path) -> None:
    run = Run(tmp_path, agent={"metrics": None})
    run.tell(call(), OK)
    assert [type(frame) for frame in run.end()] == [Configure, Spans]
    run = Run(tmp_path, agent={"traces": None})
    run.tell(call(), OK)
    assert {type(frame) for frame in run.end()} == {Configure, Metrics}


def test_a_task_is_counted_when_its_outcome_comes_under_the_tool_that_was_called(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.tell(call(), '<{"id":7,"result":{"resultType":"task","taskId":"t"}}')
    run.tell('<{"method":"notifications/tasks","params":{"taskId":"t","status":"failed"}}')
    calls = [point for point in last_metrics(run.end()).points if point.name == "toolhive_mcp_tool_calls"]
    assert [(point.attributes, point.value) for point in calls if isinstance(point, SumPoint)] == [
        ({"server": "demo", "tool": "echo", "status": "error"}, 1)
    ]
    assert run.outcomes == ["error"]


def test_without_a_request_no_process_is_started(tmp_path: Path) -> None:
    run = Run(tmp_path, agent={"metrics": None})
    run.telemetry.client_disconnected()
    assert run.end() == []
    assert not run.agents


def test_the_agent_starts_beside_the_server_before_anything_is_answered(tmp_path: Path) -> None:
    """Fails where the first reply starts it: `wait_until` raises."""
    run = Run(tmp_path)
    run.tell('>{"id":1,"method":"initialize","params":{"clientInfo":{"name":"one"}}}')
    wait_until(lambda: run.agents)
    run.tell('<{"id":1,"result":{}}', call(), OK)
    assert [span.name for span in run.spans()] == ["initialize", "tools/call echo"]
    assert len(run.agents) == 1


def test_prometheus_finds_the_agent_at_once(tmp_path: Path) -> None:
    """Fails where no agent is started before anything was recorded: `wait_until` raises."""
    run = Run(tmp_path, agent={"metrics": None, "prometheus_port": 0})
    wait_until(lambda: run.agents)
    run.end()


def test_the_clients_leaving_has_everything_exported(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.tell(call(), OK)
    run.telemetry.client_disconnected()
    wait_until(lambda: not run.telemetry._client._flush_wanted)
    assert any(isinstance(frame, Flush) for frame in run.end())


def test_snapshots_come_while_things_happen_and_nothing_wakes_up_when_nothing_does(tmp_path: Path) -> None:
    run = Run(tmp_path)
    courier = run.telemetry._client
    run.tell(call(), OK)
    wait_until(lambda: run.agents and not courier.awake)
    run.tell(call(), OK)
    wait_until(lambda: not courier.awake)
    snapshots = [frame for frame in run.end() if isinstance(frame, Metrics)]
    assert [count_of(snapshot) for snapshot in snapshots] == [1, 2, 2]  # the last one has the session's end


def count_of(snapshot: Metrics) -> int:
    return next(point.count for point in snapshot.points if isinstance(point, HistogramPoint))


def test_ids_are_drawn_once_a_request_has_ended_and_its_span_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tens of thousands of requests may be open, and of those that end many more than fit into the queue.
    drawn: list[object] = []
    draw = Sampler.recorded_root

    def watched(sampler: Sampler) -> object:
        drawn.append(sampler)
        return draw(sampler)

    monkeypatch.setattr(Sampler, "recorded_root", watched)
    run = Run(tmp_path)
    monkeypatch.setattr(agent_client, "MAX_QUEUED", 0)
    run.tell(call(id_="1"), call(id_="2"), '<{"id":1,"result":{}}')
    assert (len(drawn), run.telemetry._client.dropped) == (0, 1)
    monkeypatch.undo()
    monkeypatch.setattr(Sampler, "recorded_root", watched)
    run.tell('<{"id":2,"result":{}}')
    assert len(drawn) == 1
    [span] = run.spans()
    assert span.attributes["jsonrpc.request.id"] == "2"


def test_an_agent_that_reads_nothing_holds_nobody_up_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    run = Run(tmp_path, program=READS_NOTHING)
    longest = 0.0
    total = 20_000
    for _ in range(total):
        began = time.perf_counter()
        run.tell(call(), OK)
        longest = max(longest, time.perf_counter() - began)
    courier = run.telemetry._client
    assert courier.dropped > 0
    assert len(courier._queue) <= MAX_QUEUED
    assert len(run.outcomes) == total
    began = time.monotonic()
    run.telemetry.close(0.3)
    assert time.monotonic() - began < PATIENCE
    assert run.agents[0].poll() is not None
    assert run.words == ["telemetry: not everything was exported before the session ended; what was left may be lost"]
    assert longest < PATIENCE / 10


def test_an_agent_that_dies_is_said_once_and_not_started_again(tmp_path: Path) -> None:
    run = Run(tmp_path, program="raise SystemExit(3)")
    run.tell(call(), OK)
    wait_until(lambda: run.agents)
    run.agents[0].wait()
    run.tell(call(), OK)
    wait_until(lambda: run.words)
    for _ in range(100):
        run.tell(call(), OK)
    run.ledger.close()
    run.telemetry.close()
    assert run.words == ["telemetry: the exporting process ended (exit code 3), nothing more is exported"]
    assert len(run.agents) == 1
    assert len(run.outcomes) == 102


def test_an_agent_that_cannot_be_started_is_said_once(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def fail() -> subprocess.Popen[bytes]:
        raise FileNotFoundError(2, "no such file")

    run.telemetry._client._start_agent = fail
    run.tell(call(), OK, call(), OK)
    wait_until(lambda: run.words)
    assert run.end() == []
    assert len(run.words) == 1
    assert "cannot be started" in run.words[0]


def test_contexts_to_pass_on_are_those_of_the_spans(tmp_path: Path) -> None:
    run = Run(tmp_path, propagate=True)
    run.tell(call(f'"name":"echo","_meta":{{"traceparent":"{UNSAMPLED}"}}', '"a"'), call())
    (first, unsampled), (second, sampled) = run.recorder.take_contexts()
    assert run.recorder.take_contexts() == []
    assert (first, second) == ("a", 7)
    assert unsampled.startswith(PARENT[:36])
    assert unsampled.endswith("-00")
    run.tell(OK)
    ended = next(span for span in run.spans() if span.error_type is None)
    assert sampled == f"00-{ended.trace_id.hex()}-{ended.span_id.hex()}-01"


def test_of_more_contexts_than_are_kept_the_oldest_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MAX_CONTEXTS", 2)
    run = Run(tmp_path, propagate=True)
    run.tell(*(call(id_=str(number)) for number in (1, 2, 3)))
    assert [id_ for id_, _ in run.recorder.take_contexts()] == [2, 3]
    run.end()


def test_what_is_told_late_lasts_as_long_as_it_did(tmp_path: Path) -> None:
    run = Run(tmp_path)
    second = 1_000_000_000
    opened = time.perf_counter_ns()
    for at, line in ((opened - 60 * second, INITIALIZE), (opened - 57 * second, INITIALIZED)):
        run.tell(line, at_ns=at)
    run.tell(call(), OK)
    frames = run.end()
    first, later = records(frames)
    assert first.end_ns - first.start_ns == 3 * second
    assert later.start_ns - first.end_ns >= 57 * second
    [session] = [point for point in last_metrics(frames).points if point.name == "mcp.server.session.duration"]
    assert isinstance(session, HistogramPoint)
    assert session.sum >= 60


def test_a_reply_is_counted_with_the_http_status_that_brought_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for number, status in enumerate((200, 404, None)):
        run.tell(call(id_=str(number)))
        run.tell(f'<{{"id":{number},"error":{{"code":-32601}}}}', http_status=status)
    run.tell(call(id_="3"))
    points = [point for point in last_metrics(run.end()).points if point.name == "toolhive_mcp_requests"]
    assert {(point.attributes["status"], point.attributes.get("status_code")) for point in points} == {
        ("error", "200"),
        ("error", "404"),
        ("error", None),
        ("cancelled", None),
    }


def test_a_method_without_a_name_is_called_other(tmp_path: Path) -> None:
    span = Run(tmp_path).span('>{"id":7,"method":""}', OK)
    assert (span.name, span.attributes["mcp.method.name"]) == ("_OTHER", "_OTHER")


def test_what_waits_for_an_agent_that_reads_nothing_is_small_whatever_the_client_sends(tmp_path: Path) -> None:
    run = Run(tmp_path, program=READS_NOTHING)
    huge = "x" * 900_000
    meta = f'"_meta":{{"traceparent":"{PARENT}","tracestate":"a={huge}"}}'
    tracemalloc.start()
    try:
        for _ in range(200):
            run.tell(call(f'"name":"echo",{meta}', f'"{huge}"'), f'<{{"id":"{huge}","result":{{}}}}')
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    run.telemetry.close(0.1)
    assert kept < 20 * len(huge)


NUMBERS = [
    str((1 << 63) - 1),
    str(1 << 63),
    str(-(1 << 63)),
    str(-(1 << 63) - 1),
    str(1 << 64),
    "1" * 30,
    "1" * 400,
    "1" * 5_000,
    "-" + "9" * 5_000,
    "1e308",
    "1e400",
    "-0.0",
    "0.1",
    "NaN",
    "1e-400",
]


@pytest.mark.parametrize("number", NUMBERS, ids=[number[:8] for number in NUMBERS])
def test_no_number_is_too_strange_for_an_id_or_a_code(number: str, tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.tell(call(id_=number), f'<{{"id":{number},"result":{{}}}}')
    run.tell(call(id_="1"), f'<{{"id":1,"error":{{"code":{number},"message":""}}}}')
    run.tell(call(), OK)
    spans = run.spans()
    assert "7" in {span.attributes.get("jsonrpc.request.id") for span in spans}
    assert not run.words
