"""Replies reach the client in the bytes they came in, each once, with the events that came before and after."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import LAST_CHUNK, Received, as_json, as_stream, call, chunk, event, reply, stream_head
from tests.http.remotes import PROGRESS, play, remote, serving

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT = b'{"jsonrpc": "2.0",\t"id" :  1, "result":{"x":1.0,"y":"\\u00e9 \xc3\xa9","z":1e400,"content":[]}}'


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: as_json(EXACT),
        lambda _: as_stream(EXACT),
        lambda _: as_json(b"\xef\xbb\xbf\r\n" + EXACT + b"\n\n"),
        lambda _: as_json(EXACT, "Content-Type: application/json"),
        lambda _: as_json(EXACT).replace(b"/json", b"/json-rpc"),
        lambda _: as_stream(EXACT).replace(b"/event-stream", b"/event-stream\r\nContent-Type: text/event-stream"),
        lambda _: stream_head() + chunk(b"data: " + EXACT + b"\r\n\r\n") + LAST_CHUNK,
    ],
    ids=[
        "json",
        "events",
        "json with a mark and line ends",
        "json twice",
        "json by another name",
        "events twice",
        "events with CRLF",
    ],
)
def test_a_reply_reaches_the_client_in_the_bytes_it_came_in(answer: Callable[[Received], bytes]) -> None:
    async def scenario() -> None:
        async with remote(serving(answer)) as (session, behind):
            await session.begin()
            session.send(call(1))
            assert await session.line() == EXACT
            assert await session.end() == 0
            assert session.counted == (1, 0)
            posted = next(got for got in behind.got if got.body and got.message["method"] == "tools/call")
            assert posted.message == call(1)
            assert posted.header("mcp-session-id") == "s-1"
            assert posted.header("mcp-protocol-version") == "2025-11-25"
            assert posted.header("accept") == "application/json, text/event-stream"
            assert posted.header("mcp-method") is None
            assert behind.got[-1].line.startswith("DELETE ")

    play(scenario)


def test_a_pretty_body_becomes_one_line_that_means_the_same() -> None:
    message = reply(1, text="a\nb\r\nc")

    async def scenario() -> None:
        async with remote(serving(lambda _: as_json(json.dumps(message, indent=2).encode()))) as (session, _):
            await session.begin()
            session.send(call(1))
            assert json.loads(await session.line()) == message

    play(scenario)


def test_notifications_come_before_the_reply_in_their_order_and_what_follows_it_is_not_lost() -> None:
    later = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "late"}}

    async def scenario() -> None:
        async with remote(serving(lambda _: as_stream(PROGRESS, b"", PROGRESS, reply(1), later))) as (session, _):
            await session.begin()
            session.send(call(1))
            assert [await session.message() for _ in range(4)] == [PROGRESS, PROGRESS, reply(1), later]

    play(scenario)


@pytest.mark.parametrize("how", [as_json, as_stream])
def test_a_reply_whose_id_is_of_the_other_type_is_the_reply_and_the_only_one(how: Callable[[Any], bytes]) -> None:
    async def scenario() -> None:
        async with remote(serving(lambda got: how(reply(str(got.message["id"]))))) as (session, _):
            await session.begin()
            assert await session.ask(call(7)) == reply("7")
            assert await session.ask(call(8)) == reply("8")
            assert await session.end() == 0
            assert session.said == []

    play(scenario)


def test_only_events_of_the_type_message_that_hold_a_message_are_handed_on() -> None:
    def answer(got: Received) -> bytes:
        noise = b'event: heartbeat\ndata: {"timestamp":1}\n\nevent: ping\ndata: [1]\n\ndata: [DONE]\n\n:\n\n'
        named = b"event: message\ndata: " + json.dumps(reply(got.message["id"])).encode() + b"\n\n"
        end = b"event: end\ndata: [DONE]\n\ndata: [DONE]\n\n"
        return stream_head() + chunk(noise) + chunk(event(PROGRESS)) + chunk(named + end) + LAST_CHUNK

    async def scenario() -> None:
        async with remote(serving(answer)) as (session, _):
            await session.begin()
            session.send(call(1), call(2))
            lines = [await session.message() for _ in range(4)]
            assert sorted(map(json.dumps, lines)) == sorted(map(json.dumps, [PROGRESS, PROGRESS, reply(1), reply(2)]))
            assert await session.end() == 0
            assert session.said == []

    play(scenario)


@pytest.mark.parametrize("how", [as_json, as_stream], ids=["json", "events"])
def test_a_reply_in_an_array_reaches_a_client_that_sent_none_as_a_line_of_its_own(how: Callable[[Any], bytes]) -> None:
    """Only 2025-03-26 has batches, and official clients take a reply in an array over HTTP alone."""

    async def scenario() -> None:
        async with remote(serving(lambda _: how([PROGRESS, reply(1)]))) as (session, _):
            await session.begin()
            session.send(call(1))
            assert [await session.message(), await session.message()] == [PROGRESS, reply(1)]
            assert await session.end() == 0
            assert session.counted == (1, 0)

    play(scenario)
