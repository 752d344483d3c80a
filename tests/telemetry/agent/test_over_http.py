"""The HTTP transport: what it sends, what it makes of answers, and that nothing holds it beyond its time."""

from __future__ import annotations

import ssl
import time
from contextlib import closing
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.collector import Answer, Backend, free_port
from tests.sink import Sink
from thv import __version__
from thv.telemetry.agent.export_errors import BAD_HEADER, NOT_HTTP, of_error
from thv.telemetry.agent.over_http import HttpTransport, _proxy_for, _retry_after
from thv.telemetry.frames import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.sink import Mode
    from thv.telemetry.agent.retry import Delivery

TIME = 10.0


def post(signal: Signal, body: bytes = b"", timeout_s: float = TIME) -> Delivery:
    """One request, by a transport of its own."""
    with closing(HttpTransport(signal)) as transport:
        return transport.post(body, timeout_s)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as server:
        yield server


def test_a_request_says_what_it_is_and_who_sends_it(backend: Backend) -> None:
    signal = Signal(f"{backend.url}/a/v1/traces?tenant=1", headers={"X-Token": "t", "authorization": "Bearer b"})
    assert post(signal, b"body").cause is None
    [seen] = backend.posts
    assert seen.path == "/a/v1/traces?tenant=1"
    assert seen.body == b"body"
    assert seen.headers["content-type"] == "application/x-protobuf"
    assert seen.headers["user-agent"].startswith(f"thv/{__version__} ")
    assert (seen.headers["x-token"], seen.headers["authorization"]) == ("t", "Bearer b")


def test_user_information_of_the_endpoint_is_basic_authentication(backend: Backend) -> None:
    url = backend.url.replace("http://", "http://some%40one:pass@")
    post(Signal(f"{url}/v1/traces"))
    assert backend.posts[0].headers["authorization"] == "Basic c29tZUBvbmU6cGFzcw=="


def test_a_compressed_request_says_so(backend: Backend) -> None:
    post(Signal(f"{backend.url}/v1/traces", compression="gzip"), b"body" * 100)
    [seen] = backend.posts
    assert seen.headers["content-encoding"] == "gzip"
    assert int(seen.headers["content-length"]) < 100
    assert seen.body == b"body" * 100


def test_requests_share_a_connection(backend: Backend) -> None:
    with closing(HttpTransport(Signal(f"{backend.url}/v1/traces"))) as transport:
        assert [transport.post(b"", TIME).cause for _ in range(3)] == [None] * 3
    assert backend.connections == 1


def test_a_connection_the_server_closed_meanwhile_is_opened_again() -> None:
    with Backend(close_after=True) as backend, closing(HttpTransport(Signal(f"{backend.url}/v1/traces"))) as transport:
        assert [transport.post(b"", TIME).cause for _ in range(3)] == [None] * 3
        assert backend.connections == 3


def test_spans_the_server_took_back_are_known() -> None:
    partial_success = b"\x0a\x02\x08\x05"  # field 1, of it field 1: rejected_spans = 5
    with Backend([Answer(body=partial_success), Answer(body=b"not protobuf")]) as backend:
        signal = Signal(f"{backend.url}/v1/traces")
        assert [post(signal).rejected for _ in range(2)] == [5, 0]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with Backend([Answer(status, {"Retry-After": "7"})]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
    assert delivery.again
    assert delivery.after_s == 7


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 500, 501, 599])
def test_a_server_that_says_no_is_not_asked_again(status: int) -> None:
    with Backend([Answer(status)]) as backend:
        delivery = post(Signal(f"{backend.url}/v1/traces"))
    assert not delivery.again
    assert delivery.cause is not None
    assert str(status) in delivery.cause.text
    assert len(backend.posts) == 1


@pytest.mark.parametrize("mode", ["blackhole", "silent", "drip", "drip-tls", "flood"])
def test_a_server_cannot_stretch_the_deadline(mode: Mode) -> None:
    with Sink(mode=mode) as sink:
        begun = time.monotonic()
        delivery = post(Signal(sink.endpoint, ca_file=str(sink.ca_file)), timeout_s=0.3)
        assert time.monotonic() - begun < 5
    assert delivery.cause is not None


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
    assert post(signal, b"body").cause is None
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


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("http://127.0.0.1:4318/x", {"http_proxy": "http://proxy:1"}, None),
        ("http://localhost:4318/x", {"http_proxy": "http://proxy:1"}, None),
        ("http://[::1]:4318/x", {"http_proxy": "http://proxy:1"}, None),
        ("http://c.example/x", {}, None),
        ("http://c.example/x", {"http_proxy": "http://proxy:1"}, "proxy"),
        ("http://c.example/x", {"http_proxy": "proxy:1"}, "proxy"),
        ("http://c.example/x", {"https_proxy": "http://proxy:1"}, None),
        ("https://c.example/x", {"all_proxy": "http://proxy:1"}, "proxy"),
        ("https://c.example/x", {"all_proxy": "socks5://proxy:1"}, None),
        ("http://c.example:9/x", {"http_proxy": "http://proxy:1", "no_proxy": "c.example"}, None),
        ("http://c.example:9/x", {"http_proxy": "http://proxy:1", "no_proxy": "*"}, None),
    ],
)
def test_a_proxy_is_found_as_everywhere(
    url: str, environ: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import urlsplit

    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = _proxy_for(urlsplit(url), environ)
    assert (found.hostname if found is not None else None) == proxy


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
    assert of_error(error, 1) == cause


def test_an_unknown_failure_of_tls_has_a_sentence() -> None:
    assert of_error(ssl.SSLError(1, "hunter2"), 1).kind == "tls"


def test_a_refused_connection_may_be_tried_again() -> None:
    delivery = post(Signal(f"http://127.0.0.1:{free_port()}/v1/traces"))
    assert delivery.cause is not None
    assert (delivery.cause.kind, delivery.again) == ("refused", True)
