"""One value is replaced in the bytes of a message, and no other byte changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decodes import counted_decodes
from thv.core.message import read_message
from thv.core.splice import ID, REQUEST_TOKEN

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "progressToken", "a", 'x"id":1', "_meta"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"id":7}}\n', b'{"jsonrpc":"2.0","id":"x","result":{"id":7}}\n'),
        (b'{"result":{"id":7},"jsonrpc":"2.0","id":7}\n', b'{"result":{"id":7},"jsonrpc":"2.0","id":"x"}\n'),
        (b'{"result":{"id":7},"id" : 7 ,"z":{"id":7}}\n', b'{"result":{"id":7},"id" : "x" ,"z":{"id":7}}\n'),
        (b'{"result":"\\"id\\":7","id":"a\\"b"}\n', b'{"result":"\\"id\\":7","id":"x"}\n'),
        (b'{"result":{"t":"\xff\xfe","n":[NaN]},"id":7}\n', b'{"result":{"t":"\xff\xfe","n":[NaN]},"id":"x"}\n'),
        (b'{"result":{"n":[NaN]},"id":7}\n', b'{"result":{"n":[NaN]},"id":"x"}\n'),
        (b'{"id":1,"id":7}\n', b'{"id":1,"id":"x"}\n'),
        (b'{"\\u0069d":7,"b": 1}\n', b'{"id":"x","b":1}\n'),
    ],
)
def test_an_id_is_replaced_and_no_other_byte(line: bytes, expected: bytes) -> None:
    assert ID.replaced(line, b'"x"') == expected


def test_an_id_behind_a_crowd_of_others_is_found() -> None:
    crowd = b",".join(b'{"id":%d}' % number for number in range(1000))
    line = b'{"result":[%b],"id":7,"z":[%b]}\n' % (crowd, crowd)
    assert json.loads(ID.replaced(line, b"8")) == json.loads(line) | {"id": 8}


@given(JSON, JSON, st.integers(0, 2**40), st.booleans())
def test_replacing_an_id_changes_nothing_else(before: Any, after: Any, id_: int, ascii_only: bool) -> None:
    message = {"before": before, "id": id_, "result": after}
    line = json.dumps(message, ensure_ascii=ascii_only).encode() + b"\n"
    changed = ID.replaced(line, b"-5")
    assert json.loads(changed) == message | {"id": -5}
    assert len(changed) == len(line) - len(str(id_)) + 2


@given(JSON, st.integers(0, 99))
def test_a_progress_token_is_replaced_where_it_counts(noise: Any, token: int) -> None:
    message = {"id": 1, "method": "m", "params": {"arguments": noise, "_meta": {"progressToken": token}, "z": noise}}
    changed = REQUEST_TOKEN.replaced(json.dumps(message).encode() + b"\n", b"-5")
    message["params"]["_meta"]["progressToken"] = -5  # type: ignore[index]  # a literal above
    assert json.loads(changed) == message


@pytest.mark.parametrize(
    ("id_", "raw"),
    [
        (b"1", b"1"),
        (b"1.0", b"1.0"),
        (b"1e2", b"1e2"),
        (b'"a"', b'"a"'),
        (b'"\\u0061"', b'"\\u0061"'),
        (b'"\xc3\xa9"', b'"\xc3\xa9"'),
        (b'"\\/"', b'"\\/"'),
        (b"null", b"null"),
        (b"{}", b"null"),
    ],
)
def test_an_id_is_known_byte_for_byte(id_: bytes, raw: bytes) -> None:
    line = b'{"jsonrpc":"2.0","id":%b,"method":"x","params":{"id":"other"}}' % id_
    message = read_message(line)
    assert message is not None
    assert (ID.raw(line, message) or b"null") == raw
    assert (ID.exchanged(line, b"8", message)[1] or b"null") == raw


def test_an_id_that_also_stands_elsewhere_as_plain_text_keeps_its_own_spelling() -> None:
    line = b'{"id":"\\u0061","method":"a"}'
    message = read_message(line)
    assert message is not None
    assert ID.raw(line, message) == b'"\\u0061"'


def test_a_line_without_the_member_stays_as_it_is() -> None:
    for line in (b'{"method":"x","params":{"id":7}}\n', b"[1]\n", b"INFO\n"):
        assert ID.replaced(line, b"8") == line


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":7,"method":"m"}',
        b'{"method":"m","params":{"a":["x",{"y":1}]},"id":7}',
        b'{"jsonrpc": "2.0", "id": 7, "result": {}}',
        b'{"jsonrpc":"2.0","id":"a\xc3\xa9","result":{"text":"\\n"}}',
    ],
)
def test_where_the_name_stands_once_nothing_is_decoded(line: bytes) -> None:
    message = read_message(line)
    with counted_decodes() as decodes:
        changed = ID.replaced(line, b"8", message)
    assert decodes.lines == 0
    assert json.loads(changed)["id"] == 8


@pytest.mark.parametrize(
    "line", [b'{"jsonrpc":"2.0","id":7,"result":[{"id":1},{"id":7}]}', b'{"result":[{"id":1},{"id":7}],"id":7}\n']
)
def test_nor_where_the_users_server_writes_it_first_or_last(line: bytes) -> None:
    message = read_message(line)
    with counted_decodes() as decodes:
        changed = ID.replaced(line, b"8", message, trusted=True)
    assert decodes.lines == 0
    assert json.loads(changed) == json.loads(line) | {"id": 8}


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":7,"method":"m","params":{},"id":7}',
        b'{"id":7,"method":"m","\\u0069d":7}',
        b'{"id":7,"method":"m","i\\u0064":7}',
        b'{"id":7,"\\u0069\\u0064":7,"method":"m"}',
    ],
)
def test_a_client_cannot_hide_another_id_behind_its_own(line: bytes) -> None:
    """Of members with one name decoders take the last, however its letters are written."""
    changed = ID.replaced(line, b"8", read_message(line))
    message = read_message(changed)
    assert message is not None
    assert message.id == 8
    assert json.loads(changed)["id"] == 8
