"""What is read of a message: the id in its own bytes, whatever stands around it, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.jsonrpc import addressed
from thv.core.message import UNREADABLE, read_line, twin
from thv.http.client.client_messages import (
    PendingRequest,
    answered,
    answers,
    error_reply,
    line_of_body,
    read_client,
)
from thv.http.client.client_state import MAX_DELAY, MAX_RETRY, MIN_DELAY, ResumptionState
from thv.http.sse import Event

VERSION = "io.modelcontextprotocol/protocolVersion"


@pytest.mark.parametrize(
    ("line", "asks", "method"),
    [
        (b'{"id":1,"method":"m"}\n', (PendingRequest(b"1", 1, "m"),), "m"),
        (b'\xef\xbb\xbf {"id" : "\\u00e9" , "method":"m"}\r\n', (PendingRequest(b'"\\u00e9"', "é", "m"),), "m"),
        (b'{"id":1.0,"method":"m"}', (PendingRequest(b"1.0", 1, "m"),), "m"),
        (b'{"id":null,"method":"m"}', (), "m"),
        (b'{"id":true,"method":"m"}', (), "m"),
        (b'{"method":"m"}', (), "m"),
        (b'{"id":1,"result":{}}', (), None),
        (
            b'[{"id":1,"method":"a"},{"id":"1","method":"b"},{"method":"c"}]',
            (PendingRequest(b"1", 1, "a"), PendingRequest(b'"1"', "1", "b")),
            None,
        ),
        (b'{"id":7,"method":"m","params":{"x":NaN}}', (PendingRequest(b"7", 7, "m"),), "m"),
        (b'{"id":7,"method":"m","params":[1,2]}', (PendingRequest(b"7", 7, "m"),), "m"),
        (b"not json", (), None),
        (b"", (), None),
    ],
)
def test_a_request_is_known_by_its_id_in_its_own_bytes(
    line: bytes, asks: tuple[PendingRequest, ...], method: str | None
) -> None:
    sent = read_client(line)
    assert (sent.asks, sent.method) == (asks, method)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.floats() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["id", "method", "params", "_meta", "name", "requestId", VERSION, ""]), x)
        ),
    ).map(lambda x: json.dumps(x).encode())
)
def test_reading_never_raises(line: bytes) -> None:
    sent = read_client(line)
    assert all(value.isascii() for value in sent.headers.values())
    answered(read_line(line))
    flat = line_of_body(line)
    assert b"\n" not in flat
    assert b"\r" not in flat
    addressed(line, b"1")


_IDS = st.integers() | st.floats(allow_nan=False) | st.text() | st.integers().map(str) | st.floats().map(str)


@given(_IDS, _IDS)
def test_a_reply_is_the_one_to_a_request_by_the_rule_that_the_ledger_counts_by(key: Any, asked: Any) -> None:
    for each in (asked, twin(asked), twin(key)):
        assert answers(key, PendingRequest(b"1", each, "m")) == (each in (key, twin(key)))
    assert answers(None, PendingRequest(b"1", asked, "m"))


@pytest.mark.parametrize(
    ("key", "asked", "expected"),
    [
        ("1", 1, True),
        (1, "1", True),
        (1.0, "1", True),
        ("1", 1.0, True),
        ("1.0", 1, False),
        ("1.5", 1.5, False),
        ("01", 1, False),
        (str(10**30), 10**30, False),
    ],
)
def test_an_id_of_the_other_type_answers_where_both_are_one_whole_number(key: Any, asked: Any, expected: bool) -> None:
    assert answers(key, PendingRequest(b"1", asked, "m")) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id":1,"result":{}}', [1]),
        (b'{"error":{"code":1}}', [None]),
        (b'{"id":null,"result":{}}', [None]),
        (b'{"result":{}}', []),
        (b'{"id":1,"method":"m"}', []),
        (b'[{"id":1,"result":{}},{"id":"2","error":{}}]', [1, "2"]),
    ],
)
def test_what_is_a_reply_is_known_by_the_rule_of_every_part(line: bytes, expected: list[Any]) -> None:
    assert answered(read_line(line)) == expected


def test_a_line_that_cannot_be_read_may_answer_any_request() -> None:
    assert answered([UNREADABLE]) == [None]


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)),
    st.sampled_from([None, 1, "\t"]),
)
def test_one_line_means_the_same_as_many(value: Any, indent: Any) -> None:
    message = {"jsonrpc": "2.0", "result": value}
    text = json.dumps(message, indent=indent).encode()
    assert json.loads(line_of_body(text.replace(b"\n", b"\r\n"))) == message
    if indent is None:
        assert line_of_body(text) == text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"jsonrpc":"2.0","id":null,"error":{"code": 1,"message":"m","data":{"a":[1]}}}',
            {"code": 1, "message": "m", "data": {"a": [1]}},
        ),
        (b'{"error":{"code":1}}', {"code": 1}),
        (b'{"error":"no"}', None),
        (b'{"result":{}}', None),
        (b"[]", None),
        (b"oops", None),
    ],
)
def test_an_error_for_nobody_is_addressed_to_the_one_who_asked(body: bytes, expected: Any) -> None:
    line = addressed(body, b'"x"')
    wanted = None if expected is None else {"jsonrpc": "2.0", "id": "x", "error": expected}
    assert (None if line is None else json.loads(line)) == wanted


def test_an_error_of_ours_has_the_id_as_it_came() -> None:
    line = error_reply(b"1.50", 'a "sentence"\n', status=503)
    assert b'"id":1.50' in line
    assert json.loads(line)["error"] == {"code": -32000, "message": 'a "sentence"\n', "data": {"httpStatus": 503}}
    assert b"\n" not in line


@given(st.none() | st.integers(0, 10**18), st.integers(0, 2000))
def test_delays_grow_within_bounds_and_never_undercut_what_the_server_asked_for(
    retry: int | None, failures: int
) -> None:
    cursor = ResumptionState()
    cursor.note(Event(b"", retry=retry))
    delay = cursor.delay(failures)
    assert MIN_DELAY <= delay <= max(MAX_DELAY, MAX_RETRY)
    assert delay >= min((retry or 0) / 1000, MAX_RETRY)


@pytest.mark.parametrize(("id_", "kept"), [("e1", "e1"), ("", None), ("é", None), ("a\tb", None)])
def test_an_id_that_no_header_can_carry_is_not_resumed_from(id_: str, kept: str | None) -> None:
    cursor = ResumptionState()
    cursor.note(Event(b"", id=id_))
    assert cursor.last_id == kept
