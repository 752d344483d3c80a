"""`thv run` as a process, with usage analytics on: what leaves the machine, and what it costs the session."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.sink import PATIENCE, Sink
from thv.analytics.constants import ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
DEMO = (sys.executable, "-IS", str(ROOT / "thv" / "servers" / "demo.py"))
"""The demo server, started as any command: its calls are then real usage to thv."""

SLOW_EXIT = 8.0
"""Seconds that no exit may take on the slowest machine. The stock SDK takes 7 to 30 with the endpoints below."""

HOSTILE = {
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=SECRET",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "x-metrics-key=SECRET",
    "OTEL_RESOURCE_ATTRIBUTES": "user.name=SECRET,host.name=SECRET",
    "OTEL_SERVICE_NAME": "SECRET",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "*",
    "OTEL_METRICS_EXEMPLAR_FILTER": "always_on",
    "OTEL_METRICS_EXPORTER": "console",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRIC_EXPORT_INTERVAL": "not a number",
    "OTEL_METRIC_EXPORT_TIMEOUT": "not a number",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "not a number",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "nonsense",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "nonsense",
    "OTEL_PROPAGATORS": "not-installed",
    "OTEL_PYTHON_METER_PROVIDER": "not-installed",
    "OTEL_PYTHON_CONTEXT": "not-installed",
    "OTEL_LOG_LEVEL": "debug",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "-1",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent/ca.pem",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/nonexistent/client.pem",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/nonexistent/client.key",
    "REQUESTS_CA_BUNDLE": "/nonexistent/ca.pem",
    "CURL_CA_BUNDLE": "/nonexistent/ca.pem",
    "SSL_CERT_FILE": "/nonexistent/ca.pem",
    "SSL_CERT_DIR": "/nonexistent",
    "PYTHONWARNINGS": "error",
}
"""Variables that the stock SDK, `requests` or OpenSSL would heed. Those that need an address are added by the test."""


def request(number: int, name: str, **arguments: object) -> bytes:
    params = {"name": name, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode() + b"\n"


ONE_CALL = request(1, "add", a=2, b=3)
ONE_OF_EACH = ONE_CALL + request(2, "fail", message="on purpose")


def command(sink: Sink, server: Sequence[str], *options: str, endpoint: str | None = None) -> list[str]:
    """The launcher's command line: `options` are the launcher's, `server` follows ``run``."""
    launcher = [sys.executable, str(ROOT / "tests" / "launch.py"), "--endpoint", endpoint or sink.endpoint]
    return [*launcher, "--ca", str(sink.ca_file), *options, "--", "run", *server]


@contextmanager
def started(
    sink: Sink, server: Sequence[str], *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    """A session to talk to step by step: the process, its stdin and its stdout."""
    with subprocess.Popen(
        command(sink, ["--", *server], *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process, process.stdin, process.stdout


class Run:
    """What one `thv run` did."""

    def __init__(self, done: subprocess.CompletedProcess[bytes], took: float, audit: Path) -> None:
        self.exit_code = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr.decode()
        self.took = took
        self.reached = [json.loads(line) for line in audit.read_text().splitlines()] if audit.exists() else []


@pytest.fixture
def launch(tmp_path: Path, analytics_on: None) -> Any:
    """Runs a session against an endpoint, with every socket call of thv written down."""

    def run(
        sink: Sink,
        calls: bytes = ONE_OF_EACH,
        *,
        endpoint: str | None = None,
        env: dict[str, str] | None = None,
        server: Sequence[str] = DEMO,
        options: Sequence[str] = ("--budget", "60"),
        words: Sequence[str] = (),
    ) -> Run:
        audit = tmp_path / "audit"
        argv = command(sink, [*words, "--", *server], "--audit", str(audit), *options, endpoint=endpoint)
        start = time.monotonic()
        done = subprocess.run(
            argv,
            input=calls,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            timeout=PATIENCE,
            check=False,
        )
        return Run(done, time.monotonic() - start, audit)

    return run


def test_every_outcome_of_a_session_arrives_at_the_endpoint(launch: Any) -> None:
    with Sink() as sink:
        ran = launch(sink, ONE_OF_EACH + b"".join(request(3 + i, "echo", text="x") for i in range(40)))
        assert ran.exit_code == 0
        assert sink.counts == {"success": 41, "error": 1}


def test_a_long_session_reports_as_it_goes_and_counts_nothing_twice(analytics_on: None) -> None:
    options = ("--interval", "0.2", "--quiet", "0.05", "--budget", "60")
    with Sink() as sink, started(sink, DEMO, *options) as (process, stdin, stdout):
        for number in range(1, 4):
            stdin.write(request(number, "add", a=1, b=1))
            stdin.flush()
            stdout.readline()
            sink.wait_for(number)
        stdin.close()
        assert process.wait(PATIENCE) == 0
        assert sum(received.counts["success"] for received in sink.requests) == 3


def test_under_every_hostile_variable_only_the_endpoint_is_contacted_and_nothing_leaks(
    launch: Any, tmp_path: Path, home: Path
) -> None:
    keys = tmp_path / "tls-keys"
    (home / ".netrc").write_text("machine 127.0.0.1 login SECRET password SECRET\n")
    with Sink() as sink, Sink() as trap:
        address = f"http://SECRET:SECRET@127.0.0.1:{trap.port}"
        proxies = {
            name: address for base in ("http", "https", "all") for name in (f"{base}_proxy", f"{base.upper()}_PROXY")
        }
        endpoints = {
            f"OTEL_EXPORTER_OTLP{signal_}_ENDPOINT": trap.endpoint for signal_ in ("", "_METRICS", "_TRACES", "_LOGS")
        }
        named = {"THV_ANALYTICS_ENDPOINT": trap.endpoint, "TOOLHIVE_ANALYTICS_ENDPOINT": trap.endpoint}
        ran = launch(sink, env={**HOSTILE, **proxies, **endpoints, **named, "SSLKEYLOGFILE": str(keys)})
        assert ran.exit_code == 0
        assert ran.stdout.count(b"\n") == 2
        assert sink.counts == {"success": 1, "error": 1}
        for received in sink.requests:
            assert b"SECRET" not in received.head.encode() + received.body
            assert set(received.headers) == {"host", "user-agent", "content-type", "content-length", "connection"}
            assert received.client_certificate in (None, {})
        connected = [target for event, target in ran.reached if event == "socket.connect"]
        assert set(connected) == {str(("127.0.0.1", sink.port))}
        assert trap.connections == 0
        # The user's own telemetry obeys the variable, so the file may be there; but there is no TLS of it in this test.
        assert [line for line in written(keys) if line and not line.startswith("#")] == []


@pytest.mark.parametrize(
    "switch",
    [
        {"CI": "true"},
        {"DO_NOT_TRACK": "1"},
        {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "false"},
        {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "maybe"},
        {"OTEL_SDK_DISABLED": "true"},
    ],
    ids=lambda switch: "=".join(*switch.items()),
)
def test_off_by_a_variable_contacts_nobody(launch: Any, switch: dict[str, str]) -> None:
    with Sink() as sink:
        ran = launch(sink, env={**HOSTILE, **switch})
        assert ran.exit_code == 0
        assert ran.stdout.count(b"\n") == 2
        assert ran.reached == []
        assert sink.connections == 0


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("otel:\n  usage-analytics-enabled: false\n", ""),
        ("otel:\n  usage-analytics-enabled: perhaps\n", "config.yaml:2"),
        ("otel: [\n", "config.yaml"),
    ],
)
def test_off_by_the_config_file_contacts_nobody(launch: Any, home: Path, text: str, remark: str) -> None:
    (home / ".toolhive").mkdir()
    (home / ".toolhive" / "config.yaml").write_text(text)
    with Sink() as sink:
        ran = launch(sink)
        assert ran.exit_code == 0
        assert ran.reached == []
        assert sink.connections == 0
        assert (remark in ran.stderr) if remark else not ran.stderr


@pytest.mark.parametrize("unknown", ["usage-analytics-enable: true", "usage: false", "endpoints: https://example.org"])
def test_an_unknown_key_of_the_config_file_is_told_and_changes_nothing(launch: Any, home: Path, unknown: str) -> None:
    (home / ".toolhive").mkdir()
    (home / ".toolhive" / "config.yaml").write_text(f"otel:\n  {unknown}\n")
    with Sink() as sink:
        ran = launch(sink)
        assert f"config.yaml:2: unknown key otel.{unknown.partition(':')[0]}" in ran.stderr
        assert sink.counts == {"success": 1, "error": 1}


def test_a_no_under_a_misspelt_key_is_a_no_and_is_told(launch: Any, home: Path) -> None:
    (home / ".toolhive").mkdir()
    (home / ".toolhive" / "config.yaml").write_text("otel:\n  usage-analytics-enable: false\n")
    with Sink() as sink:
        ran = launch(sink)
        assert "config.yaml:2" in ran.stderr
        assert "usage-analytics-enabled" in ran.stderr
        assert (ran.reached, sink.connections) == ([], 0)


def test_off_means_that_nothing_of_the_pipeline_is_imported(launch: Any) -> None:
    with Sink() as sink:
        ran = launch(sink, env={"DO_NOT_TRACK": "1", "PYTHONPROFILEIMPORTTIME": "1"})
    imported = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert "thv.analytics.consent" in imported
    assert not {
        name for name in imported if name.startswith(("opentelemetry", "ssl", "http", "requests", "platformdirs"))
    }
    ours = {name for name in imported if name.startswith("thv.analytics.")}
    assert ours <= {"thv.analytics.consent", "thv.analytics.constants"}


def test_a_session_without_a_call_sends_nothing(launch: Any) -> None:
    with Sink() as sink:
        ran = launch(sink, b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n')
        assert ran.stdout.count(b"\n") == 1
        assert ran.reached == []
        assert sink.connections == 0


def test_the_demo_is_counted_and_shown_and_never_sent(launch: Any, analytics_on: None) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "thv", "run", "demo"],
        input=ONE_OF_EACH,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    told = ran.stderr.decode()
    assert "1 success, 1 error" in told
    assert f"POST {ENDPOINT}" in told
    assert json.loads(told[told.index("{") :])["resourceMetrics"]


def test_the_demo_with_analytics_off_shows_no_request(analytics_on: None) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "thv", "run", "demo"],
        input=ONE_OF_EACH,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "CI": "true"},
    )
    told = ran.stderr.decode()
    assert "1 success, 1 error" in told
    assert "POST" not in told
    assert "CI is set" in told


@pytest.mark.parametrize(
    "mode", ["refuse", "silent", "blackhole", "drip", "drip-tls", "tls-bad-cert", "503", "redirect"]
)
def test_a_bad_endpoint_neither_delays_the_exit_nor_says_a_word(launch: Any, mode: Any) -> None:
    with Sink(mode=mode) as sink:
        ran = launch(sink, options=())
    assert ran.exit_code == 0
    assert ran.took < SLOW_EXIT
    assert ran.stdout.count(b"\n") == 2
    assert "Traceback" not in ran.stderr
    assert [line for line in ran.stderr.splitlines() if line.startswith("thv: ")] == [
        line for line in ran.stderr.splitlines() if line.startswith("thv: Anonymous usage analytics are on")
    ]


def test_an_endpoint_whose_name_cannot_be_resolved_delays_nothing(launch: Any) -> None:
    with Sink() as sink:
        ran = launch(sink, endpoint="https://analytics.invalid/v1/traces", options=())
    assert ran.exit_code == 0
    assert ran.took < SLOW_EXIT
    assert [target for event, target in ran.reached if event == "socket.connect"] == []


def test_a_redirect_is_not_followed(launch: Any) -> None:
    with Sink(mode="redirect") as sink:
        launch(sink, ONE_CALL)
        assert len(sink.requests) == 1
        assert sink.connections == 1


def test_the_notice_is_shown_once_per_machine_and_before_anything_is_sent(launch: Any) -> None:
    with Sink() as sink:
        first, second = launch(sink, ONE_CALL), launch(sink, ONE_CALL)
        assert len(sink.requests) == 2
    assert "usage-analytics-enabled false" in first.stderr
    assert "DO_NOT_TRACK" in first.stderr
    assert second.stderr == ""


def written(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def remembered() -> list[dict[str, Any]]:
    """The history, as the command tells it."""
    argv = [sys.executable, "-m", "thv", "analytics", "show", "--format", "json"]
    shown = subprocess.run(argv, capture_output=True, check=True, timeout=PATIENCE)
    found: list[dict[str, Any]] = json.loads(shown.stdout)["history"]["exports"]
    return found


def test_the_history_tells_each_report_that_arrived(launch: Any) -> None:
    with Sink() as sink:
        launch(sink, request(1, "fail", message="on purpose"))
        launch(sink, ONE_CALL)
        assert len(sink.requests) == 2
    assert [(one["success"], one["error"], one["result"]) for one in remembered()] == [(0, 1, "taken"), (1, 0, "taken")]


def test_a_report_that_the_end_of_the_session_cut_short_is_in_the_history_too(launch: Any) -> None:
    with Sink(mode="silent") as sink:
        launch(sink, options=())
        # On a slow machine the session may end before the connection, and then nothing was sent.
        assert len(remembered()) >= sink.connections
    assert {one["result"] for one in remembered()} <= {"unknown"}


def test_with_analytics_off_nothing_is_remembered(launch: Any, home: Path) -> None:
    with Sink() as sink:
        launch(sink, env={"DO_NOT_TRACK": "1"})
    assert remembered() == []
    kept = [path.name for path in home.rglob("*") if path.is_file() and path.parent.name != "journal"]
    assert kept == ["usage-analytics-off"]  # the no itself


def test_debug_shows_each_request_with_its_destination_and_result(launch: Any) -> None:
    with Sink() as sink:
        ran = launch(sink, words=["--debug"])
        assert f"POST {sink.endpoint}" in ran.stderr
        assert "toolhive_usage_tool_calls_total" in ran.stderr
        assert "200" in ran.stderr
        assert "thv: tool calls: 1 success, 1 error" in ran.stderr


def test_a_dead_server_leaves_its_open_calls_counted_as_errors(analytics_on: None) -> None:
    server = ("sh", "-c", "read call; read call; exit 3")
    with Sink() as sink, started(sink, server, "--budget", "60") as (process, stdin, _stdout):
        stdin.write(ONE_OF_EACH)
        stdin.flush()
        assert process.wait(PATIENCE) == 3
        assert sink.counts == {"error": 2}


def test_a_signal_to_thv_leaves_open_calls_uncounted_and_sends_the_rest(analytics_on: None) -> None:
    with Sink() as sink, started(sink, DEMO, "--budget", "60") as (process, stdin, stdout):
        stdin.write(request(1, "add", a=1, b=2) + request(2, "wait", seconds=50))
        stdin.flush()
        assert b'"id":1' in stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        assert sink.counts == {"success": 1}
