"""`thv run` as a process, with the user's telemetry: a collector receives what happened, and no session waits."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import sys
import time
from base64 import b64decode
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.collector import Backend, collector, plain, wait_for_listener
from tests.e2e.harness import PATIENCE, Run, behind_thv, until
from tests.e2e.test_analytics import HOSTILE
from tests.ports import free_port
from tests.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-IS", str(ROOT / "thv" / "servers" / "demo.py"))

SLOW_EXIT = 8.0
"""Seconds that no exit may take on the slowest machine: one for telemetry, and those of the session itself."""

ALL = ("--otel-sampling-rate", "1")

OURS = "thv: "

needs_rotel = pytest.mark.skipif(
    sys.platform != "linux", reason="the collector's package has no binary for this system"
)


def message(number: int, method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


def call(number: int, tool: str, **arguments: Any) -> bytes:
    return message(number, "tools/call", name=tool, arguments=arguments)


INITIALIZE = message(
    1,
    "initialize",
    protocolVersion="2025-06-18",
    capabilities={},
    clientInfo={"name": "the-test", "version": "1"},
)
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'

SESSION = b"".join(
    [
        INITIALIZE,
        INITIALIZED,
        message(2, "tools/list"),
        *[call(number, "add", a=number, b=1) for number in range(3, 10)],
        call(10, "fail", message="on purpose"),
        message(11, "no/such/method"),
    ]
)
SPANS = Counter(
    {
        ("initialize", None): 1,
        ("tools/list", None): 1,
        ("tools/call add", None): 7,
        ("tools/call fail", "tool_error"): 1,
        ("no/such/method", None): 1,  # the caller's fault
    }
)


def seen(backend: Backend) -> Counter[tuple[str, str | None]]:
    return Counter((span["name"], span["attributes"].get("error.type")) for span in backend.spans())


def tool_calls(backend: Backend) -> dict[tuple[str, str], int]:
    """The last value of each series of the counter."""
    points = backend.points("toolhive_mcp_tool_calls")
    return {(one["attributes"]["tool"], one["attributes"]["status"]): int(one["asInt"]) for one in points}


CALLS = {("add", "success"): 7, ("fail", "error"): 1}


def agents_of(run: Run) -> list[psutil.Process]:
    found = []
    for one in run.family():
        with suppress(psutil.Error):  # it has ended
            if "thv.telemetry.agent" in one.cmdline():
                found.append(one)
    return found


def wait_for_agent(run: Run) -> None:
    """Returns once the agent of a session can export, so that a test does not depend on how fast it starts."""

    def exports() -> bool:
        return any(agent.num_threads() > 1 for agent in agents_of(run))

    until(exports, "an agent that exports")


def ours(stderr: bytes) -> list[str]:
    return [line for line in stderr.decode().splitlines() if line.startswith(OURS)]


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        yield server


@needs_rotel
@pytest.mark.parametrize(
    "options",
    [
        ("--otel-endpoint", "http://127.0.0.1:{http}"),
        ("--otel-endpoint", "127.0.0.1:{http}", "--otel-insecure"),
        ("--otel-endpoint", "127.0.0.1:{grpc}", "--otel-protocol", "grpc", "--otel-insecure"),
    ],
    ids=["http", "http without scheme", "grpc"],
)
def test_a_real_collector_learns_exactly_the_calls_made(
    options: tuple[str, ...], backend: Backend, tmp_path: Path
) -> None:
    with collector(backend, tmp_path) as ports:
        words = [word.format(http=ports.http, grpc=ports.grpc) for word in options]
        with Run(behind_thv(DEMO, *words, *ALL), tmp_path) as run:
            run.send(SESSION)
            wait_for_agent(run)
            code, out, err = run.finish()
        assert code == 0
        assert out.count(b"\n") == 11
        assert ours(err) == []
        backend.wait_for(lambda: seen(backend).total() >= 11 and bool(backend.points("mcp.server.session.duration")))
        assert seen(backend) == SPANS
        assert tool_calls(backend) == CALLS
        durations = {str(one["attributes"]): one for one in backend.points("mcp.server.operation.duration")}
        assert sum(int(one["count"]) for one in durations.values()) == 11
        [session] = backend.points("mcp.server.session.duration")
        assert session["attributes"]["mcp.protocol.version"] == "2025-06-18"
        assert {span["attributes"].get("mcp.client.name") for span in backend.spans()} == {"the-test"}


def test_a_session_that_is_over_before_its_agent_has_started_is_exported_whole_or_one_line_says_that_it_is_not(
    backend: Backend, tmp_path: Path
) -> None:
    with Run(behind_thv(DEMO, "--otel-endpoint", backend.url, *ALL), tmp_path) as run:
        code, out, err = run.finish(SESSION)
    assert code == 0
    assert out.count(b"\n") == 11
    if ours(err):
        assert ours(err) == [
            "thv: telemetry: not everything was exported before the session ended; what was left may be lost"
        ]
    else:
        assert seen(backend) == SPANS
        assert tool_calls(backend) == CALLS


def test_the_clients_trace_goes_on_in_ours(backend: Backend, tmp_path: Path) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    request = message(1, "tools/call", name="add", arguments={}, _meta={"traceparent": f"00-{trace}-{parent}-01"})
    with Run(behind_thv(DEMO, "--otel-endpoint", backend.url, "--otel-sampling-rate", "0"), tmp_path) as run:
        run.send(request)
        wait_for_agent(run)
        assert run.finish()[0] == 0
    [span] = backend.spans()
    assert b64decode(span["traceId"]).hex() == trace
    assert b64decode(span["parentSpanId"]).hex() == parent


SLOW_SERVER = """read line; sleep 0.3; echo '{"jsonrpc":"2.0","id":1,"result":{}}'; read line; true"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_first_request_lasts_as_long_as_it_did_though_nobody_looked_yet(backend: Backend, tmp_path: Path) -> None:
    command = behind_thv(("sh", "-c", SLOW_SERVER), "--otel-endpoint", backend.url, *ALL)
    with Run(command, tmp_path) as run:
        run.send(INITIALIZE)
        wait_for_agent(run)
        assert run.finish()[0] == 0
    [span] = backend.spans()
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) >= 0.3e9


def down(_: Sink) -> list[str]:
    return [f"http://127.0.0.1:{free_port()}"]


def grpc_down(_: Sink) -> list[str]:
    return [f"127.0.0.1:{free_port()}", "--otel-protocol", "grpc", "--otel-insecure"]


def trusting(sink: Sink) -> list[str]:
    return [f"https://127.0.0.1:{sink.port}"]


def plain_for_tls(sink: Sink) -> list[str]:
    return [f"http://127.0.0.1:{sink.port}"]


@pytest.mark.parametrize(
    ("mode", "options", "said"),
    [
        ("ok", down, "refuses connections"),
        ("ok", grpc_down, "refuses connections"),
        ("blackhole", trusting, "lost"),
        ("silent", trusting, "lost"),
        ("drip", trusting, "lost"),
        ("503", trusting, "answers 503"),
        ("tls-bad-cert", trusting, "not trusted"),
        ("ok", plain_for_tls, "lost"),
    ],
    ids=["down", "grpc down", "black hole", "silent", "drip", "503", "tls untrusted", "plain for tls"],
)
def test_a_collector_that_does_not_take_it_costs_one_line_and_hardly_a_second(
    mode: Any, options: Any, said: str, tmp_path: Path
) -> None:
    with Sink(mode=mode) as sink:
        env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(sink.ca_file)}
        command = behind_thv(DEMO, "--otel-endpoint", *options(sink), *ALL)
        with Run(command, tmp_path, env=env) as run:
            run.send(SESSION)
            wait_for_agent(run)
            begun = time.monotonic()
            code, out, err = run.finish()
            took = time.monotonic() - begun
    assert code == 0
    assert out.count(b"\n") == 11
    [line] = ours(err)
    assert said in line
    assert took < SLOW_EXIT


@contextmanager
def talking(directory: Path, endpoint: str, env: dict[str, str] | None = None) -> Iterator[Run]:
    with Run(behind_thv(DEMO, "--otel-endpoint", endpoint, *ALL), directory, env=env) as run:
        yield run


def round_trips(run: Run, first: int, count: int) -> list[float]:
    """Seconds of each of so many calls, one after the other."""
    times = []
    for number in range(first, first + count):
        begun = time.perf_counter()
        run.send(call(number, "add", a=1, b=1))
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(run.stdout, 65536)
        times.append(time.perf_counter() - begun)
    return times


def test_a_black_hole_delays_no_message(tmp_path: Path) -> None:
    with Sink(mode="blackhole") as sink, Backend() as healthy:
        env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(sink.ca_file)}
        good: list[float] = []
        bad: list[float] = []
        with talking(tmp_path, healthy.url) as one, talking(tmp_path, f"https://127.0.0.1:{sink.port}", env) as other:
            for run in (one, other):
                round_trips(run, 1, 600)  # more than a batch: an export is under way
            for turn in range(10):  # by turns, so that both meet the same machine
                good += round_trips(one, 1000 + 100 * turn, 50)
                bad += round_trips(other, 1000 + 100 * turn, 50)
            for run in (one, other):
                assert run.finish()[0] == 0
        assert statistics.median(bad) < 2 * statistics.median(good) + 0.002
        assert sorted(bad)[-6] < 3 * sorted(good)[-6] + 0.05


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_the_agent_goes_with_a_killed_thv(backend: Backend, tmp_path: Path) -> None:
    """Fails where a process of the session is left: `until` raises."""
    with Run(behind_thv(DEMO, "--otel-endpoint", backend.url, *ALL), tmp_path) as run:
        run.send(SESSION)
        until(lambda: len(agents_of(run)) == 1, "the agent")
        run.process.send_signal(signal.SIGKILL)
        run.wait()
        until(run.all_gone, "the end of every process")


def test_prometheus_sees_the_session_while_it_lasts(tmp_path: Path) -> None:
    command = behind_thv(DEMO, "--otel-enable-prometheus-metrics-path")
    with Run(command, tmp_path, env={"OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port())}) as run:
        told = b""
        while b"/metrics" not in told:
            told += os.read(run.stderr, 4096)
        found = re.search(rb"http://127\.0\.0\.1:\d+/metrics", told)
        assert found is not None
        run.send(SESSION)

        def scraped() -> dict[tuple[str, str], float]:
            with urlopen(found[0].decode(), timeout=PATIENCE) as response:
                text = response.read().decode()
            return {
                (sample.labels["tool"], sample.labels["status"]): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "toolhive_mcp_tool_calls_total"
            }

        until(lambda: scraped() == CALLS, "the numbers of the session")
        [agent] = agents_of(run)
        code, _, err = run.finish()  # its end is seen: the agent holds neither stdout nor stderr
        assert (code, ours(err)) == (0, [])
        assert scraped() == CALLS, "after the session, too"
        agent.terminate()


LAUNCH = (sys.executable, str(ROOT / "tests" / "launch.py"))


def both(sink: Sink, backend: Backend, directory: Path, env: dict[str, str]) -> bytes:
    """What a client reads of a session with usage analytics to `sink` and the user's telemetry to `backend`."""
    options = ["--endpoint", sink.endpoint, "--ca", str(sink.ca_file), "--budget", "60"]
    words = ["run", "--otel-endpoint", backend.url, *ALL, "--", *DEMO]
    with Run(
        [*LAUNCH, *options, "--", *words], directory, env={"DO_NOT_TRACK": "", "PYTHONPATH": str(ROOT), **env}
    ) as run:
        run.send(SESSION)
        wait_for_agent(run)
        code, out, _ = run.finish()
    assert code == 0
    return out


def test_both_pipelines_agree_in_a_hostile_environment(backend: Backend, tmp_path: Path, analytics_on: None) -> None:
    with Sink() as sink:
        assert both(sink, backend, tmp_path, HOSTILE).count(b"\n") == 11
    assert sink.counts == {"success": 7, "error": 1}
    for received in sink.requests:
        assert {key for point in points_of(received.message) for key in plain(point["attributes"])} == {"status"}
        assert b"SECRET" not in received.head.encode() + received.body
    assert seen(backend) == SPANS
    by_status: Counter[str] = Counter()
    for (_, status), count in tool_calls(backend).items():
        by_status[status] += count
    assert by_status == received.counts


def points_of(sent: dict[str, Any]) -> list[dict[str, Any]]:
    """Every point of an analytics request."""
    return [
        point
        for resource in sent["resourceMetrics"]
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
        for point in metric["sum"]["dataPoints"]
    ]


OF_ONE_RUN = {"traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "sum", "min", "max"}
"""Ids, times and durations. `bucketCounts` of durations, too, but for their sum."""


def normalised(backend: Backend) -> dict[str, list[str]]:
    """Everything a collector was sent, without what differs between any two runs; paths, headers and all."""
    stream: dict[str, list[str]] = {"posts": sorted({post.path for post in backend.posts}), "headers": []}
    for post in backend.posts:
        stream["headers"].append(str(sorted(set(post.headers) - {"content-length"})))
        post_stream = stream.setdefault(post.path, [])
        post_stream.append(json.dumps(without_ids(post.decoded()), sort_keys=True))
    stream["headers"] = sorted(set(stream["headers"]))
    stream["/v1/traces"] = sorted(str(without_ids(span)) for span in backend.spans())
    stream["/v1/metrics"] = stream["/v1/metrics"][-1:]
    return stream


def without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return sorted((without_ids(one) for one in value), key=str)
    if not isinstance(value, dict):
        return value
    if value.get("key") in {"toolhive.session.id", "service.instance.id"}:
        return {"key": value["key"]}
    if isinstance(value.get("attributes"), dict):
        value = {**value, "attributes": {**value["attributes"], "toolhive.session.id": ""}}
    if "bucketCounts" in value:
        value = {**value, "bucketCounts": sum(int(one) for one in value["bucketCounts"])}
    return {key: without_ids(one) for key, one in value.items() if key not in OF_ONE_RUN or isinstance(one, dict)}


def test_the_users_stream_is_the_same_with_analytics_on_and_off(tmp_path: Path, analytics_on: None) -> None:
    streams = []
    for env in ({}, {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false"}):
        with Sink() as sink, Backend() as backend:
            both(sink, backend, tmp_path, env)
            assert bool(sink.requests) is not bool(env)
            streams.append(normalised(backend))
    assert streams[0] == streams[1]
    assert len(streams[0]["/v1/traces"]) == 11


HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def post(url: str, body: bytes, **headers: str) -> None:
    accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = Request(url, body, {**accepted, **headers}, method="POST")
    with urlopen(request, timeout=PATIENCE) as response:
        response.read()


@pytest.mark.parametrize("proxied", [False, True], ids=["served", "through thv proxy"])
def test_over_http_the_traceparent_header_and_the_address_are_known(
    proxied: bool, backend: Backend, tmp_path: Path
) -> None:
    told = ("--otel-endpoint", backend.url, "--otel-sampling-rate", "0")
    port = str(free_port())
    thv = [sys.executable, "-P", "-m", "thv"]
    env = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
    served = [*thv, "run", "--proxy-port", port, *(() if proxied else told), "demo"]
    with ExitStack() as stack:
        run = stack.enter_context(Run(served, tmp_path, env=env))
        wait_for_listener(int(port))
        if proxied:
            target, port = port, str(free_port())
            front = [*thv, "proxy", "demo", "--target-uri", f"http://127.0.0.1:{target}/mcp", "--port", port, *told]
            proxy = stack.enter_context(Run(front, tmp_path, env=env))
            wait_for_listener(int(port))
        prefix = "io.modelcontextprotocol/"
        meta = {f"{prefix}protocolVersion": "2026-07-28", f"{prefix}clientCapabilities": {}}
        body = message(1, "tools/call", name="add", arguments={"a": 1, "b": 2}, _meta=meta)
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "add"}
        post(f"http://127.0.0.1:{port}/mcp", body, **headers, traceparent=HEADER)
        backend.wait_for(lambda: any(span["name"] == "tools/call add" for span in backend.spans()))
        for one in [proxy, run] if proxied else [run]:
            one.process.send_signal(signal.SIGINT)
            one.wait()
    [span] = [span for span in backend.spans() if span["name"] == "tools/call add"]
    assert (b64decode(span["traceId"]).hex(), b64decode(span["parentSpanId"]).hex()) == (HEADER[3:35], HEADER[36:52])
    attributes = span["attributes"]
    assert (attributes["client.address"], attributes["network.transport"]) == ("127.0.0.1", "tcp")
    assert int(attributes["client.port"]) > 0
    assert "mcp.session.id" not in attributes
