"""Lines out of a stream that begins anywhere: whole ones, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.http.pipes import LineTooLongError
from thv.operator.attach.partial_lines import PartialLines, is_whole

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='{}[]",:\\a1 ', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='{}[]",:\\a', max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(alphabet='{}[]",:\\a', max_size=6), VALUES, min_size=1) | st.lists(VALUES, min_size=1))
def test_the_end_of_a_message_is_never_taken_for_a_whole_one(message: object) -> None:
    for line in (json.dumps(message).encode(), json.dumps(message, separators=(",", ":")).encode()):
        assert is_whole(line)
        assert not any(is_whole(line[start:]) for start in range(1, len(line)))


@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b""))), st.data())
def test_wherever_the_cuts_are_the_lines_are_the_same(contents: list[bytes], data: st.DataObject) -> None:
    first = b'{"whole":true}'
    stream = b"".join(line + b"\n" for line in [first, *contents])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    lines = PartialLines()
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += lines.feed(stream[start:end])
    assert found == [line + b"\n" for line in [first, *contents]]
    assert lines.finish() == []


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([b'{"a":1}\n'], [b'{"a":1}\n']),
        ([b' [{"a":1}]\r\n'], [b' [{"a":1}]\r\n']),
        ([b'1}}\n{"a":1}\n'], [b'{"a":1}\n']),
        ([b'{"b":1}}\n{"a"', b":1}\n"], [b'{"a":1}\n']),
        ([b"\n", b"a log line\n"], [b"a log line\n"]),
        ([b'{"text":"\xff"}\n'], [b'{"text":"\xff"}\n']),
        ([b"[" * 100_000 + b"\n"], []),
    ],
)
def test_what_comes_first_may_have_lost_its_beginning(chunks: list[bytes], found: list[bytes]) -> None:
    lines = PartialLines()
    assert [line for chunk in chunks for line in lines.feed(chunk)] == found


def test_a_new_link_forgets_half_a_line_and_doubts_what_comes_first() -> None:
    lines = PartialLines()
    assert lines.feed(b'{"id":1}\n{"id":2,"result":{') == [b'{"id":1}\n']
    lines.begin()
    assert lines.feed(b'}}\n{"id":3}\n') == [b'{"id":3}\n']


def test_a_last_line_needs_no_newline() -> None:
    lines = PartialLines()
    assert lines.feed(b'{"id":1}\n{"id":2}') == [b'{"id":1}\n']
    assert lines.finish() == [b'{"id":2}\n']
    assert lines.finish() == []


def test_a_line_without_end_is_given_up() -> None:
    lines = PartialLines(longest=10)
    assert lines.feed(b'{"a":1}\n123456789') == [b'{"a":1}\n']
    with pytest.raises(LineTooLongError):
        lines.feed(b"0a")
