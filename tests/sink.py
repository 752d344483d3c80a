"""A loopback TLS server in place of the analytics endpoint: records every request, and misbehaves on demand.

In a test: `with Sink() as sink: ... sink.endpoint, sink.client_context(), sink.wait_for(1)`.
As a process: `python tests/sink.py --mode ok --log requests.jsonl` prints one JSON line with `endpoint` and `ca`, then
appends each request to the log as a JSON line, until its stdin ends.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
import tempfile
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable

Mode = Literal[
    "ok",  # 200, as a collector answers
    "refuse",  # nobody listens on the port, which stays reserved; cannot be changed into or out of
    "blackhole",  # the request is read, and never answered
    "silent",  # the connection is accepted, and not even TLS is answered
    "drip",  # one byte of an endless answer at a time
    "drip-tls",  # one byte of an endless handshake at a time
    "close-after-request",
    "redirect",  # 308 to another path of this sink
    "tls-bad-cert",  # a certificate of an authority nobody trusts
    "not-http",
    "flood",  # headers without end
    "early-hints",  # 103, then 200
    "400",
    "404",
    "429",
    "500",
    "502",
    "503",
    "204",
]

PATIENCE = 60.0
"""Seconds a test waits for something that is bound to happen: no machine is this slow."""

DRIP = 0.05
"""Seconds between two bytes of a dripping answer."""

REASONS = {
    "ok": "200 OK",
    "204": "204 No Content",
    "400": "400 Bad Request",
    "404": "404 Not Found",
    "429": "429 Too Many Requests",
    "500": "500 Internal Server Error",
    "502": "502 Bad Gateway",
    "503": "503 Service Unavailable",
}


@dataclass(frozen=True)
class Received:
    """One request, as it arrived inside TLS."""

    head: str
    body: bytes
    client_certificate: dict[str, Any] | None = None

    @property
    def request_line(self) -> str:
        return self.head.split("\r\n", 1)[0]

    @property
    def headers(self) -> dict[str, str]:
        """The header fields, names in lower case."""
        lines = self.head.rstrip("\r\n").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def message(self) -> dict[str, Any]:
        """The body as OTLP/JSON."""
        return decode(self.body)

    @property
    def counts(self) -> dict[str, int]:
        """Status -> count, of the one metric."""
        totals: dict[str, int] = {}
        for point in _points(self.message):
            status = point["attributes"][0]["value"]["stringValue"]
            totals[status] = totals.get(status, 0) + int(point["asInt"])
        return totals


def decode(body: bytes) -> dict[str, Any]:
    """An OTLP `ExportMetricsServiceRequest` as OTLP/JSON."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # protobuf has no stubs
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    decoded: dict[str, Any] = MessageToDict(ExportMetricsServiceRequest.FromString(body))
    return decoded


def _points(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        point
        for resource in message.get("resourceMetrics", [])
        for scope in resource.get("scopeMetrics", [])
        for metric in scope.get("metrics", [])
        for point in metric["sum"]["dataPoints"]
    ]


@dataclass
class Sink:
    """The server: a listening thread, and one thread a connection.

    `mode` may be changed while it runs. `optional_client_certificate` makes it ask for one, and record it;
    `demand_client_certificate` makes it refuse who shows none.
    """

    mode: Mode = "ok"
    optional_client_certificate: bool = False
    demand_client_certificate: bool = False
    on_request: Callable[[Received], None] | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.authority = trustme.CA()
        self._certificate = self.authority.issue_cert("127.0.0.1", "localhost")
        self._untrusted = trustme.CA().issue_cert("127.0.0.1", "localhost")
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        if self.mode != "refuse":
            self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._directory = tempfile.TemporaryDirectory(prefix="sink-")
        self.ca_file = Path(self._directory.name) / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}/v1/traces"

    @property
    def counts(self) -> dict[str, int]:
        """Status -> count, of all reports so far: a session may send what it counted in one or in several."""
        with self._changed:
            return dict(sum((Counter(received.counts) for received in self.requests), Counter[str]()))

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this sink and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    def __enter__(self) -> Self:
        if self.mode != "refuse":
            self._spawn(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_listening()
        self.close_connections()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._directory.cleanup()

    def close_connections(self) -> None:
        """End every connection there is."""
        with self._changed:
            left = list(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop_listening(self) -> None:
        """From now on connections are refused."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def wait_for(self, count: int, patience: float = PATIENCE) -> list[Received]:
        """The requests, once there are at least `count`; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, patience):
                raise TimeoutError(f"{len(self.requests)} requests arrived, not {count}")
            return list(self.requests)

    def wait_for_connections(self, count: int, patience: float = PATIENCE) -> None:
        """Returns once `count` connections were accepted; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.connections >= count, patience):
                raise TimeoutError(f"{self.connections} connections came, not {count}")

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._open.add(connection)
                self.connections += 1
                self._changed.notify_all()
            self._spawn(self._serve, connection)

    def _serve(self, raw: socket.socket) -> None:
        connection = raw
        try:
            if self.mode == "silent":
                self._wait_for_the_other_end(raw)
                return
            if self.mode == "drip-tls":
                # The header of a TLS record of 16 KiB, which then arrives a byte at a time.
                self._drip(raw, b"\x16\x03\x03\x40\x00")
                return
            connection = self._server_context().wrap_socket(raw, server_side=True)
            with self._changed:
                self._open.discard(raw)
                self._open.add(connection)
            received = self._read(connection)
            with self._changed:
                self.requests.append(received)
                self._changed.notify_all()
            if self.on_request is not None:
                self.on_request(received)
            self._answer(connection)
        except (OSError, ValueError):
            pass  # the client left, or does not trust us: what arrived until then is what counts
        finally:
            with self._changed:
                self._open.discard(raw)
                self._open.discard(connection)
            connection.close()

    def _server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (self._untrusted if self.mode == "tls-bad-cert" else self._certificate).configure_cert(context)
        if self.optional_client_certificate or self.demand_client_certificate:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED if self.demand_client_certificate else ssl.CERT_OPTIONAL
        return context

    def _read(self, connection: ssl.SSLSocket) -> Received:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = next(int(line[15:]) for line in text.split("\r\n") if line.lower().startswith("content-length:"))
        while len(body) < length:
            body += self._some(connection)
        certificate = connection.getpeercert() if self.optional_client_certificate else None
        return Received(text, body, certificate or None)

    @staticmethod
    def _some(connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the client left")
        return data

    def _answer(self, connection: ssl.SSLSocket) -> None:
        match self.mode:
            case "blackhole":
                self._wait_for_the_other_end(connection)
            case "drip":
                self._drip(connection, b"HTTP/1.1 200")
            case "close-after-request":
                return
            case "redirect":
                location = self.endpoint.replace("traces", "elsewhere")
                connection.sendall(
                    f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
                )
            case "not-http":
                connection.sendall(b"220 smtp.example.org ESMTP\r\n")
            case "flood":
                while not self._stopping.is_set():
                    connection.sendall(b"X" * 65536)
            case "early-hints":
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
            case mode:
                fields = "Set-Cookie: visitor=1\r\nContent-Length: 0\r\n"
                connection.sendall(f"HTTP/1.1 {REASONS[mode]}\r\n{fields}\r\n".encode())

    def _drip(self, connection: socket.socket, start: bytes) -> None:
        connection.sendall(start)
        while not self._stopping.wait(DRIP):
            connection.sendall(b"0")

    @staticmethod
    def _wait_for_the_other_end(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=get_args(Mode), default="ok")
    parser.add_argument("--log", type=Path, required=True, help="receives one JSON line a request")
    arguments = parser.parse_args()

    def write(received: Received) -> None:
        line = {**asdict(received), "body": received.body.hex(), "headers": received.headers, "counts": received.counts}
        with arguments.log.open("a") as log:
            log.write(json.dumps(line) + "\n")

    with Sink(mode=arguments.mode, on_request=write) as sink:
        print(json.dumps({"endpoint": sink.endpoint, "ca": str(sink.ca_file)}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
