"""An analytics endpoint on loopback, and pipelines that report to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.sink import Sink
from thv.analytics.pipeline import UsageAnalytics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    MakeAnalytics = Callable[..., UsageAnalytics]

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests: no example fails because the machine was slow."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def said() -> list[str]:
    """What the pipeline told the user."""
    return []


@pytest.fixture
def make_analytics(tmp_path: Path, said: list[str]) -> Iterator[MakeAnalytics]:
    """Builds a pipeline that reports to a sink, with a session that is always quiet; closes it after the test."""
    made: list[UsageAnalytics] = []

    def make(to: Sink, **changes: Any) -> UsageAnalytics:
        settings: dict[str, Any] = {
            "activity": lambda: 0,
            "warn": said.append,
            "state_dir": lambda: tmp_path / "state",
            "endpoint": to.endpoint,
            "ca_file": str(to.ca_file),
            "quiet": 0.0,
        }
        analytics = UsageAnalytics(**{"consent": lambda: True, **settings, **changes})
        made.append(analytics)
        return analytics

    yield make
    for analytics in made:
        analytics.close()
