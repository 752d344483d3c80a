"""What a session over stdio asks of its relay."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from thv import stdio_session
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


class Ended:
    """A relay whose session is over at once."""

    ended_by_server = False
    lost_output = None

    def __init__(self, *_: object, **__: object) -> None:
        pass

    install_signal_handlers = start = __init__

    def run(self) -> int:
        return 3


class StillLoading:
    """The lock of a decoder that takes too long to load."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def acquire(self, *, timeout: float) -> bool:
        self.waited.append(timeout)
        return False


def test_a_session_that_is_over_waits_five_seconds_for_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio_session, "Events", Ended)
    monkeypatch.setattr(stdio_session, "Relay", Ended)
    monkeypatch.setattr(stdio_session, "ServerProcess", SimpleNamespace(spawn=lambda *_: None))
    session = Session(LaunchSpec("demo", "demo", ("demo",), {}), usage_analytics=False)
    monkeypatch.setattr(session, "_load", lambda _relay: None)
    loaded: Any = StillLoading()
    session._loaded = loaded
    assert session.run() == 3
    assert loaded.waited == [5.0]
