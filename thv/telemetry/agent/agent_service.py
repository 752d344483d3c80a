"""The agent as one object: frames go in, exports come out, and the end comes in time.

Knows which exports there are, and nothing of processes, signals or descriptors.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from thv.telemetry.agent.export_streams import MetricExport, SpanExport
from thv.telemetry.frames import Flush, Metrics, Spans

if TYPE_CHECKING:
    from thv.telemetry.agent.diagnostics import Complaints
    from thv.telemetry.agent.prometheus_endpoint import PrometheusEndpoint
    from thv.telemetry.frames import AgentSettings, Frame

FAREWELL_S = 0.65
"""Seconds for the last exports. The relay waits 0.9 for the process, which may have to start, and has to speak."""


class Agent:
    """Exports what it is handed, as `settings` say."""

    def __init__(self, settings: AgentSettings, complaints: Complaints) -> None:
        self._complaints = complaints
        self._dropped = 0
        self._spans: SpanExport | None = None
        self._metrics: MetricExport | None = None
        self._prometheus: PrometheusEndpoint | None = None
        if settings.traces is not None:
            self._spans = SpanExport(settings.traces, settings.resource, complaints)
        if settings.metrics is not None:
            self._metrics = MetricExport(
                settings.metrics,
                settings.resource,
                complaints,
                interval_s=settings.export_interval_s,
                delta=settings.temporality != "cumulative",
            )
        if settings.prometheus_port is not None:
            from thv.telemetry.agent.prometheus_endpoint import PrometheusEndpoint

            self._prometheus = PrometheusEndpoint(
                settings.prometheus_port, settings.resource, complaints.warn, host=settings.prometheus_host
            )

    def take(self, frame: Frame) -> None:
        """Act on one frame; returns at once."""
        match frame:
            case Spans():
                self._dropped = frame.dropped
                if self._spans is not None:
                    self._spans.add(frame.spans)
            case Metrics():
                if self._metrics is not None:
                    self._metrics.put(frame)
                if self._prometheus is not None:
                    self._prometheus.put(frame)
            case Flush():
                for export in (self._spans, self._metrics):
                    if export is not None:
                        export.flush()
            case _:
                raise ValueError("a second configuration")

    def finish(self) -> None:
        """Export what is left within `FAREWELL_S` seconds, and say what could not be delivered."""
        until = monotonic() + FAREWELL_S
        self._complaints.keep_for_last()
        exports = [export for export in (self._spans, self._metrics) if export is not None]
        for export in exports:
            export.end()
        for export in exports:
            export.join(until - monotonic())
        self._complaints.last_words(
            spans=self._dropped + (0 if self._spans is None else self._spans.lost),
            unmeasured=self._metrics is not None and self._metrics.undelivered,
        )
