"""The allow-list: whatever the SDK hands over, only counts of `success` and `error` go on.

The exporter takes two integers out of what it is given, adds those a failed export surely did not deliver, and has
`wire` build a new message from them. A field the SDK grows tomorrow cannot leak: nothing is copied. It reads no
environment, logs nothing, and is used by one thread. What it sends it tells to whoever keeps the history.
"""

from __future__ import annotations

from dataclasses import replace
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    Sum,
)

from thv.analytics.constants import ERROR, METRIC, STATUS, SUCCESS
from thv.analytics.history import BEGUN, Export, minute_of
from thv.analytics.otlp import LARGEST_COUNT, Counts, request_for
from thv.analytics.transport import TIMEOUT, DeliveryStatus, post

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.metrics.export import MetricsData, NumberDataPoint

    from thv.analytics.otlp import Request
    from thv.analytics.transport import Delivery

NONE = Counts()


def allowed(metrics_data: MetricsData) -> Counts:
    """What may leave: the whole positive counts of the one metric's two statuses. Everything else is left behind."""
    counts = NONE
    for point in _points(metrics_data):
        value: object = point.value
        # A bool is an int to Python; a count is not a bool.
        if type(value) is not int or not 0 < value <= LARGEST_COUNT:
            continue
        match (point.attributes or {}).get(STATUS):
            case str(status) if status == SUCCESS:
                counts += Counts(success=value)
            case str(status) if status == ERROR:
                counts += Counts(error=value)
    return counts


def _points(metrics_data: MetricsData) -> Iterator[NumberDataPoint]:
    for resource_metrics in metrics_data.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                total = metric.data
                if (
                    metric.name == METRIC
                    and isinstance(total, Sum)
                    and total.is_monotonic
                    and total.aggregation_temporality is AggregationTemporality.DELTA
                ):
                    yield from total.data_points


class AllowListExporter(MetricExporter):
    """Posts allow-listed counts to one endpoint.

    Args:
        endpoint: an https URL.
        context: the TLS trust.
        clock: nanoseconds since the epoch; of it only the minute is sent.
        timeout: seconds for one export, see `transport.post`.
        remember: told of each export twice, as begun and with its result, for the history. Must not raise.
        report: told of each request and its fate, for `--debug`.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        context: ssl.SSLContext,
        clock: Callable[[], int] = time_ns,
        timeout: float = TIMEOUT,
        remember: Callable[[Export], None] | None = None,
        report: Callable[[Request, Delivery], None] | None = None,
    ) -> None:
        super().__init__(
            preferred_temporality={ObservableCounter: AggregationTemporality.DELTA},
            preferred_aggregation={},
        )
        self._endpoint = endpoint
        self._context = context
        self._clock = clock
        self._timeout = timeout
        self._remember = remember
        self._report = report
        self._kept = NONE

    def keeps_counts(self) -> bool:
        """Whether counts of a failed export wait for the next one."""
        return bool(self._kept)

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = TIMEOUT * 1000,  # noqa: ARG002 - the SDK's signature; our deadline is fixed
        **_: Any,
    ) -> MetricExportResult:
        """Send what may be sent. With nothing to say there is no request, and that is a success.

        Counts are kept for the next export only when it is certain that the server did not take them: whatever else
        goes wrong, no outcome is ever counted twice.
        """
        counts = allowed(metrics_data) + self._kept
        self._kept = NONE
        if not counts:
            return MetricExportResult.SUCCESS
        now_ns = self._clock()
        request = request_for(counts, endpoint=self._endpoint, now_ns=now_ns)
        export = Export(minute_of(now_ns), counts.success, counts.error, BEGUN)
        if self._remember is not None:
            self._remember(export)
        delivery = post(request, self._context, self._timeout)
        if self._remember is not None:
            self._remember(replace(export, result=delivery.fate.value))
        if delivery.fate is DeliveryStatus.NOT_TAKEN:
            self._kept = counts
        if self._report is not None:
            self._report(request, delivery)
        return MetricExportResult.SUCCESS if delivery.fate is DeliveryStatus.TAKEN else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = TIMEOUT * 1000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is buffered: `export` has sent or dropped all it was given, or keeps it for the next."""
        return True

    def shutdown(self, timeout_millis: float = TIMEOUT * 1000, **_: Any) -> None:
        """Nothing is held open between exports."""
