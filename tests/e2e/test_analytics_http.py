"""Usage analytics over HTTP: front, proxy and remote client count every call once; telemetry sees nothing of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.collector import Backend
from tests.e2e.harness import PATIENCE, Run, receive
from tests.e2e.test_analytics import DEMO, request
from tests.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping

LAUNCH = Path(__file__).parents[1] / "launch.py"

CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
SESSION = (
    json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": CLIENT}).encode() + b"\n",
    b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n',
    *(request(number, "add", a=number, b=1) for number in range(1, 4)),
    *(request(number, "fail", message="on purpose") for number in range(4, 6)),
    request(6, "wait", seconds=1.2),  # its reply comes in a stream
)
COUNTS = {"success": 4, "error": 2}

VARYING = {
    "mcp.session.id",
    "toolhive.session.id",
    "server.port",
    "client.port",
    "jsonrpc.request.id",
    "network.peer.port",
}
"""Attributes that differ from run to run."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ended by signals, as POSIX does")


def launched(sink: Sink, *words: str) -> list[str]:
    options = ["--endpoint", sink.endpoint, "--ca", str(sink.ca_file), "--budget", "60"]
    return [sys.executable, str(LAUNCH), *options, "--", *words]


def served(running: Run) -> str:
    said = ""
    while (found := re.search(r"served at (http://\S+?),? ", said.replace("\n", " "))) is None:
        line = receive(running.stderr, line=True).decode()
        assert line, said
        said += line
    return found[1]


def chain(tmp_path: Path, env: Mapping[str, str]) -> tuple[list[dict[str, int]], Backend]:
    """A client's session through remote client, proxy and front; what each of them sent, and what telemetry got."""
    with ExitStack() as stack:
        sinks = [stack.enter_context(Sink()) for _ in range(3)]
        telemetry = stack.enter_context(Backend())
        env = {
            **env,
            "PYTHONPATH": str(LAUNCH.parents[1]),
            "OTEL_EXPORTER_OTLP_ENDPOINT": telemetry.url,
            "OTEL_TRACES_SAMPLER": "always_on",
        }
        front = stack.enter_context(Run(launched(sinks[0], "run", "--proxy-port", "0", "--", *DEMO), tmp_path, env=env))
        proxy = stack.enter_context(
            Run(launched(sinks[1], "proxy", "there", "--target-uri", served(front)), tmp_path, env=env)
        )
        remote = launched(sinks[2], "run", "--name", "far", served(proxy))
        client = subprocess.run(
            remote,
            input=b"".join(SESSION),
            env={**os.environ, **env},
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
        assert sorted(json.loads(line)["id"] for line in client.stdout.splitlines()) == list(range(7))
        for running in (proxy, front):
            running.process.terminate()
            assert running.wait() == 0
            assert running.finish()[1] == b""
        return [sink.counts for sink in sinks], telemetry


def seen(telemetry: Backend) -> Counter[str]:
    """What the user's telemetry says, without what differs from run to run."""
    spans = []
    for span in telemetry.spans():
        attributes = {name: value for name, value in span["attributes"].items() if name not in VARYING}
        spans.append(json.dumps([span["name"], span.get("kind"), span.get("status"), attributes], sort_keys=True))
    return Counter(spans)


def calls(telemetry: Backend) -> dict[str, Any]:
    """How many tool calls the user's metrics tell of, by what they say of them."""
    points = telemetry.points("toolhive_mcp_tool_calls")
    return {json.dumps(point["attributes"], sort_keys=True): point["asInt"] for point in points}  # cumulative: the last


def test_each_counts_every_call_once_and_telemetry_is_the_same_with_and_without(
    tmp_path: Path, analytics_on: None
) -> None:
    counted, telemetry = chain(tmp_path, {"DO_NOT_TRACK": ""})
    assert counted == [COUNTS] * 3
    silent, without = chain(tmp_path, {"DO_NOT_TRACK": "1"})
    assert silent == [{}] * 3
    with_analytics: Any = seen(telemetry)
    assert with_analytics.total() >= 3 * len(SESSION) - 3
    assert with_analytics == seen(without)
    assert len(calls(telemetry)) >= len({"add", "fail", "wait"})
    assert calls(telemetry) == calls(without)
    assert not [post for post in telemetry.posts if b"toolhive_usage" in post.body]
