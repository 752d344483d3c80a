"""OTLP over HTTP/1.1: one kept connection, one deadline for a whole exchange, bounded answers.

Written on `http.client` rather than on `requests`: a header the user set is sent as it is (no ~/.netrc), a server that
drips bytes cannot hold an export beyond its timeout, and no more of an answer is read than is needed. Proxies are taken
from the environment as everywhere (`HTTPS_PROXY`, `NO_PROXY`), except for loopback addresses, which no proxy can reach.
"""

from __future__ import annotations

import io
import os
import ssl
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from math import isfinite
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thv import __version__
from thv.core.net import basic_credentials, create_tls_context, proxy_for
from thv.telemetry.agent.export_errors import of_error, of_status, unusable
from thv.telemetry.agent.retry import Delivery

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from thv.telemetry.agent.export_errors import Cause
    from thv.telemetry.frames import Signal

USER_AGENT = f"thv/{__version__} OTel-OTLP-Exporter-Python/{__version__}"
"""OTLP Exporter, "User Agent": the exporter, its language and its version; a product before it."""

RETRYABLE = {429, 502, 503, 504}
"""OTLP/HTTP, "Retryable Response Codes"."""

LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer's body that are read: a partial success is smaller by far."""

SUCCESS = range(200, 300)


class HttpTransport:
    """Posts to one URL. The TLS files are read at the first request, so that what is wrong with them is a `Cause`."""

    def __init__(self, signal: Signal) -> None:
        self._signal = signal
        self._url = urlsplit(signal.endpoint)
        self._proxy = _proxy_for(self._url, os.environ)
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": USER_AGENT,
            **_authorization(self._url, "authorization"),
            **{name.lower(): value for name, value in signal.headers.items()},
        }
        self._target = f"{self._url.path or '/'}{'?' if self._url.query else ''}{self._url.query}"
        if self._proxy is not None and self._url.scheme == "http":
            self._target = f"http://{self._url.netloc.rpartition('@')[2]}{self._target}"
            self._headers |= _authorization(self._proxy, "proxy-authorization")
        if signal.compression == "gzip":
            self._headers["content-encoding"] = "gzip"
        self._connection: HTTPConnection | None = None

    def post(self, body: bytes, timeout_s: float) -> Delivery:
        """See `sending.Transport`."""
        if self._signal.compression == "gzip":
            from gzip import compress

            body = compress(body, mtime=0)
        deadline = _Deadline(timeout_s)
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body, deadline)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                self.close()  # the server had closed the kept connection: nothing was answered, so once more
            except (OSError, HTTPException, ValueError) as error:
                return self._failure(error)
        try:
            self._connection = self._connect(deadline)
            return self._exchange(self._connection, body, deadline)
        except _SetUpError as error:
            return Delivery(error.cause)
        except (OSError, HTTPException, ValueError) as error:
            return self._failure(error)

    def _connect(self, deadline: _Deadline) -> HTTPConnection:
        secure = self._url.scheme == "https"
        first = self._url if self._proxy is None else self._proxy
        host = first.hostname or ""
        default = 443 if first.scheme == "https" else 80
        port = first.port or default
        connection: HTTPConnection
        if secure:
            connection = HTTPSConnection(host, port, timeout=deadline.left(), context=self._context())
            if self._proxy is not None:
                headers = _authorization(self._proxy, "Proxy-Authorization")
                connection.set_tunnel(self._url.hostname or "", self._url.port or 443, headers)
        else:
            connection = HTTPConnection(host, port, timeout=deadline.left())
        connection.response_class = deadline.bound_response  # type: ignore[assignment]  # it is only called
        connection.connect()
        return connection

    def _context(self) -> ssl.SSLContext:
        signal = self._signal
        file = signal.ca_file
        try:
            context = create_tls_context(file, system=False)
            file = signal.certificate_file
            if file is not None:
                # A key behind a pass phrase must be an error, not a prompt on the user's terminal.
                context.load_cert_chain(file, signal.key_file, password="")
        except OSError as error:
            raise _SetUpError(unusable(file or "", error)) from None
        return context

    def _exchange(self, connection: HTTPConnection, body: bytes, deadline: _Deadline) -> Delivery:
        if connection.sock is not None:
            connection.sock.settimeout(deadline.left())
        connection.response_class = deadline.bound_response  # type: ignore[assignment]  # it is only called
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        answer = response.read(LARGEST_ANSWER)
        if not response.isclosed():
            self.close()
        if response.status in SUCCESS:
            return Delivery(rejected=rejected_in(answer))
        return Delivery(
            of_status(response.status),
            again=response.status in RETRYABLE,
            after_s=_retry_after(response.headers.get("Retry-After")),
        )

    def _failure(self, error: Exception) -> Delivery:
        self.close()
        passing = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
        return Delivery(of_error(error, self._signal.timeout_s), again=passing)

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _SetUpError(Exception):
    """What was asked for cannot be set up on this machine."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.text)
        self.cause = cause


class _Deadline:
    """The end of one exchange, which no sequence of small reads puts off."""

    def __init__(self, seconds: float) -> None:
        self._until = monotonic() + seconds

    def left(self) -> float:
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def bound_response(self, connection: socket.socket, *arguments: Any, **options: Any) -> HTTPResponse:
        """An `HTTPResponse` whose reads all end in time."""
        response = HTTPResponse(connection, *arguments, **options)
        response.fp.close()
        response.fp = io.BufferedReader(_BoundReads(connection, self))
        return response


class _BoundReads(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self._deadline.left())
        return self._connection.recv_into(buffer)


def rejected_in(answer: bytes) -> int:
    """How many spans or points a server took back; the two messages have the same fields."""
    if not answer:
        return 0
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf has no stubs
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        rejected: int = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
    except DecodeError:
        return 0  # taken all the same: the status said so
    return max(0, rejected)


def _retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` asks for (RFC 9110, 10.2.3: a number, or a date); None if it does not say."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if isfinite(seconds) else None


def _authorization(url: SplitResult, header: str) -> dict[str, str]:
    """What the user information of a URL means as a header (RFC 7617)."""
    user_info, at, _ = url.netloc.rpartition("@")
    return {header: basic_credentials(user_info)} if at else {}


def _proxy_for(url: SplitResult, environ: Mapping[str, str]) -> SplitResult | None:
    proxy = proxy_for(url.scheme, url.hostname or "", url.port, environ)
    parts = None if proxy is None else urlsplit(proxy)
    return parts if parts is not None and parts.scheme == "http" and parts.hostname else None
