"""Arguments that tools want repeated as headers: learned, sent, compared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from thv.core.jsonrpc import decode_header, encode_header
from thv.http.tool_headers import SAFE_INTEGER, ToolHeaders, without_tools


def listed(*schemas: Any) -> bytes:
    tools = [{"name": f"t{number}", "inputSchema": schema} for number, schema in enumerate(schemas)]
    return json.dumps(tools).encode()


def annotated(kind: str = "string", name: Any = "Region") -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": name}


def raw(arguments: Any) -> Raw:
    return Raw(json.dumps(arguments).encode())


NESTED = {
    "properties": {
        "region": annotated(),
        "inner": {"type": "object", "properties": {"count": annotated("integer", "Count")}},
        "dry": annotated("boolean", "Dry-Run"),
        "default": {"type": "object", "default": {"x-mcp-header": "data, not an annotation"}},
    }
}


def tools_of(*schemas: Any) -> ToolHeaders:
    tools = ToolHeaders()
    assert tools.learn(listed(*schemas)) == []
    return tools


def test_annotated_arguments_become_headers_and_absent_ones_do_not() -> None:
    tools = tools_of(NESTED)
    arguments = raw({"region": "us w\u00e9st", "inner": {"count": 7}, "dry": False, "other": 1})
    assert tools.headers_of("t0", arguments) == {
        "Mcp-Param-Region": "=?base64?dXMgd8Opc3Q=?=",
        "Mcp-Param-Count": "7",
        "Mcp-Param-Dry-Run": "false",
    }
    assert tools.headers_of("t0", raw({"region": None, "inner": 3})) == {}
    assert tools.headers_of("t0", raw({"inner": {"count": SAFE_INTEGER + 1}})) == {}
    assert tools.headers_of("unknown", arguments) == tools.headers_of(None, arguments) == {}
    assert tools.headers_of("t0", Raw(b"oops")) == {}


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("Hello", b"Hello"),
        ("Hello", b"=?base64?SGVsbG8=?="),
        ("=?base64?SGVsbG8=", b"=?base64?SGVsbG8="),
        ("", b""),
        (42, b"42"),
        (42, b"42.0"),
        (42, b"=?base64?NDI=?="),
        (True, b"true"),
        (None, None),
        (SAFE_INTEGER + 1, None),
    ],
)
def test_a_header_that_says_what_the_body_says_agrees(value: Any, header: bytes | None) -> None:
    kind = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "string"
    headers = {} if header is None else {b"mcp-param-region": header}
    assert tools_of({"properties": {"a": annotated(kind)}}).mismatch("t0", raw({"a": value}), headers) is None


@pytest.mark.parametrize(
    ("value", "header", "problem"),
    [
        ("Hello", None, "is missing"),
        ("Hello", b"hello", "does not match the body"),
        ("Hello", b"=?base64?SGVsbG8?=", "is not valid base64"),
        ("Hello", b"=?base64?SGVs!!!bG8=?=", "is not valid base64"),
        ("Hello", b"=?base64?SGVsbG9=?=", "is not valid base64"),
        ("Hello", b"Hello, Hello", "does not match the body"),
        (None, b"x", "stands for an argument that is not in the body"),
        (42, b"43", "does not match the body"),
        (42, b"4_2", "does not match the body"),
        (True, b"True", "does not match the body"),
        (True, b"1", "does not match the body"),
    ],
)
def test_a_header_that_says_something_else_is_named(value: Any, header: bytes | None, problem: str) -> None:
    kind = "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "string"
    headers = {} if header is None else {b"mcp-param-region": header}
    found = tools_of({"properties": {"a": annotated(kind)}}).mismatch("t0", raw({"a": value}), headers)
    assert found == f"Mcp-Param-Region {problem}"


INVALID = {
    "on the root": {"x-mcp-header": "A"},
    "not a token": {"properties": {"a": annotated(name="a b")}},
    "a line end": {"properties": {"a": annotated(name="a\r\nb")}},
    "empty": {"properties": {"a": annotated(name="")}},
    "not a string": {"properties": {"a": annotated(name=7)}},
    "null": {"properties": {"a": annotated(name=None)}},
    "on a number": {"properties": {"a": annotated("number")}},
    "on an object": {"properties": {"a": annotated("object")}},
    "on several types": {"properties": {"a": {"type": ["string", "null"], "x-mcp-header": "A"}}},
    "twice": {"properties": {name: annotated(name=name.upper()) for name in "aA"}},
    "in an array": {"properties": {"a": {"type": "array", "items": annotated()}}},
    "in one of several": {"anyOf": [{"properties": {"a": annotated()}}]},
    "in a definition": {"$defs": {"a": annotated()}},
    "in a condition": {"if": {"properties": {"a": annotated()}}},
    "behind additionalProperties": {"properties": {"o": {"additionalProperties": annotated()}}},
}


@pytest.mark.parametrize("case", INVALID)
def test_a_tool_whose_annotations_break_the_rules_is_named_and_gets_no_headers(case: str) -> None:
    tools = ToolHeaders()
    assert tools.learn(listed(NESTED, INVALID[case])) == ["t1"]
    assert tools.headers_of("t1", raw({"a": "1", "A": "2"})) == {}
    assert tools.mismatch("t1", raw({"a": "1"}), {}) is None
    assert tools.wants_headers("t0")


def test_a_list_loses_the_tools_that_are_named_and_keeps_the_bytes_of_the_others() -> None:
    line = (
        b'{"jsonrpc": "2.0","id" : 1,"result":{"tools":[{"name":"bad"}, {"name" :"good", "x":1.50}],"nextCursor":"c"}}'
    )
    assert without_tools(line, ["bad"]) == (
        b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name" :"good", "x":1.50}],"nextCursor":"c"}}'
    )
    assert without_tools(b"oops", ["bad"]) == b"oops"


def test_a_tool_that_is_listed_anew_without_annotations_loses_its_headers() -> None:
    tools = tools_of(NESTED)
    assert tools.learn(listed({"properties": {"region": {"type": "string"}}})) == []
    assert tools.headers_of("t0", raw({"region": "x"})) == {}
    assert tools.knows("t0")
    tools.forget()
    assert not tools.knows("t0")


@given(st.text())
def test_an_encoded_value_is_safe_and_can_be_read_again(text: str) -> None:
    value = encode_header(text)
    assert all(" " <= character <= "~" for character in value)
    assert value == value.strip()
    assert decode_header(value) == text


@given(
    st.binary()
    | st.recursive(
        st.none() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["result", "tools", "name", "inputSchema", "properties", "x-mcp-header", "items", ""]),
                x,
            )
        ),
    ).map(lambda x: json.dumps(x).encode())
)
def test_learning_never_raises(line: bytes) -> None:
    """Fails where learning raises."""
    ToolHeaders().learn(line)
