"""Server-sent events: whatever the cuts, the events are the same; whatever the bytes, nothing raises or grows."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.http.front.event_store import event
from thv.http.sse import Event, EventParser, EventTooLargeError


def parsed(stream: bytes) -> list[Event]:
    return EventParser().feed(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: {}\n\n", [Event(b"{}")]),
        (b"data:{}\r\n\r\n", [Event(b"{}")]),
        (b"data: {}\r\r", [Event(b"{}")]),
        (b"\xef\xbb\xbfdata: x\n\n", [Event(b"x")]),
        (b"data:  two blanks\n\n", [Event(b" two blanks")]),
        (b"data: a\ndata: b\n\n", [Event(b"a\nb")]),
        (b"data\ndata\n\n", [Event(b"\n")]),
        (b": keep-alive\n\ndata: x\n\n", [Event(b"x")]),
        (b"id: 7\ndata: \n\n", [Event(b"", id="7")]),
        (b"retry: 250\n\n", [Event(b"", retry=250)]),
        (b"id\ndata: x\n\n", [Event(b"x", id="")]),
        (b"id: a\0b\ndata: x\n\n", [Event(b"x")]),
        (b"retry: -1\ndata: x\n\n", [Event(b"x")]),
        (b"retry: " + b"9" * 5000 + b"\n\n", [Event(b"", retry=10**18 - 1)]),
        (b"event: endpoint\ndata: /m?s=1\n\n", [Event(b"/m?s=1", "endpoint")]),
        (b"unknown: 1\n\n", []),
        (b"data: not ended", []),
        (b"data: not ended\n", []),
        (b"\n\n\n", []),
        (b"data: \xff\xfe\n\n", [Event(b"\xff\xfe")]),
        (b"data: a\xc2\x85b\x0bc\x0cd\x1ce\n\n", [Event(b"a\xc2\x85b\x0bc\x0cd\x1ce")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[Event]) -> None:
    assert parsed(stream) == events
    parser = EventParser()
    assert [event for byte in stream for event in parser.feed(bytes((byte,)))] == events


LINE = st.one_of(
    st.sampled_from([b"", b"data", b"data:", b":", b"id: 1", b"event: x", b"retry: 5", b"retry: x", b"\xef\xbb\xbf"]),
    st.binary(max_size=8),
    st.binary(max_size=8).map(b"data: ".__add__),
)
STREAM = st.lists(st.tuples(LINE, st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n"])), max_size=12).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


def reference(stream: bytes) -> list[bytes]:
    """The payloads, read in the slowest and plainest way."""
    found: list[bytes] = []
    data: list[bytes] = []
    seen = False
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ") if value[:1] == b" " else value
        if not line:
            found += [b"\n".join(data)] if seen else []
            data, seen = [], False
        elif name == b"data":
            data.append(value)
        seen = bool(line) and (
            seen
            or name in {b"data", b"event"}
            or (name == b"id" and b"\0" not in value)
            or (name == b"retry" and value.isdigit())
        )
    return found


@given(STREAM, st.lists(st.integers(0, 200), max_size=8))
def test_cuts_change_nothing_and_the_plain_reading_agrees(stream: bytes, cuts: list[int]) -> None:
    parser = EventParser()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert events == parsed(stream)
    assert [event.data for event in events] == reference(stream)


@given(st.binary().filter(lambda data: b"\r" not in data and b"\n" not in data))
def test_what_the_front_sends_is_read_again(data: bytes) -> None:
    assert parsed(event(data, b"1-1")) == [Event(data, "message", "1-1")]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 100, b"data: x\n" * 20, b"x" * 100, b":" * 100])
def test_an_event_beyond_the_limit_is_refused_however_it_is_cut(stream: bytes) -> None:
    with pytest.raises(EventTooLargeError):
        EventParser(64).feed(stream)
    parser = EventParser(64)
    with pytest.raises(EventTooLargeError):
        list(map(parser.feed, (bytes((byte,)) for byte in stream)))


def test_many_events_comments_and_blank_lines_never_reach_the_limit() -> None:
    parser = EventParser(64)
    for _ in range(100):
        assert parser.feed(b": alive\n\n\ndata: 0123456789\n\n") == [Event(b"0123456789")]
    for _ in range(100):
        parser.feed(b": alive, and no blank line\n")
