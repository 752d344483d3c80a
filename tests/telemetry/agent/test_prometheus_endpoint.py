"""`/metrics`: Prometheus' names, a loopback address, and a real Prometheus that reads the right numbers."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.collector import wait_for_listener
from tests.ports import free_port
from tests.prometheus_names import prometheus_name
from tests.sink import PATIENCE
from tests.telemetry.agent.agents import INSTRUMENTATION_SCOPE, RESOURCE, AgentProcess, calls, durations, snapshot
from thv.telemetry.agent.metric_builder import MetricBuilder
from thv.telemetry.agent.prometheus_endpoint import PrometheusEndpoint
from thv.telemetry.frames import AgentSettings, HistogramPoint, SumPoint
from thv.telemetry.instruments import DURATION_BOUNDS, INSTRUMENTS

if TYPE_CHECKING:
    from pathlib import Path

NASTY = 'quote " backslash \\ newline \n é'

IDENTITY = {"service_instance_id": "one"}
SCOPE = {"otel_scope_name": "thv", "otel_scope_version": "1", "otel_scope_schema_url": "https://schema.example/1"}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def builder() -> MetricBuilder:
    return MetricBuilder(RESOURCE, INSTRUMENTATION_SCOPE)


@pytest.fixture
def endpoint(builder: MetricBuilder, said: list[str]) -> PrometheusEndpoint:
    return PrometheusEndpoint(0, builder.collect, said.append, host="127.0.0.1")


def a_point_of_every_instrument() -> list[HistogramPoint | SumPoint]:
    buckets = [1, *[0] * len(DURATION_BOUNDS)]
    return [
        HistogramPoint(name, {}, 1, 0.0, 0.0, 0.0, buckets) if instrument.bounds else SumPoint(name, {}, 1)
        for name, instrument in INSTRUMENTS.items()
    ]


def ask(endpoint: PrometheusEndpoint, method: str = "GET", path: str = "/metrics", **headers: str) -> tuple[int, str]:
    with closing(
        HTTPConnection("127.0.0.1", int(endpoint.address.split(":")[2].split("/")[0]), PATIENCE)
    ) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def samples(endpoint: PrometheusEndpoint) -> dict[str, list[tuple[dict[str, str], float]]]:
    _, text = ask(endpoint)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_names_are_those_of_the_compatibility_rules(endpoint: PrometheusEndpoint, builder: MetricBuilder) -> None:
    builder.put(snapshot(*a_point_of_every_instrument()))
    _, text = ask(endpoint)
    shown = {family.name for family in text_string_to_metric_families(text)}
    assert shown == {"target_info", *(prometheus_name(one) for one in INSTRUMENTS.values())}


def test_a_scrape_shows_the_latest_snapshot(endpoint: PrometheusEndpoint, builder: MetricBuilder) -> None:
    builder.put(snapshot(calls(1)))
    builder.put(
        snapshot(
            calls(3), calls(2, tool=NASTY), durations(0.01, 0.3), SumPoint("toolhive_mcp_active_connections", {}, 1)
        )
    )
    seen = samples(endpoint)
    by_tool = {labels["tool"]: value for labels, value in seen["toolhive_mcp_tool_calls_total"]}
    assert by_tool == {"add": 3, NASTY: 2}
    assert seen["toolhive_mcp_active_connections"] == [({**SCOPE, **IDENTITY}, 1)]
    name = "mcp_server_operation_duration_seconds"
    labels = {"mcp_method_name": "tools/call", "network_transport": "pipe", **SCOPE, **IDENTITY}
    assert seen[f"{name}_count"] == [(labels, 2)]
    assert seen[f"{name}_sum"] == [(labels, 0.31)]
    buckets = {float(labels["le"]): value for labels, value in seen[f"{name}_bucket"]}
    assert list(buckets) == [*DURATION_BOUNDS, float("inf")]
    assert [buckets[bound] for bound in (0.01, 0.2, 0.5, float("inf"))] == [1, 1, 2, 2]


def test_the_resource_is_target_info(endpoint: PrometheusEndpoint, builder: MetricBuilder) -> None:
    builder.put(snapshot(calls(1)))
    [(labels, value)] = samples(endpoint)["target_info"]
    assert labels == {"service_name": "thv-demo", "service_instance_id": "one"}
    assert value == 1


@pytest.mark.parametrize("version", ["1.0.0", '"1.0.0"'])
def test_openmetrics_is_given_to_who_asks_for_it(
    endpoint: PrometheusEndpoint, builder: MetricBuilder, version: str
) -> None:
    builder.put(snapshot(calls(3), durations(1)))
    _, text = ask(endpoint, Accept=f"application/openmetrics-text; version={version}")
    assert "# UNIT mcp_server_operation_duration_seconds seconds" in text
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    "accept",
    [
        'text/plain;version="0.0.4"',
        "text/plain;version=x",
        "text/plain;version=",
        "text/plain;version=1..0",
        "application/openmetrics-text;version=x, text/plain",
        "application/openmetrics-text;version=1.0.0-rc1",
        "application/openmetrics-text;version=2.x",
    ],
)
def test_a_version_that_is_not_known_is_answered_all_the_same(
    endpoint: PrometheusEndpoint, builder: MetricBuilder, accept: str
) -> None:
    builder.put(snapshot(calls(3)))
    status, text = ask(endpoint, Accept=accept)
    assert status == 200
    assert "toolhive_mcp_tool_calls_total{" in text


def test_a_scrapes_head_says_how_long_it_would_be(endpoint: PrometheusEndpoint, builder: MetricBuilder) -> None:
    builder.put(snapshot(calls(3)))
    address = ("127.0.0.1", int(endpoint.address.split(":")[2].split("/")[0]))
    with closing(socket.create_connection(address, PATIENCE)) as connection:
        connection.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(ask(endpoint)[1].encode())}".encode() in head.split(b"\r\n")
    assert body == b""


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/metrics", {}, 200),
        ("GET", "/metrics?name=x", {}, 200),
        ("GET", "/metrics", {"Host": "localhost:9464"}, 200),
        ("GET", "/metrics", {"Host": "evil.example:9464"}, 403),
        ("GET", "http://127.0.0.1:9464/metrics", {}, 200),
        ("GET", "http://127.0.0.1:9464/metrics?name=x", {"Host": "evil.example:9464"}, 200),
        ("GET", "HTTP://evil.example:9464/metrics", {"Host": "127.0.0.1:9464"}, 403),
        ("GET", "http://127.0.0.1:9464", {}, 404),
        ("GET", "/", {}, 404),
        ("HEAD", "/metrics", {}, 200),
        ("HEAD", "/metrics", {"Host": "evil.example:9464"}, 403),
        ("POST", "/metrics", {}, 501),
        ("DELETE", "/metrics", {}, 501),
    ],
)
def test_only_this_machine_may_read_and_nobody_write(
    endpoint: PrometheusEndpoint, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert ask(endpoint, method, path, **headers)[0] == status


def test_a_taken_port_is_stepped_over_and_the_address_said_once(builder: MetricBuilder, said: list[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        endpoint = PrometheusEndpoint(port, builder.collect, said.append, host="127.0.0.1")
        assert ask(endpoint)[0] == 200
        assert said == [f"Prometheus metrics are at {endpoint.address}"]
        assert f":{port}/" not in endpoint.address


def test_without_a_free_port_the_session_goes_on(builder: MetricBuilder, said: list[str]) -> None:
    PrometheusEndpoint(65536, builder.collect, said.append, host="127.0.0.1")
    [line] = said
    assert line.startswith("telemetry: no Prometheus metrics: ")


def wait_for_answer(url: str) -> list[Any]:
    """The result of a query once there is one."""
    until = time.monotonic() + PATIENCE
    while True:
        result: list[Any] = []
        # It says 503 until it is ready.
        with suppress(HTTPError), urlopen(url, timeout=PATIENCE) as response:
            result = json.load(response)["data"]["result"]
        if result or time.monotonic() > until:
            return result
        time.sleep(0.1)


def test_an_address_of_the_users_is_served_under_every_name(builder: MetricBuilder, said: list[str]) -> None:
    served = PrometheusEndpoint(0, builder.collect, said.append, host="0.0.0.0")
    assert said == [f"Prometheus metrics are at {served.address}"]
    assert served.address.startswith("http://0.0.0.0:")
    assert ask(served, Host="pod.example:9464")[0] == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_may_stand_in_brackets(host: str, builder: MetricBuilder, said: list[str]) -> None:
    PrometheusEndpoint(0, builder.collect, said.append, host=host)
    [line] = said
    address = line.removeprefix("Prometheus metrics are at ")
    assert address.startswith("http://[::1]:")
    with urlopen(address, timeout=PATIENCE) as response:
        assert response.status == 200


def test_an_address_that_is_not_ours_is_said_and_nothing_is_served(builder: MetricBuilder, said: list[str]) -> None:
    PrometheusEndpoint(9464, builder.collect, said.append, host="192.0.2.1")
    why = os.strerror(errno.EADDRNOTAVAIL)
    assert said == [f"telemetry: no Prometheus metrics: 192.0.2.1 cannot be listened on: {why}"]


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("idna")])
def test_a_name_without_an_address_is_looked_up_once(
    error: Exception, builder: MetricBuilder, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bind(_: object) -> None:
        raise error

    monkeypatch.setattr("thv.telemetry.agent.prometheus_endpoint._Server.server_bind", bind)
    PrometheusEndpoint(9464, builder.collect, said.append, host="metrics.invalid")
    assert said == ["telemetry: no Prometheus metrics: metrics.invalid cannot be listened on: no such name"]


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no Prometheus here; Debian's package is `prometheus`")
def test_a_real_prometheus_answers_with_the_right_numbers(tmp_path: Path) -> None:
    port, scraped = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: thv, static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]}}]\n"
    )
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with AgentProcess(
        AgentSettings(prometheus_port=scraped, resource={"service.name": "thv-demo"}, linger_s=0)
    ) as agent:
        agent.send(snapshot(calls(41), durations(0.015, 0.015, 3.0)))
        address = agent.line().rpartition(" ")[2]
        assert address == f"http://127.0.0.1:{scraped}/metrics"
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_listener(port)
            query = f"http://127.0.0.1:{port}/api/v1/query?query="
            [counter] = wait_for_answer(
                query + quote('sum by (tool) (toolhive_mcp_tool_calls_total{status="success"})')
            )
            assert (counter["metric"], counter["value"][1]) == ({"tool": "add"}, "41")
            histogram = 'mcp_server_operation_duration_seconds_bucket{mcp_method_name="tools/call"}'
            [median] = wait_for_answer(query + quote(f"histogram_quantile(0.5, {histogram})"))
            assert 0.01 < float(median["value"][1]) <= 0.02
        finally:
            server.terminate()
            server.wait(PATIENCE)
        assert agent.end().code == 0


def tool_calls(address: str) -> float:
    with urlopen(address, timeout=PATIENCE) as response:
        text = response.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "toolhive_mcp_tool_calls_total"
    )


def test_after_the_session_the_metrics_can_be_scraped_for_an_interval_and_nothing_waits_for_it(tmp_path: Path) -> None:
    settings = AgentSettings(prometheus_port=free_port(), linger_s=PATIENCE)
    with AgentProcess(settings) as agent:
        address = agent.line().rpartition(" ")[2]
        agent.send(snapshot(calls(41)))
        stdin, stdout, stderr = agent.process.stdin, agent.process.stdout, agent.process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        stdin.close()
        assert stdout.read() == b"", "its end says that everything was exported"
        assert stderr.read() == b"", "a client that reads the session's stderr to its end gets there"
        assert agent.process.poll() is None
        assert tool_calls(address) == 41


def test_it_ends_when_the_interval_is_over() -> None:
    with AgentProcess(AgentSettings(prometheus_port=free_port(), linger_s=0.01)) as agent:
        agent.line()
        assert agent.end().code == 0
