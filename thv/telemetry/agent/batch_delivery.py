"""Exporters around the SDK's that hold their batch until it is delivered, and know what became of it.

The SDK's exporters give up after ten seconds or six attempts, with the batch already taken from the queue, and report
neither why nor what a collector rejected. These make each attempt through one of them, repeat it as OTLP demands
("Failures": exponential backoff with jitter, `Retry-After`, `RetryInfo`), and stop when the session ends.
"""

from __future__ import annotations

import random
import time
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct
from msgspec.structs import replace
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from thv.telemetry.agent.export_errors import Cause, internal, rejected, remark
from thv.telemetry.agent.metric_builder import delta_since, points_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from thv.telemetry.agent.diagnostics import Diagnostics
    from thv.telemetry.agent.metric_builder import Snapshot

FIRST_PAUSE_S = 1.0
"""Before the first retry; doubled for each further one."""

LONGEST_PAUSE_S = 8.0
"""A collector that is back is found within this time."""

JITTER = 0.2
"""Share of a pause by which it varies, so that many clients do not come back at once."""

SHORTEST_HOLD_OFF_S = 0.1
"""The shortest pause that a collector can name. Below that are 0 and a time in the past: such a collector is asked
again after a pause of ours, and at the end of the session after this one."""

LONGEST_HOLD_OFF_S = 60.0
"""The longest `Retry-After` that is obeyed: one more request costs a collector less than lost spans cost its user."""


METRICS = "metrics"
"""What a request with metrics is called."""


class BatchDelivery(Struct, frozen=True):
    """The result of one request.

    `cause` is None if it was taken; `rejected` is then how many spans or points the collector refused, and `warning`
    what it remarked ("Partial Success"). `retryable` means that another attempt may help, after `retry_after_s` if the
    collector names a time. `unknown` means that the request was sent, and that it may or may not have been taken.
    """

    cause: Cause | None = None
    retryable: bool = False
    retry_after_s: float | None = None
    unknown: bool = False
    rejected: int = 0
    warning: str = ""


class Attempts(Protocol):
    """One way to one endpoint; used by one thread at a time."""

    endpoint: str
    """Where it leads, as it may be shown."""

    timeout_s: float

    def send(self, data: Any) -> BatchDelivery:
        """Send spans or metrics once; never raises for what a network or a collector does."""

    def close(self) -> None:
        """Close the connection."""


class _Holder:
    """Repeats one request until it is delivered, refused for good, or the session ends."""

    def __init__(self, attempts: Attempts, diagnostics: Diagnostics, ending: Event) -> None:
        self._attempts = attempts
        self._diagnostics = diagnostics
        self._ending = ending
        self.in_flight = False
        """Whether a request is on its way now."""
        self.cause: Cause | None = None
        """Why the latest attempt failed; None while a request is on its way."""

    def deliver(self, what: str, data: Any, count: int, patience_s: float | None = None) -> BatchDelivery:
        """Send `data`; with `patience_s`, stop after so many seconds, since newer data will do as well.

        Args:
            what: what a request with it is called.
            data: spans or metrics.
            count: how many spans or points these are: a collector cannot reject more.
            patience_s: how long to hold it.
        """
        begun = monotonic()
        pause = FIRST_PAUSE_S
        unknown = False
        while True:
            is_last = self._ending.is_set()
            delivery = self._attempt(what, data)
            unknown = unknown or delivery.unknown
            if delivery.cause is None or not delivery.retryable:
                break
            wait = _pause_before(delivery, pause, is_last=is_last)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            until = monotonic() + wait
            # At the end of a session only a collector that asks for it gets another attempt.
            if (is_last and delivery.retry_after_s is None) or (patience_s is not None and until > begun + patience_s):
                break
            if until > begun + self._attempts.timeout_s:
                self._diagnostics.failed(self._attempts.endpoint, delivery.cause)
            if is_last:
                time.sleep(wait)
            else:
                self._ending.wait(wait)
        unknown = unknown and delivery.cause is not None
        delivery = replace(delivery, unknown=unknown, rejected=min(delivery.rejected, count))
        self._report(what, delivery)
        return delivery

    def _report(self, what: str, delivery: BatchDelivery) -> None:
        if delivery.cause is not None:
            self._diagnostics.failed(self._attempts.endpoint, delivery.cause)
        if delivery.rejected:
            unit = "points" if what == METRICS else "spans"
            self._diagnostics.failed(self._attempts.endpoint, rejected(delivery.rejected, unit))
        if delivery.warning:
            self._diagnostics.failed(self._attempts.endpoint, remark(delivery.warning))

    def _attempt(self, what: str, data: Any) -> BatchDelivery:
        self.in_flight = True
        self.cause = None
        begun = monotonic()
        try:
            delivery = self._attempts.send(data)
        except Exception as error:  # noqa: BLE001 - its text may quote what is secret, and the next batch may be fine
            delivery = BatchDelivery(internal(type(error).__name__))
        self.cause = delivery.cause
        self.in_flight = False
        self._diagnostics.exported(what, self._attempts.endpoint, monotonic() - begun, delivery.cause)
        return delivery


def _pause_before(delivery: BatchDelivery, pause: float, *, is_last: bool) -> float:
    """Seconds until the next attempt: what the collector names, if that is a pause, else `pause` with jitter."""
    named = delivery.retry_after_s
    if named is not None and (is_last or named >= SHORTEST_HOLD_OFF_S):
        return min(max(named, SHORTEST_HOLD_OFF_S), LONGEST_HOLD_OFF_S)
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret


class SpanDelivery(SpanExporter):
    """Exports spans. What is not among `delivered` was lost, or is `unknown`."""

    def __init__(self, attempts: Attempts, diagnostics: Diagnostics, ending: Event) -> None:
        self._attempts = attempts
        self._holder = _Holder(attempts, diagnostics, ending)
        self._lock = Lock()
        self._delivered = 0
        self._unknown = 0
        self._held = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver a batch; returns when it is delivered, refused, or the session ends."""
        count = len(spans)
        self._held = count
        delivery = self._holder.deliver(f"{count} span{'s' if count > 1 else ''}", spans, count)
        with self._lock:
            self._held = 0
            if delivery.cause is None:
                self._delivered += count - delivery.rejected
                return SpanExportResult.SUCCESS
            if delivery.unknown:
                self._unknown += count
        return SpanExportResult.FAILURE

    @property
    def cause(self) -> Cause | None:
        """Why the latest attempt failed; None while a request is on its way."""
        return self._holder.cause

    def totals(self) -> tuple[int, int]:
        """How many spans were delivered, and of how many that is not known."""
        with self._lock:
            return self._delivered, self._unknown + (self._held if self._holder.in_flight else 0)

    def shutdown(self) -> None:
        """Close the connection."""
        self._attempts.close()


class MetricDelivery(MetricExporter):
    """Exports snapshots; with `delta`, what came since the last one that was delivered."""

    def __init__(
        self, attempts: Attempts, diagnostics: Diagnostics, ending: Event, *, interval_s: float, delta: bool
    ) -> None:
        super().__init__()
        self._attempts = attempts
        self._holder = _Holder(attempts, diagnostics, ending)
        self._ending = ending
        self._interval_s = interval_s
        self._delta = delta
        self._delivered: Snapshot | None = None
        self.unknown = False
        """Whether the latest snapshot may have been delivered."""

    @property
    def version(self) -> int:
        """The version of the latest snapshot that was delivered."""
        return 0 if self._delivered is None else self._delivered.version

    @property
    def cause(self) -> Cause | None:
        """Why the latest attempt failed; None while a request is on its way."""
        return self._holder.cause

    @property
    def in_flight(self) -> bool:
        """Whether a request is on its way now."""
        return self._holder.in_flight

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any) -> MetricExportResult:  # noqa: ARG002 - the SDK's
        """Deliver a `Snapshot`, unless a newer one was delivered. The reader lets in one thread at a time."""
        snapshot: Snapshot = metrics_data  # type: ignore[assignment]  # the reader hands on what the builder made
        known = snapshot.version <= self.version
        if known and (self._delta or self._ending.is_set() or snapshot.version < self.version):
            return MetricExportResult.SUCCESS
        data = delta_since(self._delivered, snapshot) if self._delta else snapshot
        if data is None:  # nothing came since: there is nothing to send
            self._delivered = snapshot
            return MetricExportResult.SUCCESS
        delivery = self._holder.deliver(METRICS, data, points_in(data), patience_s=self._interval_s)
        self.unknown = delivery.unknown
        # A delta that may have been taken is not sent again: counted twice is worse than counted late.
        if delivery.cause is None or (self._delta and delivery.unknown):
            self._delivered = snapshot
        return MetricExportResult.SUCCESS if delivery.cause is None else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing is kept between two exports."""
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:  # noqa: ARG002 - the SDK's
        """Close the connection."""
        self._attempts.close()
