"""The reader of plain YAML agrees with the real one wherever it answers at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thv.config.yaml import plain_reader, tree
from thv.errors import ConfigError

ANSWERED = [
    ("", []),
    ("# only words\n\n", []),
    ("otel:\n", [(("otel",), "", 1)]),
    ("otel:\n  a: no # why\n\n  b:   1.5\nc: http://x:1/y\n", None),
    ("otel:\r\n  usage-analytics-enabled: off\r\n", None),
    ("a:\n    b:\n      c: d\n    e: f\ng: h i\n", None),
]

DECLINED = [
    "\ufeffa: 1\n",
    "a: 'quoted'\n",
    "a: &anchor 1\n",
    "a: *alias\n",
    "<<: x\n",
    "a: {b: 1}\n",
    "a:\n- 1\n",
    "a: |\n  text\n",
    "a: !!str b\n",
    "a: b: c\n",
    "a: b:\n",
    "a: 1\na: 2\n",
    "otel:\n  k: 1\n  k: 2\n",
    "a: 1\n  b: 2\n",
    "a:\n    b: 1\n  c: 2\n",
    " a: 1\n",
    "a:\n\tb: 1\n",
    "a: 1\t# c\n",
    "a: word\n  continued\n",
    "---\na: 1\n",
    "a: 1\n...\n",
    "%YAML 1.1\n---\na: 1\n",
    "? a\n: b\n",
    "a: 1\rb: 2\n",
    "a: é\n",
    "a:1\n",
    "just words\n",
    "a#b: 1\n",
    "a: b#c\n",
    "a: -\n",
    "a: ~\n",
    "a: 1\x00\n",
    "a: 1\x85b: 2\n",
    "".join(f"{'  ' * depth}k{depth}:\n" for depth in range(200)),
    f"{'k' * 2000}: 1\n",
]


def by_the_real_parser(text: str) -> plain_reader.Entries:
    found: plain_reader.Entries = []

    def visit(node: tree.Node, keys: tuple[str, ...]) -> None:
        assert isinstance(node, tree.Mapping)
        for entry in node.entries:
            assert isinstance(entry.key, tree.Scalar)
            inner = (*keys, entry.key.value)
            value = entry.value.value if isinstance(entry.value, tree.Scalar) else ""
            found.append((inner, value, entry.key.line))
            if isinstance(entry.value, tree.Mapping):
                visit(entry.value, inner)

    documents = tree.parse(text, "f")
    assert len(documents) <= 1
    if documents:
        visit(documents[0].root, ())
    return found


@pytest.mark.parametrize(("text", "expected"), ANSWERED)
def test_plain_files_are_answered_as_the_real_parser_would(text: str, expected: plain_reader.Entries | None) -> None:
    answer = plain_reader.entries(text)
    assert answer is not None
    assert answer == by_the_real_parser(text)
    assert expected is None or answer == expected


@pytest.mark.parametrize("text", DECLINED)
def test_whatever_is_beyond_plain_is_declined(text: str) -> None:
    assert plain_reader.entries(text) is None


PIECES = st.sampled_from(
    [
        *("otel:", "usage-analytics-enabled:", "a:", "b: ", "c", "null:", "y: ", "1: "),
        *(" ", "  ", "    ", "\n", "\n", "\n  ", "\n    ", "\r\n", "\t", "\r"),
        *("true", "no", "1.5", "x:1", "http://h:1/p", "a b", "1, 2", "a@b", "a :b", "::"),
        *("# note", " # note", "#", "-", "- ", "---", "...", "{", "}", "[", "]", ",", "&a ", "*a", "!t ", "|", ">"),
        *("'", '"', "?", "? ", ":", ": ", "%", "@", "`", "~", "<<: ", "é", "\ufeff", "\x85", "\u2028", "\x00"),
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_an_answer_is_never_other_than_the_real_parsers(text: str) -> None:
    answer = plain_reader.entries(text)
    if answer is None:
        return
    assert answer == by_the_real_parser(text)


LINES = st.builds(
    lambda indent, key, value, comment: " " * indent + key + ":" + value + comment,
    st.sampled_from([0, 0, 1, 2, 2, 2, 4, 4, 6]),
    st.sampled_from(["otel", "usage-analytics-enabled", "a", "b-c", "d.e", "on"]),
    st.sampled_from(["", "", "", " true", "  off", " x y", " a:b", " 1,2", " ::"]),
    st.sampled_from(["", "", " ", " # why", "  #"]),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(LINES, max_size=8), st.sampled_from(["\n", "\r\n", "\n\n", "\n# between\n", "\n   # between\n"]))
def test_files_of_plain_lines_are_answered_rightly_or_declined(lines: list[str], newline: str) -> None:
    text = newline.join(lines)
    answer = plain_reader.entries(text)
    if answer is not None:
        assert answer == by_the_real_parser(text)
    else:
        # Declining costs time only; most of what is declined here is broken or repeats a key.
        try:
            tree.parse(text, "f")
        except ConfigError:
            return
