"""A real OpenTelemetry collector understands what we send, and passes it on as what it is."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.collector import Backend, collector
from tests.sink import PATIENCE, Received, Sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.analytics.conftest import MakeAnalytics

OUR_PATH = ("--otlp-receiver-metrics-http-path", "/v1/traces", "--otlp-receiver-traces-http-path", "/v1/unused")
"""A collector whose metrics receiver stands where ours does."""


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        yield server


@pytest.fixture
def collector_port(backend: Backend, tmp_path: Path) -> Iterator[int]:
    with collector(backend, tmp_path, *OUR_PATH) as ports:
        yield ports.http


@pytest.mark.skipif(sys.platform != "linux", reason="the collector's package has no binary for this system")
def test_a_collector_takes_our_request_and_passes_it_on_as_two_metric_points(
    collector_port: int, backend: Backend, make_analytics: MakeAnalytics
) -> None:
    answers: list[bytes] = []

    def pass_on(received: Received) -> None:
        """The TLS front of a collector: the request goes through unchanged."""
        with socket.create_connection(("127.0.0.1", collector_port), timeout=PATIENCE) as connection:
            connection.sendall(received.head.encode() + b"\r\n\r\n" + received.body)
            answers.append(connection.recv(65536))

    with Sink(on_request=pass_on) as front:
        analytics = make_analytics(front)
        for _ in range(3):
            analytics.record(["success"])
        analytics.record(["error"])
        analytics.close(PATIENCE)
        [sent] = front.requests
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    backend.wait_for(lambda: bool(backend.posts))
    [post] = backend.posts
    assert post.path == "/v1/metrics"
    [resource_metrics] = post.decoded()["resourceMetrics"]
    [scope_metrics] = resource_metrics["scopeMetrics"]
    [sent_resource] = sent.message["resourceMetrics"]
    assert resource_metrics["resource"] == {}
    assert scope_metrics["metrics"] == sent_resource["scopeMetrics"][0]["metrics"]
