"""KEY=VALUE becomes what the tool's schema takes there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.cli import mcp_arguments
from thv.cli.mcp_arguments import schema_types, split_word
from thv.errors import ThvError


def tool_arguments(words: list[str], schema: dict[str, Any], base: dict[str, Any] | None = None) -> dict[str, Any]:
    return mcp_arguments.tool_arguments(map(split_word, words), schema, base)


DEFS = {
    "$defs": {
        "color": {"enum": ["red", 7]},
        "a/b~c": {"type": "boolean"},
        "loop": {"$ref": "#/$defs/loop"},
        "tree": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/tree"}}, {"type": "number"}]},
    }
}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, "true", "true"),
        ({"type": "string"}, "", ""),
        ({"type": "string"}, '"quoted"', '"quoted"'),
        ({"type": "string"}, "a=b=c", "a=b=c"),
        ({"type": "number"}, "5", 5),
        ({"type": "number"}, "-2.5e3", -2500.0),
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, "5.0", 5),
        ({"type": "boolean"}, "false", False),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "object"}, '{"a": null}', {"a": None}),
        ({"type": "null"}, "null", None),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["string", "integer"]}, "5", 5),
        ({"type": ["string", "integer"]}, "5.5", "5.5"),
        ({"type": ["string", "integer"]}, "five", "five"),
        ({"type": ["string", "null"]}, '"x"', '"x"'),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"oneOf": [{"type": "string"}, {"type": "array"}]}, "[]", []),
        ({"allOf": [{"type": "string"}]}, "5", "5"),
        ({"enum": ["a", "b"]}, "a", "a"),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": True}, "true", True),
        ({"$ref": "#/$defs/color"}, "7", 7),
        ({"$ref": "#/$defs/color"}, "red", "red"),
        ({"$ref": "#/$defs/a~1b~0c"}, "true", True),
        ({"$ref": "#/$defs/loop"}, "5", 5),
        ({"$ref": "#/$defs/tree"}, "[[1]]", [[1]]),
        ({"$ref": "#/$defs/missing"}, "5", 5),
        ({"$ref": "https://example.com/s"}, "five", "five"),
        ({"type": "unheard-of"}, "5", 5),
        ({"type": 7}, "5", 5),
        ({}, "5", 5),
        ({}, "five", "five"),
        ({}, "NaN", "NaN"),
        ({}, "[" * 100_000, "[" * 100_000),
        (True, "5", 5),
        (None, "{}", {}),
    ],
)
def test_a_text_is_read_as_the_type_the_schema_takes(schema: Any, text: str, value: Any) -> None:
    got = tool_arguments([f"k={text}"], {"properties": {"k": schema}, **DEFS})["k"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("schema", "text", "wanted"),
    [
        ({"type": "number"}, "five", "a number"),
        ({"type": "number"}, "true", "a number"),
        ({"type": "number"}, "NaN", "a number"),
        ({"type": "integer"}, "5.5", "an integer"),
        ({"type": "integer"}, "1e999", "an integer"),
        ({"type": "boolean"}, "yes", "true or false"),
        ({"type": "boolean"}, "1", "true or false"),
        ({"type": "array"}, "a,b", "a JSON array"),
        ({"type": "object"}, "[]", "a JSON object"),
        ({"type": ["integer", "null"]}, "x", "an integer or null"),
    ],
)
def test_a_text_of_another_type_is_refused_with_what_the_tool_takes(schema: Any, text: str, wanted: str) -> None:
    with pytest.raises(ThvError, match=f"the tool takes {wanted} there") as caught:
        tool_arguments([f"k={text}"], {"properties": {"k": schema}})
    assert str(caught.value).startswith(f"k={text}: ")


def test_words_win_over_the_json_and_the_later_word_over_the_earlier() -> None:
    base = {"a": 0, "b": 0}
    assert tool_arguments(["a=1", "a=2"], {}, base) == {"a": 2, "b": 0}
    assert base == {"a": 0, "b": 0}


@pytest.mark.parametrize("schema", [{}, {"properties": []}, {"properties": None}, {"properties": {"other": {}}}])
def test_a_key_the_schema_does_not_know_is_left_to_the_server(schema: Any) -> None:
    assert tool_arguments(["k=5", "t=x"], schema) == {"k": 5, "t": "x"}


@pytest.mark.parametrize("word", ["", "a", "=1", "--flag"])
def test_a_word_that_is_no_assignment_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not KEY=VALUE"):
        split_word(word)


@given(st.text())
def test_any_text_is_itself_where_a_text_is_taken(text: str) -> None:
    assert tool_arguments([f"k={text}"], {"properties": {"k": {"type": "string"}}}) == {"k": text}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_any_json_is_itself_where_anything_is_taken(value: Any) -> None:
    assert tool_arguments([f"k={json.dumps(value)}"], {}) == {"k": value}


SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["string", "integer", "#/x", "#/"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "x", "properties", "k"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(schema=SCHEMAS, text=st.text())
def test_no_schema_however_broken_does_harm(schema: Any, text: str) -> None:
    root = schema if isinstance(schema, dict) else {}
    assert isinstance(schema_types(schema, root), frozenset)
    try:
        tool_arguments([f"k={text}"], root)
    except ThvError:
        return
