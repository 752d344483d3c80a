"""thv's configuration in a pod: its config file, its variables, and whether usage analytics are on. Pure.

Promises: no header's value is in a command line or a ConfigMap, and a Secret's value is never read here at all; the
answer about analytics is the one that thv itself will give. Knows nothing of containers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from thv.operator.names import (
    CONFIG_DIR,
    CONFIG_FILE,
    CONFIG_VARIABLE,
    EVERYWHERE,
    HEADER_VARIABLE,
    HEADERS_VARIABLE,
    KIND,
    PROMETHEUS_HOST,
    SERVER_CONTAINER,
    USAGE_ANALYTICS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from thv.operator.mcpserver_spec import McpServerSpec

SAFE_IN_HEADERS = "!#&'()*+-./:<>?@[]^_`{|}~"
"""What a header value may hold unencoded in OTEL_EXPORTER_OTLP_HEADERS (W3C baggage, section 3.3.2.4).

Without ``=``, which separates, and without ``$``, which Kubernetes would expand.
"""


OTLP_VARIABLES = "OTEL_EXPORTER_OTLP_"
GRPC = "grpc"
DECIDING = ("ENDPOINT", "PROTOCOL")
"""Ends of those that say how telemetry leaves, for all signals or for one."""

UNREAD = "$("
"""How Kubernetes writes a value that stands elsewhere; also for one that comes from a Secret or a ConfigMap."""

GRPC_ENDPOINT = re.compile(r":4317(?![0-9])")
"""4317 means gRPC where nothing else says which protocol ("OTLP Specification")."""

JOURNAL = "TOOLHIVE_JOURNAL"
"""Off in pods: `thv log` reads the journal of the machine it runs on, and nothing runs it there."""


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for every server of one operator.

    Attributes:
        image: thv's own image.
        usage_analytics: the operator-wide switch; off wins over every server's own wish.
        refusal: says what in an environment keeps thv from sending usage analytics, or None.
        allowed_origins: web origins whose pages may talk to the servers.
    """

    image: str
    refusal: Callable[[Mapping[str, str]], str | None]
    usage_analytics: bool = True
    allowed_origins: tuple[str, ...] = ()


def usage_analytics(server: McpServerSpec, options: Options) -> bool:
    """Whether thv will count this server's outcomes for the maintainers: everyone must agree, and off wins."""
    if not (server.telemetry.usage_analytics and options.usage_analytics):
        return False
    # In one container with the server, thv reads its variables; where it does not, DO_NOT_TRACK there means the same
    # wish. What a Secret or a ConfigMap says is not read here: it can only turn off what is on.
    seen = {entry["name"]: entry.get("value", "") for entry in server.template_variables}
    return options.refusal({**seen, **dict(server.env)}) is None


def config(server: McpServerSpec) -> str:
    """The config file of the thv that serves this server."""
    lines = []
    telemetry = server.telemetry
    if telemetry.enabled:
        lines.append(_line("endpoint", telemetry.endpoint))
        if telemetry.protocol:
            lines.append(_line("protocol", telemetry.protocol))
        if telemetry.insecure:
            lines.append(_line("insecure", value=True))
        lines.append(_line("tracing-enabled", telemetry.tracing))
        lines.append(_line("metrics-enabled", telemetry.metrics))
        if telemetry.sampling_rate is not None:
            lines.append(_line("sampling-rate", telemetry.sampling_rate))
    if telemetry.prometheus:
        lines.append(_line("enable-prometheus-metrics-path", value=True))
    if lines:
        lines.append(_line("service-name", telemetry.service_name or f"thv-{server.name}"))
        lines.append("  custom-attributes:\n")
        lines.append(f"    k8s.namespace.name: {_scalar(server.namespace)}\n")
    head = f"# Made by thv's operator from the {KIND} {server.name}: edit that, and not this.\n"
    return head + ("otel:\n" if lines else "otel: {}\n") + "".join(lines)


def exports_by_grpc(server: McpServerSpec) -> bool:
    """Whether this server's telemetry may leave by gRPC: said in the spec, by the port, or by a standard variable.

    What is not read here, from a Secret or a ConfigMap, may say so: without gRPC's packages thv would not start.
    """
    telemetry = server.telemetry
    said = [telemetry.protocol, telemetry.endpoint] if telemetry.enabled else []
    containers = (server.pod_template.get("spec") or {}).get("containers") or ()
    if any(each.get("envFrom") for each in containers if each.get("name") == SERVER_CONTAINER):
        return True
    seen = {
        entry["name"]: UNREAD if "valueFrom" in entry else entry.get("value", "") for entry in server.template_variables
    }
    seen |= dict(server.env) | dict.fromkeys((secret.variable for secret in server.secrets), UNREAD)
    said += [value for name, value in seen.items() if name.startswith(OTLP_VARIABLES) and name.endswith(DECIDING)]
    return any(value.strip().lower() == GRPC or GRPC_ENDPOINT.search(value) or UNREAD in value for value in said)


def variables(server: McpServerSpec, options: Options) -> list[dict[str, Any]]:
    """The variables thv needs, as a container's `env`."""
    found: list[dict[str, Any]] = [
        {"name": CONFIG_VARIABLE, "value": f"{CONFIG_DIR}/{CONFIG_FILE}"},
        {"name": USAGE_ANALYTICS, "value": "true" if usage_analytics(server, options) else "false"},
        {"name": JOURNAL, "value": "off"},
    ]
    if server.telemetry.prometheus:
        found.append({"name": PROMETHEUS_HOST, "value": EVERYWHERE})
    return found + (_headers(server) if server.telemetry.enabled else [])


def secret_variables(server: McpServerSpec) -> list[str]:
    """Those of `variables` that are thv's alone, and no business of a server that thv starts."""
    return [entry["name"] for entry in _headers(server)] if server.telemetry.enabled else []


def _headers(server: McpServerSpec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    words = []
    for number, header in enumerate(server.telemetry.headers):
        if header.secret:
            name = f"{HEADER_VARIABLE}{number}"
            reference = {"name": header.secret, "key": header.key}
            found.append({"name": name, "valueFrom": {"secretKeyRef": reference}})
            words.append(f"{_unexpanded(header.name)}=$({name})")
        else:
            words.append(f"{_unexpanded(header.name)}={quote(header.value, safe=SAFE_IN_HEADERS)}")
    # Kubernetes expands only what stands before it in the list.
    return [*found, {"name": HEADERS_VARIABLE, "value": ",".join(words)}] if words else []


def _unexpanded(name: str) -> str:
    return name.replace("$", "$$")  # Kubernetes makes one of two


def _line(key: str, value: str | float) -> str:
    return f"  {key}: {_scalar(value)}\n"


def _scalar(value: str | float) -> str:
    """JSON's scalars are YAML's, if every character that YAML does not print is written by its number."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(each if " " <= each <= "~" else f"\\U{ord(each):08x}" for each in text)
