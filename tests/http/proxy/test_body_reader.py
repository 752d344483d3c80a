"""However a body is cut, compressed or broken, the same messages are read out of it, and nothing raises."""

from __future__ import annotations

import gzip
import json
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.proxied import event
from thv.http.proxy import body_reader as proxy_bodies
from thv.http.proxy.body_reader import Body, ReplyReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": lambda data: zlib.compress(data, wbits=-15),  # as some servers take it: without the head of zlib
}

messages = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=40) | st.integers(), max_size=4), max_size=6)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def read(kind: str, coding: str, data: Sequence[bytes]) -> list[bytes]:
    shown: list[bytes] = []
    headers = {b"content-type": kind.encode(), b"content-encoding": coding.encode()}
    reply = ReplyReader.to(headers, shown.append)
    assert reply is not None
    for piece in data:
        reply.feed(piece)
    reply.end()
    return shown


@given(messages, st.sampled_from(list(CODINGS)), st.lists(st.integers(0, 400), max_size=8))
def test_events_are_the_same_however_they_arrive(sent: list[dict[str, object]], coding: str, cuts: list[int]) -> None:
    data = CODINGS[coding](b"".join(event(each) for each in sent))
    assert [json.loads(line) for line in read("text/event-stream", coding, pieces(data, cuts))] == sent


@given(messages, st.sampled_from(list(CODINGS)), st.lists(st.integers(0, 400), max_size=8), st.sampled_from([None, 1]))
def test_a_json_body_becomes_one_line(
    sent: list[dict[str, object]], coding: str, cuts: list[int], indent: int | None
) -> None:
    data = CODINGS[coding](json.dumps(sent, indent=indent).encode())
    lines = read("application/json; charset=utf-8", coding, pieces(data, cuts))
    assert [json.loads(line) for line in lines] == [sent]
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)


@given(st.binary(max_size=300), st.sampled_from([*CODINGS, "br"]), st.lists(st.integers(0, 300), max_size=5))
def test_nothing_raises(data: bytes, coding: str, cuts: list[int]) -> None:
    for kind in ("text/event-stream", "application/json"):
        assert all(line.endswith(b"\n") for line in read(kind, coding, pieces(data, cuts)))


def test_only_an_event_called_message_is_one() -> None:
    stream = (
        b'event: partial\ndata: {"n":1}\n\nevent: Message\ndata: {"n":2}\n\nevent: endpoint\ndata: /m\n\n'
        b'event: message\ndata: {"n":3}\n\ndata: {"n":4}\n\nevent:\ndata: {"n":5}\n\n'
    )
    assert [json.loads(line)["n"] for line in read("text/event-stream", "", [stream])] == [3, 4, 5]


def test_a_body_that_stands_for_too_much_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_bodies, "MAX_DECODED", 1 << 20)
    body = Body(b"gzip")
    body.feed(gzip.compress(b"[" + b" " * (4 << 20) + b"]"))
    assert not body.is_readable
    assert body.line() is None


@pytest.mark.parametrize(
    "kind", [b"application/json-rpc", b"application/json, application/json", b"Application/JSON;q=1"]
)
def test_json_is_known_under_the_names_that_official_clients_take(kind: bytes) -> None:
    shown: list[bytes] = []
    reader = ReplyReader.to({b"content-type": kind}, shown.append)
    assert reader is not None
    reader.feed(b"{}")
    reader.end()
    assert shown == [b"{}\n"]


def test_other_types_hold_no_messages() -> None:
    assert ReplyReader.to({b"content-type": b"text/html"}, list.pop) is None  # type: ignore[arg-type]  # never called
