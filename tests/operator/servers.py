"""MCPServers for tests, and the answers of a consent that knows two variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thv.operator import names
from thv.operator.mcpserver_spec import read
from thv.operator.pod_settings import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.operator.mcpserver_spec import McpServerSpec

IMAGE = "registry.example/thv:1"


def refusal(environ: Mapping[str, str]) -> str | None:
    return next((name for name in ("CI", "DO_NOT_TRACK") if environ.get(name)), None)


OPTIONS = Options(IMAGE, refusal)

SPECS: dict[str, dict[str, Any]] = {
    "attach": {"image": "example/mcp-server:latest"},
    "wrap": {
        "image": "example/mcp-server:latest",
        "command": ["/server"],
        "args": ["--stdio"],
        "env": [{"name": "A", "value": "1"}],
        "secrets": [{"name": "keys", "key": "api-key", "targetEnvName": "API_KEY"}],
        "telemetry": {
            "openTelemetry": {
                "enabled": True,
                "endpoint": "otel-collector:4317",
                "headers": [
                    {"name": "x-team", "value": "a, b=$(HOME) 100%"},
                    {"name": "authorization", "valueFrom": {"secretKeyRef": {"name": "otel", "key": "auth"}}},
                ],
            }
        },
    },
    "proxy": {
        "image": "example/mcp-http:latest",
        "transport": "streamable-http",
        "port": 8081,
        "mcpPort": 9000,
        "resources": {"limits": {"memory": "1Gi"}},
        "serviceAccount": "reader",
        "telemetry": {
            "openTelemetry": {
                "enabled": True,
                "endpoint": "https://otel.example/prefix",
                "protocol": "http/protobuf",
                "serviceName": "files",
                "tracing": {"enabled": True, "samplingRate": 0.5},
                "metrics": {"enabled": False},
                "usageAnalyticsEnabled": False,
            },
            "prometheus": {"enabled": True},
        },
        "podTemplateSpec": {
            "metadata": {"labels": {"team": "a"}, "annotations": {"note": "n"}},
            "spec": {
                "nodeSelector": {"disk": "fast"},
                "volumes": [{"name": "data", "emptyDir": {}}],
                "containers": [
                    {
                        "name": "mcp",
                        "securityContext": {"runAsUser": 1000},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        "ports": [{"name": "debug", "containerPort": 9001}],
                    },
                    {"name": "helper", "image": "example/helper"},
                ],
            },
        },
    },
}
"""One for each shape, with most of what a spec can say."""


def body(name: str = "files", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """An MCPServer as a user writes it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"image": "example/mcp-server:latest", **spec},
    }


def server(name: str = "files", **spec: Any) -> McpServerSpec:
    """The same as the operator reads it."""
    stored = body(name, **spec)
    stored["metadata"] |= {"uid": "11111111-2222-3333-4444-555555555555", "generation": 3}
    return read(stored)
