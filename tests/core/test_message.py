"""Whatever a line holds, the members that decide an outcome are read from it, and nothing raises."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from thv.core.message import (
    MEND_UP_TO,
    UNREADABLE,
    AnyObject,
    CallResult,
    ClientMessage,
    ClientParams,
    ErrorObject,
    Result,
    ServerMessage,
    Task,
    client_reader,
    server_reader,
)

DEEP = b'{"a":[' * 3_000 + b"1" + b"]}" * 3_000

CLIENT_LINES: dict[str, tuple[bytes, list[ClientMessage]]] = {
    "call": (
        b'{"id":1,"method":"tools/call","params":{"name":"x"}}',
        [ClientMessage(1, "tools/call", ClientParams(name="x"))],
    ),
    "string id": (b'{"id":"1","method":"m"}', [ClientMessage("1", "m")]),
    "huge id": (b'{"id":%d,"method":"m"}' % 10**30, [ClientMessage(10**30, "m")]),
    "last duplicate wins": (b'{"id":1,"id":2,"method":"m"}', [ClientMessage(2, "m")]),
    "escaped member name": (b'{"\\u0069d":3,"method":"m"}', [ClientMessage(3, "m")]),
    "CRLF": (b'{"id":1,"method":"m"}\r', [ClientMessage(1, "m")]),
    "blanks around": (b' \t{"id":1,"method":"m"} ', [ClientMessage(1, "m")]),
    "byte order mark": (b'\xef\xbb\xbf{"id":1,"method":"m"}', [ClientMessage(1, "m")]),
    "params is an array": (b'{"id":1,"method":"tools/call","params":[1]}', [ClientMessage(1, "tools/call")]),
    "params is null": (b'{"id":1,"method":"m","params":null}', [ClientMessage(1, "m")]),
    "method is no string": (b'{"id":1,"method":5}', [ClientMessage(1, "")]),
    "method is null": (b'{"id":1,"method":null}', [ClientMessage(1, None)]),
    "id is null": (b'{"id":null,"method":"m"}', [ClientMessage(None, "m")]),
    "id is true": (b'{"id":true,"method":"m"}', [ClientMessage(None, "m")]),
    "id is an object": (b'{"id":{"a":1},"method":"m"}', [ClientMessage(None, "m")]),
    "id overflows": (b'{"id":1e400,"method":"m"}', [ClientMessage(None, "m")]),
    "id is NaN": (b'{"method":"m","id":"a","x":[NaN]}', [ClientMessage("a", "m")]),
    "id of 5000 digits": (b'{"id":%s,"method":"m"}' % (b"9" * 5_000), [ClientMessage(None, "m")]),
    "invalid UTF-8 in an argument": (
        b'{"id":1,"method":"m","params":{"a":"\xff"}}',
        [ClientMessage(1, "m", ClientParams())],
    ),
    "invalid UTF-8 in the id": (b'{"id":"\xff","method":"m"}', [ClientMessage(None, "m")]),
    "lone surrogate in the id": (b'{"id":"\\ud800","method":"m"}', [ClientMessage("\ufffd", "m")]),
    "a member of params has a wrong type": (
        b'{"method":"notifications/cancelled","params":{"requestId":7,"taskId":5,"task":"t"}}',
        [ClientMessage(None, "notifications/cancelled", ClientParams(request_id=7))],
    ),
    "task": (
        b'{"id":1,"method":"tools/call","params":{"task":{"ttl":1},"taskId":"t"}}',
        [ClientMessage(1, "tools/call", ClientParams("t", None, AnyObject()))],
    ),
    "task beside a wrong type": (
        b'{"id":1,"method":"tools/call","params":{"task":{"ttl":1},"taskId":5}}',
        [ClientMessage(1, "tools/call", ClientParams(None, None, AnyObject()))],
    ),
    "deep arguments": (b'{"params":{"x":%s},"id":1,"method":"m"}' % DEEP, [ClientMessage(1, "m", ClientParams())]),
    "deep arguments with NaN": (
        b'{"params":{"n":NaN,"x":%s},"id":1,"method":"m"}' % DEEP,
        [ClientMessage(1, "m", ClientParams())],
    ),
    "NaN after deep arguments": (
        b'{"params":{"x":%s,"n":-Infinity},"id":1,"method":"m"}' % DEEP,
        [ClientMessage(1, "m", ClientParams())],
    ),
    "batch": (
        b'[{"id":1,"method":"a"},{"id":true,"method":"b"},3,null,[{"id":4,"method":"d"}],{"id":5,"method":"e"}]',
        [ClientMessage(1, "a"), ClientMessage(None, "b"), ClientMessage(5, "e")],
    ),
    "deep batch": (b'[{"x":%s,"id":1,"method":"a"}]' % DEEP, [ClientMessage(1, "a")]),
    "empty batch": (b"[]", []),
    "blank": (b"", []),
    "only CR": (b"\r", []),
    "log": (b"INFO starting on port 80", []),
    "log in brackets": (b"[INFO] {starting}", []),
    "half a message": (b'{"id":1,"method":"tools/ca', []),
    "half a deep message": (b'{"id":1,"a":' + b"[" * 3_000, []),
    "two values": (b'{"id":1,"method":"m"}{"id":2,"method":"m"}', []),
    "a string": (b'"tools/call"', []),
    "NUL": (b'{"id":1,"method":"m"}\x00', []),
    "UTF-16": ('{"id":1}'.encode("utf-16"), []),
}


@pytest.mark.parametrize("case", CLIENT_LINES)
def test_a_client_line_is_read_for_what_it_is(case: str) -> None:
    line, expected = CLIENT_LINES[case]
    assert list(client_reader().read(line + b"\n")) == expected


SERVER_LINES: dict[str, tuple[bytes, list[ServerMessage]]] = {
    "success": (b'{"id":1,"result":{"content":[],"isError":false}}', [ServerMessage(1, result=Result(is_error=False))]),
    "tool error": (b'{"id":1,"result":{"isError":true}}', [ServerMessage(1, result=Result(is_error=True))]),
    "isError null": (b'{"id":1,"result":{"isError":null}}', [ServerMessage(1, result=Result())]),
    "isError a string": (b'{"id":1,"result":{"isError":"yes"}}', [ServerMessage(1, result=Result())]),
    "isError a number": (b'{"id":1,"result":{"isError":1}}', [ServerMessage(1, result=Result())]),
    "isError in the text": (
        b'{"id":1,"result":{"content":[{"text":"\\"isError\\": true"}],"structuredContent":{"isError":true}}}',
        [ServerMessage(1, result=Result())],
    ),
    "result null": (b'{"id":1,"result":null}', [ServerMessage(1, result=None)]),
    "result a string": (b'{"id":1,"result":"done"}', [ServerMessage(1, result=None)]),
    "result an array": (b'{"id":1,"result":[{"isError":true}]}', [ServerMessage(1, result=None)]),
    "no result": (b'{"id":1}', [ServerMessage(1, result=UNSET)]),
    "no result, badly": (b'{"id":1,"params":3}', [ServerMessage(1, result=UNSET)]),
    "error": (b'{"id":1,"error":{"code":-32600,"message":"m"}}', [ServerMessage(1, error=ErrorObject(-32600, "m"))]),
    "error with a message that is no text": (
        b'{"id":1,"error":{"code":-32042,"message":[1]}}',
        [ServerMessage(1, error=ErrorObject(-32042))],
    ),
    "error a string": (b'{"id":1,"error":"boom"}', [ServerMessage(1, error=ErrorObject())]),
    "error with a code of text": (b'{"id":1,"error":{"code":"E1"}}', [ServerMessage(1, error=ErrorObject())]),
    "error null": (b'{"id":1,"error":null,"result":{}}', [ServerMessage(1, result=Result())]),
    "error null, result a string": (b'{"id":1,"error":null,"result":"x"}', [ServerMessage(1, result=None)]),
    "error without id": (b'{"error":{"code":1}}', [ServerMessage(None, error=ErrorObject(1))]),
    "method null": (b'{"id":1,"method":null,"result":{}}', [ServerMessage(1, result=Result())]),
    "request": (b'{"id":1,"method":"ping"}', [ServerMessage(1, "ping")]),
    "method no string": (b'{"id":1,"method":[],"result":{}}', [ServerMessage(1, "", Result())]),
    "NaN": (
        b'{"id":1,"result":{"v":[NaN, -Infinity,Infinity],"isError":true}}',
        [ServerMessage(1, result=Result(is_error=True))],
    ),
    "deep": (b'{"id":1,"result":{"c":%s,"isError":true}}' % DEEP, [ServerMessage(1, result=Result(is_error=True))]),
    "half an emoji": (
        rb'{"id":"\ud83d\ude00","result":{"content":[{"text":"\ud83d"},{"text":"\uDE00 \ud83d"}],"isError":true}}',
        [ServerMessage("😀", result=Result(is_error=True))],
    ),
    "task of 2025-11-25": (
        b'{"id":1,"result":{"task":{"taskId":"t","status":"working"}}}',
        [ServerMessage(1, result=Result(task=Task("t", "working")))],
    ),
    "task of 2026-07-28": (
        b'{"id":1,"result":{"resultType":"task","taskId":"t","status":"working"}}',
        [ServerMessage(1, result=Result("t", "working", result_type="task"))],
    ),
    "polled task": (
        b'{"id":1,"result":{"resultType":"complete","taskId":"t","status":"completed","result":{"isError":true}}}',
        [ServerMessage(1, result=Result("t", "completed", CallResult(True), result_type="complete"))],
    ),
    "polled task beside a wrong type": (
        b'{"id":1,"result":{"taskId":5,"status":"completed","task":7,"result":{"isError":true}}}',
        [ServerMessage(1, result=Result(None, "completed", CallResult(True)))],
    ),
    "failed task told of": (
        b'{"method":"notifications/tasks","params":{"taskId":"t","status":"failed","error":{"code":5}}}',
        [ServerMessage(None, "notifications/tasks", params=Task("t", "failed", None, ErrorObject(5)))],
    ),
    "batch": (
        b'[{"id":1,"result":{}},{"id":2,"error":1}]',
        [ServerMessage(1, result=Result()), ServerMessage(2, error=ErrorObject())],
    ),
}


@pytest.mark.parametrize("case", SERVER_LINES)
def test_a_server_line_is_read_for_what_it_is(case: str) -> None:
    line, expected = SERVER_LINES[case]
    assert list(server_reader().read(line + b"\n")) == expected


def test_one_bad_line_in_a_block_hides_none_of_the_others() -> None:
    lines = [line for line, _ in SERVER_LINES.values()]
    expected = [message for _, messages in SERVER_LINES.values() for message in messages]
    assert list(server_reader().read(b"\n".join([*lines, b"WARN a log line", b"\r", b""]))) == expected


def test_a_message_spread_over_several_lines_is_none() -> None:
    assert list(server_reader().read(b'{"id":1,\n"result":{}}\n')) == []


def test_a_line_too_deep_and_too_long_to_flatten_is_unreadable_for_the_server_only() -> None:
    line = b'{"id":1,"x":' + b"[" * 100_000 + b" " * MEND_UP_TO + b"]" * 100_000 + b"}\n"
    assert server_reader().read(line)[0] is UNREADABLE
    assert list(client_reader().read(line)) == []


def test_the_deepest_line_that_is_flattened_takes_no_second() -> None:
    line = (b'{"":' * (MEND_UP_TO // 4))[:-2] + b"\n"
    start = time.perf_counter()
    assert list(server_reader().read(line)) == []
    assert time.perf_counter() - start < 5  # 0.2 s on an idle machine


@given(st.lists(st.binary(max_size=30) | st.sampled_from([line for line, _ in CLIENT_LINES.values()]), max_size=6))
def test_no_bytes_make_reading_raise(lines: list[bytes]) -> None:
    block = b"\n".join([*lines, b""])
    if block:
        client_reader().read(block)
        server_reader().read(block)


PLAIN: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["a", "", "completed"])
)
ODD: st.SearchStrategy[Any] = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["taskId", "status", "result", "error", "isError", "resultType", "task", "code", "requestId"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def text_of(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@given(members_=st.dictionaries(st.sampled_from(["id", "method", "params", "result", "error"]), ODD, max_size=5))
def test_every_member_is_read_for_itself_whatever_stands_in_the_others(members_: dict[str, Any]) -> None:
    line = json.dumps(members_).encode() + b"\n"
    (server,) = server_reader().read(line)
    (client,) = client_reader().read(line)
    method = members_.get("method")
    assert server.method == client.method == (None if method is None else method if isinstance(method, str) else "")
    id_ = members_.get("id")
    if isinstance(id_, str) or (isinstance(id_, int) and not isinstance(id_, bool)):
        assert server.id == client.id == id_
    assert (server.error is not None) == (members_.get("error") is not None)
    assert (server.result is UNSET) == ("result" not in members_)
    result = members_.get("result")
    assert isinstance(server.result, Result) == isinstance(result, dict)
    if isinstance(server.result, Result):
        seen = members(result)
        assert (server.result.is_error is True) == (seen.get("isError") is True)
        assert server.result.result_type == text_of(seen.get("resultType"))
        assert server.result.task_id == text_of(seen.get("taskId"))
        assert (server.result.task and server.result.task.task_id) == (
            text_of(members(seen["task"]).get("taskId")) if isinstance(seen.get("task"), dict) else None
        )
        assert bool(server.result.result and server.result.result.is_error) == (
            members(seen.get("result")).get("isError") is True
        )
    params = members(members_.get("params"))
    assert (client.params and client.params.task_id) == (text_of(params.get("taskId")) if client.params else None)
    assert bool(client.params and client.params.task) == isinstance(params.get("task"), dict)
