"""OTLP over gRPC, by the SDK's exporters (extra `grpc`): each call goes through a stub that keeps what became of it.

The core library writes to file descriptor 2 on its own: the agent has pointed that elsewhere before this is imported.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thv import __version__
from thv.core.net.environment_proxies import proxy_for
from thv.core.net.urls import bare_host, is_http_url
from thv.telemetry.agent.batch_delivery import BatchDelivery
from thv.telemetry.agent.export_errors import (
    BAD_HEADER,
    NO_PROXY_URL,
    BadFileError,
    internal,
    of_proxy,
    of_rpc,
    unusable,
)
from thv.telemetry.agent.exporter_certificates import read_key, tls_context
from thv.telemetry.agent.partial_success import partial_success
from thv.telemetry.agent.span_encoder import encode_spans

if TYPE_CHECKING:
    from thv.telemetry.frames import Signal

os.environ["GRPC_VERBOSITY"] = "NONE"

import grpc  # type: ignore[import-untyped]  # has no stubs
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf has no stubs
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # as above
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # as above
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
"""OTLP/gRPC, "Failures". RESOURCE_EXHAUSTED is one of them if a `RetryInfo` comes with it."""

UNKNOWN = {"CANCELLED", "DEADLINE_EXCEEDED"}
"""Statuses after which a request may have been taken."""

DEFAULT_PORT = 4317
"""OTLP/gRPC, "Default Port"; gRPC's own would be 443."""

RETRY_INFO = "google.rpc.retryinfo-bin"
STATUS_DETAILS = "grpc-status-details-bin"
"""Trailers that name the time of the next attempt; the second is gRPC's rich error model."""


class GrpcAttempts:
    """Calls one `Export` method. The channel is made by the first call, so a bad file is reported as its cause."""

    def __init__(self, signal: Signal, name: str) -> None:
        self._signal = signal
        self._name = name
        self._exporter: Any = None
        self._result = BatchDelivery()
        self._proxy = _proxy_of(signal)
        self.endpoint = signal.endpoint
        self.timeout_s = signal.timeout_s

    def send(self, data: Any) -> BatchDelivery:
        """See `Attempts`."""
        if self._proxy is not None and not is_http_url(self._proxy):
            return BatchDelivery(of_proxy(NO_PROXY_URL, self._proxy))
        try:
            if self._exporter is None:
                self._exporter = self._make()
        except BadFileError as error:
            return BatchDelivery(error.cause)
        self._result = BatchDelivery(internal("no request"))  # that stays if the batch cannot be encoded
        # Those of gRPC quote the metadata; the last one is the exporter's, which reads a `RetryInfo` itself.
        with suppress(ValueError, TypeError, DecodeError):
            self._exporter.export(data)
        return self._result

    def close(self) -> None:
        """Close the channel."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def export(self, client: Any, **call: Any) -> Any:
        """Make one call of the exporter's, and keep its result."""
        self._result = BatchDelivery(BAD_HEADER)  # that stays if the metadata cannot be sent
        try:
            response = client.Export(**call)
        except grpc.RpcError as error:
            code = error.code().name
            after_s = _retry_delay(error)
            retryable = code in RETRYABLE or (code == "RESOURCE_EXHAUSTED" and after_s is not None)
            cause = of_rpc(code, error.details() or "", self._signal, self._proxy)
            self._result = BatchDelivery(cause, retryable=retryable, retry_after_s=after_s, unknown=code in UNKNOWN)
            raise
        rejected, warning = partial_success(response.SerializeToString(), self._signal)
        self._result = BatchDelivery(rejected=rejected, warning=warning)
        return response

    def _make(self) -> Any:
        signal = self._signal
        target, plaintext = target_of(signal)
        base = OTLPSpanExporter if self._name == "traces" else OTLPMetricExporter
        attempts = self

        class Exporter(base):  # type: ignore[misc, valid-type]  # one of two classes
            """Calls through us; the base makes a new client whenever a collector was away."""

            def _initialize_channel_and_stub(self) -> None:
                super()._initialize_channel_and_stub()
                self._client: Any = _Client(attempts, self._client)

            def _translate_data(self, data: Any) -> Any:
                if base is OTLPSpanExporter:
                    return ExportTraceServiceRequest.FromString(encode_spans(data))
                return super()._translate_data(data)

        return Exporter(
            endpoint=target,
            insecure=plaintext,
            credentials=None if plaintext else _credentials(signal),
            headers=tuple((name.lower(), value) for name, value in signal.headers.items()),
            timeout=signal.timeout_s,
            compression=grpc.Compression.Gzip if signal.compression == "gzip" else grpc.Compression.NoCompression,
            channel_options=(
                ("grpc.primary_user_agent", f"thv/{__version__}"),
                # By itself the core library would send to this machine through a proxy, and read lower case alone.
                *([("grpc.enable_http_proxy", 0)] if self._proxy is None else [("grpc.http_proxy", self._proxy)]),
            ),
            # Not empty, which would mean the default: no error is repeated by the exporter.
            retryable_error_codes={grpc.StatusCode.OK},
        )


class _Client:
    """The client that an exporter calls."""

    def __init__(self, attempts: GrpcAttempts, client: Any) -> None:
        self._attempts = attempts
        self._client = client

    def Export(self, **call: Any) -> Any:  # noqa: N802 - the name in the protocol
        """Make the call."""
        return self._attempts.export(self._client, **call)


def target_of(signal: Signal) -> tuple[str, bool]:
    """Where gRPC connects to, as host:port, and whether in plaintext: a scheme decides that, else `insecure`."""
    parts = urlsplit(signal.endpoint if "://" in signal.endpoint else f"//{signal.endpoint}")
    plaintext = signal.insecure if not parts.scheme else parts.scheme != "https"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or DEFAULT_PORT}", plaintext


def _proxy_of(signal: Signal) -> str | None:
    """The proxy that the environment names, if it is of the one kind that the core library goes through."""
    target, plaintext = target_of(signal)
    host, _, port = target.rpartition(":")
    proxy = proxy_for("http" if plaintext else "https", bare_host(host), int(port), os.environ)
    return proxy if proxy is not None and proxy.startswith("http:") else None


def _credentials(signal: Signal) -> Any:
    if signal.ca_file or signal.certificate_file:
        tls_context(signal)  # gRPC would take a file that holds none for a failed handshake
    file = None
    try:
        file = signal.ca_file
        roots = None if file is None else Path(file).read_bytes()
        file = signal.certificate_file
        chain = None if file is None else Path(file).read_bytes()
        file = signal.key_file
        key = None if file is None else read_key(file)
    except OSError as error:
        raise BadFileError(unusable(file or "", error)) from None
    return grpc.ssl_channel_credentials(root_certificates=roots, certificate_chain=chain, private_key=key)


def _retry_delay(error: Any) -> float | None:
    """Seconds until the next attempt, if the server names them."""
    trailers = dict(error.trailing_metadata() or ())
    info = RetryInfo()
    try:
        if RETRY_INFO in trailers:
            info.ParseFromString(trailers[RETRY_INFO])
        elif not any(detail.Unpack(info) for detail in Status.FromString(trailers.get(STATUS_DETAILS, b"")).details):
            return None
    except DecodeError:
        return None  # the status stands without its details
    delay: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return max(0.0, delay)
