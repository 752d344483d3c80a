"""The HTTP transport: what it sends, what it makes of answers, and that nothing holds it beyond its time."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.collector import Answer, Backend
from tests.ports import free_port
from tests.sink import Sink
from tests.telemetry.agent.agents import calls, collected, readable
from thv import __version__
from thv.telemetry.agent.export_errors import (
    BAD_HEADER,
    NO_ADDRESS,
    NO_CLIENT_CERTIFICATE,
    NOT_HTTP,
    of_error,
    of_status,
)
from thv.telemetry.agent.otlp_http_exporter import HttpAttempts, _retry_after
from thv.telemetry.agent.partial_success import HIDDEN
from thv.telemetry.frames import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sink import Mode
    from thv.telemetry.agent.batch_delivery import BatchDelivery


def post(signal: Signal, count: int = 1) -> BatchDelivery:
    """One request, by an exporter of its own."""
    with closing(HttpAttempts(signal, "traces")) as attempts:
        return attempts.send(readable(count))


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        yield server


def test_a_request_says_what_it_is_and_who_sends_it(backend: Backend) -> None:
    signal = Signal(f"{backend.url}/a/v1/traces?tenant=1", headers={"X-Token": "t", "authorization": "Bearer b"})
    assert post(signal).cause is None
    [seen] = backend.posts
    assert seen.path == "/a/v1/traces?tenant=1"
    assert seen.headers["content-type"] == "application/x-protobuf"
    assert seen.headers["user-agent"].startswith(f"thv/{__version__} ")
    assert (seen.headers["x-token"], seen.headers["authorization"]) == ("t", "Bearer b")


def test_user_information_of_the_endpoint_is_basic_authentication(backend: Backend) -> None:
    url = backend.url.replace("http://", "http://some%40one:pass@")
    post(Signal(f"{url}/v1/traces"))
    assert backend.posts[0].headers["authorization"] == "Basic c29tZUBvbmU6cGFzcw=="


def test_a_compressed_request_says_so(backend: Backend) -> None:
    post(Signal(f"{backend.url}/v1/traces", compression="gzip"), 100)
    [seen] = backend.posts
    assert seen.headers["content-encoding"] == "gzip"
    assert int(seen.headers["content-length"]) < len(seen.body) / 2
    assert len(backend.spans()) == 100


def test_requests_share_a_connection(backend: Backend) -> None:
    with closing(HttpAttempts(Signal(f"{backend.url}/v1/traces"), "traces")) as attempts:
        assert [attempts.send(readable(1)).cause for _ in range(3)] == [None] * 3
    assert backend.connections == 1


def test_a_connection_the_server_closed_meanwhile_is_opened_again() -> None:
    with Backend(close_after=True) as backend:
        with closing(HttpAttempts(Signal(f"{backend.url}/v1/traces"), "traces")) as attempts:
            assert [attempts.send(readable(1)).cause for _ in range(3)] == [None] * 3
        assert backend.connections == 3


def test_metrics_go_by_the_same_way(backend: Backend) -> None:
    with closing(HttpAttempts(Signal(f"{backend.url}/v1/metrics"), "metrics")) as attempts:
        assert attempts.send(collected(calls(3))).cause is None
    assert backend.points("toolhive_mcp_tool_calls")[0]["asInt"] == "3"


def test_a_remark_is_known_and_quotes_no_header() -> None:
    message = b"deprecated: hunter2"
    partial_success = bytes([0x0A, len(message) + 2, 0x12, len(message)]) + message  # of field 1, field 2
    with Backend([Answer(body=partial_success)]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces", headers={"x-token": "hunter2"}))
    assert (delivery.cause, delivery.rejected, delivery.warning) == (None, 0, "deprecated: [hidden]")


@pytest.mark.parametrize(
    "message",
    [
        "token hunter2 is unknown",
        "Bearer hunter2",
        "user some@one or some%40one",
        "password pass%2Fword or pass/word",
        "no tenant tenant-7/a",
    ],
)
def test_a_remark_quotes_nothing_of_credentials_users_and_paths(message: str) -> None:
    partial_success = bytes([0x0A, len(message) + 2, 0x12, len(message)]) + message.encode()
    with Backend([Answer(body=partial_success)]) as backend:
        url = backend.url.replace("http://", "http://some%40one:pass%2Fword@")
        warning = post(Signal(f"{url}/tenant-7/a/v1/traces", headers={"authorization": "Bearer hunter2"})).warning
    assert HIDDEN in warning
    assert not any(secret in warning for secret in ("hunter2", "one", "pass%", "pass/", "tenant-7"))


def test_spans_that_were_rejected_are_known_from_an_answer_in_pieces() -> None:
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in b"\x0a\x02\x08\x05")
    with Proxy(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n") as server:
        assert post(Signal(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")).rejected == 5


def test_an_answer_with_many_headers_is_one(backend: Backend) -> None:
    backend.answers.append(Answer(200, {f"X-{number}": "y" for number in range(150)}))
    assert post(Signal(f"{backend.url}/v1/traces")).cause is None


def test_spans_the_server_rejected_are_known() -> None:
    partial_success = b"\x0a\x02\x08\x05"  # field 1, of it field 1: rejected_spans = 5
    with Backend([Answer(body=partial_success), Answer(body=b"not protobuf")]) as backend:
        signal = Signal(f"{backend.url}/v1/traces")
        assert [post(signal).rejected for _ in range(2)] == [5, 0]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with Backend([Answer(status, {"Retry-After": "7"})]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
    assert delivery.retryable
    assert delivery.retry_after_s == 7


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 500, 501, 599])
def test_a_server_that_says_no_is_not_asked_again(status: int) -> None:
    with Backend([Answer(status)]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
    assert not delivery.retryable
    assert delivery.cause is not None
    assert str(status) in delivery.cause.text
    assert len(backend.posts) == 1


@pytest.mark.parametrize(
    ("mode", "unknown"), [("blackhole", True), ("silent", False), ("drip", True), ("drip-tls", False)]
)
def test_a_request_has_its_time_and_is_in_doubt_once_it_was_sent(mode: Mode, unknown: bool) -> None:
    # The dripping ones send a byte every 50 ms, without end: they pass every bound on single reads.
    with Sink(mode=mode) as sink:
        delivery = post(Signal(sink.endpoint, ca_file=str(sink.ca_file), timeout_s=0.3))
    assert delivery.cause is not None
    assert (delivery.cause.kind, delivery.retryable, delivery.unknown) == ("slow", True, unknown)


class Resets(socketserver.ThreadingTCPServer):
    """Reads a byte of each connection, and resets it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.recv(1)
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shutdown_request(self, request: Any) -> None:
        request.close()  # and nothing before it, which would end the connection in order

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


@pytest.mark.parametrize(("scheme", "unknown"), [("http", True), ("https", False)])
def test_a_connection_reset_before_its_handshake_is_over_has_sent_nothing(scheme: str, unknown: bool) -> None:
    with Resets() as server:
        delivery = post(Signal(f"{scheme}://127.0.0.1:{server.server_address[1]}/v1/traces"))
    assert delivery.cause is not None
    assert (delivery.retryable, delivery.unknown) == (True, unknown)


def test_a_request_that_had_its_time_leaves_the_next_one_its_own() -> None:
    with Sink(mode="drip") as sink:
        signal = Signal(sink.endpoint, ca_file=str(sink.ca_file), timeout_s=0.3)
        with closing(HttpAttempts(signal, "traces")) as attempts:
            late = attempts.send(readable(1))
            sink.mode = "ok"
            delivered = attempts.send(readable(1))
    assert late.cause is not None
    assert (late.cause.kind, delivered.cause) == ("slow", None)


def test_an_interim_answer_is_not_the_last_word() -> None:
    with Sink(mode="early-hints") as sink:
        assert post(Signal(sink.endpoint, ca_file=str(sink.ca_file))).cause is None


def test_a_switch_of_protocols_that_was_not_asked_for_is_the_last_word() -> None:
    with Backend([Answer(101)]) as backend:
        cause = post(Signal(f"{backend.url}/v1/traces")).cause
    assert cause == of_status(101, b"")


def test_an_endless_answer_is_not_read() -> None:
    with Sink(mode="flood") as sink:
        delivery = post(Signal(sink.endpoint, ca_file=str(sink.ca_file)))
    assert delivery.cause == NOT_HTTP


def test_a_server_that_demands_a_client_certificate_is_understood() -> None:
    with Sink(demand_client_certificate=True) as sink:
        cause = post(Signal(sink.endpoint, ca_file=str(sink.ca_file))).cause
    assert cause is not None
    assert "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" in cause.text
    demanded = ssl.SSLError(1, "alert")
    demanded.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert of_error(demanded, Signal("https://c.example")) == NO_CLIENT_CERTIFICATE


def test_an_encrypted_key_is_told_from_a_broken_one(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    chain = tmp_path / "chain.pem"
    trustme.CA().issue_cert("client").cert_chain_pems[0].write_to_path(str(chain))
    cause = post(Signal("https://127.0.0.1:9/v1/traces", certificate_file=str(chain), key_file=str(key))).cause
    assert cause is not None
    assert "the key is encrypted" in cause.text


def test_plaintext_to_a_tls_port_names_the_scheme() -> None:
    with Sink() as sink:
        cause = post(Signal(f"http://127.0.0.1:{sink.port}/v1/traces", timeout_s=2)).cause
    assert cause is not None
    assert "write https://" in cause.text
    assert "write https://" in of_status(400, b"Client sent an HTTP request to an HTTPS server.").text


def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    with Sink(optional_client_certificate=True) as sink:
        certificate = sink.authority.issue_cert("client@example.org")
        chain, key = tmp_path / "client.pem", tmp_path / "client.key"
        certificate.cert_chain_pems[0].write_to_path(str(chain))
        certificate.private_key_pem.write_to_path(str(key))
        signal = Signal(sink.endpoint, ca_file=str(sink.ca_file), certificate_file=str(chain), key_file=str(key))
        assert post(signal).cause is None
        assert sink.requests[0].client_certificate is not None


def test_a_ca_file_replaces_the_trust_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(stranger))
    with Sink() as sink:
        assert post(Signal(sink.endpoint, ca_file=str(sink.ca_file))).cause is None
        refused = post(Signal(sink.endpoint, ca_file=str(stranger)))
        assert refused.cause is not None
        assert refused.cause.kind == "untrusted"


@pytest.mark.parametrize("content", [None, "no certificate\n"])
@pytest.mark.parametrize("which", ["ca_file", "certificate_file"])
def test_a_bad_file_is_named(which: str, content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    signal = Signal("https://127.0.0.1:9/v1/traces", **{which: str(file)})  # type: ignore[arg-type]  # a parameter
    cause = post(signal).cause
    assert cause is not None
    assert str(file) in cause.text


def test_a_proxy_carries_plain_requests(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", backend.url.replace("http://", "http://user:pass@"))
    signal = Signal("http://collector.example:4318/v1/traces")
    assert post(signal).cause is None
    [seen] = backend.posts
    assert seen.path == "http://collector.example:4318/v1/traces"
    assert seen.headers["host"] == "collector.example:4318"
    assert seen.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


def test_a_proxy_that_refuses_the_tunnel_is_told_from_the_collector(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", backend.url)
    cause = post(Signal("https://collector.example/v1/traces")).cause
    assert cause is not None
    assert cause.kind == "proxy"


class Proxy(socketserver.ThreadingTCPServer):
    """Reads the head of each request, answers it with these bytes, and closes the connection."""

    daemon_threads = True

    def __init__(self, answer: bytes) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(answer)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


ASKS_FOR_CREDENTIALS = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("scheme", "answer", "words", "unknown"),
    [
        ("http", ASKS_FOR_CREDENTIALS, "asks for credentials (407)", False),
        ("https", ASKS_FOR_CREDENTIALS, "asks for credentials (407)", False),
        ("https", b"HTTP/1.1 503 Unavailable\r\n\r\n", "does not connect to it: correct the endpoint", False),
        ("http", b"", "ends the connection without an answer: correct the variable", True),
        ("https", b"", "ends the connection without an answer: correct the variable", False),
        ("http", b"SSH-2.0-x\r\n", "answers something that is not HTTP/1: correct the variable", True),
        ("https", b"SSH-2.0-x\r\n", "answers something that is not HTTP/1: correct the variable", False),
    ],
)
def test_what_a_proxy_does_is_said_of_the_proxy_and_not_of_the_collector(
    scheme: str, answer: bytes, words: str, unknown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(answer) as proxy:
        place = f"127.0.0.1:{proxy.server_address[1]}"
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:hunter2@{place}")
        delivery = post(Signal(f"{scheme}://collector.example:4318/v1/traces"))
    assert delivery.cause is not None
    assert delivery.cause.text.startswith(f"is not reached: the proxy http://{place} {words}")
    assert delivery.unknown is unknown


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://user:hunter2@127.0.0.1:{port}", "the proxy http://127.0.0.1:{port} refuses connections"),
        ("http://user:hunter2@a.b..c:3128", "the proxy http://a.b..c:3128 has to be http://HOST:PORT"),
        ("http://user:hunter2@127.0.0.1:99999", "the proxy http://127.0.0.1:99999 has to be http://HOST:PORT"),
        ("http://user:hunt/er2@127.0.0.1:3128", "the proxy http://… has to be http://HOST:PORT"),
        ("two words", "the proxy http://two words has to be http://HOST:PORT"),
    ],
)
def test_a_proxy_that_is_not_there_leaves_the_endpoint_in_the_right(
    scheme: str, proxy: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("ALL_PROXY", proxy.format(port=port))
    delivery = post(Signal(f"{scheme}://collector.example:4318/v1/traces"))
    assert delivery.cause is not None
    assert delivery.cause.text.startswith(f"is not reached: {words.format(port=port)}: correct the variable")
    assert not delivery.unknown


@pytest.mark.parametrize(
    ("scheme", "words"), [("http", "does not answer within 0.2 s, through the proxy"), ("https", "is not reached")]
)
def test_a_proxy_that_is_silent_is_named(scheme: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        monkeypatch.setenv("all_proxy", url)
        delivery = post(Signal(f"{scheme}://collector.example:4318/v1/traces", timeout_s=0.2))
    assert delivery.cause is not None
    assert delivery.cause.text.startswith(words)
    assert f"the proxy {url}" in delivery.cause.text
    assert (delivery.retryable, delivery.unknown) == (True, scheme == "http")


def test_a_proxy_of_another_kind_is_passed_by(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thv.telemetry.agent.otlp_http_exporter.proxy_for", lambda *_: "socks5://127.0.0.1:9")
    assert post(Signal(f"{backend.url}/v1/traces")).cause is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("-5", 0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert _retry_after(value) == seconds


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("Invalid header value b'hunter2'"), BAD_HEADER),
        (UnicodeEncodeError("latin-1", "hunter2", 0, 1, "hunter2"), BAD_HEADER),
        (HTTPException("hunter2"), NOT_HTTP),
    ],
)
def test_no_cause_quotes_an_exception(error: Exception, cause: object) -> None:
    assert of_error(error, Signal("https://c.example")) == cause


def test_an_unknown_failure_of_tls_has_a_sentence() -> None:
    assert of_error(ssl.SSLError(1, "hunter2"), Signal("https://c.example")).kind == "tls"


def test_a_refused_connection_may_be_tried_again() -> None:
    delivery = post(Signal(f"http://127.0.0.1:{free_port()}/v1/traces"))
    assert delivery.cause is not None
    assert (delivery.cause.kind, delivery.retryable, delivery.unknown) == ("refused", True, False)


@pytest.mark.parametrize("host", ["a.b..c", ".a", "a" * 300])
def test_a_name_that_no_host_can_have_is_no_matter_of_headers(host: str) -> None:
    assert post(Signal(f"http://{host}:4318/v1/traces")).cause == NO_ADDRESS


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize("answer", [Answer(body=b"a", length=50), Answer(200, {"Transfer-Encoding": "chunked"}, b"zz")])
def test_an_answer_that_is_cut_off_counts_by_its_status(answer: Answer, status: int) -> None:
    with Backend([replace(answer, status=status)], close_after=True) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
        assert len(backend.posts) == 1
    assert delivery.cause == (None if status == 200 else of_status(status, b""))
    assert not delivery.unknown


def test_an_answer_with_two_lengths_is_no_matter_of_headers_and_may_mean_success() -> None:
    with Backend([Answer(200, {"Content-Length": "5"})]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
    assert (delivery.cause, delivery.retryable, delivery.unknown) == (NOT_HTTP, True, True)


@pytest.mark.parametrize("location", ["http://[", "http://a.b..c/", "//\xff", "/elsewhere"])
def test_a_redirect_is_not_followed_wherever_it_leads(location: str) -> None:
    with Backend([Answer(302, {"Location": location})]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
        assert len(backend.posts) == 1
    assert (delivery.cause, delivery.retryable, delivery.unknown) == (of_status(302, b""), False, False)


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_that_is_not_encoded_as_it_says_counts_by_its_status(status: int) -> None:
    with Backend([Answer(status, {"Content-Encoding": "gzip"}, b"no gzip")]) as backend:
        cause = post(Signal(f"{backend.url}/v1/traces")).cause
    assert cause == (None if status == 200 else of_status(status, b""))


def test_a_certificate_that_is_expired_or_of_another_host_is_not_told_to_be_trusted() -> None:
    early, late = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    cases = {
        "renew it": ("127.0.0.1", early),
        "wait until": ("127.0.0.1", late),
        "with a name that the certificate is for": ("127.0.0.2", None),
        "write the endpoint with a name": ("other.example", None),
    }
    for remedy, (name, begin) in cases.items():
        sink = Sink()
        end = None if begin is None else begin + timedelta(days=1)
        sink._certificate = sink.authority.issue_cert(name, not_before=begin, not_after=end)
        with sink:
            cause = post(Signal(sink.endpoint, ca_file=str(sink.ca_file))).cause
        assert cause is not None
        assert cause.kind == "untrusted", remedy
        assert remedy in cause.text
        assert "CERTIFICATE" not in cause.text, remedy
