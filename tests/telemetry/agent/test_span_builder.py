"""A span record arrives at a collector as it was recorded, with the user's limits applied."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.telemetry.agent.agents import INSTRUMENTATION_SCOPE, readable, span
from thv.core.payload_redaction import redact_structure
from thv.telemetry.agent.span_records import SpanLink
from thv.telemetry.frames import AgentSettings


def encoded(settings: AgentSettings | None = None, **changes: Any) -> Span:
    request = encode_spans(readable(1, settings, **changes))
    [resource] = request.resource_spans
    [scope] = resource.scope_spans
    assert scope.scope.name == INSTRUMENTATION_SCOPE.name
    assert scope.schema_url == INSTRUMENTATION_SCOPE.schema_url
    [decoded] = scope.spans
    assert isinstance(decoded, Span)
    return decoded


def test_a_span_arrives_as_it_was_recorded() -> None:
    record = span(1, parent_span_id=b"12345678", trace_state="vendor=x,other=y", error_type="1", status_message="why")
    decoded = encoded(parent_span_id=b"12345678", trace_state="vendor=x,other=y", error_type="1", status_message="why")
    assert decoded.name == record.name
    assert decoded.kind == Span.SPAN_KIND_SERVER
    assert (decoded.trace_id, decoded.span_id, decoded.parent_span_id) == (
        record.trace_id,
        record.span_id,
        b"12345678",
    )
    assert decoded.trace_state == "vendor=x,other=y"
    assert (decoded.start_time_unix_nano, decoded.end_time_unix_nano) == (record.start_ns, record.end_ns)
    assert (decoded.status.code, decoded.status.message) == (Status.STATUS_CODE_ERROR, "why")
    assert decoded.flags == 0x300  # the SDK's encoder leaves out W3C's flags (opentelemetry-python, issue 4666)


def test_a_span_without_an_error_has_no_status_and_a_root_no_remote_parent() -> None:
    decoded = encoded()
    assert decoded.status.code == Status.STATUS_CODE_UNSET
    assert decoded.parent_span_id == b""
    assert decoded.flags == 0x100


def test_a_request_of_the_server_is_a_span_of_kind_client() -> None:
    assert encoded(kind="client").kind == Span.SPAN_KIND_CLIENT


def test_a_link_leads_to_the_other_trace() -> None:
    [link] = encoded(links=[SpanLink(b"t" * 16, b"s" * 8)]).links
    assert (link.trace_id, link.span_id) == (b"t" * 16, b"s" * 8)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("text", "string_value"),
        ("", "string_value"),
        (True, "bool_value"),
        (False, "bool_value"),
        (3, "int_value"),
        ((1 << 63) - 1, "int_value"),
        (-(1 << 63), "int_value"),
        (0.5, "double_value"),
    ],
)
def test_an_attribute_keeps_its_type(value: str | float, kind: str) -> None:
    [attribute] = encoded(attributes={"k": value}).attributes
    assert attribute.value.WhichOneof("value") == kind
    assert getattr(attribute.value, kind) == value


def test_a_structure_stays_one() -> None:
    [attribute] = encoded(attributes={"k": {"a": [1, {"b": None}]}}).attributes
    [member] = attribute.value.kvlist_value.values
    number, inner = member.value.array_value.values
    assert (member.key, number.int_value, inner.kvlist_value.values[0].key) == ("a", 1, "b")


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**30])
def test_a_number_too_long_for_the_protocol_arrives_as_text(number: int) -> None:
    [attribute] = encoded(attributes={"k": redact_structure(b'{"a": %d}' % number)}).attributes
    [member] = attribute.value.kvlist_value.values
    assert (member.key, member.value.string_value) == ("a", str(number))


def test_the_users_limits_are_kept() -> None:
    limits = replace(AgentSettings(), attribute_count_limit=2, attribute_length_limit=3, link_count_limit=1)
    link = SpanLink(b"t" * 16, b"s" * 8)
    decoded = encoded(limits, attributes={"a": "12345", "b": {"c": "12345"}, "d": 1}, links=[link, link])
    assert len(decoded.attributes) == 2
    assert decoded.dropped_attributes_count == 1
    assert "12345" not in str(decoded)
    assert (len(decoded.links), decoded.dropped_links_count) == (1, 1)
