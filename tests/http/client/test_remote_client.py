"""A remote server as a local one: every request is answered once, whatever the server and the network do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import (
    LAST_CHUNK,
    Received,
    as_json,
    as_stream,
    call,
    chunk,
    event,
    reply,
    stream_head,
    until,
)
from tests.http.remotes import (
    ACCEPTED,
    INITIALIZE,
    INITIALIZED,
    NO_STREAM,
    handshake,
    methods,
    remote,
    running,
    serving,
)
from thv.http.client import client_state as remote_exchange
from thv.http.client import remote_client as module
from thv.http.client import streamable_http as remote_streamable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setattr(remote_exchange, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(remote_exchange, "MIN_DELAY", 0.01)
    monkeypatch.setattr(remote_exchange, "MAX_DELAY", 0.02)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def raw(head: str, body: bytes = b"") -> Callable[[Received], bytes]:
    return lambda _: f"HTTP/1.1 {head}\r\n".encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


EXACT = b'{"jsonrpc": "2.0",\t"id" :  1, "result":{"x":1.0,"y":"\\u00e9 \xc3\xa9","z":1e400,"content":[]}}'


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: as_json(EXACT),
        lambda _: as_stream(EXACT),
        lambda _: as_json(b"\xef\xbb\xbf\r\n" + EXACT + b"\n\n"),
        lambda _: stream_head() + chunk(b"data: " + EXACT + b"\r\n\r\n") + LAST_CHUNK,
    ],
    ids=["json", "events", "json with a mark and line ends", "events with CRLF"],
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


REFUSALS: dict[str, tuple[Callable[[Received], bytes], str]] = {
    "401": (raw("401 Unauthorized"), "asks for credentials (401): give --bearer-token-file"),
    "403": (raw("403 Forbidden"), "refuses (403)"),
    "405": (raw("405 Method Not Allowed"), "is the path of the URL right?"),
    "413": (raw("413 Too Large"), "refuses the request (413 Request Entity Too Large)"),
    "500 with a page": (raw("500 Oops\r\nContent-Type: text/html", b"<h1>"), "fails (500 Internal Server Error)"),
    "503": (raw("503 Busy\r\nRetry-After: 9"), "fails (503 Service Unavailable)"),
    "a redirect to another host": (
        raw("308 Moved\r\nLocation: http://127.0.0.2:1/mcp?key=SECRET"),
        "redirects to http://127.0.0.2:1/mcp?… (308), which is not followed",
    ),
    "a redirect that forgets the method": (raw("302 Found\r\nLocation: /login"), "/login (302), which is not followed"),
    "a redirect without end": (raw("307 Again\r\nLocation: /mcp"), "redirects without end"),
    "a redirect nowhere": (raw("307 Again\r\nLocation: http://x:port/"), "redirects to what is no URL"),
    "a page": (raw("200 OK\r\nContent-Type: text/html", b"<h1>"), "answers with text/html"),
    "no media type": (raw("200 OK", b"{}"), "answers with no media type"),
    "no JSON": (raw("200 OK\r\nContent-Type: application/json", b"oops"), "no JSON-RPC message"),
    "nothing": (raw("200 OK\r\nContent-Type: application/json"), "no JSON-RPC message"),
    "202": (lambda _: ACCEPTED, "answers nothing (202)"),
    "a stream that ends": (lambda _: as_stream(PROGRESS), "ended its stream before the reply came"),
    "a cut stream": (lambda _: stream_head("Connection: close") + b"5\r\nda", "ended its stream"),
    "a cut body": (
        lambda _: b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"js',
        "broke off",
    ),
    "no answer": (lambda _: b"", "broke off before its answer was whole"),
    "no HTTP": (lambda _: b"220 smtp ESMTP\r\n\r\n", "does not speak HTTP"),
    "an encoding that it is not": (
        raw("200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip", b"{}"),
        "not encoded as it says",
    ),
}

BROKEN_OFF = {"a cut stream", "a cut body", "no answer", "no HTTP"}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_fails_is_an_error_reply_with_the_requests_id_and_is_told_once(case: str) -> None:
    answer, said = REFUSALS[case]

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        writer.write(data or answer(got))
        if data is None and case in BROKEN_OFF:
            writer.close()

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            for id_ in ("a", 2):
                session.send(call(id_))
                told = await session.message()
                while "method" in told:
                    told = await session.message()
                assert told["id"] == id_
                assert told["error"]["code"] == -32000
                assert said in told["error"]["message"]
            assert len(session.said) == 1
            assert said in session.said[0]
            assert "SECRET" not in session.said[0]
            assert session.counted == (0, 2)

    play(scenario)


def test_the_servers_own_error_is_the_reply_whatever_the_status() -> None:
    def answer(got: Received) -> bytes:
        id_ = got.message["id"]
        named = id_ if id_ == 1 else None
        return as_json({"jsonrpc": "2.0", "id": named, "error": {"code": -32602, "message": "no"}}, status="400 Bad")

    async def scenario() -> None:
        async with remote(serving(answer)) as (session, _):
            await session.begin()
            for id_ in (1, "two"):
                assert await session.ask(call(id_)) == {
                    "jsonrpc": "2.0",
                    "id": id_,
                    "error": {"code": -32602, "message": "no"},
                }
            assert session.said == []

    play(scenario)


def test_a_server_that_is_away_costs_its_requests_alone() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]

        async def scenario() -> None:
            async with running(f"http://u:SECRET@127.0.0.1:{port}/mcp?key=SECRET") as session:
                for message in (INITIALIZE, call(1)):
                    answer = await session.ask(message)
                    assert answer["id"] == message["id"]
                    assert answer["error"]["message"] == (
                        f"http://127.0.0.1:{port}/mcp?… cannot be reached: Connection refused"
                    )
                session.send(INITIALIZED)
                assert await session.end() == 0
                assert len(session.said) == 1
                assert session.counted == (0, 1)

        play(scenario)


@pytest.mark.parametrize(
    "refusal",
    [
        raw("404 Not Found"),
        lambda got: as_json(
            {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "No valid session ID provided"}},
            status="400 Bad Request",
        ),
    ],
    ids=["404", "400, as many servers do"],
)
def test_a_forgotten_session_is_begun_anew_and_the_request_made_again(refusal: Callable[[Received], bytes]) -> None:
    known = {"s-1"}
    sessions = iter(["s-1", "s-2"])

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.body and got.message.get("method") == "initialize":
            writer.write(handshake(got, next(sessions)) or b"")
        elif got.header("mcp-session-id") not in known:
            writer.write(refusal(got))
        else:
            writer.write(handshake(got) or as_json(reply(got.message["id"])))

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            known.clear()
            known.add("s-2")
            session.send(call(2), call(3), call(4))
            assert sorted([(await session.message())["id"] for _ in range(3)]) == [2, 3, 4]
            assert methods(behind).count("POST initialize") == 2
            assert methods(behind).count("POST notifications/initialized") == 2
            again = [got for got in behind.got if got.body and got.message.get("method") == "initialize"][1]
            assert again.header("mcp-session-id") is None
            assert session.said == [f"http://127.0.0.1:{behind.port}/mcp forgot the session; a new one was begun"]
            known.clear()
            assert "error" in await session.ask(call(5))
            assert session.counted == (4, 1)

    play(scenario)


def test_a_broken_stream_is_resumed_where_it_broke_after_the_delay_it_asked_for() -> None:
    cut = stream_head("Connection: close") + chunk(b"id: e1\nretry: 30\ndata:\n\n") + chunk(event(PROGRESS, "e2"))
    resumed: list[str | None] = []

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resuming = got.header("last-event-id")
        if resuming is not None:
            resumed.append(resuming)
            if len(resumed) == 1:
                writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            elif len(resumed) == 2:
                writer.write(stream_head() + chunk(event(PROGRESS, "e3")) + LAST_CHUNK)
            else:
                writer.write(as_stream(reply(1)))
            return
        data = handshake(got)
        writer.write(data or cut)
        if data is None:
            writer.close()

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            session.send(call(1))
            assert [await session.message() for _ in range(3)] == [PROGRESS, PROGRESS, reply(1)]
            assert resumed == ["e2", "e2", "e3"]
            assert session.counted == (1, 0)

    play(scenario)


def test_a_stream_that_is_never_resumed_is_given_up() -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.header("last-event-id"):
            writer.write(stream_head() + LAST_CHUNK)
        else:
            writer.write(handshake(got) or stream_head() + chunk(b"id: e1\ndata:\n\n") + LAST_CHUNK)

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            answer = await session.ask(call(1))
            assert "ended its stream before the reply came" in answer["error"]["message"]
            assert len(behind.got) < 20

    play(scenario)


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
            session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 19}})
            await until(lambda: "POST notifications/cancelled" in methods(behind))
            got = [each.message for each in behind.got if each.body]
            assert call(19) in got[:-1]
            release.set()
            assert sorted([(await session.message())["id"] for _ in range(20)]) == list(range(20))
            assert session.counted == (19, 0)

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


def test_a_body_that_is_too_large_is_an_error_and_not_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_streamable, "ERROR_BODY", 1 << 20)
    endless = b"HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = handshake(got)
        writer.write(data or endless)
        while data is None:
            writer.write(chunk(b" " * 65536))
            await writer.drain()

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            await session.begin()
            assert "answers with more than 1 MiB" in (await session.ask(call(1)))["error"]["message"]

    play(scenario)


def test_lines_that_are_no_message_harm_nobody() -> None:
    async def scenario() -> None:
        async with remote(serving(lambda got: as_json(reply(got.message["id"])))) as (session, behind):
            await session.begin()
            session.send(b"\n", b"  \r\n")
            assert await session.ask(call(1)) == reply(1)
            assert methods(behind)[-1] == "POST tools/call"

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
