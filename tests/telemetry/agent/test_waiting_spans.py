"""What waits for its export is small, and becomes what it would have become at once."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tests.telemetry.agent.agents import INSTRUMENTATION_SCOPE, RESOURCE, finished
from thv.core.payload_redaction import READ
from thv.telemetry.agent.span_builder import SpanBuilder
from thv.telemetry.agent.span_records import SpanRecords
from thv.telemetry.agent.waiting_spans import WaitingSpans
from thv.telemetry.frames import AgentSettings, Peer

if TYPE_CHECKING:
    from collections.abc import Sequence


MOST_BYTES = 300
"""What a tool call may take while it waits: as the relay tells it, it takes some 600, and as the SDK's span 2000."""


class Kept(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batch = spans
        self.spans += spans
        return SpanExportResult.SUCCESS


def waiting_spans(kept: Kept) -> WaitingSpans:
    settings = AgentSettings()
    return WaitingSpans(SpanRecords(settings), SpanBuilder(RESOURCE, INSTRUMENTATION_SCOPE, settings), kept)


def test_spans_that_waited_in_the_sdks_queue_arrive_in_order_as_they_would_have_at_once() -> None:
    kept = Kept()
    waiting = waiting_spans(kept)
    processor = BatchSpanProcessor(
        waiting, max_queue_size=2048, max_export_batch_size=512, schedule_delay_millis=60_000
    )
    told = [finished(number, tracestate="a=b" if number % 2 else None) for number in range(1, 1000)]
    for one in told:
        processor.on_end(waiting.waiting(one, 5))
    processor.force_flush()
    direct = Kept()
    settings = AgentSettings()
    make, build = SpanRecords(settings).make, SpanBuilder(RESOURCE, INSTRUMENTATION_SCOPE, settings).build
    direct.export([build(make(one, 5)) for one in told])
    assert [span.to_json() for span in kept.spans] == [span.to_json() for span in direct.spans]


@pytest.mark.parametrize(
    "much",
    [
        {"arguments": b'{"password": "hunter2"}'.ljust(READ)},
        {"result": b'{"password": "hunter2"}'.ljust(READ)},
        {"tracestate": "x" * READ},
        {"peer": Peer("x" * READ, "::1", 1)},
    ],
    ids=lambda much: next(iter(much)),
)
def test_what_is_not_shown_does_not_wait(much: dict[str, Any]) -> None:
    held = waiting_spans(Kept()).waiting(finished(1, **much), 0)
    assert isinstance(held, ReadableSpan)
    assert len(held.to_json()) < READ
    assert "hunter2" not in held.to_json()


def test_a_span_that_waits_takes_little_and_exists_once_it_is_asked_for() -> None:
    kept = Kept()
    waiting = waiting_spans(kept)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    held = [waiting.waiting(finished(number, session_id="s" * 32, id=number), 5) for number in range(1, 1001)]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / len(held) < MOST_BYTES
    waiting.export(held)
    batch = kept.batch
    assert len(batch) == len(held)
    first = [span.to_json() for span in batch]
    assert first == [span.to_json() for span in batch], "an attempt that fails is followed by another"
    assert [span.to_json() for span in batch[3:5]] == first[3:5]
    assert batch[7].to_json() == first[7]
