"""What the provider holds is sent once; only what was surely not taken is ever sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sink import Mode, Sink
from thv.analytics.exporter import Exporter
from thv.analytics.otlp import Counts, encode
from thv.analytics.provider import AnalyticsMeterProvider
from thv.analytics.report_delivery import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000_000_000_000
PATIENT_S = 20.0
"""Seconds for an export to a server that answers."""


class Pipeline:
    """A provider and its exporter."""

    def __init__(self, sink: Sink, clock: Callable[[], int] = lambda: NOW, timeout: float = PATIENT_S) -> None:
        self.provider = AnalyticsMeterProvider()
        self.exporter = Exporter(
            self.provider, endpoint=sink.endpoint, ca_file=str(sink.ca_file), clock=clock, timeout=timeout
        )

    def export(self, successes: int, errors: int = 0) -> DeliveryStatus | None:
        """Count so many outcomes, and export."""
        for _ in range(successes):
            self.provider.record(["success"])
        for _ in range(errors):
            self.provider.record(["error"])
        return self.exporter.export()


def test_with_nothing_to_report_there_is_no_connection(sink: Sink) -> None:
    assert Pipeline(sink).export(0, 0) is None
    assert sink.connections == 0


def test_a_status_that_did_not_occur_is_not_mentioned(sink: Sink) -> None:
    assert Pipeline(sink).export(2) is DeliveryStatus.TAKEN
    assert sink.requests[0].counts == {"success": 2}
    assert b"error" not in sink.requests[0].body


@pytest.mark.parametrize("mode", ["429", "503", "tls-bad-cert"])
def test_counts_that_were_surely_not_taken_go_with_the_next_export_once(mode: Mode, sink: Sink) -> None:
    pipeline = Pipeline(sink)
    sink.mode = mode
    assert pipeline.export(1, 2) is DeliveryStatus.NOT_TAKEN
    assert pipeline.export(0, 4) is DeliveryStatus.NOT_TAKEN
    assert pipeline.provider.has_kept()
    sink.mode = "ok"
    sink.requests.clear()
    assert pipeline.export(8) is DeliveryStatus.TAKEN
    assert not pipeline.provider.has_kept()
    assert pipeline.export(16) is DeliveryStatus.TAKEN
    assert [request.counts for request in sink.requests] == [{"success": 9, "error": 6}, {"success": 16}]


def test_counts_kept_while_nothing_listened_go_with_the_next_export(sink: Sink) -> None:
    with Sink(mode="refuse") as closed:
        pipeline = Pipeline(closed)
        assert pipeline.export(1) is DeliveryStatus.NOT_TAKEN
    pipeline.exporter._endpoint, pipeline.exporter._ca_file = sink.endpoint, str(sink.ca_file)
    pipeline.exporter._context = None
    assert pipeline.export(0) is DeliveryStatus.TAKEN
    assert sink.requests[0].counts == {"success": 1}


@pytest.mark.parametrize(
    "mode",
    ["400", "404", "500", "502", "redirect", "close-after-request", "not-http", "flood", "blackhole", "drip"],
)
def test_counts_that_may_have_been_taken_are_never_sent_again(mode: Mode, sink: Sink) -> None:
    pipeline = Pipeline(sink, timeout=1.0 if mode in {"blackhole", "drip"} else PATIENT_S)
    sink.mode = mode
    assert pipeline.export(1, 2) is DeliveryStatus.UNKNOWN
    assert not pipeline.provider.has_kept()
    sink.wait_for(1)
    sink.mode = "ok"
    pipeline.exporter._timeout = PATIENT_S
    assert pipeline.export(8) is DeliveryStatus.TAKEN
    assert [request.counts for request in sink.requests[1:]] == [{"success": 8}]


def test_the_only_time_sent_is_the_minute_of_our_own_clock(sink: Sink) -> None:
    Pipeline(sink).export(1)
    assert sink.requests[0].body == encode(Counts(1, 0), NOW)
