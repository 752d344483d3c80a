"""`/metrics`, by default on the loopback interface: the SDK's Prometheus reader behind a small server of our own.

Every series carries `service_instance_id`, so that the sessions that are scraped one after the other on one port are
different series. Read-only; a web page that points its own name at this machine is refused.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, cast

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from thv import __version__
from thv.core.net.loopback import is_loopback
from thv.core.net.urls import bare_host, hostname_of, split_url
from thv.telemetry.telemetry_settings import SERVICE_INSTANCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PORTS_TRIED = 100
"""Ports from the wanted one on: more sessions than that on one machine want a collector."""

IDLE_TIMEOUT_S = 5.0
"""How long a connection may stay silent."""

POLL_S = 3600.0
"""How often the server looks whether it is to stop, which nothing asks for: an idle machine is not woken."""

TAKEN = {errno.EADDRINUSE, errno.EACCES}
"""What a port may be where another is free; Windows answers the second for one that another process has for itself."""


class PrometheusEndpoint:
    """Serves the latest snapshot on the first free port of `host` from `port` on, and reports its address.

    Without a free port that is reported, and nothing is served: the session goes on.

    Args:
        collect: gives the current metrics.
        warn: writes a line for the user.
    """

    def __init__(self, port: int, collect: Callable[..., Any], warn: Callable[[str], None], *, host: str) -> None:
        registry = CollectorRegistry(auto_describe=False)
        reader = PrometheusMetricReader(resource_attribute_filter=SERVICE_INSTANCE.__eq__, registry=registry)
        reader._set_collect_callback(collect)  # noqa: SLF001 - a MeterProvider's place
        for candidate in range(port, port + PORTS_TRIED) if port else (0,):
            try:
                self._server = _Server(host, candidate, registry)
            except OverflowError:
                break
            except (OSError, UnicodeError) as error:  # the second is IDNA's, for a name that no host can have
                if isinstance(error, UnicodeError) or error.errno not in TAKEN:
                    unknown = isinstance(error, UnicodeError | socket.gaierror)
                    why = "no such name" if unknown else os.strerror(getattr(error, "errno", None) or 0)
                    warn(f"telemetry: no Prometheus metrics: {host} cannot be listened on: {why}")
                    return
                continue
            Thread(target=self._server.serve_forever, args=(POLL_S,), name="thv-prometheus", daemon=True).start()
            warn(f"Prometheus metrics are at {self.address}")
            return
        warn(f"telemetry: no Prometheus metrics: the ports {port} to {port + PORTS_TRIED - 1} of {host} are taken")

    @property
    def address(self) -> str:
        """The URL of the metrics."""
        host = self._server.server_name
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"


class _Server(ThreadingHTTPServer):
    # On Windows the option would let two processes listen on one port.
    allow_reuse_address = sys.platform != "win32"
    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.is_private = is_loopback(host)
        host = bare_host(host)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of our own name that `HTTPServer` makes: it can take seconds."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_TIMEOUT_S
    server_version = f"thv/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a scrape."""
        host = self.headers.get("Host")  # HTTP/1.0 has none
        target = self.path
        if target[:7].lower() == "http://":  # the absolute form, whose host counts (RFC 9112, section 3.2.2)
            _, _, host, target = split_url(target)
        if cast("_Server", self.server).is_private and host and not is_loopback(hostname_of(host)):
            self._answer(HTTPStatus.FORBIDDEN, b"this address is for this machine only\n")
        elif target.partition("?")[0] not in {"/metrics", "/metrics/"}:
            self._answer(HTTPStatus.NOT_FOUND, b"metrics are at /metrics\n")
        else:
            registry = cast("_Server", self.server).registry
            self._answer(HTTPStatus.OK, *_encoded(registry, self.headers.get("Accept", "")))

    def do_HEAD(self) -> None:
        """Answer what a scrape would get, without it."""
        self.do_GET()

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing about scrapes."""


def _encoded(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The metrics in a format that `accept` names, and its media type; in Prometheus' first format where it cannot."""
    try:
        encode, content_type = choose_encoder(accept.replace('"', ""))  # quotes mean nothing (RFC 9110, section 5.6.6)
        return encode(registry), content_type
    except (TypeError, ValueError):  # for a version that is not made of numbers
        encode, content_type = choose_encoder("")
        return encode(registry), content_type
