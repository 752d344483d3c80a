"""A remote server as a local one: requests run beside each other, and the session ends as a local server's would."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from tests.clocks import play_jumping
from tests.http.proxied import LAST_CHUNK, Received, as_json, call, chunk, event, reply, stream_head, until
from tests.http.remotes import (
    ACCEPTED,
    INITIALIZE,
    INITIALIZED,
    Running,
    handshake,
    methods,
    play,
    remote,
    running,
    serving,
)
from thv.http.client import stdio_to_http as module
from thv.http.client.streamable_http import StreamableHttp

CANCELLED = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}


def test_a_request_of_the_server_is_answered_by_the_client_while_its_call_is_open() -> None:
    sampled = asyncio.Event()
    request = {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}}

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.body and "method" not in got.message:
            writer.write(ACCEPTED)
            sampled.set()
            return
        data = handshake(got)
        if data is not None:
            writer.write(data)
            return
        writer.write(stream_head() + chunk(event(request)))
        await writer.drain()
        await sampled.wait()
        writer.write(chunk(event(reply(1))) + LAST_CHUNK)

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            assert await session.ask(call(1)) == request
            assert await session.ask({"jsonrpc": "2.0", "id": 1, "result": {}}) == reply(1)
            assert session.counted == (1, 0)

    play(scenario)


def test_requests_run_beside_each_other_and_a_cancellation_follows_what_it_cancels() -> None:
    release = asyncio.Event()

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        if data is None:
            await release.wait()
            data = as_json(reply(got.message["id"]))
        writer.write(data)

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            session.send(*(call(id_) for id_ in range(20)))
            session.send({**CANCELLED, "params": {"requestId": 19}})
            await until(lambda: "POST notifications/cancelled" in methods(behind))
            got = [each.message for each in behind.got if each.body]
            assert call(19) in got[:-1]
            release.set()
            assert sorted([(await session.message())["id"] for _ in range(20)]) == list(range(20))
            assert session.counted == (19, 0)

    play(scenario)


@pytest.mark.parametrize("head", [stream_head(), b""], ids=["a stream", "no answer at all"])
def test_a_cancelled_request_holds_the_end_up_no_more(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(module, "REPLY_GRACE", 3600.0)

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        writer.write(head if data is None else data)
        if data is None:
            await reader.read()

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            session.send(call(1), CANCELLED)
            await until(lambda: "POST notifications/cancelled" in methods(behind))
            assert await session.end() == 0
            assert session.said == []
            assert session.counted == (0, 0)

    play(scenario)


@pytest.mark.parametrize("head", [stream_head(), b""], ids=["a stream", "no answer at all"])
def test_the_connection_of_a_cancelled_request_is_closed_though_the_server_leaves_it_open(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(module, "CANCELLED_LINGER_S", 0.0)
    closed = asyncio.Event()

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        if data is None and got.message == call(2):
            data = as_json(reply(2))
        writer.write(head if data is None else data)
        if data is None:
            assert await reader.read() == b""
            closed.set()

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            session.send(call(1), CANCELLED)
            await asyncio.wait_for(closed.wait(), 30)
            await until(lambda: "POST notifications/cancelled" in methods(behind))  # by another connection
            assert await session.ask(call(2)) == reply(2)
            assert session.said == []

    play(scenario)


def test_a_cancelled_request_that_fails_is_no_error() -> None:
    cancelled = asyncio.Event()

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.body and got.message == CANCELLED:
            cancelled.set()
        data = handshake(got)
        if data is not None:
            writer.write(data)
        elif got.message == call(2):
            writer.write(as_json(reply(2)))
        else:
            await cancelled.wait()
            writer.close()

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            session.send(call(1), CANCELLED)
            await cancelled.wait()
            await until(lambda: not session.client._open)
            assert await session.ask(call(2)) == reply(2)
            assert session.said == []
            assert session.counted == (1, 0)

    play(scenario)


def test_replies_on_their_way_are_waited_for_when_the_client_closes_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLY_GRACE", 20.0)

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        if data is None:
            await asyncio.sleep(0.3)
            data = as_json(reply(got.message["id"]))
        writer.write(data)

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            session.send(INITIALIZE, INITIALIZED, call(1), json.dumps(call(2)).encode())
            assert await session.end() == 0
            assert sorted([str((await session.message())["id"]) for _ in range(3)]) == ["1", "2", "init"]
            assert session.counted == (2, 0)
            assert methods(behind)[-1] == "DELETE"

    play(scenario)


def test_a_server_that_never_answers_holds_the_end_up_no_longer_than_the_grace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REPLY_GRACE", 0.2)

    async def handler(_got: Received, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scenario() -> None:
        for messages in ([INITIALIZE], [call(1), call(2)]):
            async with remote(handler) as (session, _):
                session.send(*messages)
                assert await session.end() == 0
                assert session.counted == (0, 0)
                assert session.said[-1].endswith("silent for 0 s after the end of the input")

    play(scenario)


@pytest.mark.parametrize("is_file", [False, True], ids=["a pipe", "a file"])
def test_the_end_of_a_file_is_not_a_client_that_left(monkeypatch: pytest.MonkeyPatch, is_file: bool) -> None:
    monkeypatch.setattr(module, "REPLY_GRACE", 0.0)
    monkeypatch.setattr(module, "is_regular_file", lambda _: is_file)
    session: Running

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        if data is None:
            await until(session.client._eof.is_set)
            await asyncio.wait({session.task}, timeout=0.3)  # longer than no time at all
            data = as_json(reply(got.message["id"]))
        writer.write(data)

    async def scenario() -> None:
        nonlocal session
        async with remote(handler) as (session, _):
            await session.begin()
            session.send(call(1))
            assert await session.end() == 0
            assert session.counted == (int(is_file), 0)
            assert len(session.said) == (not is_file)

    play(scenario)


def test_a_signal_ends_the_session_at_once_and_still_ends_it_on_the_server() -> None:
    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        if data is None:
            await reader.read()
        else:
            writer.write(data)

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            session.send(call(1))
            await until(lambda: "POST tools/call" in methods(behind))
            session.client.stop(15)
            assert await session.task == 128 + 15
            assert methods(behind)[-1] == "DELETE"
            assert session.counted == (0, 0)

    play(scenario)


def test_a_client_that_does_not_read_slows_the_server_and_loses_nothing() -> None:
    big = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x" * 200_000}}
    written = 0
    count = 400

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        data = handshake(got)
        if data is not None:
            writer.write(data)
            return
        writer.write(stream_head())
        for _ in range(count):
            writer.write(chunk(event(big)))
            await writer.drain()
            written += 1
        writer.write(chunk(event(reply(1))) + LAST_CHUNK)

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            session.send(call(1))
            before = -1
            while before != written or written == 0:  # until the server is stuck
                before = written
                await asyncio.sleep(0.3)
            assert written < count
            for _ in range(count):
                assert len(await session.line()) > 200_000
            assert await session.message() == reply(1)

    play(scenario)


def test_a_client_that_is_gone_ends_the_session() -> None:
    async def scenario() -> None:
        async with remote(serving(lambda got: as_json(reply(got.message["id"])))) as (session, behind):
            await session.begin()
            os.close(session.stdout)
            session.stdout = os.open(os.devnull, os.O_RDONLY)
            session.send(call(1))
            assert await session.task == 0
            assert methods(behind)[-1] == "DELETE"

    play(scenario)


def test_lines_that_are_no_message_harm_nobody() -> None:
    async def scenario() -> None:
        async with remote(serving(lambda got: as_json(reply(got.message["id"])))) as (session, behind):
            await session.begin()
            session.send(b"\n", b"  \r\n")
            assert await session.ask(call(1)) == reply(1)
            assert methods(behind)[-1] == "POST tools/call"

    play(scenario)


def test_a_server_has_a_second_to_take_note_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[float] = []

    async def take_for_ever(_server: object) -> None:
        loop = asyncio.get_running_loop()
        begun.append(loop.time())
        await loop.create_future()

    monkeypatch.setattr(StreamableHttp, "close", take_for_ever)

    async def scenario() -> None:
        async with running("http://127.0.0.1:1/mcp") as session:
            os.close(session.stdin)
            session.stdin = -1
            assert await session.task == 0  # without a timer: a thread may read the end
            assert [asyncio.get_running_loop().time() - each for each in begun] == [1.0]

    play_jumping(scenario())
