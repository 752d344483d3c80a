"""What telemetry reads of a message, and that nothing wrong in one member hides another or changes an outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from thv.core.message import UNREADABLE, client_reader, server_reader
from thv.core.message_details import CLIENT_INFO_KEY, PROTOCOL_VERSION_KEY, detailed_readers

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def request(capture: bool = False, **params: Any) -> Any:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode() + b"\n"
    (message,) = detailed_readers(capture=capture)[0].read(line)
    return message.params


def reply(line: bytes, capture: bool = False) -> Any:
    (message,) = detailed_readers(capture=capture)[1].read(line + b"\n")
    return message


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("wrong", [{}, {"taskId": 5}], ids=["strict", "loose"])
def test_what_telemetry_describes_is_read(wrong: dict[str, Any], *, capture: bool) -> None:
    params = request(
        capture,
        name="echo",
        uri="file:///x",
        protocolVersion="2025-06-18",
        clientInfo={"name": "c", "version": "1", "title": 5},
        arguments={"text": "hi"},
        _meta={
            "traceparent": TRACEPARENT,
            "tracestate": "a=b",
            PROTOCOL_VERSION_KEY: "2026-07-28",
            CLIENT_INFO_KEY: {"name": "d"},
        },
        **wrong,
    )
    assert (params.name, params.uri, params.protocol_version) == ("echo", "file:///x", "2025-06-18")
    assert (params.client_info.name, params.client_info.version) == ("c", "1")
    assert (params.meta.traceparent, params.meta.tracestate) == (TRACEPARENT, "a=b")
    assert (params.meta.protocol_version, params.meta.client_info.name) == ("2026-07-28", "d")
    assert params.arguments is None if not capture else bytes(params.arguments) == b'{"text": "hi"}'


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


@pytest.mark.parametrize("capture", [False, True])
@pytest.mark.parametrize("wrong", [b"", b',"taskId":5'], ids=["strict", "loose"])
def test_a_reply_is_read(wrong: bytes, *, capture: bool) -> None:
    message = reply(
        b'{"id":1,"result":{"protocolVersion":"2025-06-18","isError":true,"content":[1]%b}}' % wrong, capture
    )
    assert (message.result.protocol_version, message.result.is_error) == ("2025-06-18", True)
    assert message.result.content is None if not capture else bytes(message.result.content) == b"[1]"


@pytest.mark.parametrize("capture", [False, True])
def test_replies_without_a_result_object_are_read(*, capture: bool) -> None:
    assert reply(b'{"id":1,"error":{"code":-32602}}', capture).error.code == -32602
    assert reply(b'{"id":1,"error":{"code":"x"}}', capture).result is UNSET
    assert reply(b'{"id":1,"result":"text"}', capture).result is None
    assert reply(b'{"id":1,"result":null}', capture).result is None
    assert reply(b"[" * 3_000_000, capture) is UNREADABLE


NAMES = (
    *("id", "method", "params", "result", "error", "code", "isError", "task", "taskId", "name", "uri", "_meta"),
    *("traceparent", "content", "arguments", "protocolVersion", "clientInfo", PROTOCOL_VERSION_KEY),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def same(ours: Any, detailed: Any, *names: str) -> bool:
    """Whether the ledger reads the same of both."""
    if not ours or not detailed:
        return ours is detailed
    return all(getattr(ours, name) == getattr(detailed, name) for name in names)


@given(JSON, st.booleans())
def test_detail_changes_nothing_of_what_the_ledger_reads(value: Any, capture: bool) -> None:
    line = json.dumps(value).encode() + b"\n"
    client, server = detailed_readers(capture=capture)
    asked, also_asked = client_reader().read(line), client.read(line)
    for ours, detailed in zip(asked, also_asked, strict=True):
        assert same(ours, detailed, "id", "method")
        assert same(ours.params, detailed.params, "task_id", "request_id", "task")
    answered, also_answered = server_reader().read(line), server.read(line)
    for reply_, detailed_reply in zip(answered, also_answered, strict=True):
        assert same(reply_, detailed_reply, "id", "method", "error", "params")
        one, two = reply_.result, detailed_reply.result
        assert same(one, two, "task_id", "status", "result", "error", "is_error", "result_type", "task")


def test_no_line_is_kept_by_what_is_read_without_capture() -> None:
    text = b"x" * 100_000
    (message,) = detailed_readers(capture=False)[0].read(
        b'{"id":1,"method":"tools/call","params":{"name":"e","arguments":"%b"}}\n' % text
    )
    assert not any(isinstance(getattr(message.params, name), Raw) for name in ("name", "uri", "arguments", "meta"))
