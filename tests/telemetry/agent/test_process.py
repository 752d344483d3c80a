"""The agent as a process: a real collector takes what it sends, and nothing a collector does makes it late or loud."""

from __future__ import annotations

import os
import signal
import sys
import time
from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from msgspec.structs import replace

from tests.collector import Answer, Backend, Ports, collector
from tests.ports import free_port
from tests.processes import voluntary_switches
from tests.sink import PATIENCE, Sink
from tests.telemetry.agent.agents import (
    WITHOUT_HARD_EXIT,
    AgentProcess,
    calls,
    durations,
    finished,
    snapshot,
    spans,
    to,
)
from thv import __version__
from thv.telemetry.frames import AgentSettings, Flush, Signal, Spans

if TYPE_CHECKING:
    from pathlib import Path

MOST_MIB = 33
"""What the agent may take: its proportional memory (PSS) was 26 MiB on CPython 3.11 and 29 on 3.13, beside other tests,
and is 32 where this one alone shares its files."""


def numbered(first: int, count: int) -> Spans:
    return Spans([finished(number) for number in range(first, first + count)])


needs_rotel = pytest.mark.skipif(
    sys.platform != "linux", reason="the collector's package has no binary for this system"
)


SHOWS_COLLECTOR = """
import gc
from thv.telemetry.agent import __main__ as process, agent_service

class Agent(agent_service.Agent):
    def __init__(self, settings, diagnostics):
        super().__init__(settings, diagnostics)
        diagnostics.warn(f"imported: {gc.isenabled()}")

    def take(self, frame):
        self._diagnostics.warn(f"running: {gc.isenabled()}, {gc.get_freeze_count() > 10_000}")

agent_service.Agent = Agent
process.main()
"""


def test_no_garbage_is_looked_for_while_the_sdk_is_imported_nor_in_the_sdk_later() -> None:
    with AgentProcess(to("http://127.0.0.1:1"), code=SHOWS_COLLECTOR) as agent:
        agent.send(Flush())
        assert agent.end().lines == ["thv: imported: False", "thv: running: True, True"]


@needs_rotel
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_real_collector_takes_spans_and_metrics(protocol: str, compression: str, tmp_path: Path) -> None:
    with Backend() as backend, collector(backend, tmp_path) as ports:
        if protocol == "grpc":
            one = Signal(f"127.0.0.1:{ports.grpc}", protocol="grpc", insecure=True, compression=compression)  # type: ignore[arg-type]  # a parameter
            settings = AgentSettings(traces=one, metrics=one, resource={"service.name": "thv-demo"})
        else:
            settings = to(f"http://127.0.0.1:{ports.http}", compression=compression)
        with AgentProcess(settings) as agent:
            agent.send(
                Spans([finished(1), finished(2, error_type="-32601", parent=b"parent!!", tracestate="a=1")]),
                snapshot(calls(7), durations(0.015, 400.0)),
            )
            ended = agent.end()
        assert (ended.code, ended.stdout, ended.lines) == (0, "", [])
        backend.wait_for(lambda: len(backend.spans()) == 2 and bool(backend.points("toolhive_mcp_tool_calls")))
        first, second = sorted(backend.spans(), key=lambda one: one["spanId"])
        assert first["kind"] == "SPAN_KIND_SERVER"
        assert first["attributes"] == {
            "mcp.method.name": "tools/call",
            "gen_ai.tool.name": "add",
            "gen_ai.operation.name": "execute_tool",
            "rpc.system.name": "jsonrpc",
            "network.transport": "pipe",
            "toolhive.session.id": "mine",
            "toolhive.server.name": "",
            "mcp.server.name": "",
        }
        assert second["status"]["code"] == "STATUS_CODE_ERROR"
        assert second["traceState"] == "a=1"
        [counter] = backend.points("toolhive_mcp_tool_calls")
        assert counter["asInt"] == "7"
        [histogram] = backend.points("mcp.server.operation.duration")
        assert (histogram["count"], histogram["sum"], histogram["max"]) == ("2", 400.015, 400.0)
        traces = next(post for post in backend.posts if post.path == "/v1/traces")
        resource = traces.decoded()["resourceSpans"][0]["resource"]
        names = {pair["key"] for pair in resource["attributes"]}
        assert names == {"service.name", "telemetry.sdk.name", "telemetry.sdk.language", "telemetry.sdk.version"}
        assert traces.decoded()["resourceSpans"][0]["scopeSpans"][0]["scope"] == {"name": "thv", "version": __version__}


def test_a_flush_exports_before_the_end() -> None:
    with Backend() as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(1), snapshot(calls(1)), Flush())
        backend.wait_for(lambda: len(backend.posts) == 2)
        ended = agent.end()
        assert ended.lines == []
        assert len(backend.posts) == 2, "what was delivered is not sent again"


def test_a_full_batch_travels_at_once_and_the_rest_at_the_end() -> None:
    with Backend() as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(600))
        backend.wait_for(lambda: len(backend.posts) == 1)
        assert len(backend.spans()) == 512
        agent.end()
        assert len(backend.spans()) == 600


def test_metrics_are_exported_at_the_interval_even_when_nothing_changes() -> None:
    with (
        Backend() as backend,
        AgentProcess(replace(to(backend.url), export_interval_s=0.05)) as agent,
    ):
        agent.send(snapshot(calls(1)))
        backend.wait_for(lambda: len(backend.posts) >= 3)
        agent.end()
        points = backend.points("toolhive_mcp_tool_calls")
        assert {point["asInt"] for point in points} == {"1"}
        times = [int(point["timeUnixNano"]) for point in points]
        assert times == sorted(set(times))


def test_deltas_add_up_to_the_whole() -> None:
    with Backend() as backend:
        settings = replace(to(backend.url), export_interval_s=0.05, temporality="delta")
        with AgentProcess(settings) as agent:
            agent.send(snapshot(calls(3), durations(0.5)))
            backend.wait_for(lambda: bool(backend.points("toolhive_mcp_tool_calls")))
            agent.send(snapshot(calls(5), durations(0.5, 0.5), after_s=2))
            agent.end()
        assert [point["asInt"] for point in backend.points("toolhive_mcp_tool_calls")] == ["3", "2"]
        first, second = backend.points("mcp.server.operation.duration")
        assert (first["count"], second["count"], second["sum"]) == ("1", "1", 0.5)
        assert second["startTimeUnixNano"] == first["timeUnixNano"]
        assert "max" not in second


def test_a_collector_that_is_busy_gets_everything_later_and_nothing_is_said() -> None:
    busy = Answer(503, {"Retry-After": "0.1"})
    with Backend([busy, busy, busy]) as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(512))
        backend.wait_for(lambda: len(backend.posts) == 4)
        assert agent.end().lines == []
        assert len({post.body for post in backend.posts}) == 1


def test_a_cause_is_said_once_while_the_session_lasts() -> None:
    with Backend([Answer(401)] * 4) as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(512))
        assert agent.line() == f"thv: telemetry: {backend.url} answers 401 Unauthorized: check `headers`"
        agent.send(spans(512))
        backend.wait_for(lambda: len(backend.posts) == 2)
        agent.send(spans(1))
        [line] = agent.end().lines
        assert line == "thv: telemetry: 1025 spans were lost"


def test_the_last_metrics_get_one_try_and_no_storm() -> None:
    with Backend([Answer(401)] * 50) as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(snapshot(calls(1)))
        agent.end()
        assert len(backend.posts) == 1


def test_what_has_no_room_is_dropped_and_counted() -> None:
    with Sink(mode="blackhole") as sink:
        settings = AgentSettings(traces=Signal(sink.endpoint, ca_file=str(sink.ca_file)))
        with AgentProcess(settings, code=WITHOUT_HARD_EXIT) as agent:
            for _ in range(10):
                agent.send(spans(1000))
            sink.wait_for(1)
            ended = agent.end()
        assert ended.lines[-1].endswith("; 9488 spans were lost; 512 spans may be lost")


PARTLY = Answer(body=b"\x0a\x02\x08\x01")  # of field 1, field 1: one rejected


def test_what_a_collector_rejects_of_either_signal_is_told() -> None:
    with Backend([PARTLY]) as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(3))
        assert agent.end().lines == [
            f"thv: telemetry: {backend.url} rejected 1 of the spans that it was sent; 1 span was lost"
        ]
    with Backend([PARTLY]) as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(snapshot(calls(1), durations(0.1)))
        assert agent.end().lines == [f"thv: telemetry: {backend.url} rejected 1 of the points that it was sent"]


def test_a_remark_on_what_was_taken_is_told() -> None:
    remark = Answer(body=b"\x0a\x06\x12\x04slow")  # of field 1, field 2: the message
    with Backend([remark]) as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(3))
        assert agent.end().lines == [f"thv: telemetry: {backend.url} remarks: slow"]


def test_spans_the_recorder_dropped_are_counted_too() -> None:
    with Backend() as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(Spans([finished()], dropped=41))
        [line] = agent.end().lines
    assert line == "thv: telemetry: 41 spans were lost"


def test_debug_tells_of_each_export_and_never_of_a_header() -> None:
    with Backend() as backend:
        settings = replace(to(backend.url, headers={"authorization": "Bearer hunter2"}), debug=True)
        with AgentProcess(settings) as agent:
            agent.send(spans(2), snapshot(calls(1)))
            lines = agent.end().lines
        assert backend.posts[0].headers["authorization"] == "Bearer hunter2"
    assert sorted(line.split(" to ")[0] for line in lines) == ["thv: telemetry: 2 spans", "thv: telemetry: metrics"]
    assert all(line.endswith(": taken") for line in lines)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_header_that_cannot_be_sent_is_not_quoted(protocol: str) -> None:
    with Backend() as backend:
        endpoint = f"{backend.url}/v1/traces"
        one = Signal(endpoint, protocol=protocol, headers={"x-token": "hunter2\nx: y"})  # type: ignore[arg-type]  # a parameter
        with AgentProcess(AgentSettings(traces=one, debug=True)) as agent:
            agent.send(spans(1))
            lines = agent.end().lines
    assert any("`headers` holds characters that cannot be sent" in line for line in lines)
    assert "hunter2" not in "".join(lines)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_signals_to_the_terminal_do_not_end_it() -> None:
    with Backend() as backend, AgentProcess(to(backend.url)) as agent:
        agent.send(spans(512))
        backend.wait_for(lambda: bool(backend.posts))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            agent.process.send_signal(number)
        agent.send(spans(1))
        assert agent.end().code == 0
        assert len(backend.spans()) == 513


def test_nobody_reading_stderr_does_not_keep_it_alive() -> None:
    with AgentProcess(to(f"http://127.0.0.1:{free_port()}")) as agent:
        assert agent.process.stderr is not None
        agent.process.stderr.close()
        agent.process.stderr = None
        agent.send(spans(1))
        assert agent.end().code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="whether a pipe is full is known on POSIX only")
def test_a_stderr_that_nobody_drains_does_not_stop_the_exports() -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        with Backend([Answer(401)]) as backend, AgentProcess(to(backend.url), stderr=writing) as agent:
            agent.send(spans(512))
            backend.wait_for(lambda: len(backend.posts) == 1)
            agent.send(spans(512))
            backend.wait_for(lambda: len(backend.posts) == 2)
            assert agent.end().code == 0
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x02\0\0\0\x92\xc0", b"\x05\0\0\0hello"])
def test_what_is_no_frame_ends_it_with_one_line(garbage: bytes) -> None:
    with Backend() as backend, AgentProcess(to(backend.url)) as agent:
        assert agent.process.stdin is not None
        agent.process.stdin.write(garbage)
        ended = agent.end()
    assert ended.code == 1
    [line] = ended.lines
    assert line.startswith("thv: telemetry: internal error")


def test_a_netrc_does_not_replace_the_users_header(home: Path) -> None:
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    with Backend() as backend:
        with AgentProcess(to(backend.url, headers={"Authorization": "Bearer mine"})) as agent:
            agent.send(spans(1))
            agent.end()
        assert backend.posts[0].headers["authorization"] == "Bearer mine"


def test_the_environment_changes_nothing() -> None:
    hostile = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-stranger=1",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "bogus",
        "OTEL_RESOURCE_ATTRIBUTES": "stranger=1",
        "OTEL_PROPAGATORS": "bogus",
        "OTEL_PYTHON_CONTEXT": "bogus",
        "OTEL_SDK_DISABLED": "true",
        "OTEL_BSP_MAX_QUEUE_SIZE": "bogus",
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "bogus",
    }
    with Backend() as backend:
        with AgentProcess(to(backend.url), env=hostile) as agent:
            agent.send(spans(1), snapshot(calls(1)))
            assert agent.end().lines == []
        assert len(backend.spans()) == 1
        for post in backend.posts:
            assert "x-stranger" not in post.headers
            assert b"stranger" not in post.body


@pytest.mark.skipif(sys.platform != "linux", reason="switches of each thread are known on Linux only")
def test_it_sleeps_while_nothing_happens() -> None:
    with Backend() as backend, AgentProcess(replace(to(backend.url), prometheus_port=free_port(), linger_s=0)) as agent:
        agent.send(spans(1), snapshot(calls(1)), Flush())
        backend.wait_for(lambda: len(backend.posts) == 2)
        until = time.monotonic() + PATIENCE
        before: dict[str, int] = {}
        while (now := voluntary_switches(agent.process.pid)) != before:
            assert time.monotonic() < until
            before = now
            time.sleep(1)
        assert agent.end().code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="proportional memory is known on Linux only")
def test_it_stays_small() -> None:
    def mib(kind: str) -> float:
        return float(getattr(psutil.Process(agent.process.pid).memory_full_info(), kind)) / 2**20

    def traces() -> int:
        return sum(post.path == "/v1/traces" for post in list(backend.posts))

    with Backend() as backend, AgentProcess(replace(to(backend.url), prometheus_port=free_port(), linger_s=0)) as agent:
        agent.send(spans(512), snapshot(calls(1), durations(0.1)), Flush())
        backend.wait_for(lambda: {post.path for post in backend.posts} == {"/v1/traces", "/v1/metrics"})
        before = mib("uss")
        for number in range(2, 40):
            agent.send(spans(512), snapshot(calls(number), durations(0.1)))
            backend.wait_for(lambda count=number: traces() == count)  # type: ignore[misc]  # mypy infers no type for a default
        assert mib("uss") < before + 4, "what was exported is not kept"
        assert mib("pss") < MOST_MIB
        agent.process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("away_s", [pytest.param(60, marks=pytest.mark.slow), 3])
@needs_rotel
def test_a_collector_that_is_away_for_a_while_loses_no_span(away_s: float, tmp_path: Path) -> None:
    with Backend() as backend:
        ports = Ports(free_port(), free_port())
        url = f"http://127.0.0.1:{ports.http}"
        with AgentProcess(replace(to(url), schedule_delay_s=0.2)) as agent:
            with collector(backend, tmp_path, ports=ports):
                agent.send(numbered(1, 100))
                backend.wait_for(lambda: len(backend.spans()) == 100)
            for part in range(5):  # all the time that it is away
                agent.send(numbered(101 + 100 * part, 100))
                time.sleep(away_s / 5)
            with collector(backend, tmp_path, ports=ports):
                backend.wait_for(lambda: len(backend.spans()) >= 600)
                agent.send(numbered(601, 100))
                ended = agent.end()
                backend.wait_for(lambda: len(backend.spans()) >= 700)
        assert {int.from_bytes(b64decode(one["spanId"])) for one in backend.spans()} == set(range(1, 701))
        assert len(backend.spans()) == 700
        assert not [line for line in ended.lines if "lost" in line]
