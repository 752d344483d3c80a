"""A real OpenTelemetry collector, rotel, and what stands behind it or in place of it: a plain HTTP server that records.

`Backend` is where a collector exports to, or an OTLP endpoint by itself; `collector()` runs rotel in front of one.
"""

from __future__ import annotations

import gzip
import importlib.util
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.ports import free_port
from tests.sink import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READY_CHECK = 0.05
"""Seconds between two looks at whether the collector listens."""


@dataclass(frozen=True)
class Post:
    """One request, its body decompressed."""

    path: str
    headers: dict[str, str]
    body: bytes

    def decoded(self) -> dict[str, Any]:
        """The body as OTLP/JSON."""
        from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # protobuf has no stubs
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        kind = ExportTraceServiceRequest if self.path.endswith("traces") else ExportMetricsServiceRequest
        message: dict[str, Any] = MessageToDict(kind.FromString(self.body))
        return message


@dataclass
class Answer:
    """How to answer a request; `length` is what its head says of the body, if that is not so."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None


class Backend(ThreadingHTTPServer):
    """Records each POST. `answers` are given in order, then 200; `close_after`: one request a connection."""

    daemon_threads = True

    def __init__(self, answers: Sequence[Answer] = (), *, close_after: bool = False, port: int = 0) -> None:
        self.posts: list[Post] = []
        self.answers = list(answers)
        self.close_after = close_after
        self.connections = 0
        self.changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _BackendHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns once `condition` holds, looked at after each request; raises TimeoutError."""
        with self.changed:
            if not self.changed.wait_for(condition, PATIENCE):
                raise TimeoutError(f"{len(self.posts)} requests came")

    def spans(self) -> list[dict[str, Any]]:
        """Every span that came, attributes as a plain dict."""
        return [
            {**span, "attributes": plain(span.get("attributes", []))}
            for post in list(self.posts)
            if post.path.endswith("traces")
            for resource in post.decoded()["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def points(self, name: str) -> list[dict[str, Any]]:
        """Every point of one metric that came, in order, attributes as a plain dict."""
        return [
            {**point, "attributes": plain(point.get("attributes", []))}
            for post in list(self.posts)
            if post.path.endswith("metrics")
            for resource in post.decoded()["resourceMetrics"]
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
            if metric["name"] == name
            for point in (metric.get("sum") or metric.get("histogram"))["dataPoints"]
        ]


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP attributes as a dict."""
    return {pair["key"]: next(iter(pair["value"].values())) for pair in attributes}


class _BackendHandler(BaseHTTPRequestHandler):
    server: Backend
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        with self.server.changed:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.posts.append(Post(self.path, headers, body))
            self.server.changed.notify_all()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = self.server.close_after

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Ports:
    """Where a collector listens."""

    http: int
    grpc: int


@contextmanager
def collector(backend: Backend, directory: Path, *options: str, ports: Ports | None = None) -> Iterator[Ports]:
    """rotel, exporting to `backend`; Linux only. It listens on these ports, or on free ones."""
    spec = importlib.util.find_spec("rotel")
    assert spec is not None
    assert spec.origin is not None
    ports = ports or Ports(free_port(), free_port())
    command = [str(Path(spec.origin).parent / "rotel-agent"), "start", *options]
    command += ["--otlp-http-endpoint", f"127.0.0.1:{ports.http}", "--otlp-grpc-endpoint", f"127.0.0.1:{ports.grpc}"]
    command += ["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-compression", "none"]
    command += ["--otlp-exporter-endpoint", backend.url, "--otlp-exporter-batch-timeout", "50ms"]
    # It sends again what was not answered in time, and a busy machine may take longer than its 5 seconds.
    command += ["--otlp-exporter-request-timeout", f"{PATIENCE:.0f}s"]
    command += ["--pid-file", str(directory / "collector.pid")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(ports.http)
        wait_for_listener(ports.grpc)
        yield ports
    finally:
        process.terminate()
        process.wait(PATIENCE)


def wait_for_listener(port: int) -> None:
    """Returns once `port` has a listener; raises TimeoutError."""
    tick = threading.Event()
    for _ in range(int(PATIENCE / READY_CHECK)):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
        except OSError:
            tick.wait(READY_CHECK)
        else:
            return
    raise TimeoutError(f"nothing listens on {port}")
