"""One request, one connection, one deadline; and certainty about what became of it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from time import monotonic, time_ns
from typing import TYPE_CHECKING

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.conftest import PATIENT
from tests.sink import Mode, Sink
from thv.analytics import transport
from thv.analytics.otlp import Counts, ReportRequest, request_for
from thv.analytics.report_delivery import DeliveryStatus, ReportDelivery
from thv.analytics.transport import absolute_name, create_ssl_context, final_status, post

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHORT = 0.5
"""A deadline, in seconds, for servers that never answer."""

GENEROUS = 20.0
"""Seconds by which even a slow machine has noticed a deadline of `SHORT`."""


def to(sink: Sink) -> ReportRequest:
    return request_for(Counts(2, 1), endpoint=sink.endpoint, now_ns=1_790_000_000_000_000_000)


def send(sink: Sink, timeout: float = GENEROUS) -> ReportDelivery:
    return post(to(sink), sink.client_context(), timeout)


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("ok", DeliveryStatus.TAKEN),
        ("204", DeliveryStatus.TAKEN),
        ("early-hints", DeliveryStatus.TAKEN),
        ("429", DeliveryStatus.NOT_TAKEN),
        ("503", DeliveryStatus.NOT_TAKEN),
        ("refuse", DeliveryStatus.NOT_TAKEN),
        ("tls-bad-cert", DeliveryStatus.NOT_TAKEN),
        ("400", DeliveryStatus.UNKNOWN),
        ("404", DeliveryStatus.UNKNOWN),
        ("500", DeliveryStatus.UNKNOWN),
        ("502", DeliveryStatus.UNKNOWN),
        ("redirect", DeliveryStatus.UNKNOWN),
        ("close-after-request", DeliveryStatus.UNKNOWN),
        ("not-http", DeliveryStatus.UNKNOWN),
        ("flood", DeliveryStatus.UNKNOWN),
    ],
)
def test_what_became_of_a_request_is_known_or_said_to_be_unknown(mode: Mode, status: DeliveryStatus) -> None:
    with Sink(mode=mode) as sink:
        delivery = send(sink)
    assert delivery.status is status, delivery.reason
    assert delivery.reason


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        ("blackhole", DeliveryStatus.UNKNOWN),
        ("drip", DeliveryStatus.UNKNOWN),
        ("silent", DeliveryStatus.NOT_TAKEN),
        ("drip-tls", DeliveryStatus.NOT_TAKEN),
    ],
)
def test_one_deadline_holds_for_the_whole_exchange(mode: Mode, status: DeliveryStatus) -> None:
    with Sink(mode=mode) as sink:
        begun = monotonic()
        delivery = send(sink, SHORT)
        assert monotonic() - begun < GENEROUS
    assert delivery.status is status, delivery.reason


def test_a_name_that_does_not_resolve_is_no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with Sink() as sink:
        delivery = send(sink)
    assert delivery.status is DeliveryStatus.NOT_TAKEN
    assert sink.connections == 0


def test_a_server_with_another_name_in_its_certificate_is_not_trusted(sink: Sink) -> None:
    elsewhere = to(sink)._replace(host="127.0.0.2")
    assert post(elsewhere, sink.client_context(), GENEROUS).status is DeliveryStatus.NOT_TAKEN
    assert sink.requests == []


def test_the_next_address_is_tried_when_one_refuses(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink(mode="refuse") as closed:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (closed.port, sink.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        assert send(sink).status is DeliveryStatus.TAKEN


def test_the_next_address_is_tried_when_the_system_has_no_such_network(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_such_family = 9999
    addresses = [
        (family, socket.SOCK_STREAM, 0, "", ("127.0.0.1", sink.port)) for family in (no_such_family, socket.AF_INET)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert send(sink).status is DeliveryStatus.TAKEN


def test_an_address_that_swallows_packets_leaves_time_for_the_next(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def connect(address: transport.Address, timeout: float) -> socket.socket:
        shares.append(timeout)
        if len(shares) == 1:
            raise TimeoutError("nobody there")
        return socket.create_connection(address[4], timeout)

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", sink.port))] * 2
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    monkeypatch.setattr(transport, "_connect_one", connect)
    assert send(sink, GENEROUS).status is DeliveryStatus.TAKEN
    assert shares[0] <= GENEROUS / 2 < shares[1]


def test_a_redirect_is_not_followed() -> None:
    with Sink(mode="redirect") as sink:
        send(sink)
        assert sink.connections == 1
        assert [request.request_line for request in sink.requests] == ["POST /v1/traces HTTP/1.1"]


def test_what_is_sent_is_the_request_and_nothing_else(sink: Sink) -> None:
    send(sink)
    [received] = sink.requests
    assert received.head.encode() + b"\r\n\r\n" + received.body == to(sink).to_bytes()


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("analytics.toolhive.stacklok.dev", "analytics.toolhive.stacklok.dev."),
        ("analytics.toolhive.stacklok.dev.", "analytics.toolhive.stacklok.dev."),
        ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("localhost", "localhost"),
    ],
)
def test_one_absolute_name_is_looked_up_and_no_search_domain(
    host: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[object] = []

    def fail(name: object, *_: object, **__: object) -> None:
        names.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    request = request_for(Counts(1, 0), endpoint=f"https://{host}/v1/traces", now_ns=time_ns())
    assert post(request, create_ssl_context(), GENEROUS).status is DeliveryStatus.NOT_TAKEN
    assert names == [asked.encode()]
    assert ("Host", host) in request.headers
    assert absolute_name(host) == asked.encode()


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"HTTP/1.0 503\r\n", 503),
        (b"HTTP/1.1 200 OK", None),
        (b"", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n", 204),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 429 Slow down\r\n\r\n", 429),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n", None),
    ],
)
def test_the_final_status_is_read(received: bytes, status: int | None) -> None:
    assert final_status(received) == status


@pytest.mark.parametrize(
    "received",
    [
        b"\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1\r\n",
        b"HTTP/1.1 20\r\n",
        b"HTTP/1.1 abc\r\n",
        b"hello\r\n",
        b"HTTP/1.1  200\r\n",
    ],
)
def test_what_is_not_http_is_refused(received: bytes) -> None:
    with pytest.raises(ValueError, match="not HTTP/1"):
        final_status(received)


@PATIENT
@given(received=st.binary() | st.binary().map(lambda rest: b"HTTP/1.1 " + rest), cut=st.integers(0, 64))
def test_any_answer_has_a_status_or_none_or_is_refused(received: bytes, cut: int) -> None:
    try:
        whole = final_status(received)
    except ValueError:
        return
    assert whole is None or 200 <= whole <= 999
    part = final_status(received[:cut])
    assert part is None or part == whole


def in_a_process(code: str, environ: Mapping[str, str]) -> str:
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environ}
    )
    assert seen.stderr == ""
    return seen.stdout.strip()


STOCK = "import ssl; context = ssl.create_default_context(); "
OURS = "from thv.analytics.transport import create_ssl_context; context = create_ssl_context(); "


@pytest.mark.parametrize(("maker", "obeys"), [(STOCK, True), (OURS, False)], ids=["stock", "ours"])
def test_session_secrets_are_not_written_where_a_variable_says(maker: str, obeys: bool, tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    in_a_process(maker, {"SSLKEYLOGFILE": str(log)})
    assert log.exists() == obeys


@pytest.mark.parametrize(("maker", "obeys"), [(STOCK, True), (OURS, False)], ids=["stock", "ours"])
def test_a_variable_does_not_choose_whom_to_trust(maker: str, obeys: bool, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    environ = {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "SSL_CERT_DIR": str(tmp_path)}
    names = in_a_process(maker + "print([c['subject'] for c in context.get_ca_certs()])", environ)
    assert ("trustme" in names) == obeys


def test_the_trust_is_that_of_the_default_context() -> None:
    ours, default = create_ssl_context(), ssl.create_default_context()
    for setting in ("protocol", "verify_mode", "check_hostname", "verify_flags", "options", "minimum_version"):
        assert getattr(ours, setting) == getattr(default, setting), setting


ROOTS = """
import pathlib
loaded = set(context.get_ca_certs(binary_form=True))
folder = pathlib.Path(ssl.get_default_verify_paths().openssl_capath)
for path in folder.glob("????????.[0-9]*") if folder.is_dir() else ():
    for text in path.read_text().split("-----BEGIN CERTIFICATE-----")[1:]:
        loaded.add(ssl.PEM_cert_to_DER_cert("-----BEGIN CERTIFICATE-----" + text.partition("-----END")[0] +
                                            "-----END CERTIFICATE-----"))
import hashlib
print(len(loaded), hashlib.sha256(b"".join(sorted(loaded))).hexdigest())
"""
"""What a context trusts: what it has loaded, and what OpenSSL finds in its folder when it is needed."""


def test_the_roots_are_those_of_a_process_without_variables() -> None:
    bare = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}
    unset = "import os; os.environ.pop('SSL_CERT_FILE'); os.environ.pop('SSL_CERT_DIR'); "
    assert in_a_process("import ssl; " + OURS + ROOTS, bare) == in_a_process(unset + STOCK + ROOTS, bare)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has its authorities elsewhere")
@pytest.mark.parametrize("hashed", [True, False])
def test_a_bundle_is_loaded_unless_the_folder_has_all_of_it(hashed: bool, tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    authorities = [trustme.CA() for _ in range(2)]
    bundle = b"".join(authority.cert_pem.bytes() for authority in authorities)
    (tmp_path / "bundle.pem").write_bytes(bundle)
    for number, authority in enumerate(authorities if hashed else authorities[:1]):
        authority.cert_pem.write_to_path(str(folder / f"0123abc{number}.0"))
    paths = f"openssl_cafile={str(tmp_path / 'bundle.pem')!r}, openssl_capath={str(folder)!r}"
    replaced = f"import ssl; paths = ssl.get_default_verify_paths()._replace({paths}); "
    replaced += "ssl.get_default_verify_paths = lambda: paths; "
    assert in_a_process(replaced + OURS + "print(len(context.get_ca_certs()))", {}) == ("0" if hashed else "2")


NOTHING = "import ssl; paths = ssl.get_default_verify_paths()._replace(openssl_cafile='/none', openssl_capath={!r}); "
NOTHING += "ssl.get_default_verify_paths = lambda: paths; "


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has its authorities elsewhere")
@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_where_there_is_no_authority_those_that_thv_brings_are_trusted(folder: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    count = in_a_process(NOTHING.format(str(tmp_path / folder)) + OURS + "print(len(context.get_ca_certs()))", {})
    assert int(count) > 100


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has its authorities elsewhere")
def test_authorities_that_are_there_are_the_only_ones(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "0123abcd.0"))
    count = in_a_process(NOTHING.format(str(tmp_path)) + OURS + "print(len(context.get_ca_certs()))", {})
    assert int(count) == 0  # a folder is read when it is needed
