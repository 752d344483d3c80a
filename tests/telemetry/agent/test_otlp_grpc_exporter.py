"""The gRPC transport, against a real gRPC server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # it has no stubs
import pytest
import trustme
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis has no stubs

from tests.collector import Backend
from tests.ports import free_port
from tests.telemetry.agent.agents import calls, collected, readable
from thv.telemetry.agent.export_errors import NO_CLIENT_CERTIFICATE, UNAVAILABLE, of_rpc
from thv.telemetry.agent.otlp_grpc_exporter import GrpcAttempts, target_of
from thv.telemetry.frames import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thv.telemetry.agent.batch_delivery import BatchDelivery


def post(signal: Signal, name: str = "traces") -> BatchDelivery:
    """One request, by an exporter of its own."""
    with closing(GrpcAttempts(signal, name)) as attempts:
        return attempts.send(readable(1) if name == "traces" else collected(calls(1)))


@dataclass
class Collector(grpc.GenericRpcHandler):  # type: ignore[misc]  # its base has no types
    """Records calls, and answers them all alike."""

    code: Any = None
    hang: bool = False
    answer: bytes = b""
    trailers: tuple[tuple[str, bytes], ...] = ()
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def service(self, handler_call_details: Any) -> Any:
        def handle(body: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata())
            self.calls.append((handler_call_details.method, metadata, body))
            if self.hang:
                self.released.wait(60)
            context.set_trailing_metadata(self.trailers)
            if self.code is not None:
                context.abort(self.code, "hunter2 is wrong")
            return self.answer

        return grpc.unary_unary_rpc_method_handler(handle)


@contextmanager
def serving(collector: Collector, credentials: Any = None) -> Iterator[Collector]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[collector])
        if credentials is None:
            collector.port = server.add_insecure_port("127.0.0.1:0")
        else:
            collector.port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield collector
        finally:
            collector.released.set()
            server.stop(0).wait()


def signal_to(collector: Collector, **changes: Any) -> Signal:
    return Signal(f"localhost:{collector.port}", protocol="grpc", **({"insecure": True} | changes))


@pytest.mark.parametrize(("service", "name"), [("traces", "TraceService"), ("metrics", "MetricsService")])
def test_a_request_reaches_its_service_with_the_users_headers(service: str, name: str) -> None:
    with serving(Collector()) as collector:
        signal = signal_to(collector, headers={"X-Token": "t"}, compression="gzip")
        assert post(signal, service).cause is None
    [(method, metadata, body)] = collector.calls
    assert method == f"/opentelemetry.proto.collector.{'trace' if service == 'traces' else 'metrics'}.v1.{name}/Export"
    assert metadata["x-token"] == "t"
    assert metadata["user-agent"].startswith("thv/")
    assert b"thv-demo" in body


def test_spans_the_server_rejected_are_known() -> None:
    with serving(Collector(answer=b"\x0a\x02\x08\x05")) as collector:
        assert post(signal_to(collector)).rejected == 5


@pytest.mark.parametrize(
    ("code", "again"),
    [("UNAVAILABLE", True), ("ABORTED", True), ("UNAUTHENTICATED", False), ("UNIMPLEMENTED", False)],
)
def test_a_status_is_told_without_the_servers_words(code: str, again: bool) -> None:
    with serving(Collector(code=grpc.StatusCode[code])) as collector:
        delivery = post(signal_to(collector))
    assert delivery.cause is not None
    assert delivery.retryable is again
    assert "hunter2" not in delivery.cause.text
    if code != "UNAVAILABLE":
        assert code in delivery.cause.text


def retry_info(seconds: int) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.seconds = seconds
    return info


def in_status(seconds: int) -> bytes:
    status = Status(code=8)
    status.details.add().Pack(retry_info(seconds))
    serialized: bytes = status.SerializeToString()
    return serialized


@pytest.mark.parametrize(
    ("trailers", "retryable", "after_s"),
    [
        ((), False, None),
        ((("google.rpc.retryinfo-bin", retry_info(7).SerializeToString()),), True, 7),
        ((("grpc-status-details-bin", in_status(7)),), True, 7),
        ((("google.rpc.retryinfo-bin", retry_info(-5).SerializeToString()),), True, 0),
        ((("grpc-status-details-bin", in_status(-5)),), True, 0),
    ],
)
def test_an_exhausted_server_is_asked_again_when_it_says_so(trailers: Any, retryable: bool, after_s: Any) -> None:
    with serving(Collector(code=grpc.StatusCode.RESOURCE_EXHAUSTED, trailers=trailers)) as collector:
        delivery = post(signal_to(collector))
        assert len(collector.calls) == 1
    assert (delivery.retryable, delivery.retry_after_s) == (retryable, after_s)


def unreadable_details() -> bytes:
    status = Status(code=14)
    status.details.add(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff")
    serialized: bytes = status.SerializeToString()
    return serialized


@pytest.mark.parametrize(
    "trailer",
    [
        ("google.rpc.retryinfo-bin", b"\xff\xff\xff"),
        ("grpc-status-details-bin", b"\xff\xff\xff"),
        ("grpc-status-details-bin", unreadable_details()),
    ],
)
def test_details_that_cannot_be_read_leave_the_status_as_it_is(trailer: tuple[str, bytes]) -> None:
    with serving(Collector(code=grpc.StatusCode.UNAVAILABLE, trailers=(trailer,))) as collector:
        delivery = post(signal_to(collector))
    assert (delivery.cause, delivery.retryable, delivery.retry_after_s) == (UNAVAILABLE, True, None)


def test_a_server_cannot_stretch_the_deadline() -> None:
    with serving(Collector(hang=True)) as collector:
        delivery = post(signal_to(collector, timeout_s=0.3))
        collector.released.set()
    assert delivery.cause is not None
    assert (delivery.cause.kind, delivery.retryable, delivery.unknown) == ("slow", True, True)


def test_a_collector_that_comes_back_is_found() -> None:
    with serving(Collector()) as collector:
        attempts = GrpcAttempts(signal_to(collector), "traces")
        assert attempts.send(readable(1)).cause is None
        port = collector.port
    gone = attempts.send(readable(1))
    assert gone.retryable
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[collector])
        assert server.add_insecure_port(f"localhost:{port}") == port
        server.start()
        tick = threading.Event()
        tries = 0
        while attempts.send(readable(1)).cause is not None:
            tries += 1
            assert tries < 600
            tick.wait(0.1)
        server.stop(0).wait()
    attempts.close()


def test_certificates_of_both_sides_are_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    ours, theirs = authority.issue_cert("client@example.org"), authority.issue_cert("localhost")
    files = {name: tmp_path / name for name in ("ca", "chain", "key", "stranger")}
    authority.cert_pem.write_to_path(str(files["ca"]))
    ours.cert_chain_pems[0].write_to_path(str(files["chain"]))
    ours.private_key_pem.write_to_path(str(files["key"]))
    trustme.CA().cert_pem.write_to_path(str(files["stranger"]))
    pair = (theirs.private_key_pem.bytes(), theirs.cert_chain_pems[0].bytes())
    demanding = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True)
    with serving(Collector(), demanding) as collector:
        shown = {"certificate_file": str(files["chain"]), "key_file": str(files["key"]), "insecure": False}
        good = signal_to(collector, ca_file=str(files["ca"]), **shown)
        assert post(good).cause is None
        stranger = signal_to(collector, ca_file=str(files["stranger"]), **shown)
        nameless = signal_to(collector, ca_file=str(files["ca"]), insecure=False)
        assert post(nameless).cause in {NO_CLIENT_CERTIFICATE, UNAVAILABLE}, "TLS 1.3 tells only after the handshake"
        untrusted = post(stranger).cause
        assert untrusted is not None
        assert untrusted.kind == "untrusted"


def test_causes_are_told_apart(tmp_path: Path) -> None:
    def kind_of(signal: Signal) -> str:
        cause = post(signal).cause
        assert cause is not None
        return cause.kind

    with Backend() as backend:
        place = f"127.0.0.1:{backend.server_port}"
        assert kind_of(Signal(place, protocol="grpc")) == "no tls"
        assert kind_of(Signal(place, protocol="grpc", insecure=True)) == "unavailable"
        assert kind_of(Signal(place, protocol="grpc", insecure=True, headers={"a": "b\nc"})) == "header"
    assert kind_of(Signal(f"127.0.0.1:{free_port()}", protocol="grpc", insecure=True)) == "refused"
    missing = str(tmp_path / "missing.pem")
    assert kind_of(Signal("127.0.0.1:9", protocol="grpc", ca_file=missing)) == f"file {missing}"
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    for files in ({"ca_file": str(empty)}, {"certificate_file": str(empty)}):
        assert kind_of(Signal("127.0.0.1:9", protocol="grpc", **files)) == f"file {empty}"  # type: ignore[arg-type]  # a parameter


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("errors resolving c:1: [address lookup failed for c:1: Domain name not found]", "address"),
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused", "refused"),
        ("Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self signed certificate", "untrusted"),
        ("Ssl handshake failed: SSL_ERROR_SSL: error:0A00010B:SSL routines::WRONG_VERSION_NUMBER", "no tls"),
        ("tcp handshaker shutdown: handshake timed out", "tls"),
        ("words of tomorrow", "unavailable"),
    ],
)
def test_the_cores_account_of_a_connection_is_understood(details: str, kind: str) -> None:
    assert of_rpc("UNAVAILABLE", details, Signal("c:4317")).kind == kind


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_collector_on_this_machine_is_reached_directly_whatever_proxy_there_is(
    name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serving(Collector()) as collector:
        delivery = post(Signal(f"{host}:{collector.port}", protocol="grpc", insecure=True))
    assert delivery.cause is None


@pytest.mark.parametrize(
    ("variables", "insecure"),
    [({"HTTPS_PROXY": "{}"}, False), ({"http_proxy": "{}"}, True), ({"ALL_PROXY": "{}"}, True)],
)
def test_a_collector_elsewhere_is_reached_through_the_proxy_for_its_scheme(
    variables: dict[str, str], insecure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(url.replace("//", "//user:hunter2@")))
    signal = Signal("collector.invalid:4317", protocol="grpc", insecure=insecure)
    cause = post(signal).cause
    assert cause is not None
    assert cause.text.startswith(f"is not reached: the proxy {url} refuses connections: correct the variable")
    monkeypatch.setenv("NO_PROXY", "*.invalid:4317")
    cause = post(signal).cause
    assert cause is not None
    assert cause.kind == "address"


@pytest.mark.parametrize(
    "proxy", ["http://user:hunter2@127.0.0.1:port", "http://[::1", "http://user:hunt/er2@127.0.0.1:9"]
)
def test_a_proxy_that_is_none_leaves_the_endpoint_in_the_right(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    cause = post(Signal("collector.invalid:4317", protocol="grpc")).cause
    assert cause is not None
    assert "has to be http://HOST:PORT: correct the variable that names it" in cause.text
    assert "er2" not in cause.text


@pytest.mark.parametrize(
    ("details", "words"),
    [
        (
            "ipv4:127.0.0.1:1: HTTP proxy returned response code 407",
            "is not reached: the proxy http://p:1 asks for cred",
        ),
        (
            "ipv4:127.0.0.1:1: HTTP proxy returned response code 503",
            "is not reached: the proxy http://p:1 does not conn",
        ),
        ("address lookup failed for p:1: Domain name not found", "is not reached: the proxy http://p:1 has no address"),
        ("Ssl handshake failed: WRONG_VERSION_NUMBER", "does not speak TLS: "),
    ],
)
def test_what_a_proxy_does_is_said_of_the_proxy_and_not_of_the_collector(details: str, words: str) -> None:
    cause = of_rpc("UNAVAILABLE", details, Signal("c:4317"), "http://user:hunter2@p:1")
    assert cause.text.startswith(words)
    assert "hunter2" not in cause.text
    late = of_rpc("DEADLINE_EXCEEDED", "", Signal("c:4317"), "http://user:hunter2@p:1")
    assert late.text.endswith("does not answer within 10 s, through the proxy http://p:1")


@pytest.mark.parametrize(
    ("endpoint", "insecure", "target", "plaintext"),
    [
        ("otel-collector:4317", False, "otel-collector:4317", False),
        ("otel-collector:4317", True, "otel-collector:4317", True),
        ("otel-collector", True, "otel-collector:4317", True),
        ("http://user:pass@host:1234/ignored", False, "host:1234", True),
        ("https://host", True, "host:4317", False),
        ("[::1]:4317", True, "[::1]:4317", True),
    ],
)
def test_an_endpoint_says_where_and_whether_in_plaintext(
    endpoint: str, insecure: bool, target: str, plaintext: bool
) -> None:
    assert target_of(Signal(endpoint, protocol="grpc", insecure=insecure)) == (target, plaintext)
