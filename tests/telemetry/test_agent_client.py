"""The connection to the agent closes in time, and everything lost on it is reported."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from thv.telemetry.agent_client import AgentClient
from thv.telemetry.aggregates import Aggregates

if TYPE_CHECKING:
    from thv.telemetry.frames import SpanRecord

DEAF = [sys.executable, "-c", "import time; time.sleep(600)"]
"""An agent that takes no notice of anything, the end of its pipe included."""


def never(_finished: object, _offset: int) -> SpanRecord:
    raise AssertionError("no span was queued")


def test_an_agent_that_does_not_end_is_ended_and_that_is_said() -> None:
    said: list[str] = []
    agents: list[subprocess.Popen[bytes]] = []

    def launch() -> subprocess.Popen[bytes]:
        agents.append(subprocess.Popen(DEAF, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
        return agents[-1]

    metrics = Aggregates("demo", "stdio")
    courier = AgentClient({"traces": None, "metrics": None}, metrics, never, launch, said.append)
    courier.start()
    metrics.session_opened()
    courier.notify()
    deadline = time.monotonic() + 60
    while not agents and time.monotonic() < deadline:
        time.sleep(0.01)
    courier.close(0.2)
    assert agents[0].poll() is not None
    assert said == ["telemetry: not everything was exported before the session ended; what was left may be lost"]
