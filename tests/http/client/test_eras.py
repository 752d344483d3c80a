"""Streamable HTTP as servers of other revisions speak it: 2026-07-28, without sessions, and batches of 2025-03-26."""

from __future__ import annotations

import asyncio
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
from tests.http.remotes import INITIALIZE, methods, remote, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

META = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
CANCELLED = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def ask(id_: Any, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {**params, **META}}


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (ask(1, "tools/call", name="add"), "add"),
        (ask(1, "tools/call", name="plus é"), "=?base64?cGx1cyDDqQ==?="),
        (ask(1, "tools/call", name="=?base64?x?="), "=?base64?PT9iYXNlNjQ/eD89?="),
        (ask(1, "prompts/get", name=" p"), "=?base64?IHA=?="),
        (ask(1, "resources/read", uri="file:///a b"), "file:///a b"),
        (ask(1, "tasks/get", taskId="T1"), "T1"),
        (ask(1, "tasks/update", taskId="T1"), "T1"),
        (ask(1, "tasks/cancel", taskId="T1"), "T1"),
        (ask(1, "tasks/list", taskId="T1"), None),
        (ask(1, "tools/list"), None),
        (ask(1, "tools/call", name=7), None),
    ],
)
def test_a_request_of_2026_is_repeated_in_its_headers_and_has_no_session(message: Any, name: str | None) -> None:
    async def scenario() -> None:
        async with remote(serving(lambda _: as_json(reply(1)))) as (session, behind):
            assert await session.ask(message) == reply(1)
            assert await session.end() == 0
            (got,) = behind.got
            assert got.message == message
            assert got.header("mcp-protocol-version") == "2026-07-28"
            assert got.header("mcp-method") == message["method"]
            assert got.header("mcp-name") == name
            assert got.header("mcp-session-id") is None

    play(scenario)


def test_cancelling_a_request_of_2026_closes_its_stream_and_posts_nothing() -> None:
    closed = asyncio.Event()

    async def handler(_got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(b": alive\n\n"))
        assert await reader.read() == b""
        closed.set()

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            session.send(ask(1, "tools/call", name="slow"))
            await until(lambda: len(behind.got) == 1)
            session.send(CANCELLED)
            await asyncio.wait_for(closed.wait(), 30)
            session.send(CANCELLED)  # of what is over: nobody could make anything of it
            assert await session.end() == 0
            assert methods(behind) == ["POST tools/call"]
            assert session.counted == (0, 0)

    play(scenario)


def test_a_subscription_brings_what_it_brings_and_does_not_hold_the_end_up() -> None:
    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}

    async def handler(_got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(event(changed)))
        await reader.read()

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            assert await session.ask(ask("s", "subscriptions/listen")) == changed
            async with asyncio.timeout(5):
                assert await session.end() == 0

    play(scenario)


def test_a_broken_stream_of_2026_loses_its_request_which_is_told() -> None:
    async def scenario() -> None:
        async with remote(serving(lambda _: stream_head() + chunk(b"id: 7\ndata:\n\n") + LAST_CHUNK)) as (
            session,
            behind,
        ):
            assert "ended its stream" in (await session.ask(ask(1, "tools/call", name="t")))["error"]["message"]
            assert methods(behind) == ["POST tools/call"]

    play(scenario)


SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        "flag": {"type": "boolean", "x-mcp-header": "Flag"},
        "none": {"type": "string", "x-mcp-header": "None"},
    },
}
ARGUMENTS = {"region": "Zürich", "deep": {"n": 42}, "flag": True, "none": None}


def param_headers(got: Received) -> dict[str, str | None]:
    return {name: got.header(f"mcp-param-{name}") for name in ("region", "n", "flag", "none")}


WANTED = {"region": "=?base64?WsO8cmljaA==?=", "n": "42", "flag": "true", "none": None}


def test_arguments_that_a_tool_wants_in_headers_are_repeated_there() -> None:
    tools = {"tools": [{"name": "t", "inputSchema": SCHEMA}]}

    async def scenario() -> None:
        answers = [
            lambda got: as_json({"jsonrpc": "2.0", "id": got.message["id"], "result": tools}),
            lambda got: as_json(reply(got.message["id"])),
        ]
        async with remote(serving(*answers)) as (session, behind):
            await session.ask(ask(1, "tools/list"))
            await session.ask(ask(2, "tools/call", name="t", arguments=ARGUMENTS))
            assert param_headers(behind.got[1]) == WANTED

    play(scenario)


@pytest.mark.parametrize("helps", [True, False])
def test_a_server_that_misses_headers_is_asked_for_its_tools_once(helps: bool) -> None:
    mismatch = {"jsonrpc": "2.0", "id": 5, "error": {"code": -32020, "message": "missing"}}

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        params = got.message["params"]
        if got.message["method"] == "tools/list":
            page = {"tools": [{"name": "t", "inputSchema": SCHEMA}] if "cursor" in params and helps else []}
            more = {} if "cursor" in params else {"nextCursor": "2"}
            writer.write(as_json({"jsonrpc": "2.0", "id": got.message["id"], "result": {**page, **more}}))
        elif param_headers(got) == WANTED:
            writer.write(as_json(reply(5)))
        else:
            writer.write(as_json(mismatch, status="400 Bad Request"))

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            answer = await session.ask(ask(5, "tools/call", name="t", arguments=ARGUMENTS))
            assert answer == (reply(5) if helps else mismatch)
            listed = ["POST tools/call", "POST tools/list", "POST tools/list"]
            assert methods(behind) == listed + (["POST tools/call"] if helps else [])
            assert session.counted == ((1, 0) if helps else (0, 0)), "an error that asks for headers is no outcome"

    play(scenario)


def test_a_probe_that_an_older_server_refuses_lets_the_client_fall_back() -> None:
    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.body and got.message.get("method") == "server/discover":
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        else:
            await serving(lambda got: as_json(reply(got.message["id"])))(got, reader, writer)

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            assert (await session.ask(ask(0, "server/discover")))["error"]["code"] == -32000
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            assert [got.header("mcp-protocol-version") for got in behind.got[:2]] == ["2026-07-28", None]

    play(scenario)


def test_a_server_of_2026_alone_says_so_itself_to_a_client_that_begins_with_initialize() -> None:
    error = {"jsonrpc": "2.0", "id": "init", "error": {"code": -32022, "message": "unsupported"}}

    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(as_json(error, status="400 Bad Request"))

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            assert await session.ask(INITIALIZE) == error
            assert methods(behind) == ["POST initialize"]

    play(scenario)


def test_a_batch_of_the_older_revisions_is_answered_whole() -> None:
    batch = [call(1), call("two"), {"jsonrpc": "2.0", "method": "notifications/x"}]

    async def scenario() -> None:
        answers = [
            lambda _: as_json([reply("two"), reply(1)]),
            lambda _: as_stream(reply(1), reply("two")),
            lambda _: as_json(reply(1)),
        ]
        async with remote(serving(*answers)) as (session, _):
            await session.begin()
            assert await session.ask(batch) == [reply("two"), reply(1)]
            assert await session.ask(batch) == reply(1)
            assert await session.message() == reply("two")
            assert await session.ask(batch) == reply(1)
            assert (await session.message())["error"]["message"].endswith("without a reply to the request")
            assert session.counted == (5, 1)

    play(scenario)


def test_a_tool_whose_annotations_break_the_rules_is_not_listed_and_the_user_is_told() -> None:
    good = {"name": "good", "inputSchema": {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}}
    bad = {"name": "bad", "inputSchema": {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}}
    tools = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [good, bad]}}

    async def scenario() -> None:
        async with remote(serving(lambda _: as_json(tools))) as (session, _):
            answer = await session.ask(ask(1, "tools/list"))
            assert answer["result"]["tools"] == [good]
            assert ["bad" in sentence and "x-mcp-header" in sentence for sentence in session.said] == [True]

    play(scenario)
