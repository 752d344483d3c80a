"""What an installation may lack for the telemetry asked for: known before the server is started, in one line."""

from __future__ import annotations

from thv.core.installation import install_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

GRPC_EXPORTER = "opentelemetry.exporter.otlp.proto.grpc"
PROMETHEUS_EXPORTER = "opentelemetry.exporter.prometheus"


def missing(agent: Mapping[str, Any]) -> str | None:
    """The extra that `AgentSettings`, given as a plain dict, need and that is not installed: what to do, in one line.

    Looks for the packages and imports none of them.
    """
    for name in ("traces", "metrics"):
        signal = agent.get(name)
        if signal and signal.get("protocol") == "grpc" and not _are_installed("grpc", GRPC_EXPORTER):
            remedy = f"{install_command('grpc')}, or set `protocol` to http/protobuf (port 4318)"
            return f"telemetry by gRPC to an endpoint like host:4317 needs packages that are not installed: {remedy}"
    if agent.get("prometheus_port") is not None and not _are_installed("prometheus_client", PROMETHEUS_EXPORTER):
        return f"Prometheus metrics need packages that are not installed: {install_command('prometheus')}"
    return None


def _are_installed(*modules: str) -> bool:
    from importlib.util import find_spec

    try:
        return all(find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:  # of a package above it
        return False
