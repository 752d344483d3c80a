"""Streams of events: resumable, bounded, one connection each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.fronts import parse_events
from thv.http.front import event_store
from thv.http.front.event_store import EventStore, EventStream, event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Client:
    """What came over one connection; it stops reading when it is told to."""

    def __init__(self) -> None:
        self.data = b""
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, piece: bytes) -> None:
        await self.reads.wait()
        self.data += piece

    @property
    def messages(self) -> list[Any]:
        return parse_events(self.data)[0]


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(scenario(), 60)

    asyncio.run(run())


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"a":1}\n', b'event: message\nid: 1-1\ndata: {"a":1}\n\n'),
        (b'{"a":1}\r\n', b'event: message\nid: 1-1\ndata: {"a":1}\n\n'),
        (b'{\r"a":1}\n', b'event: message\nid: 1-1\ndata: { "a":1}\n\n'),
    ],
)
def test_an_event_is_one_line_of_data_whatever_white_space_there_was(data: bytes, expected: bytes) -> None:
    assert event(data, b"1-1") == expected


def test_a_stream_goes_on_where_its_connection_broke() -> None:
    async def scenario() -> None:
        store = EventStore()
        stream = store.open()
        first = Client()
        carrying = asyncio.create_task(stream.stream_to(first.send, stream.attach()))
        stream.put(b"1\n")
        await settled()
        stream.detach()
        await carrying
        stream.put(b"2\n")
        stream.put(b"3\n")
        stream.end()
        found = store.find("1-1")
        assert found == (stream, 1)
        second = Client()
        await stream.stream_to(second.send, stream.attach(), found[1])
        assert (first.messages, second.messages) == ([1], [2, 3])

    play(scenario)


def test_a_second_connection_takes_over() -> None:
    async def scenario() -> None:
        stream = EventStore().open()
        first, second = Client(), Client()
        one = asyncio.create_task(stream.stream_to(first.send, stream.attach()))
        await settled()
        two = asyncio.create_task(stream.stream_to(second.send, stream.attach()))
        await one
        stream.put(b"1\n")
        stream.end()
        await two
        assert (first.messages, second.messages) == ([], [1])

    play(scenario)


@pytest.mark.parametrize(
    "event_id", ["", "1", "1-", "-1", "1-9", "2-0", "x-1", "1-x", "1-1-1", "²-1", "9" * 5000 + "-1"]
)
def test_an_id_of_no_event_is_not_found(event_id: str) -> None:
    async def scenario() -> None:
        store = EventStore()
        store.open().put(b"1\n")
        assert store.find(event_id) is None

    play(scenario)


def test_a_store_keeps_the_newest_events_within_its_bound() -> None:
    async def scenario() -> None:
        store = EventStore(keep_bytes=1000)
        stream = store.open()
        for number in range(500):
            stream.put(b"%d\n" % number)
        assert sum(map(len, stream.events)) <= 1000
        client = Client()
        found = store.find("1-100")
        assert found is not None
        stream.end()
        await stream.stream_to(client.send, stream.attach(), found[1])
        assert client.messages == list(range(stream.first, 500))

    play(scenario)


def test_a_slow_client_is_waited_for_and_then_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store, "UNSENT_LIMIT", 100)

    async def scenario() -> None:
        stream = EventStore().open()
        client = Client()
        client.reads.clear()
        carrying = asyncio.create_task(stream.stream_to(client.send, stream.attach()))
        stream.put(b"1" * 200)
        await settled()
        assert stream.is_full
        waiting = asyncio.create_task(stream.wait_drained(60))
        await settled()
        assert not waiting.done()
        client.reads.set()
        await waiting
        client.reads.clear()
        stream.put(b"1" * 200)
        await settled()
        assert stream.is_full
        await stream.wait_drained(0.01)
        assert stream.attached is False
        client.reads.set()
        await carrying

    play(scenario)


def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_store, "KEEP_ALIVE_S", 0.001)

    async def scenario() -> None:
        stream = EventStore().open()
        client = Client()
        carrying = asyncio.create_task(stream.stream_to(client.send, stream.attach()))
        while client.data.count(event_store.COMMENT) < 2:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.001)
        stream.end()
        await carrying
        assert client.messages == []

    play(scenario)


def test_a_stream_that_is_not_kept_keeps_nothing() -> None:
    async def scenario() -> None:
        stream = EventStream(0, None)
        client = Client()
        carrying = asyncio.create_task(stream.stream_to(client.send, stream.attach()))
        for number in range(3):
            stream.put(b"%d\n" % number)
            await settled()
        assert not stream.events
        stream.end()
        await carrying
        assert client.messages == [0, 1, 2]
        assert b"id:" not in client.data

    play(scenario)
