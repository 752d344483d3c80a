"""What waits for its export is small, and becomes what it would have become at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tests.telemetry.agent.agents import INSTRUMENTATION_SCOPE, RESOURCE, finished
from thv.core.redaction import READ
from thv.telemetry.agent.span_builder import SpanBuilder
from thv.telemetry.agent.span_records import SpanRecords
from thv.telemetry.agent.waiting_spans import WaitingSpan, WaitingSpans
from thv.telemetry.frames import AgentSettings, Peer

if TYPE_CHECKING:
    from collections.abc import Sequence


class Kept(SpanExporter):
    """Keeps what is exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
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
        processor.on_end(waiting.waiting(WaitingSpan(one, 5)))
    processor.force_flush()
    direct = Kept()
    at_once = waiting_spans(direct)
    at_once.export([WaitingSpan(one, 5) for one in told])
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
    held = waiting_spans(Kept()).waiting(WaitingSpan(finished(1, **much), 0))
    assert isinstance(held, ReadableSpan)
    assert len(held.to_json()) < READ
    assert "hunter2" not in held.to_json()
