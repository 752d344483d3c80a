"""What is taken up again: a session that the server forgot, and an event stream that broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import LAST_CHUNK, Received, as_json, as_stream, call, chunk, event, reply, stream_head, until
from tests.http.remotes import PROGRESS, handshake, methods, play, raw, remote, serving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("quick_reconnects")


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


def error(id_: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("status", "code"),
    [("400 Bad Request", -32602), ("400 Bad Request", -32000), ("404 Not Found", -32601)],
)
@pytest.mark.parametrize("twin", [False, True], ids=["its id", "its twin"])
def test_an_error_that_names_its_request_is_the_reply_whatever_its_words(status: str, code: int, twin: bool) -> None:
    words = "unknown argument browser_session"

    def answer(got: Received) -> bytes:
        id_ = got.message["id"]
        return as_json(error(str(id_) if twin else id_, code, words), status=status)

    async def scenario() -> None:
        async with remote(serving(answer)) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == error("1" if twin else 1, code, words)
            assert methods(behind).count("POST tools/call") == 1
            assert methods(behind).count("POST initialize") == 1
            assert session.said == []

    play(scenario)


def test_a_server_that_refuses_the_new_session_too_says_why_itself() -> None:
    def answer(got: Received) -> bytes:
        return as_json(error(None, -32600, "no such session"), status="404 Not Found")

    async def scenario() -> None:
        async with remote(serving(answer)) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == error(1, -32600, "no such session")
            assert methods(behind).count("POST tools/call") == 2
            assert session.said[-1].endswith("forgets each session at once")

    play(scenario)


def test_a_notification_that_no_session_is_good_for_is_told() -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_refused = got.body and got.message.get("method") == "notifications/roots/list_changed"
        writer.write((raw("404 Not Found")(got) if is_refused else handshake(got)) or b"")

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            session.send({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"})
            await until(lambda: len(session.said) == 2)
            assert session.said[-1].endswith("forgets each session at once")
            assert methods(behind).count("POST notifications/roots/list_changed") == 2

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
