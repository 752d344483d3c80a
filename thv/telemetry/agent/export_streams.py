"""The two streams to a collector, each on a thread of its own: spans in batches, metrics at an interval.

What waits is bounded: spans beyond `CAPACITY` are dropped and counted, of metrics only the latest snapshot is kept.
Both threads sleep without waking while there is nothing to do. Sizes and delays are those of the SDK's specification.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

from thv.core.net import redact_url
from thv.telemetry.agent.export_errors import LATE, Cause
from thv.telemetry.agent.retry import Sender

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thv.telemetry.agent.diagnostics import Complaints
    from thv.telemetry.agent.retry import Delivery, Transport
    from thv.telemetry.frames import Metrics, Signal, SpanRecord

CAPACITY = 2048
"""Spans that wait (Trace SDK, "Batching processor", `maxQueueSize`)."""

BATCH = 512
"""Spans of one export (`maxExportBatchSize`)."""

DELAY_S = 5.0
"""Seconds that a span waits for others to travel with (`scheduledDelayMillis`)."""


class _Export:
    """What both streams share: a thread, its sender, and how it is told to hurry."""

    def __init__(self, signal: Signal, service: str, resource: Mapping[str, str], complaints: Complaints) -> None:
        self._where = redact_url(signal.endpoint, origin_only=True)
        self._service = service
        self._signal = signal
        self._attributes = resource
        self._complaints = complaints
        self._ending = Event()
        self._changed = Condition()
        self._hurry = False
        self._sender: Sender | None = None
        self._thread = Thread(target=self._run_or_tell, name=f"thv-{service}", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Export what there is, now; returns at once."""
        with self._changed:
            self._hurry = True
            self._changed.notify()

    def end(self) -> None:
        """Export what there is with one try each, and stop; returns at once."""
        self._ending.set()
        with self._changed:
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait for the last export, at most `timeout_s` seconds."""
        self._thread.join(max(0.0, timeout_s))
        if self._thread.is_alive():
            self._complaints.failed(self._where, LATE)

    def _run_or_tell(self) -> None:
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - nobody else hears of it; its text may quote what is secret
            name = type(error).__name__
            self._complaints.failed(self._where, Cause("internal", f"gets nothing more: internal error, {name}"))
        finally:
            if self._sender is not None:
                self._sender.close()

    def _run(self) -> None:
        raise NotImplementedError

    def _send(self, what: str, body: bytes) -> Delivery:
        if self._sender is None:
            transport = _transport_for(self._signal, self._service)
            self._sender = Sender(transport, self._signal.timeout_s, self._ending)
        begun = time.monotonic()
        delivery = self._sender.send(body)
        self._complaints.exported(what, self._where, time.monotonic() - begun, delivery.cause)
        if delivery.cause is not None:
            self._complaints.failed(self._where, delivery.cause)
        return delivery


class SpanExport(_Export):
    """Takes spans and exports them in batches."""

    def __init__(self, signal: Signal, resource: Mapping[str, str], complaints: Complaints) -> None:
        self._waiting: deque[SpanRecord] = deque()
        self._travelling = 0
        self._lost = 0
        super().__init__(signal, "trace", resource, complaints)

    @property
    def lost(self) -> int:
        """Spans that were not delivered, those that still wait included."""
        with self._changed:
            return self._lost + len(self._waiting) + self._travelling

    def add(self, spans: Sequence[SpanRecord]) -> None:
        """Take spans as far as there is room; returns at once."""
        with self._changed:
            waited = len(self._waiting)
            room = CAPACITY - waited
            self._waiting.extend(spans[:room])
            self._lost += max(0, len(spans) - room)
            if spans and (not waited or len(self._waiting) >= BATCH):
                self._changed.notify()

    def _run(self) -> None:
        from thv.telemetry.agent.otlp_encoding import encode_spans, resource_of

        resource = resource_of(self._attributes)
        while batch := self._next_batch():
            delivery = self._send(f"{len(batch)} span{'s' if len(batch) > 1 else ''}", encode_spans(batch, resource))
            with self._changed:
                self._travelling = 0
                self._lost += delivery.rejected if delivery.cause is None else len(batch)

    def _next_batch(self) -> list[SpanRecord]:
        """Waits for a batch that is due; an empty one is the end."""
        with self._changed:
            while not self._waiting and not self._ending.is_set():
                self._hurry = False
                self._changed.wait()
            due = time.monotonic() + DELAY_S
            while len(self._waiting) < BATCH and not self._hurry and not self._ending.is_set():
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._travelling = len(batch)
            return batch


class MetricExport(_Export):
    """Keeps the latest snapshot and exports it every `interval_s` seconds; with `delta`, what came since the last."""

    def __init__(
        self,
        signal: Signal,
        resource: Mapping[str, str],
        complaints: Complaints,
        *,
        interval_s: float,
        delta: bool = False,
    ) -> None:
        self._interval_s = interval_s
        self._delta = delta
        self._latest: Metrics | None = None
        self._delivered: Metrics | None = None
        super().__init__(signal, "metrics", resource, complaints)

    @property
    def undelivered(self) -> bool:
        """Whether the latest snapshot was never taken by the collector."""
        return self._latest is not self._delivered

    def put(self, snapshot: Metrics) -> None:
        """Take a snapshot in place of the one before."""
        with self._changed:
            first = self._latest is None
            self._latest = snapshot
            if first:
                self._changed.notify()

    def _run(self) -> None:
        from thv.telemetry.agent.otlp_encoding import encode_metrics, resource_of

        resource = resource_of(self._attributes)
        last = False
        while not last and (snapshot := self._next_snapshot()) is not None:
            last = self._ending.is_set()  # there is one try then, whatever becomes of it
            # A cumulative value that did not change holds until now; of a delta there is nothing new to tell.
            unchanged = snapshot is self._delivered and not self._delta
            as_of = time.time_ns() if unchanged else snapshot.time_ns
            body = encode_metrics(snapshot, resource, as_of, self._delivered, delta=self._delta)
            if not body or self._send("metrics", body).cause is None:
                self._delivered = snapshot

    def _next_snapshot(self) -> Metrics | None:
        """Waits for the next export; None is the end."""
        with self._changed:
            while self._latest is None and not self._ending.is_set():
                self._hurry = False
                self._changed.wait()
            due = time.monotonic() + self._interval_s
            while not self._ending.is_set() and not (self._hurry and self.undelivered):
                self._hurry = False
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._hurry = False
            return self._latest if self.undelivered or not self._ending.is_set() else None


def _transport_for(signal: Signal, service: str) -> Transport:
    """The transport a signal asks for; `service` is `trace` or `metrics`, for gRPC's method name."""
    if signal.protocol == "grpc":
        from thv.telemetry.agent.over_grpc import GrpcTransport

        return GrpcTransport(signal, service)
    from thv.telemetry.agent.over_http import HttpTransport

    return HttpTransport(signal)
