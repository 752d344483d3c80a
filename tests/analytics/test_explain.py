"""Every byte of a report is shown in one field, and each field is explained."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.conftest import PATIENT
from tests.sink import decode
from thv.analytics.constants import ERROR, METRIC, SCOPE, STATUS, SUCCESS
from thv.analytics.explain import MESSAGES, fields, to_json
from thv.analytics.otlp import LARGEST_COUNT, MINUTE_NS, Counts, encode

NOON = 1_790_000_040_000_000_000

counts = st.builds(Counts, st.integers(0, LARGEST_COUNT), st.integers(0, LARGEST_COUNT)).filter(bool)
times = st.integers(2 * MINUTE_NS, 2**62)


@PATIENT
@given(said=counts, now_ns=times)
def test_every_byte_belongs_to_one_field_and_none_is_left_over(said: Counts, now_ns: int) -> None:
    body = encode(said, now_ns)
    found = fields(body)
    assert b"".join(field.raw for field in found) == body
    offset = 0
    for field in found:
        assert field.offset == offset
        assert field.why
        offset += len(field.raw)
    assert [field.value for field in found if field.name == "as_int"] == [
        str(count) for count in (said.success, said.error) if count
    ]


def test_a_report_has_every_field_that_is_explained_and_no_other() -> None:
    names = {kind.name for message in MESSAGES.values() for kind in message.values()}
    assert {field.name for field in fields(encode(Counts(12, 3), NOON))} == names


def test_every_text_in_a_report_is_a_constant_of_the_contract() -> None:
    found = fields(encode(Counts(12, 3), NOON))
    texts = {field.value for field in found if field.name in {"name", "key", "string_value"}}
    assert texts == {METRIC, SCOPE, STATUS, SUCCESS, ERROR}


def test_values_are_said_as_a_person_reads_them() -> None:
    values = {field.name: field.value for field in fields(encode(Counts(12, 0), NOON))}
    assert values["resource"] == "0 bytes"
    assert values["as_int"] == "12"
    assert values["time_unix_nano"] == f"{NOON} (2026-09-21T14:14Z)"
    assert values["start_time_unix_nano"] == f"{NOON - MINUTE_NS} (2026-09-21T14:13Z)"
    assert values["aggregation_temporality"] == "1 (AGGREGATION_TEMPORALITY_DELTA)"
    assert values["is_monotonic"] == "1 (true)"


@PATIENT
@given(said=counts, now_ns=times)
def test_the_json_is_what_protobufs_own_decoder_makes_of_the_bytes(said: Counts, now_ns: int) -> None:
    body = encode(said, now_ns)
    assert json.dumps(to_json(body)) == json.dumps(decode(body))


@pytest.mark.parametrize(
    "stray", [b"\x12\x00", b"\x0d\x00\x00\x00\x00", b"\x0a\x02\x1a\x00", b"\x09" + bytes(8), b"\x08\x01"]
)
def test_a_field_that_is_not_explained_is_never_passed_over(stray: bytes) -> None:
    with pytest.raises((LookupError, ValueError)):
        fields(encode(Counts(1, 1), NOON) + stray)
