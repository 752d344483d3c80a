"""The agent as one object: frames go in, exports come out, and the end comes in time.

Puts together the SDK's processor, readers and exporters. Knows nothing of processes, signals or descriptors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.sdk.version import __version__ as sdk_version

from thv import __version__
from thv.telemetry.agent.batch_delivery import MetricDelivery, SpanDelivery
from thv.telemetry.agent.export_errors import LATE
from thv.telemetry.agent.metric_builder import MetricBuilder
from thv.telemetry.agent.span_builder import SpanBuilder
from thv.telemetry.agent.span_records import SpanRecords
from thv.telemetry.agent.waiting_spans import WaitingSpans
from thv.telemetry.frames import Flush, Metrics, Spans
from thv.telemetry.instruments import SCHEMA_URL, SCOPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.telemetry.agent.batch_delivery import Attempts
    from thv.telemetry.agent.diagnostics import Diagnostics
    from thv.telemetry.agent.export_errors import Cause
    from thv.telemetry.agent.prometheus_endpoint import PrometheusEndpoint
    from thv.telemetry.frames import AgentSettings, Frame, Signal

SHUTDOWN_TIMEOUT_S = 0.65
"""How long the last exports may take. The relay waits 0.9 s for the agent, which may have to start and to report."""

SDK = {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "python", "telemetry.sdk.version": sdk_version}
"""Resource attributes that every source of OTLP has (semantic conventions, "Telemetry SDK")."""


class Agent:
    """Exports what it is handed, according to `settings`."""

    def __init__(self, settings: AgentSettings, diagnostics: Diagnostics) -> None:
        self.linger_s = settings.linger_s
        self._diagnostics = diagnostics
        self._ending = Event()
        resource = Resource({**SDK, **settings.resource}, SCHEMA_URL)
        scope = InstrumentationScope(SCOPE, __version__, SCHEMA_URL)
        self._builder = MetricBuilder(resource, scope)
        self._spans = (
            None
            if settings.traces is None
            else _SpanPipeline(settings, SpanBuilder(resource, scope, settings), diagnostics, self._ending)
        )
        self._metrics = (
            None if settings.metrics is None else _MetricPipeline(settings, self._builder, diagnostics, self._ending)
        )
        self.prometheus: PrometheusEndpoint | None = None
        if settings.prometheus_port is not None:
            from thv.telemetry.agent.prometheus_endpoint import PrometheusEndpoint

            self.prometheus = PrometheusEndpoint(
                settings.prometheus_port, self._builder.collect, diagnostics.warn, host=settings.prometheus_host
            )

    def take(self, frame: Frame) -> None:
        """Act on one frame; returns at once."""
        match frame:
            case Spans():
                if self._spans is not None:
                    self._spans.add(frame)
            case Metrics():
                self._builder.put(frame)
            case Flush():
                for pipeline in (self._spans, self._metrics):
                    if pipeline is not None:
                        pipeline.flush()
            case _:
                raise ValueError("a second configuration")

    def finish(self) -> None:
        """Export what is left within `SHUTDOWN_TIMEOUT_S`, and report what could not be delivered."""
        until = monotonic() + SHUTDOWN_TIMEOUT_S
        self._builder.end_session()
        self._diagnostics.collect_final()
        self._ending.set()
        pipelines = [pipeline for pipeline in (self._spans, self._metrics) if pipeline is not None]
        for pipeline in pipelines:
            pipeline.shutdown()
        lost: list[str] = []
        unknown: list[str] = []
        for pipeline in pipelines:
            if not pipeline.join(until - monotonic()):
                self._diagnostics.failed(pipeline.endpoint, pipeline.cause or LATE)
            pipeline.report(lost, unknown)
        self._diagnostics.report_loss(lost=lost, unknown=unknown)


class _Pipeline(ABC):
    """What both signals share: the SDK's part is flushed and shut down on a thread, since either may take long."""

    def __init__(self, endpoint: str, flush: Callable[[], object], shutdown: Callable[[], object]) -> None:
        self.endpoint = endpoint
        self._flush = flush
        self._shutdown = shutdown
        self._flushing: Thread | None = None
        self._ending: Thread | None = None

    def flush(self) -> None:
        """Export what there is, unless that is under way; returns at once."""
        if self._flushing is None or not self._flushing.is_alive():
            self._flushing = Thread(target=self._flush, daemon=True)
            self._flushing.start()

    def shutdown(self) -> None:
        """Begin to export what is left; returns at once."""
        self._ending = Thread(target=self._shutdown, daemon=True)
        self._ending.start()

    def join(self, timeout_s: float) -> bool:
        """Whether everything that is left was exported, or given up, within so many seconds."""
        if self._ending is not None:
            self._ending.join(max(0.0, timeout_s))
        return self._ending is None or not self._ending.is_alive()

    @property
    @abstractmethod
    def cause(self) -> Cause | None:
        """Why the latest export failed; None while one is on its way."""

    @abstractmethod
    def report(self, lost: list[str], unknown: list[str]) -> None:
        """Add what was lost, and what may have been."""


class _SpanPipeline(_Pipeline):
    def __init__(self, settings: AgentSettings, builder: SpanBuilder, diagnostics: Diagnostics, ending: Event) -> None:
        attempts = _attempts(settings.traces, "traces")
        self._delivery = SpanDelivery(attempts, diagnostics, ending)
        self._waiting = WaitingSpans(SpanRecords(settings), builder, self._delivery)
        self._processor = BatchSpanProcessor(
            self._waiting,
            max_queue_size=settings.queue_size,
            schedule_delay_millis=settings.schedule_delay_s * 1000,
            max_export_batch_size=settings.batch_size,
        )
        self._taken = 0
        self._dropped = 0
        super().__init__(attempts.endpoint, self._processor.force_flush, self._processor.shutdown)

    def add(self, frame: Spans) -> None:
        """Queue spans."""
        self._dropped = frame.dropped
        self._taken += len(frame.spans)
        for finished in frame.spans:
            self._processor.on_end(self._waiting.waiting(finished, frame.offset_ns))

    @property
    def cause(self) -> Cause | None:
        """See `_Pipeline`."""
        return self._delivery.cause

    def report(self, lost: list[str], unknown: list[str]) -> None:
        """See `_Pipeline`. What was neither delivered nor is in doubt was lost, wherever that happened."""
        delivered, doubtful = self._delivery.totals()
        missing = self._taken + self._dropped - delivered - doubtful
        for count, words in ((missing, lost), (doubtful, unknown)):
            if count > 0:
                words.append(f"{count} span{'s' if count > 1 else ''}")


class _MetricPipeline(_Pipeline):
    def __init__(
        self, settings: AgentSettings, builder: MetricBuilder, diagnostics: Diagnostics, ending: Event
    ) -> None:
        attempts = _attempts(settings.metrics, "metrics")
        self._builder = builder
        self._delivery = MetricDelivery(
            attempts,
            diagnostics,
            ending,
            interval_s=settings.export_interval_s,
            delta=settings.temporality != "cumulative",
        )
        self._reader = PeriodicExportingMetricReader(
            self._delivery, settings.export_interval_s * 1000, settings.metric_timeout_s * 1000
        )
        self._reader._set_collect_callback(builder.collect)  # type: ignore[arg-type]  # noqa: SLF001 - a MeterProvider's place
        super().__init__(attempts.endpoint, self._reader.force_flush, self._reader.shutdown)

    @property
    def cause(self) -> Cause | None:
        """See `_Pipeline`."""
        return self._delivery.cause

    def report(self, lost: list[str], unknown: list[str]) -> None:
        """See `_Pipeline`."""
        if self._delivery.version < self._builder.version:
            doubtful = self._delivery.unknown or self._delivery.in_flight
            (unknown if doubtful else lost).append("the last metrics")


def _attempts(signal: Signal | None, name: str) -> Any:
    """The way to a signal's endpoint: an `Attempts`."""
    if signal is None:
        raise ValueError(f"{name} are off")
    attempts: Attempts
    if signal.protocol == "grpc":
        from thv.telemetry.agent.otlp_grpc_exporter import GrpcAttempts

        attempts = GrpcAttempts(signal, name)
    else:
        from thv.telemetry.agent.otlp_http_exporter import HttpAttempts

        attempts = HttpAttempts(signal, name)
    return attempts
