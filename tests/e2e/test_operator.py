"""From an MCPServer to a tool call through its Service's port, on a real cluster.

Runs when THV_TEST_KUBECONFIG names a cluster that can pull THV_TEST_IMAGE: thv's own image, whose demo is the server.
The pods are told that the analytics endpoint is themselves, where nobody listens: no test reaches the real one. Whether
outcomes would be exported is what thv in the pod says of itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.operator.clusters import REAL, cluster, operator
from tests.operator.servers import body, refusal
from tests.ports import free_port
from thv.analytics.constants import ENDPOINT
from thv.operator.pod_settings import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = os.environ.get("THV_TEST_IMAGE", "")

pytestmark = pytest.mark.skipif(
    not (REAL and IMAGE), reason="THV_TEST_KUBECONFIG and THV_TEST_IMAGE name no cluster and image"
)

DEMO = ["/opt/thv/bin/python3", "-I", "-m", "thv.servers.demo"]
PATIENCE = 180.0

NOBODY = {"ip": "127.0.0.1", "hostnames": [urlsplit(ENDPOINT).hostname]}
"""The analytics endpoint's name, as the pods resolve it."""

SHAPES: dict[str, dict[str, Any]] = {
    "wrap": {"image": IMAGE, "command": DEMO},
    "attach": {
        "image": IMAGE,
        # The image's own entrypoint is thv: a server's image has the server there.
        "args": ["run", "--otel-usage-analytics-enabled=false", "demo"],
    },
    "proxy": {
        "image": IMAGE,
        "transport": "streamable-http",
        "mcpPort": 9000,
        # thv's own HTTP side around the demo, as any server that speaks HTTP.
        "args": ["run", "--otel-usage-analytics-enabled=false", "--proxy-port", "9000", "demo"],
    },
}


@contextmanager
def forwarded(namespace: str, service: str) -> Iterator[str]:
    """The URL by which this machine reaches a Service's port."""
    port = free_port()
    words = ["kubectl", "--kubeconfig", REAL, "-n", namespace, "port-forward", f"service/{service}", f"{port}:8080"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        assert "Forwarding" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def call(url: str, message: dict[str, Any], session: str = "") -> tuple[str, Any]:
    """POST one message; the session's id and the reply, out of JSON or an event stream."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if session:
        headers |= {"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-06-18"}
    request = urllib.request.Request(url, json.dumps({"jsonrpc": "2.0", **message}).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        text = response.read().decode()
        session = response.headers.get("Mcp-Session-Id", session)
    data = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
    return session, json.loads(data[-1] if data else text or "null")


def added(url: str) -> Any:
    """What the demo server's tool makes of 2 and 3, in a session of its own."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    session, _ = call(url, {"id": 1, "method": "initialize", "params": hello})
    call(url, {"method": "notifications/initialized"}, session)
    _, reply = call(
        url, {"id": 2, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 2, "b": 3}}}, session
    )
    return reply["result"]["content"][0]["text"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_tool_is_called_and_counted_as_the_flag_says(shape: str, enabled: bool) -> None:
    async def main() -> None:
        async with cluster("real") as (connect, user):
            spec = {
                **SHAPES[shape],
                "podTemplateSpec": {"spec": {"hostAliases": [NOBODY]}},
                "telemetry": {"openTelemetry": {"usageAnalyticsEnabled": enabled}},
            }
            options = Options(IMAGE, refusal)
            async with operator(connect, user.namespace, options=options):
                await user.create(body(namespace=user.namespace, **spec))
                started = time.monotonic()
                while True:
                    found = await user.find("mcpservers", "files")
                    said = (found or {}).get("status", {})
                    if said.get("phase") == "Ready":
                        break
                    assert time.monotonic() - started < PATIENCE, said
                    await asyncio.sleep(0.5)
                assert said["usageAnalyticsEnabled"] is enabled
                with forwarded(user.namespace, "files") as url:
                    assert await asyncio.to_thread(added, url) == "5"
                pods = await user.list(("v1", "Pod"), user.namespace)
                container = "mcp" if shape == "wrap" else "thv"
                status = ["/opt/thv/bin/python3", "-I", "-m", "thv", "analytics", "status", "--format", "json"]
                words = ["kubectl", "--kubeconfig", REAL, "-n", user.namespace, "exec", pods[0]["metadata"]["name"]]
                asked = [*words, "-c", container, "--", *status]
                told = await asyncio.to_thread(subprocess.run, asked, capture_output=True, text=True, check=True)
                assert json.loads(told.stdout)["enabled"] is enabled

    asyncio.run(main())
