"""Whatever a line holds, the members that decide an outcome are read from it, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from tests.decodes import counted_tokens
from thv.core.json_repair import FLATTEN_UP_TO, flatten
from thv.core.message import (
    CLIENT_INFO_KEY,
    PROTOCOL_VERSION_KEY,
    UNREADABLE,
    AnyObject,
    CallResult,
    ErrorObject,
    Message,
    Params,
    Result,
    Task,
    decode_lines,
    read_line,
    read_message,
    read_parts,
    read_sized_line,
    split_batch,
)


def read_lines(block: bytes) -> list[Message]:
    """What is read of the lines of a block, one by one."""
    return [message for line in block.split(b"\n")[:-1] for message in read_line(line)]


DEEP = b'{"a":[' * 3_000 + b"1" + b"]}" * 3_000

CLIENT_LINES: dict[str, tuple[bytes, list[Message]]] = {
    "call": (
        b'{"id":1,"method":"tools/call","params":{"name":"x"}}',
        [Message(1, "tools/call", Params(name="x"))],
    ),
    "string id": (b'{"id":"1","method":"m"}', [Message("1", "m")]),
    "huge id": (b'{"id":%d,"method":"m"}' % 10**30, [Message(10**30, "m")]),
    "last duplicate wins": (b'{"id":1,"id":2,"method":"m"}', [Message(2, "m")]),
    "escaped member name": (b'{"\\u0069d":3,"method":"m"}', [Message(3, "m")]),
    "CRLF": (b'{"id":1,"method":"m"}\r', [Message(1, "m")]),
    "blanks around": (b' \t{"id":1,"method":"m"} ', [Message(1, "m")]),
    "byte order mark": (b'\xef\xbb\xbf{"id":1,"method":"m"}', [Message(1, "m")]),
    "params is an array": (b'{"id":1,"method":"tools/call","params":[1]}', [Message(1, "tools/call")]),
    "params is null": (b'{"id":1,"method":"m","params":null}', [Message(1, "m")]),
    "method is no string": (b'{"id":1,"method":5}', [Message(1, "")]),
    "method is null": (b'{"id":1,"method":null}', [Message(1, None)]),
    "id is null": (b'{"id":null,"method":"m"}', [Message(None, "m")]),
    "id is true": (b'{"id":true,"method":"m"}', [Message(None, "m")]),
    "id is an object": (b'{"id":{"a":1},"method":"m"}', [Message(None, "m")]),
    "id overflows": (b'{"id":1e400,"method":"m"}', [Message(float("inf"), "m")]),
    "id is NaN": (b'{"method":"m","id":"a","x":[NaN]}', [Message("a", "m")]),
    "id of 5000 digits": (b'{"id":%s,"method":"m"}' % (b"9" * 5_000), [Message(float("inf"), "m")]),
    "invalid UTF-8 in an argument": (
        b'{"id":1,"method":"m","params":{"a":"\xff"}}',
        [Message(1, "m", Params())],
    ),
    "invalid UTF-8 in the id": (b'{"id":"\xff","method":"m"}', [Message(None, "m")]),
    "lone surrogate in the id": (b'{"id":"\\ud800","method":"m"}', [Message("\ufffd", "m")]),
    "a member of params has a wrong type": (
        b'{"method":"notifications/cancelled","params":{"requestId":7,"taskId":5,"task":"t"}}',
        [Message(UNSET, "notifications/cancelled", Params(request_id=7))],
    ),
    "task": (
        b'{"id":1,"method":"tools/call","params":{"task":{"ttl":1},"taskId":"t"}}',
        [Message(1, "tools/call", Params(task_id="t", task=AnyObject()))],
    ),
    "task beside a wrong type": (
        b'{"id":1,"method":"tools/call","params":{"task":{"ttl":1},"taskId":5}}',
        [Message(1, "tools/call", Params(task=AnyObject()))],
    ),
    "deep arguments": (b'{"params":{"x":%s},"id":1,"method":"m"}' % DEEP, [Message(1, "m", Params())]),
    "deep arguments with NaN": (
        b'{"params":{"n":NaN,"x":%s},"id":1,"method":"m"}' % DEEP,
        [Message(1, "m", Params())],
    ),
    "NaN after deep arguments": (
        b'{"params":{"x":%s,"n":-Infinity},"id":1,"method":"m"}' % DEEP,
        [Message(1, "m", Params())],
    ),
    "batch": (
        b'[{"id":1,"method":"a"},{"id":true,"method":"b"},3,null,[{"id":4,"method":"d"}],{"id":5,"method":"e"}]',
        [Message(1, "a"), Message(None, "b"), Message(5, "e")],
    ),
    "deep batch": (b'[{"x":%s,"id":1,"method":"a"}]' % DEEP, [Message(1, "a")]),
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
    assert list(read_lines(line + b"\n")) == expected


SERVER_LINES: dict[str, tuple[bytes, list[Message]]] = {
    "success": (
        b'{"id":1,"result":{"content":[],"isError":false}}',
        [Message(1, result=Result(Raw(b"[]"), is_error=False))],
    ),
    "tool error": (b'{"id":1,"result":{"isError":true}}', [Message(1, result=Result(is_error=True))]),
    "isError null": (b'{"id":1,"result":{"isError":null}}', [Message(1, result=Result())]),
    "isError a string": (b'{"id":1,"result":{"isError":"yes"}}', [Message(1, result=Result())]),
    "isError a number": (b'{"id":1,"result":{"isError":1}}', [Message(1, result=Result())]),
    "isError in the text": (
        b'{"id":1,"result":{"content":[{"text":"\\"isError\\": true"}],"structuredContent":{"isError":true}}}',
        [Message(1, result=Result(Raw(b'[{"text":"\\"isError\\": true"}]')))],
    ),
    "result null": (b'{"id":1,"result":null}', [Message(1, result=None)]),
    "result a string": (b'{"id":1,"result":"done"}', [Message(1, result=None)]),
    "result an array": (b'{"id":1,"result":[{"isError":true}]}', [Message(1, result=None)]),
    "no result": (b'{"id":1}', [Message(1, result=UNSET)]),
    "no result, badly": (b'{"id":1,"params":3}', [Message(1, result=UNSET)]),
    "error": (b'{"id":1,"error":{"code":-32600,"message":"m"}}', [Message(1, error=ErrorObject(-32600, "m"))]),
    "error with a message that is no text": (
        b'{"id":1,"error":{"code":-32042,"message":[1]}}',
        [Message(1, error=ErrorObject(-32042))],
    ),
    "error a string": (b'{"id":1,"error":"boom"}', [Message(1, error=ErrorObject())]),
    "error with a code of text": (b'{"id":1,"error":{"code":"E1"}}', [Message(1, error=ErrorObject())]),
    "error null": (b'{"id":1,"error":null,"result":{}}', [Message(1, result=Result())]),
    "error null, result a string": (b'{"id":1,"error":null,"result":"x"}', [Message(1, result=None)]),
    "error without id": (b'{"error":{"code":1}}', [Message(error=ErrorObject(1))]),
    "method null": (b'{"id":1,"method":null,"result":{}}', [Message(1, result=Result())]),
    "request": (b'{"id":1,"method":"ping"}', [Message(1, "ping")]),
    "method no string": (b'{"id":1,"method":[],"result":{}}', [Message(1, "", result=Result())]),
    "NaN": (
        b'{"id":1,"result":{"v":[NaN, -Infinity,Infinity],"isError":true}}',
        [Message(1, result=Result(is_error=True))],
    ),
    "deep": (b'{"id":1,"result":{"c":%s,"isError":true}}' % DEEP, [Message(1, result=Result(is_error=True))]),
    "half an emoji": (
        rb'{"id":"\ud83d\ude00","result":{"content":[{"text":"\ud83d"},{"text":"\uDE00 \ud83d"}],"isError":true}}',
        [Message("😀", result=Result(Raw(rb'[{"text":"\ufffd"},{"text":"\ufffd \ufffd"}]'), is_error=True))],
    ),
    "task of 2025-11-25": (
        b'{"id":1,"result":{"task":{"taskId":"t","status":"working"}}}',
        [Message(1, result=Result(task=Task("t", "working")))],
    ),
    "task of 2026-07-28": (
        b'{"id":1,"result":{"resultType":"task","taskId":"t","status":"working"}}',
        [Message(1, result=Result(task_id="t", status="working", result_type="task"))],
    ),
    "polled task": (
        b'{"id":1,"result":{"resultType":"complete","taskId":"t","status":"completed","result":{"isError":true}}}',
        [Message(1, result=Result(task_id="t", status="completed", result=CallResult(True), result_type="complete"))],
    ),
    "polled task beside a wrong type": (
        b'{"id":1,"result":{"taskId":5,"status":"completed","task":7,"result":{"isError":true}}}',
        [Message(1, result=Result(status="completed", result=CallResult(True)))],
    ),
    "failed task told of": (
        b'{"method":"notifications/tasks","params":{"taskId":"t","status":"failed","error":{"code":5}}}',
        [Message(UNSET, "notifications/tasks", Params(task_id="t", status="failed", error=ErrorObject(5)))],
    ),
    "batch": (
        b'[{"id":1,"result":{}},{"id":2,"error":1}]',
        [Message(1, result=Result()), Message(2, error=ErrorObject())],
    ),
}


@pytest.mark.parametrize("case", SERVER_LINES)
def test_a_server_line_is_read_for_what_it_is(case: str) -> None:
    line, expected = SERVER_LINES[case]
    assert list(read_lines(line + b"\n")) == expected


def test_one_bad_line_in_a_block_hides_none_of_the_others() -> None:
    lines = [line for line, _ in SERVER_LINES.values()]
    expected = [message for _, messages in SERVER_LINES.values() for message in messages]
    assert list(read_lines(b"\n".join([*lines, b"WARN a log line", b"\r", b""]))) == expected


def test_a_message_spread_over_several_lines_is_none() -> None:
    assert list(read_lines(b'{"id":1,\n"result":{}}\n')) == []


def test_a_line_too_deep_and_too_long_to_flatten_is_unreadable() -> None:
    line = b'{"id":1,"x":' + b"[" * 100_000 + b" " * FLATTEN_UP_TO + b"]" * 100_000 + b"}\n"
    assert read_lines(line)[0] is UNREADABLE
    assert read_message(line) is None


def test_the_deepest_line_that_is_flattened_takes_few_steps_and_is_nothing_if_it_is_no_json() -> None:
    line = (b'{"":' * (FLATTEN_UP_TO // 4))[:-2] + b"\n"
    with counted_tokens() as count:
        assert list(read_lines(line)) == []
    assert 0 < count.looked <= 10
    assert flatten(line) == b'{"":' * 5 + b"{"


@given(st.lists(st.binary(max_size=30) | st.sampled_from([line for line, _ in CLIENT_LINES.values()]), max_size=6))
def test_no_bytes_make_reading_raise(lines: list[bytes]) -> None:
    block = b"\n".join([*lines, b""])
    try:
        messages, sizes = decode_lines(block)
    except (ValueError, RecursionError):
        pass
    else:
        assert list(messages) == read_lines(block)
        assert list(sizes) == [len(line) + 1 for line in lines]
    for line in lines:
        read_parts(line)


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
    (server,) = (client,) = read_lines(line)
    method = members_.get("method")
    assert server.method == (None if method is None else method if isinstance(method, str) else "")
    id_ = members_.get("id")
    if isinstance(id_, str) or (isinstance(id_, int) and not isinstance(id_, bool)):
        assert server.id == id_
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


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def request(**params: Any) -> Any:
    (message,) = read_line(json.dumps({"id": 1, "method": "tools/call", "params": params}).encode())
    return message.params


def reply(line: bytes) -> Any:
    (message,) = read_line(line)
    return message


@pytest.mark.parametrize("wrong", [{}, {"taskId": 5}], ids=["strict", "loose"])
def test_what_describes_a_request_is_read(wrong: dict[str, Any]) -> None:
    params = request(
        name="echo",
        uri="file:///x",
        protocolVersion="2025-06-18",
        clientInfo={"name": "c", "version": "1", "title": 5},
        arguments={"text": "hi"},
        cursor="next",
        progressToken=7,
        _meta={
            "traceparent": TRACEPARENT,
            "progressToken": "p",
            "tracestate": "a=b",
            PROTOCOL_VERSION_KEY: "2026-07-28",
            CLIENT_INFO_KEY: {"name": "d"},
        },
        **wrong,
    )
    assert (params.name, params.uri, params.protocol_version) == ("echo", "file:///x", "2025-06-18")
    assert (params.cursor, params.progress_token, params.meta.progress_token) == ("next", 7, "p")
    assert (params.client_info.name, params.client_info.version) == ("c", "1")
    assert (params.meta.traceparent, params.meta.tracestate) == (TRACEPARENT, "a=b")
    assert (params.meta.protocol_version, params.meta.client_info.name) == ("2026-07-28", "d")
    assert bytes(params.arguments) == b'{"text": "hi"}'


WRONG_TYPES: list[dict[str, Any]] = [
    {"_meta": 5},
    {"_meta": {"traceparent": 5}},
    {"_meta": {CLIENT_INFO_KEY: "me"}},
    {"_meta": {CLIENT_INFO_KEY: {"name": ["me"]}}},
    {"clientInfo": [1]},
    {"uri": {}},
    {"protocolVersion": 2},
    {"_meta": {"progressToken": float("nan")}},
]


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=json.dumps)
def test_a_wrong_type_hides_nothing_else(wrong: dict[str, Any]) -> None:
    assert request(name="echo", **wrong).name == "echo"


def test_a_wrong_type_in_meta_hides_nothing_else_in_meta() -> None:
    meta = request(
        _meta={"traceparent": TRACEPARENT, "tracestate": 7, CLIENT_INFO_KEY: {"name": "x", "version": 2}}
    ).meta
    assert (meta.traceparent, meta.tracestate, meta.client_info.name, meta.client_info.version) == (
        TRACEPARENT,
        None,
        "x",
        None,
    )


@pytest.mark.parametrize("wrong", [b"", b',"taskId":5'], ids=["strict", "loose"])
def test_a_reply_is_read(wrong: bytes) -> None:
    message = reply(b'{"id":1,"result":{"protocolVersion":"2025-06-18","isError":true,"content":[1]%b}}' % wrong)
    assert (message.result.protocol_version, message.result.is_error) == ("2025-06-18", True)
    assert bytes(message.result.content) == b"[1]"


def test_replies_without_a_result_object_are_read() -> None:
    assert reply(b'{"id":1,"error":{"code":-32602}}').error.code == -32602
    assert reply(b'{"id":1,"error":{"code":"x"}}').result is UNSET
    assert reply(b'{"id":1,"result":"text"}').result is None
    assert reply(b'{"id":1,"result":null}').result is None
    assert reply(b"[" * 3_000_000) is UNREADABLE


def test_an_absent_raw_member_is_false() -> None:
    assert not request(name="x").arguments
    assert not reply(b'{"id":1,"result":{}}').result.content


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
    message = read_message(line)
    assert message is not None
    assert (message.is_request, message.is_response) == (request_, response)


@pytest.mark.parametrize(
    "text", [b"", b"x", b"[]", b"1", b"null", b'"text"', b'{"id":1', b'{"id":1} 2', b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_object_is_none(text: bytes) -> None:
    assert read_message(text) is None


BATCHES: dict[str, tuple[bytes, list[bytes] | None]] = {
    "plain": (b'[{"id":1}, 3 ,{"id":2}]', [b'{"id":1}', b"3", b'{"id":2}']),
    "with NaN": (b'[{"a":NaN},{"b":-Infinity, "c":"NaN"}]', [b'{"a":NaN}', b'{"b":-Infinity, "c":"NaN"}']),
    "with half a pair": (b'[{"a":"\\ud800"},{"b":NaN}]', [b'{"a":"\\ud800"}', b'{"b":NaN}']),
    "large, with NaN": (b'[{"a":"%b"},{"b":NaN}]' % (b"NaN" * 9_000), [b'{"a":"%b"}' % (b"NaN" * 9_000), b'{"b":NaN}']),
    "no array": (b'{"id":1}', None),
    "no JSON": (b"[INFO] up", None),
    "too deep": (b"[" * 100_000 + b"]" * 100_000, None),
}


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_is_split_byte_for_byte(case: str) -> None:
    text, expected = BATCHES[case]
    assert split_batch(text) == expected


def test_each_message_comes_with_its_own_bytes() -> None:
    single = b'{"id":1,"method":"a","x":NaN}\n'
    assert read_parts(single) == [(single, Message(1, "a"))]
    assert read_parts(b' [{"id":1,"method":"a","x":NaN}, 3, {"method":"b"}]\n') == [
        (b'{"id":1,"method":"a","x":NaN}', Message(1, "a")),
        (b'{"method":"b"}', Message(UNSET, "b")),
    ]
    assert read_parts(b"INFO\n") == []


def test_a_batch_shares_its_size_and_stray_lines_are_named() -> None:
    strays: list[bytes | bytearray] = []
    lines = [b'{"id":1,"method":"abc"}', b"INFO up", b"\r", b'[{"id":2,"method":"a"},{"id":3,"method":"b"}]']
    read = [zip(*read_sized_line(line), strict=True) for line in lines]
    assert [(message.id, size) for found in read for message, size in found] == [(1, 23), (2, 22), (3, 22)]
    for line in lines:
        read_line(line, strays.append)
    assert strays == [b"INFO up"]
