"""Where a message belongs, and one value replaced in its bytes: no other byte changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from thv.http import wire

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "progressToken", "a", 'x"id":1', "_meta"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("line", "request_", "response"),
    [
        (b'{"id":1,"method":"ping"}', True, False),
        (b'{"id":"a","method":"ping","params":[1]}', True, False),
        (b'{"method":"notifications/x"}', False, False),
        (b'{"id":null,"method":"ping"}', False, False),
        (b'{"id":true,"method":"ping"}', False, False),
        (b'{"id":1,"result":{}}', False, True),
        (b'{"id":1,"result":null}', False, True),
        (b'{"id":1,"result":[NaN]}', False, True),
        (b'{"id":1,"error":{"code":-1,"message":"x"}}', False, True),
        (b'{"error":{"code":-1,"message":"x"}}', False, True),
        (b'{"id":1,"error":"text"}', False, True),
        (b'{"id":1}', False, False),
        (b"{}", False, False),
        (b'{"id":1,"method":"m","params":{"x":NaN,"y":"\\ud800"}}', True, False),
        (b'{"id":1,"method":"m","params":{"name":7,"_meta":{"progressToken":[]}}}', True, False),
        (b'{"id":1,"method":"m","params":{"_meta":3}}', True, False),
    ],
)
def test_requests_notifications_and_responses_are_told_apart(line: bytes, request_: bool, response: bool) -> None:
    message = wire.read(line)
    assert message is not None
    assert (message.is_request, message.is_response) == (request_, response)


@pytest.mark.parametrize(
    "text", [b"", b"x", b"[]", b"1", b"null", b'"text"', b'{"id":1', b'{"id":1} 2', b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_object_is_none(text: bytes) -> None:
    assert wire.read(text) is None


def test_members_are_read_where_they_stand() -> None:
    line = (
        b'{"id":1.50,"method":"tools/call","params":{"name":"n","uri":"u","requestId":"r","progressToken":2,'
        b'"_meta":{"progressToken":"t","io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        b'"io.modelcontextprotocol/subscriptionId":9}}}'
    )
    message = wire.read(line)
    assert message is not None
    assert message.params is not None
    assert message.meta is not None
    assert (message.id, message.params.name, message.params.uri) == (1.5, "n", "u")
    assert (message.params.request_id, message.params.progress_token) == ("r", 2)
    assert (message.meta.progress_token, message.meta.protocol_version) == ("t", "2026-07-28")
    assert message.meta.subscription == 9
    assert wire.raw_id(line) == b"1.50"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"id":7}}\n', b'{"jsonrpc":"2.0","id":"x","result":{"id":7}}\n'),
        (b'{"result":{"id":7},"jsonrpc":"2.0","id":7}\n', b'{"result":{"id":7},"jsonrpc":"2.0","id":"x"}\n'),
        (b'{"result":{"id":7},"id" : 7 ,"z":{"id":7}}\n', b'{"result":{"id":7},"id" : "x" ,"z":{"id":7}}\n'),
        (b'{"result":"\\"id\\":7","id":"a\\"b"}\n', b'{"result":"\\"id\\":7","id":"x"}\n'),
        (b'{"result":{"t":"\xff\xfe","n":[NaN]},"id":7}\n', None),
        (b'{"result":{"n":[NaN]},"id":7}\n', b'{"result":{"n":[NaN]},"id":"x"}\n'),
        (b'{"id":1,"id":7}\n', b'{"id":1,"id":"x"}\n'),
        (b'{"\\u0069d":7,"b": 1}\n', b'{"id":"x","b":1}\n'),
    ],
)
def test_an_id_is_replaced_and_no_other_byte(line: bytes, expected: bytes | None) -> None:
    assert wire.ID.replaced(line, b'"x"') == expected


def test_an_id_behind_a_crowd_of_others_is_found() -> None:
    crowd = b",".join(b'{"id":%d}' % number for number in range(1000))
    line = b'{"result":[%b],"id":7,"z":[%b]}\n' % (crowd, crowd)
    assert json.loads(wire.ID.replaced(line, b"8") or b"") == json.loads(line) | {"id": 8}


@given(JSON, JSON, st.integers(0, 2**40), st.booleans())
def test_replacing_an_id_changes_nothing_else(before: Any, after: Any, id_: int, ascii_only: bool) -> None:
    message = {"before": before, "id": id_, "result": after}
    line = json.dumps(message, ensure_ascii=ascii_only).encode() + b"\n"
    changed = wire.ID.replaced(line, b"-5")
    assert changed is not None
    assert json.loads(changed) == message | {"id": -5}
    assert len(changed) == len(line) - len(str(id_)) + 2


@given(JSON, st.integers(0, 99))
def test_a_progress_token_is_replaced_where_it_counts(noise: Any, token: int) -> None:
    message = {"id": 1, "method": "m", "params": {"arguments": noise, "_meta": {"progressToken": token}, "z": noise}}
    changed = wire.REQUEST_TOKEN.replaced(json.dumps(message).encode() + b"\n", b"-5")
    assert changed is not None
    message["params"]["_meta"]["progressToken"] = -5  # type: ignore[index]  # a literal above
    assert json.loads(changed) == message


@given(st.binary(max_size=60))
def test_reading_never_raises(data: bytes) -> None:
    wire.read(data)
    wire.split_batch(data)
    wire.raw_id(data)


def test_a_body_of_several_lines_becomes_one_of_the_same_meaning() -> None:
    body = b'{\r\n  "id": 1,\n  "method": "a\\nb"\n}\n'
    line = wire.one_line(body)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == json.loads(body)


def test_an_error_of_ours_names_the_request_it_answers() -> None:
    assert json.loads(wire.error_reply(-32600, "no", "a", {"b": 1})) == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {"code": -32600, "message": "no", "data": {"b": 1}},
    }
    assert json.loads(wire.error_reply(-32600, "no", UNSET))["id"] is None


def test_the_elements_of_a_batch_keep_their_bytes() -> None:
    assert wire.is_batch(b' [{"id": 1.0 }, 2]')
    assert wire.split_batch(b' [{"id": 1.0 }, 2]') == [b'{"id": 1.0 }', b"2"]
    assert wire.split_batch(b"{}") is None
