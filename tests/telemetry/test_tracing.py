"""A client's trace context is taken to the letter, and decisions are those that other samplers make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import SpanContext as SdkContext
from opentelemetry.trace.span import TraceState

from thv.telemetry.tracing import Sampler, parse_traceparent, valid_tracestate

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

BAD = {
    "empty": "",
    "upper case": f"00-{TRACE.upper()}-{SPAN}-01",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "more in version 00": f"00-{TRACE}-{SPAN}-01-x",
    "a trace of zeros": f"00-{'0' * 32}-{SPAN}-01",
    "a span of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "a short trace": f"00-{TRACE[1:]}-{SPAN}-01",
    "no flags": f"00-{TRACE}-{SPAN}",
    "flags of one digit": f"00-{TRACE}-{SPAN}-1",
    "a newline": f"00-{TRACE}-{SPAN}-01\n",
    "a space": f" 00-{TRACE}-{SPAN}-01",
    "something glued to a later version": f"01-{TRACE}-{SPAN}-01x",
    "digits of another script": f"00-{TRACE[:-1]}٣-{SPAN}-01",
}


@pytest.mark.parametrize("name", BAD)
def test_a_header_that_is_not_valid_is_no_parent(name: str) -> None:
    assert parse_traceparent(BAD[name]) is None


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
    ],
)
def test_a_valid_header_is_a_parent(header: str, *, sampled: bool) -> None:
    parent = parse_traceparent(header)
    assert parent is not None
    assert (parent.trace_id.hex(), parent.span_id.hex(), parent.sampled) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", True),
        ("a=1, b=2 ,,c=3", True),
        ("tenant@system=v", True),
        ("a=1,a=2", False),
        ("A=1", False),
        ("a", False),
        ("a=b=c", False),
        ("a=é", False),
        ("", False),
        (",", False),
        (",".join(f"k{n}=v" for n in range(32)), True),
        (",".join(f"k{n}=v" for n in range(33)), False),
        ("k=" + "v" * 257, False),
    ],
)
def test_a_tracestate_is_kept_whole_or_not_at_all(header: str, *, kept: bool) -> None:
    assert valid_tracestate(header) == (header if kept else "")


@given(st.text(max_size=60) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_whatever_is_accepted_the_standard_propagator_accepts_too(header: str) -> None:
    parent = parse_traceparent(header)
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    theirs = trace.get_current_span(context).get_span_context()
    if parent is not None:
        assert (parent.trace_id, parent.span_id) == (
            theirs.trace_id.to_bytes(16, "big"),
            theirs.span_id.to_bytes(8, "big"),
        )
        assert parent.sampled == theirs.trace_flags.sampled
    elif theirs.is_valid:
        assert header != header.strip()  # they forgive white space


@given(st.binary(min_size=16, max_size=16).filter(any), st.floats(0, 1))
def test_a_ratio_records_the_traces_that_the_sdk_records(trace_id: bytes, ratio: float) -> None:
    span = Sampler(ratio, parent_based=False, propagate=True).decide(
        parse_traceparent(f"00-{trace_id.hex()}-{SPAN}-00")
    )
    theirs = TraceIdRatioBased(ratio).should_sample(None, int.from_bytes(trace_id, "big"), "x")
    assert span is not None
    assert span.sampled == (theirs.decision is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("sampled", [False, True])
def test_the_clients_decision_is_followed(ratio: float, *, sampled: bool) -> None:
    span = Sampler(ratio, parent_based=True, propagate=False).decide(
        parse_traceparent(f"00-{TRACE}-{SPAN}-0{int(sampled)}")
    )
    assert (span is not None) == sampled
    if span is not None:
        assert (span.trace_id.hex(), span.parent_span_id) == (TRACE, bytes.fromhex(SPAN))


def test_a_tenth_is_a_tenth() -> None:
    sampler = Sampler(0.1, parent_based=True, propagate=False)
    spans = [span for _ in range(20_000) if (span := sampler.decide(None)) is not None]
    assert 1_600 < len(spans) < 2_400
    assert len({span.trace_id for span in spans}) == len({span.span_id for span in spans}) == len(spans)
    assert {span.parent_span_id for span in spans} == {None}


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("header", [None, "garbage", f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"])
def test_what_is_passed_on_is_a_valid_header_with_our_decision(ratio: float, header: str | None) -> None:
    span = Sampler(ratio, parent_based=True, propagate=True).decide(
        None if header is None else parse_traceparent(header)
    )
    assert span is not None
    context = TraceContextTextMapPropagator().extract({"traceparent": span.traceparent})
    theirs: SdkContext = trace.get_current_span(context).get_span_context()
    assert theirs.trace_id.to_bytes(16, "big") == span.trace_id
    assert theirs.span_id.to_bytes(8, "big") == span.span_id
    assert theirs.trace_flags.sampled == span.sampled
    assert theirs.trace_state == TraceState()
