"""OTLP over gRPC, with `grpcio` of the extra `grpc`.

The core library writes to file descriptor 2 on its own: the agent has pointed that elsewhere before this is imported.
What a server says in a status stays unsaid: only the status code and gRPC's own account of a connection are read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thv import __version__
from thv.telemetry.agent.export_errors import BAD_HEADER, of_rpc, unusable
from thv.telemetry.agent.retry import Delivery

if TYPE_CHECKING:
    from thv.telemetry.frames import Signal

METHODS = {
    "trace": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
"""OTLP/gRPC, "Failures". RESOURCE_EXHAUSTED needs a `RetryInfo` to be among them, which few servers send."""

CONNECT_AGAIN_MS = 5000
"""Most milliseconds between two attempts to connect (the core's default is two minutes): a collector that was restarted
is found soon."""

DEFAULT_PORT = 4317
"""OTLP/gRPC, "Default Port"; gRPC's own would be 443."""


class GrpcTransport:
    """Calls one `Export` method. The channel is made at the first request, so that a bad file is a `Cause`."""

    def __init__(self, signal: Signal, service: str) -> None:
        self._signal = signal
        self._method = METHODS[service]
        self._channel: Any = None

    def post(self, body: bytes, timeout_s: float) -> Delivery:
        """See `sending.Transport`."""
        from thv.telemetry.agent.over_http import rejected_in

        os.environ["GRPC_VERBOSITY"] = "NONE"
        import grpc  # type: ignore[import-untyped]  # an optional extra without stubs

        if self._channel is None:
            try:
                self._channel = self._open(grpc)
            except OSError as error:
                return Delivery(unusable(str(error.filename), error))
        metadata = [(name.lower(), value) for name, value in self._signal.headers.items()]
        try:
            answer: bytes = self._channel.unary_unary(self._method)(body, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code().name
            cause = of_rpc(code, error.details() or "", self._signal.timeout_s)
            return Delivery(cause, again=code in RETRYABLE)
        except (ValueError, TypeError):  # its text quotes the metadata
            return Delivery(BAD_HEADER)
        return Delivery(rejected=rejected_in(answer))

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _open(self, grpc: Any) -> Any:
        signal = self._signal
        target, plaintext = target_of(signal)
        options: dict[str, Any] = {
            "compression": grpc.Compression.Gzip if signal.compression == "gzip" else grpc.Compression.NoCompression,
            "options": [
                ("grpc.primary_user_agent", f"thv/{__version__}"),
                ("grpc.max_reconnect_backoff_ms", CONNECT_AGAIN_MS),
            ],
        }
        if plaintext:
            return grpc.insecure_channel(target, **options)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_contents(signal.ca_file),
            certificate_chain=_contents(signal.certificate_file),
            private_key=_contents(signal.key_file),
        )
        return grpc.secure_channel(target, credentials, **options)


def target_of(signal: Signal) -> tuple[str, bool]:
    """Where gRPC connects to, as host:port, and whether in plaintext: a scheme decides that, else `insecure`."""
    parts = urlsplit(signal.endpoint if "://" in signal.endpoint else f"//{signal.endpoint}")
    plaintext = signal.insecure if not parts.scheme else parts.scheme != "https"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or DEFAULT_PORT}", plaintext


def _contents(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
