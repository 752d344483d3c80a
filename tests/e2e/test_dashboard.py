"""The shipped dashboard, asked of a real Prometheus: every panel shows what was called, by either way."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import pytest

from tests.collector import Backend, collector, plain, wait_for_listener
from tests.e2e.harness import PATIENCE, Run, receive, until
from tests.e2e.test_telemetry import INITIALIZE, INITIALIZED, agents_of, call, needs_rotel, wait_for_agent
from tests.ports import free_port
from tests.prometheus_names import prometheus_name
from thv.telemetry.instruments import INSTRUMENTS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

FOLDER = Path(__file__).parents[2] / "examples" / "observability"
PANELS = {one["title"]: one for one in json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]}

STEP_S = 2
"""Ten scrapes, so that no step is without one."""

PORTS = 12
"""More than there are sessions."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="no Prometheus here; Debian's package is `prometheus`"
    ),
]


def load_renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", FOLDER / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RENDER = load_renderer()


@dataclass
class Prometheus:
    """A running server, and the window that is looked at."""

    url: str
    started: float = field(default_factory=time.time)

    @property
    def window_s(self) -> int:
        steps = (time.time() - self.started) / STEP_S + 10
        return int(steps) * STEP_S

    def panel(self, title: str, server: str = ".*", target: int = 0) -> list[dict[str, Any]]:
        """What the panel's query gives now."""
        query = PANELS[title]["targets"][target]["expr"]
        query = RENDER.filled(query, window_s=self.window_s, step_s=STEP_S, server=server)
        found: list[dict[str, Any]] = RENDER.ask(self.url, query, time.time())
        return found

    def number(self, title: str, server: str = ".*", target: int = 0) -> float:
        """The one value of a panel; nan if there is none."""
        found = self.panel(title, server, target)
        assert len(found) <= 1
        return float(found[0]["value"][1]) if found else float("nan")

    def steps(self, title: str, label: str, server: str = ".*") -> Counter[str]:
        """Each curve's label and the sum of its steps: what the whole window had, if each step is right."""
        query = PANELS[title]["targets"][0]["expr"]
        query = RENDER.filled(query, window_s=self.window_s, step_s=STEP_S, server=server)
        found = RENDER.ask(self.url, query, time.time(), window_s=self.window_s, step_s=STEP_S)
        sums = {one["metric"][label]: sum(float(value) for _, value in one["values"]) for one in found}
        return Counter({name: round(value) for name, value in sums.items() if value})


@contextmanager
def prometheus(directory: Path, targets: list[str]) -> Iterator[Prometheus]:
    port = free_port()
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "thv", "honor_labels": True, "static_configs": [{"targets": targets}]}],
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(config))  # which is YAML, too
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"]
    command.append(f"--web.listen-address=127.0.0.1:{port}")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(port)
        made = Prometheus(f"http://127.0.0.1:{port}")

        def ready() -> bool:
            with suppress(URLError):  # it says 503 until it is
                RENDER.ask(made.url, "up", time.time())
                return True
            return False

        until(ready, "a Prometheus that answers")
        yield made
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Sessions:
    """Sessions of the demo server, each under a name, and what was called in all of them."""

    def __init__(self, stack: ExitStack, directory: Path, options: tuple[str, ...], env: Mapping[str, str]) -> None:
        self._stack = stack
        self._directory = directory
        self._options = options
        self._env = env
        self.made: Counter[tuple[str, str, str]] = Counter()

    def open(self, name: str, *, good: int, bad: int, cancelled: int = 0) -> Run:
        """Begin a session and make its calls."""
        command = [sys.executable, "-P", "-m", "thv", "run", "--name", name, *self._options, "demo"]
        run = self._stack.enter_context(Run(command, self._directory, env=self._env))
        self._stack.callback(end_agents, run)
        run.send(INITIALIZE + INITIALIZED)
        receive(run.stdout, line=True)
        for number in range(good):
            run.send(call(10 + number, "add", a=1, b=1))
            receive(run.stdout, line=True)
        for number in range(bad):
            run.send(call(100 + number, "fail", message="on purpose"))
            receive(run.stdout, line=True)
        for number in range(cancelled):
            run.send(call(200 + number, "wait", seconds=60))
            note = {"method": "notifications/cancelled", "params": {"requestId": 200 + number}}
            run.send(json.dumps({"jsonrpc": "2.0", **note}).encode() + b"\n")
        self.made.update({(name, "add", "success"): good, (name, "fail", "error"): bad})
        wait_for_agent(run)
        return run


def end_agents(run: Run) -> None:
    for agent in agents_of(run):
        agent.kill()


def calls_of(sessions: Sessions, name: str = "") -> int:
    return sum(count for (server, _, _), count in sessions.made.items() if name in {"", server})


def play(sessions: Sessions) -> Run:
    """Two sessions one after the other, two at once, and one that stays open: returned."""
    for _ in range(2):
        assert sessions.open("alpha", good=5, bad=2, cancelled=1).finish()[0] == 0
    both = [sessions.open("beta", good=3, bad=0), sessions.open("beta", good=4, bad=1)]
    for run in both:
        assert run.finish()[0] == 0
    return sessions.open("gamma", good=1, bad=0)


def check(server: Prometheus, sessions: Sessions) -> None:
    """Every panel, against what was called."""
    until(lambda: server.number("Tool calls") == calls_of(sessions), "the calls of every session")
    until(lambda: server.number("Sessions open now") == 1, "the end of the other sessions")
    until(lambda: isfinite(server.number("Half of the sessions last longer than")), "the length of a session")
    assert server.number("Tool calls", "alpha") == calls_of(sessions, "alpha") == 14
    assert server.number("Tool calls", "alpha|beta") == 14 + 8
    assert server.number("Tool calls that succeeded") == pytest.approx(18 / 23)
    assert server.number("Tool calls that succeeded", "beta") == pytest.approx(7 / 8)
    assert server.number("Half of the sessions last longer than", "alpha") > 0
    assert not isfinite(server.number("Half of the sessions last longer than", "gamma")), "it is open"
    rows = {tuple(one["metric"][label] for label in ("server", "tool", "status")): one for one in server.panel("Tools")}
    assert {row: int(one["value"][1]) for row, one in rows.items()} == +sessions.made
    assert server.steps("Tool calls by outcome", "status") == {"success": 18, "error": 5}
    assert server.steps("Tool calls by outcome", "status", "beta") == {"success": 7, "error": 1}
    assert server.steps("Requests by method", "mcp_method") == {"initialize": 5, "tools/call": 25}
    assert server.steps("Failed requests by error type", "error_type") == {"tool_error": 5}, "none was cancelled"
    assert server.steps("Failed requests by error type", "error_type", "beta") == {"tool_error": 1}
    assert "gamma" in server.steps("Sessions open", "server"), "the others may lie between two steps"
    for title, target in (("Duration of requests", 0), ("Duration of requests", 2), ("Duration of tool calls, p95", 0)):
        query = RENDER.filled(PANELS[title]["targets"][target]["expr"], window_s=60, step_s=server.window_s)
        found = RENDER.ask(server.url, query, time.time())
        assert found, title
        assert all(0 < float(one["value"][1]) < 300 for one in found if one["metric"].get("gen_ai_tool_name") != "wait")


def test_every_panel_is_right_where_prometheus_scrapes_the_sessions(tmp_path: Path) -> None:
    first = free_port()
    env = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(first)}
    options = ("--otel-enable-prometheus-metrics-path",)
    targets = [f"127.0.0.1:{port}" for port in range(first, first + PORTS)]
    with prometheus(tmp_path, targets) as server, ExitStack() as stack:
        sessions = Sessions(stack, tmp_path, options, env)
        last = play(sessions)
        check(server, sessions)
        picture = RENDER.draw(server.url, time.time(), window_s=server.window_s, step_s=STEP_S)
        assert all(f">{title}<" in picture for title in PANELS)
        assert ">23<" in picture, "the number of tool calls"
        if "THV_DASHBOARD" in os.environ:  # where the picture in docs/ comes from
            Path(os.environ["THV_DASHBOARD"]).write_text(picture, encoding="utf-8")
        assert last.finish()[0] == 0


class Exposition(HTTPServer):
    """What a collector's Prometheus exporter does: serves the last value of each series, by service and session."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._read = 0
        self._last: dict[tuple[str, str], str] = {}
        super().__init__(("127.0.0.1", 0), _ExpositionHandler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def text(self) -> str:
        posts = list(self.backend.posts)
        for post in posts[self._read :]:
            if post.path.endswith("metrics"):
                for resource in post.decoded()["resourceMetrics"]:
                    _expose(resource, self._last)
        self._read = len(posts)
        return "".join(f"{name}{labels} {value}\n" for (name, labels), value in self._last.items())


class _ExpositionHandler(BaseHTTPRequestHandler):
    server: Exposition

    def do_GET(self) -> None:
        body = self.server.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        with suppress(BrokenPipeError):  # Prometheus ended meanwhile
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _expose(resource: dict[str, Any], last: dict[tuple[str, str], str]) -> None:
    about = plain(resource["resource"]["attributes"])
    own = {"job": about["service.name"], "instance": about["service.instance.id"]}
    for metric in resource["scopeMetrics"][0]["metrics"]:
        instrument = INSTRUMENTS[metric["name"]]
        name = prometheus_name(instrument)
        for point in (metric.get("sum") or metric["histogram"])["dataPoints"]:
            labels = {key.replace(".", "_"): value for key, value in plain(point["attributes"]).items()} | own

            def shown(labels: dict[str, str] = labels, **more: str) -> str:
                return "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in {**labels, **more}.items()) + "}"

            if instrument.kind is not Kind.HISTOGRAM:
                suffix = "_total" if instrument.kind is Kind.COUNTER else ""
                last[f"{name}{suffix}", shown()] = point["asInt"]
                continue
            total = 0
            for bound, count in zip((*instrument.bounds, float("inf")), point["bucketCounts"], strict=True):
                total += int(count)
                last[f"{name}_bucket", shown(le="+Inf" if bound == float("inf") else str(bound))] = str(total)
            last[f"{name}_count", shown()] = point["count"]


@needs_rotel
def test_every_panel_is_right_by_way_of_a_collector(tmp_path: Path) -> None:
    with Backend() as backend, collector(backend, tmp_path) as ports, ExitStack() as stack:
        exposition = Exposition(backend)
        stack.callback(exposition.server_close)
        stack.callback(exposition.shutdown)
        options = ("--otel-endpoint", f"http://127.0.0.1:{ports.http}")
        env = {"OTEL_METRIC_EXPORT_INTERVAL": "300"}
        with prometheus(tmp_path, [f"127.0.0.1:{exposition.server_port}"]) as server:
            sessions = Sessions(stack, tmp_path, options, env)
            last = play(sessions)
            check(server, sessions)
            assert last.finish()[0] == 0
