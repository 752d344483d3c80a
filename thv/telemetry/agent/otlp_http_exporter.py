"""OTLP over HTTP, by the SDK's exporters: this module is the session of `requests` that they send through.

The session makes one request and keeps what became of it, since the exporters report neither a reason nor a partial
success. It reads no `.netrc` and no variable (`trust_env`), checks certificates by our own context, goes through the
proxy that the environment names for this endpoint, and reads only so much of an answer.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http import Compression, trace_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.http.version import __version__ as exporter_version
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader, LocationParseError, ProxyError

from thv import __version__
from thv.core.net.environment_proxies import proxy_for
from thv.core.net.url_redaction import redact_url
from thv.core.net.urls import is_http_url
from thv.telemetry.agent.batch_delivery import BatchDelivery
from thv.telemetry.agent.export_errors import (
    BAD_HEADER,
    NO_ADDRESS,
    NO_PROXY_URL,
    NOT_HTTP,
    PROXY_LOGIN,
    BadFileError,
    internal,
    may_have_arrived,
    of_error,
    of_proxy,
    of_status,
    slow,
    through_proxy,
    underlying,
)
from thv.telemetry.agent.exporter_certificates import tls_context
from thv.telemetry.agent.partial_success import partial_success
from thv.telemetry.agent.request_deadline import RequestDeadline
from thv.telemetry.agent.span_encoder import SpansRequest

if TYPE_CHECKING:
    import ssl

    from thv.telemetry.agent.export_errors import Cause
    from thv.telemetry.frames import Signal

trace_exporter.encode_spans = SpansRequest  # type: ignore[assignment, attr-defined]  # what the exporter makes of a batch

USER_AGENT = f"thv/{__version__} OTel-OTLP-Exporter-Python/{exporter_version}"
"""OTLP Exporter, "User Agent": the product before the exporter."""

RETRYABLE = {429, 502, 503, 504}
"""OTLP/HTTP, "Retryable Response Codes"."""

SUCCESS = range(200, 300)

LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read: a partial success is far smaller."""


class HttpAttempts:
    """Sends one signal to one URL. The first request makes the exporter, so a bad file is reported as its cause."""

    def __init__(self, signal: Signal, name: str) -> None:
        self._signal = signal
        self._name = name
        self._session: _Session | None = None
        self._exporter: OTLPSpanExporter | OTLPMetricExporter | None = None
        self.endpoint = redact_url(signal.endpoint, origin_only=True)
        self.timeout_s = signal.timeout_s

    def send(self, data: Any) -> BatchDelivery:
        """See `Attempts`."""
        try:
            if self._exporter is None or self._session is None:
                self._session = _Session(self._signal)
                self._exporter = self._make(self._session)
        except BadFileError as error:
            return BatchDelivery(error.cause)
        # That stays if the batch cannot be encoded, or is too large.
        self._session.delivery = BatchDelivery(internal("no request"))
        self._exporter.export(data)
        return self._session.delivery

    def _make(self, session: _Session) -> OTLPSpanExporter | OTLPMetricExporter:
        make = OTLPSpanExporter if self._name == "traces" else OTLPMetricExporter
        signal = self._signal
        return make(
            endpoint=signal.endpoint,
            headers={"user-agent": USER_AGENT, **signal.headers},
            timeout=signal.timeout_s,
            compression=Compression(signal.compression),
            session=session,
        )

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()


class _Session(requests.Session):
    """Makes one request and keeps its result in `delivery`; raises failures that the SDK does not retry."""

    def __init__(self, signal: Signal) -> None:
        super().__init__()
        self.delivery = BatchDelivery()
        self.trust_env = False
        self.headers.clear()
        self._signal = signal
        url = urlsplit(signal.endpoint)
        proxy = proxy_for(url.scheme, url.hostname or "", url.port, os.environ)
        # One of another kind (SOCKS) needs a package that is not there, and is passed by.
        self._proxy = proxy if proxy is not None and proxy.startswith("http") else None
        self.proxies = {} if self._proxy is None else {url.scheme: self._proxy}
        self._deadline = RequestDeadline()
        adapter = _Adapter(tls_context(signal) if url.scheme == "https" else None, self._deadline)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: Any, url: Any, **options: Any) -> requests.Response:  # type: ignore[override]  # takes the rest as options
        """Send it. The second attempt is for a kept connection that the server had closed meanwhile."""
        try:
            with self._deadline.bound(self._signal.timeout_s):
                try:
                    return self._request(method, url, options)
                except requests.ConnectionError as error:
                    causes = list(underlying(error))
                    is_stale = any(isinstance(one, (ConnectionResetError, BrokenPipeError)) for one in causes)
                    if self._deadline.passed or not is_stale:
                        raise
                    return self._request(method, url, options)
        except (OSError, ValueError) as error:  # `requests` makes every error of a network an OSError
            # A header or a name that cannot be used stays so; a network, a name server or a certificate may be mended.
            # The only one of an answer's that is a ValueError is about its head: a second, other length, for example.
            is_answered = any(isinstance(one, InvalidHeader) for one in underlying(error))
            retryable = is_answered or not isinstance(error, ValueError)
            unknown = is_answered or (self._deadline.is_open and may_have_arrived(error))
            if is_answered:
                cause = NOT_HTTP
            elif isinstance(error, requests.exceptions.InvalidURL | LocationParseError):
                cause = NO_ADDRESS  # a name with a part that is empty or too long
            else:
                cause = of_error(TimeoutError() if self._deadline.passed else error, self._signal)
            if self._proxy is not None:
                is_proxys = any(isinstance(one, ProxyError) for one in underlying(error))
                no_tunnel = is_proxys and self._signal.endpoint.startswith("https:")
                unknown = unknown and not no_tunnel
                cause = self._blame(cause, self._proxy, no_tunnel=no_tunnel)
            self.delivery = BatchDelivery(cause, retryable=retryable, unknown=unknown)
            raise _NotDeliveredError from None

    def _blame(self, cause: Cause, proxy: str, *, no_tunnel: bool) -> Cause:
        """`cause`, said of the proxy where that is at fault."""
        if cause is BAD_HEADER:
            return cause
        if not is_http_url(proxy):
            return of_proxy(NO_PROXY_URL, proxy)
        if no_tunnel:
            return of_proxy(cause, proxy)
        if cause == slow(self._signal.timeout_s):
            return through_proxy(cause, proxy)
        # Without TLS there is no tunnel, and the peer is the proxy.
        return of_proxy(cause, proxy) if self._signal.endpoint.startswith("http:") else cause

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect, and read no `Location`, which may be invalid."""

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._deadline.close()

    def _request(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        with super().request(method, url, **options, stream=True) as response:
            body = b""
            with suppress(requests.RequestException):  # the status says what became of the request
                for chunk in response.iter_content(LARGEST_ANSWER):  # to its end: that frees the connection
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        break
            if self._deadline.passed:  # what looks like the end of the answer may be ours
                raise requests.ReadTimeout
        if response.status_code in SUCCESS:
            rejected, warning = partial_success(body, self._signal)
            self.delivery = BatchDelivery(rejected=rejected, warning=warning)
            return response
        cause = of_status(response.status_code, body)
        if self._proxy is not None and response.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            cause = of_proxy(PROXY_LOGIN, self._proxy)
        self.delivery = BatchDelivery(
            cause,
            retryable=response.status_code in RETRYABLE,
            retry_after_s=_retry_after(response.headers.get("Retry-After")),
        )
        raise _NotDeliveredError  # the exporter would take a redirect for a success


class _NotDeliveredError(Exception):
    """Tells the SDK's exporter that a request failed, in a type that it does not repeat requests for."""


class _Adapter(HTTPAdapter):
    """Certificates are checked by the context alone: `requests` would add those of `certifi`."""

    def __init__(self, context: ssl.SSLContext | None, deadline: RequestDeadline) -> None:
        self._context = context
        self._deadline = deadline
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._deadline.pool_classes()

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._deadline.pool_classes()
        return manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Add nothing to the context."""


def _retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` asks for (RFC 9110, 10.2.3: a number, or a date); None without one."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
