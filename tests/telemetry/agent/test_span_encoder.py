"""What our encoder of spans writes is what the SDK's would have, whatever a span has."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common import trace_encoder

from tests.ports import free_port
from tests.telemetry.agent.agents import INSTRUMENTATION_SCOPE, RESOURCE, finished, readable, span
from thv.telemetry.agent.otlp_grpc_exporter import GrpcAttempts
from thv.telemetry.agent.otlp_http_exporter import HttpAttempts
from thv.telemetry.agent.span_builder import SpanBuilder
from thv.telemetry.agent.span_encoder import encode_spans
from thv.telemetry.agent.span_records import SpanLink, SpanRecord, SpanRecords
from thv.telemetry.frames import AgentSettings, Peer, Signal
from thv.telemetry.tracing import Parent

encode_as_the_sdk = trace_encoder.encode_spans

TEXTS = st.one_of(st.text(), st.integers(100, 20_000).map("x".__mul__), st.just("\ud800"))
TIMES = st.integers(1, 2**63)
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False),
    st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)),
)
IDS = st.integers(1, 2**64 - 1).map(lambda number: number.to_bytes(8, "big"))
TRACE_IDS = st.integers(1, 2**128 - 1).map(lambda number: number.to_bytes(16, "big"))


@st.composite
def records(draw: st.DrawFn) -> SpanRecord:
    links = st.lists(st.builds(SpanLink, TRACE_IDS, IDS, st.sampled_from(["", "a=b"])), max_size=1)
    return span(
        name=draw(st.text(min_size=1)),
        trace_id=draw(TRACE_IDS),
        span_id=draw(IDS),
        parent_span_id=draw(st.none() | IDS),
        parent_is_remote=draw(st.booleans()),
        trace_state=draw(st.sampled_from(["", "", "a=b", "a=b,c=d"])),
        start_ns=draw(TIMES),
        end_ns=draw(TIMES),
        attributes=draw(st.dictionaries(st.text(min_size=1), VALUES, max_size=6)),
        error_type=draw(st.none() | st.just("-32000")),
        status_message=draw(st.none() | st.text()),
        links=draw(links),
        kind=draw(st.sampled_from(["server", "client"])),
    )


@given(
    st.lists(records(), min_size=1, max_size=3),
    st.sampled_from([AgentSettings(), AgentSettings(attribute_count_limit=2, attribute_length_limit=5)]),
)
def test_the_bytes_are_the_sdks(many: list[SpanRecord], settings: AgentSettings) -> None:
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it reports each lone surrogate
    builder = SpanBuilder(RESOURCE, INSTRUMENTATION_SCOPE, settings)
    spans = [builder.build(record) for record in many]
    assert encode_spans(spans) == encode_as_the_sdk(spans).SerializePartialToString()


def test_nothing_is_an_empty_request() -> None:
    assert encode_spans([]) == encode_as_the_sdk([]).SerializePartialToString()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "resources/read", "target": "file:///x", "version": "2025-06-18", "client": "me", "id": 2**40},
        {"error_type": "-32000", "code": "-32000", "message": "no"},
        {"parent": b"12345678", "kind": "client"},
        {"peer": Peer(None, "::1", 65_000), "http_session": True},
    ],
)
def test_what_nearly_every_request_becomes_is_encoded_here(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []

    def by_the_sdk(spans: Any) -> Any:
        encoded.append(len(spans))
        return encode_as_the_sdk(spans)

    settings = AgentSettings()
    make, build = SpanRecords(settings).make, SpanBuilder(RESOURCE, INSTRUMENTATION_SCOPE, settings).build
    spans = [build(make(finished(number, **changes), 0)) for number in range(1, 300)]
    monkeypatch.setattr(trace_encoder, "encode_spans", by_the_sdk)
    body = encode_spans(spans)
    assert encoded == [1], "the SDK is asked for what stands around the spans, and for nothing else"
    assert body == encode_as_the_sdk(spans).SerializePartialToString()


def test_a_link_is_left_to_the_sdk() -> None:
    settings = AgentSettings()
    linked = finished(1, link=Parent(b"t" * 16, b"s" * 8, sampled=True), peer=Peer("a=b", "::1", 1))
    spans = [SpanBuilder(RESOURCE, INSTRUMENTATION_SCOPE, settings).build(SpanRecords(settings).make(linked, 0))]
    assert encode_spans(spans) == encode_as_the_sdk(spans).SerializePartialToString()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_sdks_exporters_encode_with_it(protocol: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def by_the_sdk(spans: Any) -> Any:
        encoded.append(len(spans))
        return encode_as_the_sdk(spans)

    monkeypatch.setattr(trace_encoder, "encode_spans", by_the_sdk)
    nowhere = Signal(f"http://127.0.0.1:{free_port()}/v1/traces", protocol)
    attempts: HttpAttempts | GrpcAttempts = HttpAttempts(nowhere, "traces")
    if protocol == "grpc":
        attempts = GrpcAttempts(nowhere, "traces")
    with closing(attempts):
        attempts.send(readable(3))
    assert encoded == [1]
