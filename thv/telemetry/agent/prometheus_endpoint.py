"""`/metrics`, by default on the loopback interface: the latest snapshot as Prometheus' text, with `prometheus_client`.

Names follow OpenTelemetry's "Prometheus and OpenMetrics Compatibility": units in words, `_total` for counters, the
resource as `target_info`. Read-only; a page of the web that points its own name at this machine is refused.
"""

from __future__ import annotations

import re
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, cast

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from thv import __version__
from thv.core.net import hostname_of, is_loopback
from thv.telemetry.frames import HistogramPoint
from thv.telemetry.instruments import INSTRUMENTS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from thv.telemetry.frames import Metrics, SumPoint
    from thv.telemetry.instruments import Instrument

HOST = "127.0.0.1"

PORTS_TRIED = 100
"""Ports from the wanted one on: more sessions than that on one machine would want an aggregating collector."""

PATIENCE_S = 5.0
"""Seconds a connection may stay silent."""

NEVER_S = 3600.0
"""Seconds between two looks of the server at whether it is to stop: a machine at rest is not woken for that."""

SHORT_S = 0.01
"""Seconds between two calls that make it look."""

UNITS = {"s": "seconds", "By": "bytes", "ms": "milliseconds"}
"""UCUM units in Prometheus' words; "1" and annotations in braces have none."""

TYPES = {Kind.HISTOGRAM: "histogram", Kind.COUNTER: "counter", Kind.UP_DOWN_COUNTER: "gauge"}

SCOPE = {"otel_scope_name": "thv", "otel_scope_version": __version__}


class Snapshots(Collector):
    """The latest snapshot, as a collector of `prometheus_client`."""

    def __init__(self, resource: Mapping[str, str]) -> None:
        self.latest: Metrics | None = None
        self._resource = _labels(resource)

    def collect(self) -> Iterable[Metric]:
        """Every metric family of the latest snapshot, and `target_info`."""
        target = Metric("target", "Target metadata", "info")
        target.add_sample("target_info", self._resource, 1)
        families: dict[str, Metric] = {}
        for point in self.latest.points if self.latest is not None else ():
            instrument = INSTRUMENTS[point.name]
            family = families.get(point.name)
            if family is None:
                family = families[point.name] = Metric(
                    family_name(instrument),
                    instrument.description,
                    TYPES[instrument.kind],
                    UNITS.get(instrument.unit, ""),
                )
            _add(family, instrument, point)
        return [target, *families.values()]


def family_name(instrument: Instrument) -> str:
    """The name of an instrument in Prometheus, without the suffixes of its samples."""
    name = _name(instrument.name)
    unit = UNITS.get(instrument.unit)
    return name if unit is None or name.endswith(f"_{unit}") else f"{name}_{unit}"


def _add(family: Metric, instrument: Instrument, point: HistogramPoint | SumPoint) -> None:
    labels = {**_labels(point.attributes), **SCOPE}
    if not isinstance(point, HistogramPoint):
        suffix = "_total" if instrument.kind is Kind.COUNTER else ""
        family.add_sample(f"{family.name}{suffix}", labels, point.value)
        return
    total = 0
    for bound, count in zip((*instrument.bounds, float("inf")), point.bucket_counts, strict=True):
        total += count
        family.add_sample(f"{family.name}_bucket", {**labels, "le": floatToGoString(bound)}, total)  # type: ignore[no-untyped-call]  # prometheus_client
    family.add_sample(f"{family.name}_count", labels, point.count)
    family.add_sample(f"{family.name}_sum", labels, point.sum)


def _labels(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes as labels; values of keys that become the same label are joined, as the compatibility rules say."""
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        name = _name(key)
        labels[name] = f"{labels[name]};{attributes[key]}" if name in labels else attributes[key]
    return labels


def _name(text: str) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]+", "_", text)
    return f"_{name}" if name[:1].isdigit() else name


class PrometheusEndpoint:
    """Serves the latest snapshot on the first free port of `host` from `port` on, and says its address once.

    No free port is said, and nothing is served: the session goes on.
    """

    def __init__(
        self, port: int, resource: Mapping[str, str], warn: Callable[[str], None], *, host: str = HOST
    ) -> None:
        self._snapshots = Snapshots(resource)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self._snapshots)
        for candidate in range(port, port + PORTS_TRIED) if port else (0,):
            try:
                self._server = _Server(host, candidate, registry)
            except (OSError, OverflowError):
                continue
            Thread(target=self._server.serve_forever, args=(NEVER_S,), name="thv-prometheus", daemon=True).start()
            warn(f"Prometheus metrics are at {self.address}")
            return
        warn(f"telemetry: no Prometheus metrics: the ports {port} to {port + PORTS_TRIED - 1} of {host} are taken")

    @property
    def address(self) -> str:
        """The URL of the metrics."""
        host = self._server.server_name
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}/metrics"

    def put(self, snapshot: Metrics) -> None:
        """Show `snapshot` from now on."""
        self._snapshots.latest = snapshot

    def close(self) -> None:
        """Serve no more."""
        stopping = Thread(target=self._server.shutdown)
        stopping.start()
        while stopping.is_alive():
            socket.create_connection((HOST, self._server.server_port)).close()  # it looks up when somebody calls
            stopping.join(SHORT_S)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # On Windows the option would let two processes listen on one port.
    allow_reuse_address = sys.platform != "win32"
    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.is_private = _is_this_machine(f"[{host}]" if ":" in host else host)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of our own name that `HTTPServer` makes: it can take seconds."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE_S
    server_version = f"thv/{__version__}"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a scrape."""
        if cast("_Server", self.server).is_private and not _is_this_machine(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, b"this address is for this machine only\n")
        elif self.path.partition("?")[0] not in {"/metrics", "/metrics/"}:
            self._answer(HTTPStatus.NOT_FOUND, b"metrics are at /metrics\n")
        else:
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(cast("_Server", self.server).registry), content_type)

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are not told of."""


def _is_this_machine(host: str) -> bool:
    """Whether a `Host` header names this machine; an empty one is HTTP/1.0's."""
    return not host or is_loopback(hostname_of(host))
