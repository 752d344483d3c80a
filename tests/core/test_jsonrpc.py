"""What thv writes itself: error replies, cancellations, lines, and header values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from thv.core.jsonrpc import cancellation, decode_header, encode_header, error_reply, one_line


def test_a_body_of_several_lines_becomes_one_of_the_same_meaning() -> None:
    body = b'{\r\n  "id": 1,\n  "method": "a\\nb"\n}\n'
    line = one_line(body)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == json.loads(body)


def test_an_error_of_ours_names_the_request_it_answers() -> None:
    assert json.loads(error_reply(-32600, "no", "a", data={"b": 1})) == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {"code": -32600, "message": "no", "data": {"b": 1}},
    }
    assert json.loads(error_reply(-32600, "no", UNSET))["id"] is None


def test_an_id_can_be_given_as_it_came() -> None:
    assert b'"id":1.50,' in error_reply(-32600, "no", raw_id=b"1.50")


def test_a_cancellation_names_its_request() -> None:
    message = json.loads(cancellation("a"))
    assert (message["method"], message["params"]) == ("notifications/cancelled", {"requestId": "a"})
    assert "id" not in message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("get_weather", "get_weather"),
        ("", ""),
        ("a b", "a b"),
        ("caf\u00e9", "=?base64?Y2Fmw6k=?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("=?base64?SGk=?=", "=?base64?PT9iYXNlNjQ/U0drPT89?="),
        ("=?base64?", "=?base64?"),
    ],
)
def test_a_header_carries_any_text(text: str, value: str) -> None:
    assert encode_header(text) == value
    assert decode_header(value) == text


@given(st.text())
def test_every_text_comes_back_from_a_header(text: str) -> None:
    value = encode_header(text)
    assert value.isascii()
    assert "\n" not in value
    assert decode_header(value) == text


@pytest.mark.parametrize("value", ["=?base64?*?=", "=?base64?YQ?=", "=?base64?/w==?="])
def test_a_broken_encoding_is_no_text(value: str) -> None:
    assert decode_header(value) is None
