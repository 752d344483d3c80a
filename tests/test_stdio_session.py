"""What a session over stdio asks of its relay."""

from __future__ import annotations

from typing import Any

import pytest

from thv.servers.launch_spec import LaunchSpec
from thv.stdio_session import Session
from thv.telemetry.telemetry_settings import TelemetrySettings

SIGNAL = {"endpoint": "http://127.0.0.1:1/unused"}
TELEMETRY = TelemetrySettings(
    {"traces": SIGNAL, "metrics": None, "prometheus_port": None, "resource": {}},
    server="demo",
    parent_based=True,
    ratio=1.0,
    span_environment={},
    capture_arguments=False,
    propagate=False,
)


class Relay:
    """Notes how it is asked to look."""

    def __init__(self) -> None:
        self.is_costly: bool | None = None

    def activity(self) -> int:
        return 0

    def observe(self, _observer: object, *, is_costly: bool = False) -> None:
        self.is_costly = is_costly


@pytest.mark.parametrize("telemetry", [None, TELEMETRY], ids=["no telemetry", "telemetry"])
def test_only_telemetry_has_traffic_looked_at_seldom(telemetry: TelemetrySettings | None) -> None:
    relay: Any = Relay()
    session = Session(LaunchSpec("demo", "demo", ("demo",), {}), usage_analytics=False, telemetry=telemetry)
    session._load(relay)
    assert relay.is_costly is (telemetry is not None)
    assert session._instrumentation is not None
    session._instrumentation.close()
