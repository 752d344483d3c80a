"""A real OpenTelemetry collector understands what we send, and passes it on as what it is."""

from __future__ import annotations

import gzip
import importlib.util
import socket
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sink import PATIENCE, Received, Sink, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.analytics.conftest import MakeAnalytics

READY_CHECK = 0.05
"""Seconds between two looks at whether the collector listens."""


class Backend(ThreadingHTTPServer):
    """What the collector exports to, without TLS."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.arrived = threading.Event()
        super().__init__(("127.0.0.1", 0), BackendHandler)


class BackendHandler(BaseHTTPRequestHandler):
    server: Backend

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        self.server.posts.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.arrived.set()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def collector_port(backend: Backend, tmp_path: Path) -> Iterator[int]:
    """A collector whose metrics receiver stands where ours does: on the path /v1/traces."""
    spec = importlib.util.find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    port = free_port()
    command = [str(Path(spec.origin).parent / "rotel-agent"), "start"]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    command += ["--otlp-receiver-metrics-http-path", "/v1/traces", "--otlp-receiver-traces-http-path", "/v1/unused"]
    command += ["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-compression", "none"]
    command += ["--otlp-exporter-endpoint", f"http://127.0.0.1:{backend.server_port}"]
    command += ["--otlp-exporter-batch-timeout", "50ms", "--pid-file", str(tmp_path / "collector.pid")]
    collector = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(port)
        yield port
    finally:
        collector.terminate()
        collector.wait(PATIENCE)


def wait_for_listener(port: int) -> None:
    tick = threading.Event()
    for _ in range(int(PATIENCE / READY_CHECK)):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        except OSError:
            tick.wait(READY_CHECK)
        else:
            return
    raise TimeoutError("the collector does not listen")


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
            analytics.record("success")
        analytics.record("error")
        analytics.close(PATIENCE)
        [sent] = front.requests
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    assert backend.arrived.wait(PATIENCE)
    [(path, body)] = backend.posts
    assert path == "/v1/metrics"
    [resource_metrics] = decode(body)["resourceMetrics"]
    [scope_metrics] = resource_metrics["scopeMetrics"]
    [sent_resource] = sent.message["resourceMetrics"]
    assert resource_metrics["resource"] == {}
    assert scope_metrics["metrics"] == sent_resource["scopeMetrics"][0]["metrics"]
