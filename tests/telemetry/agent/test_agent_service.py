"""However many signals are exported, the end takes no longer than the relay waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.telemetry.agent.agents import to
from thv.telemetry.agent import agent_service
from thv.telemetry.agent.__main__ import HARD_EXIT_S
from thv.telemetry.agent.agent_service import SHUTDOWN_TIMEOUT_S, Agent
from thv.telemetry.agent.diagnostics import Diagnostics
from thv.telemetry.agent_client import CLOSE_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable


class Pipeline:
    """Stands in for a signal's exports: its end takes `takes_s` of a clock that the test owns."""

    endpoint = "http://127.0.0.1:9"
    cause = None

    def __init__(self, takes_s: float, spend: Callable[[float], None]) -> None:
        self.takes_s = takes_s
        self.spend = spend
        self.allowed: list[float] = []

    def shutdown(self) -> None:
        """Begins at once."""

    def join(self, timeout_s: float) -> bool:
        self.allowed.append(timeout_s)
        self.spend(min(self.takes_s, max(0.0, timeout_s)))
        return self.takes_s <= timeout_s

    def report(self, lost: list[str], unknown: list[str]) -> None:
        """Nothing was lost."""


@pytest.mark.parametrize(("spans_take", "metrics_take"), [(0.1, 0.2), (0.1, 60), (60, 60)])
def test_both_signals_share_one_time_limit(
    spans_take: float, metrics_take: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(agent_service, "monotonic", lambda: now)
    agent: Any = Agent(to("http://127.0.0.1:9"), Diagnostics())
    agent._spans, agent._metrics = Pipeline(spans_take, spend), Pipeline(metrics_take, spend)
    agent.finish()
    assert agent._spans.allowed == pytest.approx([SHUTDOWN_TIMEOUT_S])
    assert agent._metrics.allowed == pytest.approx([SHUTDOWN_TIMEOUT_S - min(spans_take, SHUTDOWN_TIMEOUT_S)])
    assert now - 1000 == pytest.approx(min(spans_take + metrics_take, SHUTDOWN_TIMEOUT_S))


def test_the_agent_reports_before_it_is_ended_and_ends_before_the_relay_leaves() -> None:
    assert SHUTDOWN_TIMEOUT_S < HARD_EXIT_S < CLOSE_TIMEOUT_S < 1
