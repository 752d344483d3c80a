"""The stream on which the server sends of its own accord, and the replies that come there."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from tests.http.proxied import LAST_CHUNK, PATIENCE, Received, as_json, call, chunk, event, reply, stream_head, until
from tests.http.remotes import ACCEPTED, NO_STREAM, PROGRESS, handshake, methods, play, remote
from thv.http.client import server_stream, stdio_to_http
from thv.http.client import streamable_http as remote_streamable
from thv.http.client.client_messages import read_client
from thv.http.client.client_state import PostExchange

pytestmark = pytest.mark.usefixtures("quick_reconnects")


def test_what_the_server_says_of_its_own_accord_reaches_the_client_and_goes_on_after_a_break() -> None:
    heard: list[str | None] = []

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET "):
            heard.append(got.header("last-event-id"))
            writer.write(stream_head() + chunk(event({**PROGRESS, "n": len(heard)}, f"e{len(heard)}")))
            if len(heard) < 3:
                writer.write(LAST_CHUNK)
            return
        writer.write(handshake(got) or as_json(reply(got.message["id"])))

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            assert [(await session.message())["n"] for _ in range(3)] == [1, 2, 3]
            assert heard == [None, "e1", "e2"]
            assert await session.ask(call(1)) == reply(1)
            assert await session.end() == 0
            assert behind.got[-1].line.startswith("DELETE ")

    play(scenario)


def test_replies_that_come_on_the_servers_own_stream_after_202_are_the_replies() -> None:
    streams: list[asyncio.StreamWriter] = []

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET "):
            writer.write(stream_head())
            streams.append(writer)
        elif got.line.startswith("POST ") and got.message["method"] == "tools/call":
            writer.write(ACCEPTED)
            await until(lambda: bool(streams))
            streams[-1].write(chunk(event(reply(str(got.message["id"])))))
        else:
            writer.write(handshake(got) or ACCEPTED)

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            session.send(call(1), call(2))
            answers = [await session.message(), await session.message()]
            assert sorted(answer["id"] for answer in answers) == ["1", "2"]
            assert await session.end() == 0
            assert session.said == []

    play(scenario)


def test_a_reply_that_comes_on_the_servers_own_stream_before_the_202_is_the_only_one() -> None:
    streams: list[asyncio.StreamWriter] = []
    is_delivered = False

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET ") and not streams:
            writer.write(stream_head())
            streams.append(writer)
        elif got.line.startswith("POST ") and got.message["method"] == "tools/call":
            await until(lambda: bool(streams))
            streams[0].write(chunk(event(reply(1))))
            await until(lambda: is_delivered)
            writer.write(ACCEPTED)
        else:
            writer.write(handshake(got) or ACCEPTED)

    async def scenario() -> None:
        nonlocal is_delivered
        async with remote(handler) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            is_delivered = True
            streams[0].write(LAST_CHUNK)  # and there is no other
            await until(lambda: methods(behind).count("GET") == 2)
            assert await session.end() == 0
            assert session.said == []
            assert session.counted == (1, 0)

    play(scenario)


def test_a_request_that_is_accepted_by_a_server_without_a_stream_of_its_own_is_an_error_at_once() -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(NO_STREAM if got.line.startswith("GET ") else handshake(got) or ACCEPTED)

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            answer = await session.ask(call(1))
            assert "answers nothing (202)" in answer["error"]["message"]

    play(scenario)


def test_a_reply_that_comes_after_its_error_is_not_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_streamable, "LOST_REPLY_TIMEOUT_S", 0.01)
    streams: list[asyncio.StreamWriter] = []

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET "):
            writer.write(stream_head())
            streams.append(writer)
        elif got.line.startswith("POST ") and got.message["method"] == "tools/call":
            await until(lambda: bool(streams))
            writer.write(stream_head() + LAST_CHUNK)
        else:
            writer.write(handshake(got) or ACCEPTED)

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            answer = await session.ask(call(1))
            assert "ended its stream before the reply came" in answer["error"]["message"]
            streams[-1].write(chunk(event(reply(1))) + chunk(event(PROGRESS)))
            assert await session.message() == PROGRESS

    play(scenario)


def test_of_more_requests_that_were_given_up_than_are_kept_the_oldest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_stream, "MAX_GIVEN_UP", 2)
    unused: Any = None
    stream = server_stream.ServerStream(unused, unused, is_current=unused, renew=unused, debug=unused)
    for id_ in (1, 2, 3):
        stream.give_up(PostExchange(read_client(b'{"id":%d,"method":"tools/call"}' % id_)))
    assert [stream.is_late([id_]) for id_ in (1, 2, 3)] == [False, True, True]


@pytest.mark.parametrize("comments", [0, 3], ids=["silent", "kept alive"])
@pytest.mark.parametrize("where", ["on the server's own stream", "on its own"])
def test_a_stream_that_stays_open_after_its_reply_is_closed_and_does_not_delay_the_end(
    where: str, comments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server holds the stream of the request open until the client closes it, with comments all the time or not."""
    monkeypatch.setattr(remote_streamable, "LINGER_S", 0.05)
    monkeypatch.setattr(stdio_to_http, "REPLY_GRACE", 100 * PATIENCE)
    streams: list[asyncio.StreamWriter] = []
    is_at_end = asyncio.Event()

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET "):
            writer.write(stream_head())
            streams.append(writer)
        elif got.line.startswith("POST ") and got.message["method"] == "tools/call":
            await until(lambda: bool(streams))
            writer.write(stream_head() + chunk(b": begun\n\n"))
            if got.message["id"] == 2:
                await is_at_end.wait()
            to = streams[0] if where == "on the server's own stream" else writer
            to.write(chunk(event(reply(got.message["id"]))))
            gone = asyncio.create_task(reader.read(1))
            while not gone.done():
                if comments:
                    writer.write(chunk(b": still here\n\n" * comments))
                await asyncio.wait({gone}, timeout=0.01)
            raise ConnectionResetError
        else:
            writer.write(handshake(got) or ACCEPTED)

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            await until(lambda: not session.client._tasks)
            session.send(call(2))
            await until(lambda: behind.got[-1].body != b"" and behind.got[-1].message.get("id") == 2)
            os.close(session.stdin)
            session.stdin = -1
            await until(session.client._eof.is_set)
            is_at_end.set()
            assert await session.message() == reply(2)
            assert await session.end() == 0
            assert session.said == []
            assert session.counted == (2, 0)

    play(scenario)
