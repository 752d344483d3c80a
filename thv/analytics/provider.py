"""The dedicated meter provider: one observable counter over two integers, read when the pipeline says so.

Everything the SDK would otherwise fill in from variables, detectors or its own habits is given explicitly. The
provider is never installed globally, starts no thread, registers nothing at exit, and gives a forked child nothing.
Only the analytics thread uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, SumAggregation, View
from opentelemetry.sdk.resources import Resource

from thv.analytics.constants import ERROR, METRIC, SCOPE, STATUS, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData


class OnDemandReader(MetricReader):
    """Hands a collection to the exporter on the calling thread.

    The SDK's periodic reader would bring a thread and an at-fork hook of its own.
    """

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__(
            preferred_temporality={ObservableCounter: AggregationTemporality.DELTA},
            preferred_aggregation={},
            cardinality_limits={ObservableCounter: len((SUCCESS, ERROR))},
        )
        self._exporter = exporter

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:
        self._exporter.export(metrics_data, timeout_millis=timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Pass the end on to the exporter."""
        self._exporter.shutdown(timeout_millis=timeout_millis)


class AnalyticsMeterProvider(MeterProvider):
    """Counts tool-call outcomes for usage analytics, and can count nothing else.

    Args:
        exporter: where a collection goes.
        read: the totals so far, (successes, errors); called once per collection.
    """

    def __init__(self, exporter: MetricExporter, read: Callable[[], tuple[int, int]]) -> None:
        self._reader = OnDemandReader(exporter)
        super().__init__(
            metric_readers=(self._reader,),
            resource=Resource({}),
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
            views=(
                View(instrument_name="*", aggregation=DropAggregation()),
                View(instrument_name=METRIC, meter_name=SCOPE, attribute_keys={STATUS}, aggregation=SumAggregation()),
            ),
        )
        self._read = read
        self.get_meter(SCOPE).create_observable_counter(METRIC, callbacks=[self._observe])

    def collect(self) -> None:
        """Read the totals and export what is new, on the calling thread."""
        self._reader.collect()

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        successes, errors = self._read()
        return (Observation(successes, {STATUS: SUCCESS}), Observation(errors, {STATUS: ERROR}))

    def _handle_fork(self) -> None:
        """Called by the SDK in a forked child. The inherited method merges a new instance id into the resource.

        There is nothing to repair: the child has no analytics thread, and `UsageAnalytics` does nothing in it.
        """
