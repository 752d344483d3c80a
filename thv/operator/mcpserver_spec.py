"""What an MCPServer asks for, as frozen data read from what the API server stores.

Promises: what the CRD's schema lets through is read, with the same defaults whether the API server filled them in or
not; what it should have refused is one `SpecError` that names the field. Knows nothing of pods.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from thv.errors import ThvError
from thv.operator import pod_template_checks
from thv.operator.names import DEFAULT_PORT, LONGEST_NAME, METRICS_PORT, SERVER_CONTAINER, STDIO

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSPORTS = (STDIO, "streamable-http", "sse")

SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""What a Service may be called (RFC 1035 label); an MCPServer gives its name to one."""


class SpecError(ThvError):
    """The MCPServer cannot be what it says; only a change of its spec helps."""


class DeploymentMode(Enum):
    """How thv and the server share a pod."""

    ATTACH = "attach"
    """stdio, the image's own entrypoint: thv reaches its stdin through the API server."""

    WRAP = "wrap"
    """stdio with a command: thv runs inside the server's container and starts the command."""

    PROXY = "proxy"
    """An HTTP server: thv stands before its port."""


@dataclass(frozen=True, slots=True)
class Secret:
    """One key of a Secret, and the variable it is given to the server in."""

    name: str
    key: str
    variable: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header for the user's collector: a value, or the key of a Secret that holds it."""

    name: str
    value: str = ""
    secret: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class TelemetrySpec:
    """`spec.telemetry`. None is "as thv decides"."""

    enabled: bool = False
    endpoint: str = ""
    protocol: str = ""
    service_name: str = ""
    headers: tuple[Header, ...] = ()
    insecure: bool = False
    tracing: bool = True
    sampling_rate: float | None = None
    metrics: bool = True
    usage_analytics: bool = True
    prometheus: bool = False


@dataclass(frozen=True, slots=True)
class McpServerSpec:
    """One MCPServer."""

    name: str
    namespace: str
    uid: str
    generation: int
    image: str
    transport: str = STDIO
    port: int = DEFAULT_PORT
    mcp_port: int | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    service_account: str = ""
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    telemetry: TelemetrySpec = field(default_factory=TelemetrySpec)

    @property
    def shape(self) -> DeploymentMode:
        """How thv and the server share a pod."""
        if self.transport != STDIO:
            return DeploymentMode.PROXY
        return DeploymentMode.WRAP if self.command else DeploymentMode.ATTACH

    @property
    def template_variables(self) -> tuple[Mapping[str, Any], ...]:
        """The variables that `podTemplateSpec` gives to the server's container."""
        containers = (self.pod_template.get("spec") or {}).get("containers") or ()
        return tuple(
            entry for each in containers if each.get("name") == SERVER_CONTAINER for entry in each.get("env") or ()
        )

    @property
    def url(self) -> str:
        """Where clients inside the cluster find the server."""
        path = "sse" if self.transport == "sse" else "mcp"
        return f"http://{self.name}.{self.namespace}.svc:{self.port}/{path}"


def read(body: Mapping[str, Any]) -> McpServerSpec:
    """The server that the MCPServer `body` asks for.

    Raises:
        SpecError: the CRD's rules should have refused it, or it uses a name that is the operator's own.
    """
    meta, spec = body["metadata"], body.get("spec") or {}
    server = McpServerSpec(
        name=meta["name"],
        namespace=meta["namespace"],
        uid=meta["uid"],
        generation=meta.get("generation", 1),
        image=spec.get("image", ""),
        transport=spec.get("transport", STDIO),
        port=spec.get("port", DEFAULT_PORT),
        mcp_port=spec.get("mcpPort"),
        command=tuple(spec.get("command") or ()),
        args=tuple(spec.get("args") or ()),
        env=tuple((entry["name"], entry.get("value", "")) for entry in spec.get("env") or ()),
        secrets=tuple(
            Secret(entry["name"], entry["key"], entry.get("targetEnvName") or entry["key"])
            for entry in spec.get("secrets") or ()
        ),
        resources=spec.get("resources") or {},
        service_account=spec.get("serviceAccount", ""),
        pod_template=spec.get("podTemplateSpec") or {},
        telemetry=_telemetry(spec.get("telemetry") or {}),
    )
    for complaint in _complaints(server):
        raise SpecError(complaint)
    return server


def _telemetry(spec: Mapping[str, Any]) -> TelemetrySpec:
    otel = spec.get("openTelemetry") or {}
    tracing, metrics = otel.get("tracing") or {}, otel.get("metrics") or {}
    return TelemetrySpec(
        enabled=otel.get("enabled", False),
        endpoint=otel.get("endpoint", ""),
        protocol=otel.get("protocol", ""),
        service_name=otel.get("serviceName", ""),
        headers=tuple(_header(entry) for entry in otel.get("headers") or ()),
        insecure=otel.get("insecure", False),
        tracing=tracing.get("enabled", True),
        sampling_rate=tracing.get("samplingRate"),
        metrics=metrics.get("enabled", True),
        # Independent of `enabled`: an opt-out counts whether or not the user wants telemetry of their own.
        # Whatever is no boolean is no consent.
        usage_analytics=otel.get("usageAnalyticsEnabled", True) is True,
        prometheus=(spec.get("prometheus") or {}).get("enabled", False),
    )


def _header(entry: Mapping[str, Any]) -> Header:
    reference = (entry.get("valueFrom") or {}).get("secretKeyRef")
    if reference:
        return Header(entry["name"], secret=reference["name"], key=reference["key"])
    return Header(entry["name"], entry.get("value", ""))


def _complaints(server: McpServerSpec) -> list[str]:
    found = []
    if not server.image:
        found.append("spec.image is missing; name the server's image")
    if len(server.name) > LONGEST_NAME or not SERVICE_NAME.fullmatch(server.name):
        found.append(f"metadata.name {server.name!r} cannot name a Service of at most {LONGEST_NAME} characters")
    if server.transport not in TRANSPORTS:
        found.append(f"spec.transport is {server.transport!r}; it is one of {', '.join(TRANSPORTS)}")
    elif server.transport != STDIO and server.mcp_port is None:
        found.append(f"spec.mcpPort is missing; say on which port the {server.transport} server listens")
    if server.port == server.mcp_port:
        found.append(f"spec.port and spec.mcpPort are both {server.port}; thv and the server share the pod's ports")
    if server.telemetry.prometheus and METRICS_PORT in (server.port, server.mcp_port):
        found.append(f"port {METRICS_PORT} serves the Prometheus metrics; take another port")
    if server.telemetry.enabled and not server.telemetry.endpoint:
        found.append("spec.telemetry.openTelemetry.endpoint is missing; say where your collector is, or disable it")
    shape = server.shape
    found += pod_template_checks.complaints(
        server.pod_template, wraps=shape is DeploymentMode.WRAP, has_token=shape is DeploymentMode.ATTACH
    )
    return found
