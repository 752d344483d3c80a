"""The provider counts tool calls for usage analytics, can count nothing else, and is nobody else's."""

from __future__ import annotations

import gc
import logging
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData, NumberDataPoint
from opentelemetry.sdk.trace import TracerProvider

from thv.analytics.constants import METRIC, SCOPE
from thv.analytics.exporter import allowed
from thv.analytics.log_filter import silence_this_thread
from thv.analytics.otlp import Counts
from thv.analytics.provider import AnalyticsMeterProvider

if TYPE_CHECKING:
    import pytest


class Collected(MetricExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[MetricsData] = []
        self.ended = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any) -> MetricExportResult:
        self.data.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        self.ended = True


def test_each_collection_holds_what_is_new_since_the_last() -> None:
    totals = [(2, 0), (2, 0), (5, 1), (5, 4)]
    source = iter(totals)
    collected = Collected()
    provider = AnalyticsMeterProvider(collected, lambda: next(source))
    for _ in totals:
        provider.collect()
    assert [allowed(given) for given in collected.data] == [Counts(2, 0), Counts(), Counts(3, 1), Counts(0, 3)]


def test_other_instruments_are_dropped_even_those_named_like_ours() -> None:
    collected = Collected()
    provider = AnalyticsMeterProvider(collected, lambda: (1, 1))
    other = provider.get_meter("opentelemetry-sdk")
    other.create_counter("http.requests").add(1, {"url": "SECRET"})
    other.create_histogram(METRIC).record(1, {"status": "SECRET"})
    provider.get_meter(SCOPE).create_counter("another").add(1, {"status": "SECRET"})
    provider.collect()
    [given] = collected.data
    [resource_metrics] = given.resource_metrics
    assert not resource_metrics.resource.attributes
    [scope_metrics] = resource_metrics.scope_metrics
    scope = scope_metrics.scope
    assert (scope.name, scope.version, scope.schema_url) == (SCOPE, None, "")
    [metric] = scope_metrics.metrics
    assert metric.name == METRIC
    assert "SECRET" not in given.to_json()


def test_a_collection_within_a_span_holds_no_exemplar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_on")
    collected = Collected()
    provider = AnalyticsMeterProvider(collected, lambda: (1, 1))
    with TracerProvider().get_tracer("user").start_as_current_span("a tool call"):
        provider.collect()
    [metric] = collected.data[0].resource_metrics[0].scope_metrics[0].metrics
    points = [point for point in metric.data.data_points if isinstance(point, NumberDataPoint)]
    assert [list(point.exemplars) for point in points] == [[], []]


def test_the_provider_is_not_the_global_one() -> None:
    provider = AnalyticsMeterProvider(Collected(), lambda: (1, 1))
    assert metrics.get_meter_provider() is not provider


def test_no_thread_is_started_and_nothing_is_registered_for_exit() -> None:
    before = threading.active_count()
    provider = AnalyticsMeterProvider(Collected(), lambda: (1, 1))
    assert threading.active_count() == before
    assert provider._atexit_handler is None


def test_a_fork_gives_the_provider_no_identity() -> None:
    collected = Collected()
    provider = AnalyticsMeterProvider(collected, lambda: (1, 1))
    provider._handle_fork()
    provider.collect()
    assert not collected.data[0].resource_metrics[0].resource.attributes


def test_shutting_down_reaches_the_exporter() -> None:
    collected = Collected()
    AnalyticsMeterProvider(collected, lambda: (0, 0)).shutdown()
    assert collected.ended


def test_a_provider_can_be_forgotten() -> None:
    for _ in range(3):
        AnalyticsMeterProvider(Collected(), lambda: (1, 1)).collect()
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Collected]


def test_only_the_analytics_thread_is_silenced(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("opentelemetry.sdk.metrics")

    def work() -> None:
        silence_this_thread()
        silence_this_thread()
        assert len(logger.filters) == filters_before + 1
        logger.error("ours")
        logging.getLogger("opentelemetry.context").error("ours, while importing")

    filters_before = len(logger.filters)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    logger.error("the user's")
    assert [record.message for record in caplog.records] == ["the user's"]
