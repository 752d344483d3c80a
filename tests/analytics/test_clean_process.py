"""No variable changes a byte of what is sent, those that OpenSSL itself reads included."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Self

import pytest

from tests.analytics.scripts import COUNT_ONE, OURS, run_alone
from tests.sink import PATIENCE, Mode, Sink
from thv.analytics import clean_process
from thv.analytics.otlp import Counts, ReportRequest, request_for
from thv.analytics.report_delivery import DeliveryStatus

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

CONF = """
openssl_conf = everything
[everything]
ssl_conf = ssl
[ssl]
system_default = limits
[limits]
Ciphersuites = TLS_AES_128_GCM_SHA256
CipherString = ECDHE-RSA-AES128-GCM-SHA256
Groups = P-256
MaxProtocol = TLSv1.2
"""
"""An OpenSSL configuration that changes nearly all of a ClientHello."""

STOCK = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    context.wrap_socket(connection, server_hostname="127.0.0.1")
except OSError:
    pass
"""

TO = """
import sys
sys.argv[1:] = [f"https://127.0.0.1:{sys.argv[1]}/v1/traces", sys.argv[2], sys.argv[3]]
"""


class Listener:
    """Keeps the first bytes of every connection, and answers none."""

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE)
        self.port: int = self._socket.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hello(self) -> bytes:
        """The next connection's ClientHello, without what is random in each."""
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(PATIENCE)
            head = connection.recv(5, socket.MSG_WAITALL)
            body = connection.recv(int.from_bytes(head[3:5]), socket.MSG_WAITALL)
        return shape(body)


def shape(hello: bytes) -> bytes:
    """A ClientHello without its random, its session id and the key shares' values (RFC 8446, 4.1.2)."""
    fixed, rest = hello[:6], hello[6 + 32 :]
    rest = rest[1 + rest[0] :]
    suites = int.from_bytes(rest[:2])
    kept, rest = rest[: 2 + suites], rest[2 + suites :]
    rest = rest[1 + rest[0] :]  # compression
    extensions, position = [], 2
    while position < len(rest):
        kind, length = rest[position : position + 2], int.from_bytes(rest[position + 2 : position + 4])
        value = rest[position + 4 : position + 4 + length]
        extensions.append(kind + (value[:6] if kind == b"\x00\x33" else value))  # 51 is key_share
        position += 4 + length
    return fixed[:1] + fixed[4:] + kept + b"".join(extensions)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        yield listening


def hello(listener: Listener, code: str, *arguments: str, **environ: str) -> bytes:
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(listener.hello()))
    thread.start()
    ran = run_alone(code, str(listener.port), *arguments, **environ)
    assert ran.errors == ""
    thread.join(PATIENCE)
    return found[0]


def test_openssl_conf_changes_the_stock_hello_and_not_ours(listener: Listener, sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "openssl.cnf").write_text(CONF)
    environ = {"OPENSSL_CONF": str(tmp_path / "openssl.cnf")}
    assert hello(listener, STOCK) != hello(listener, STOCK, **environ)
    ours, where = TO + OURS + COUNT_ONE, (str(sink.ca_file), str(tmp_path))
    bare = hello(listener, ours, *where)
    assert bare == hello(listener, ours, *where, **environ)
    # A process that has loaded OpenSSL before, as the proxy's has, is no different.
    assert bare == hello(listener, "import ssl, hashlib\n" + ours, *where, **environ)


def test_what_is_sent_is_the_same_request(sink: Sink, tmp_path: Path) -> None:
    for environ in ({}, {"OPENSSL_CONF": os.devnull}, {"OPENSSL_ia32cap": "~0x200000200000000"}):
        ran = run_alone(OURS + COUNT_ONE, sink.endpoint, str(sink.ca_file), str(tmp_path), **environ)
        assert ran.errors == ""
    first, *others = sink.requests
    assert len(others) == 2
    assert {request.head for request in others} == {first.head}
    assert [request.counts for request in sink.requests] == [{"success": 1}] * 3


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("ok", DeliveryStatus.TAKEN),
        ("503", DeliveryStatus.NOT_TAKEN),
        ("refuse", DeliveryStatus.NOT_TAKEN),
        ("tls-bad-cert", DeliveryStatus.NOT_TAKEN),
        ("500", DeliveryStatus.UNKNOWN),
    ],
)
def test_the_process_reports_what_became_of_the_request(mode: Mode, status: DeliveryStatus) -> None:
    with Sink(mode=mode) as sink:
        assert post(sink)[0] is status


def post(sink: Sink) -> tuple[DeliveryStatus, list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    delivery = clean_process.post(request(sink), str(sink.ca_file), PATIENCE, dict(os.environ), started.append)
    return delivery.status, started


def request(sink: Sink) -> ReportRequest:
    return request_for(Counts(1, 0), endpoint=sink.endpoint, now_ns=1_790_000_000_000_000_000)


def test_a_process_that_is_killed_leaves_the_delivery_unknown() -> None:
    with Sink(mode="blackhole") as sink:
        killer = threading.Event()
        processes: list[subprocess.Popen[bytes]] = []

        def started(process: subprocess.Popen[bytes]) -> None:
            processes.append(process)
            killer.set()

        def kill() -> None:
            killer.wait(PATIENCE)
            sink.wait_for(1)
            processes[0].kill()

        thread = threading.Thread(target=kill)
        thread.start()
        delivery = clean_process.post(request(sink), str(sink.ca_file), PATIENCE, dict(os.environ), started)
        thread.join(PATIENCE)
    assert delivery.status is DeliveryStatus.UNKNOWN
    assert processes[0].poll() is not None


def test_the_end_of_a_session_ends_a_process_that_still_sends(sink: Sink, tmp_path: Path) -> None:
    job = (
        OURS
        + """
import time
from thv.analytics import clean_process
record("success")
analytics.client_disconnected()
while analytics._exporter is None or analytics._exporter._process is None:
    time.sleep(0.01)
process = analytics._exporter._process
analytics.close(0.0)
print(process.wait(60) != 0)
"""
    )
    with Sink(mode="blackhole") as silent:
        ran = run_alone(job, silent.endpoint, str(silent.ca_file), str(tmp_path), OPENSSL_CONF=os.devnull)
    assert (ran.output, ran.errors) == ("True", "")


@pytest.mark.parametrize(
    ("name", "needed"), [("OPENSSL_CONF", True), ("OPENSSL_MODULES", True), ("SSL_CERT_FILE", False)]
)
def test_only_openssls_own_variables_need_a_process(name: str, needed: bool) -> None:
    assert clean_process.is_needed({name: "x"}) is needed
    assert not clean_process.is_needed({})
