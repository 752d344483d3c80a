"""What the user's telemetry is to do in one run, from the values that count: where to send, what, and in whose name.

Promises: no endpoint and no Prometheus means None, and then the pipeline does not exist; the user and password of an
endpoint become a header, so that no endpoint in here is a secret. Reads no variable but those that the user wants on
spans. Made before the server is spawned: imports next to nothing. Knows nothing of files, flags or OpenTelemetry.
"""

from __future__ import annotations

import os

from thv import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TRACES = "traces"
METRICS = "metrics"

GRPC = "grpc"
HTTP = "http/protobuf"
GRPC_PORT = "4317"
"""The port that is gRPC's by convention ("OTLP Specification": 4317 for OTLP/gRPC, 4318 for OTLP/HTTP)."""

PATHS = {TRACES: "/v1/traces", METRICS: "/v1/metrics"}
"""What is appended to an endpoint that stands for both signals ("Endpoint URLs for OTLP/HTTP")."""

TIMEOUT_S = 10.0
"""Seconds for one export where no variable says otherwise ("OpenTelemetry Protocol Exporter")."""

LONGEST_TIMEOUT_S = 3600.0
"""Seconds that stand for no limit at all, which is what a timeout of 0 asks for."""

INTERVAL_S = 60.0
"""Seconds between two exports of metrics where no variable says otherwise ("Periodic exporting MetricReader")."""

LEAST_LINGER_S = 15.0
"""How long Prometheus can scrape the metrics of an ended session at least: few servers ask less often."""

PROMETHEUS_HOST = "127.0.0.1"
PROMETHEUS_PORT = 9464
"""The port that Prometheus exporters of OpenTelemetry listen on by convention."""

SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE = "service.instance.id"
"""Tells sessions apart that run at the same time: without it, a collector takes their counts for one series."""

OWN = "toolhive."
"""The namespace of attributes that no convention has; ToolHive's, so that its dashboards fit."""

SPAN_ENVIRONMENT = "environment."
"""What the name of a variable is preceded by on a span, with `OWN` before it, and as a legacy attribute without."""

QUEUE_SIZE = 2048
BATCH_SIZE = 512
"""Trace SDK, "Batching processor"."""

HTTP_HEADERS = frozenset(
    (
        *("connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    )
)
"""Headers that describe a request or its connection (RFC 9110, 7.6.1 and 8; RFC 9113, 8.2.2)."""


class TelemetrySettings:
    """What the user's telemetry is to do in one run.

    Attributes:
        agent: the settings of the exporting process, by the names of `thv.telemetry.frames.AgentSettings`; its `traces`
            and `metrics` are None, or a dict by the names of `Signal`.
        parent_based: the client's decision to record a trace is followed where there is one.
        ratio: the share of all other traces that is recorded, from 0 to 1.
        span_environment: variables for every span, by their names.
        extract: a client's trace context is read.
        legacy_attributes: spans carry our older attribute names, too.
        capture_arguments: arguments and results may stand on spans, redacted and cut.
        propagate: our own trace context is passed on to the server.
        server: what the server is called.
        tracing: spans are wanted.
        metrics: metrics are wanted, by a collector or by Prometheus.
    """

    __slots__ = (
        "agent",
        "capture_arguments",
        "extract",
        "legacy_attributes",
        "metrics",
        "parent_based",
        "propagate",
        "ratio",
        "server",
        "span_environment",
        "tracing",
    )

    def __init__(
        self,
        agent: dict[str, Any],
        *,
        server: str,
        parent_based: bool,
        ratio: float,
        span_environment: dict[str, str],
        capture_arguments: bool,
        propagate: bool,
        extract: bool = True,
        legacy_attributes: bool = True,
    ) -> None:
        self.agent = agent
        self.parent_based = parent_based
        self.ratio = ratio
        self.span_environment = span_environment
        self.capture_arguments = capture_arguments
        self.propagate = propagate
        self.extract = extract
        self.legacy_attributes = legacy_attributes
        self.server = server
        self.tracing: bool = agent["traces"] is not None
        self.metrics: bool = agent["metrics"] is not None or agent["prometheus_port"] is not None


def resolve(
    values: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    server: str,
    capture_arguments: bool = False,
    propagate: bool = False,
    debug: bool = False,
) -> tuple[TelemetrySettings | None, list[str]]:
    """What `values` come to, and remarks for the user; None where nothing asks for telemetry.

    Args:
        values: what counts, as `thv.config.effective_settings.read` gives it.
        environ: where the variables that the user wants on spans are looked up.
        server: the server's name; the service is ``thv-SERVER`` unless the user names it otherwise.
        capture_arguments: put arguments and results on spans.
        propagate: pass our trace context on to the server.
        debug: the agent reports each export.
    """
    warnings: list[str] = []
    wanted = {TRACES: values["tracing-enabled"], METRICS: values["metrics-enabled"]}
    signals = {signal: _signal(values, signal) for signal in wanted}
    if not any(wanted.values()) and any(signals.values()) and not values["silenced"]:
        warnings.append("nothing is sent to your endpoint: tracing-enabled and metrics-enabled are both false")
    signals = {signal: found if wanted[signal] else None for signal, found in signals.items()}
    prometheus = values["enable-prometheus-metrics-path"]
    for flag, given in (("--otel-capture-arguments", capture_arguments), ("--otel-propagate", propagate)):
        if given and signals[TRACES] is None:
            warnings.append(f"{flag} changes nothing: no traces are sent")
    if not prometheus and not any(signals.values()):
        return None, warnings
    warnings += _doubled(signals)
    for found in signals.values():
        if found is not None:
            warnings += [line for line in _without_http_headers(found["headers"]) if line not in warnings]
    interval = values.get("metric-export-interval")
    agent = {
        **signals,
        **_limits(values, warnings),
        "prometheus_host": values.get("prometheus-host") or PROMETHEUS_HOST,
        "prometheus_port": int(values.get("prometheus-port") or PROMETHEUS_PORT) if prometheus else None,
        "resource": _resource(values, _readable(server)),
        "export_interval_s": interval / 1000 if interval else INTERVAL_S,
        "debug": debug,
        "temporality": values.get("temporality") or "cumulative",
        "linger_s": max(LEAST_LINGER_S, interval / 1000 if interval else INTERVAL_S),
    }
    settings = TelemetrySettings(
        agent,
        server=_readable(server),
        parent_based=values["parent-based"],
        ratio=values["sampling-rate"],
        span_environment={name: _readable(environ[name]) for name in values["env-vars"] or () if name in environ},
        capture_arguments=capture_arguments,
        propagate=propagate,
        extract=values.get("extract") is not False,
        legacy_attributes=values["use-legacy-attributes"],
    )
    return settings, warnings


def _limits(values: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    """`OTEL_BSP_*` and the limits of spans, as far as they are set."""
    found = {}
    for name in ("queue-size", "batch-size", "attribute-count-limit", "attribute-length-limit", "link-count-limit"):
        if values.get(name) is not None:
            found[name.replace("-", "_")] = int(values[name])
    queue = found.get("queue_size", QUEUE_SIZE)
    if found.get("batch_size", BATCH_SIZE) > queue:
        if "batch_size" in found:
            warnings.append(f"OTEL_BSP_MAX_EXPORT_BATCH_SIZE is taken for {queue}, the most that can wait")
        found["batch_size"] = queue
    for name, unit in (("schedule-delay", "schedule_delay_s"), ("metrics-timeout", "metric_timeout_s")):
        if values.get(name):
            found[unit] = values[name] / 1000
    return found


def _without_http_headers(headers: dict[str, str]) -> list[str]:
    """Take out of `headers` what describes the request itself; a line for the user if there was any."""
    taken = [name for name in headers if name.lower() in HTTP_HEADERS]
    for name in taken:
        del headers[name]
    return [f"headers: {', '.join(taken)} is left out: the exporter sets it"] if taken else []


def _signal(values: Mapping[str, Any], signal: str) -> dict[str, Any] | None:
    """Where a signal goes, by the names of `thv.telemetry.frames.Signal`; None without an endpoint for it."""

    def value(option: str) -> Any:
        found = values.get(f"{signal}.{option}")
        return values.get(option) if found is None else found

    endpoint = value("endpoint")
    if endpoint is None:
        return None
    from thv.core.net.http_headers import basic_credentials
    from thv.core.net.urls import DEFAULT_PORTS, split_url

    # The endpoint has been checked; what follows `#` stays with the user.
    scheme, user, host, rest = split_url(endpoint.partition("#")[0])
    scheme = scheme.removesuffix("://").lower()
    path, mark, query = rest.partition("?")
    query = mark + query
    port = host.rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    insecure = scheme == "http" if scheme else bool(value("insecure"))
    protocol = value("protocol") or (GRPC if port == GRPC_PORT else HTTP)
    headers = dict(value("headers") or {})
    if user and "authorization" not in map(str.lower, headers):
        headers["authorization"] = basic_credentials(user)
    scheme = scheme or ("http" if insecure else "https")
    if protocol == GRPC:
        where = host if port else f"{host.removesuffix(':')}:{DEFAULT_PORTS[scheme]}"
        headers = {name.lower(): text for name, text in headers.items()}  # as HTTP/2 wants them (RFC 9113, 8.2)
    elif values.get(f"{signal}.endpoint") is not None:
        where = f"{scheme}://{host}{path or '/'}{query}"
    else:
        where = f"{scheme}://{host}{path.rstrip('/')}{PATHS[signal]}{query}"
    timeouts = [_seconds(value("timeout"), TIMEOUT_S), _seconds(values.get(f"{signal}-timeout"), LONGEST_TIMEOUT_S)]
    return {
        "endpoint": where,
        "protocol": protocol,
        "headers": headers,
        "insecure": insecure,
        "ca_file": _file(value("certificate")),
        "certificate_file": _file(value("client-certificate")),
        "key_file": _file(value("client-key")),
        "timeout_s": min(timeouts),
        "compression": value("compression") or "none",
    }


def _seconds(milliseconds: float | None, default: float) -> float:
    """Of a variable of the type "Timeout", for which 0 means no limit."""
    return default if milliseconds is None else min(milliseconds / 1000 or LONGEST_TIMEOUT_S, LONGEST_TIMEOUT_S)


def _doubled(signals: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """A remark if the endpoint is the address of one signal, as a collector's page often shows it."""
    for signal, found in signals.items():
        for path in PATHS.values():
            if found is not None and found["endpoint"].partition("?")[0].endswith(path + PATHS[signal]):
                return [f"endpoint ends in {path}, but {PATHS[signal]} is appended to it: leave {path} out"]
    return []


def _resource(values: Mapping[str, Any], server: str) -> dict[str, str]:
    resource = {
        SERVICE_NAME: f"thv-{server}",
        SERVICE_VERSION: __version__,
        SERVICE_INSTANCE: _random_uuid(),
        **(values["custom-attributes"] or {}),
    }
    if values["service-name"]:
        resource[SERVICE_NAME] = values["service-name"]
    return resource


def _random_uuid() -> str:
    """A UUID of version 4 (RFC 9562, 5.4), as the conventions recommend; `uuid` would cost milliseconds."""
    data = bytearray(os.urandom(16))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _file(path: str | None) -> str | None:
    """The absolute path: the agent may have another working directory."""
    return None if path is None else os.path.abspath(path)  # noqa: PTH100  pathlib costs 6 ms before the spawn


def _readable(text: str) -> str:
    """A name or a variable without the halves of characters that bytes which are no UTF-8 leave in it."""
    from thv.core.surrogates import replace_surrogates

    return replace_surrogates(text)
