"""A remote server of ill intent: whatever it says, the client gets one answer, and thv neither falls nor leaks."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import LAST_CHUNK, Received, as_json, call, chunk, reply, stream_head
from tests.http.remotes import INITIALIZE, handshake, remote, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MODERN = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def coded(coding: str, body: bytes) -> Callable[[Received], bytes]:
    return lambda _: as_json(body, f"Content-Encoding: {coding}")


BOMB = gzip.compress(b" " * (280 << 20), 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (coded("gzip, gzip", gzip.compress(BOMB)), "not asked for"),
        (coded("br", b"x"), "not asked for"),
        (coded("gzip", BOMB), "more than 256 MiB"),
        (coded("gzip", b"no gzip"), "not encoded as it says"),
        (lambda _: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n", "broke off"),
        (
            lambda _: as_json(b"{}", "Location: file:///etc/passwd", status="307 Temporary Redirect"),
            "redirects to file:",
        ),
        (lambda _: as_json(b"{}", "Location: //evil.example/mcp", status="308 Permanent Redirect"), "evil.example"),
        (lambda _: b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\n{}", "image/png"),
    ],
    ids=["gzip twice", "brotli", "a bomb", "no gzip", "headers", "a file", "another host", "a picture"],
)
def test_what_cannot_be_a_reply_is_one_error_and_the_session_goes_on(
    answer: Callable[[Received], bytes], words: str
) -> None:
    async def scenario() -> None:
        good = lambda got: as_json(reply(got.message["id"]))  # noqa: E731  one of two answers
        async with remote(serving(answer, good)) as (session, _):
            await session.begin()
            refused = await session.ask(call(1))
            assert (refused["id"], words in refused["error"]["message"]) == (1, True), refused
            assert await session.ask(call(2)) == reply(2)

    play(scenario)


def test_replies_that_come_twice_or_to_nobody_settle_nothing_else() -> None:
    def answer(got: Received) -> bytes:
        events = [reply("nobody"), reply(got.message["id"]), reply(got.message["id"])]
        bodies = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)
        return stream_head() + chunk(b"data: \xff{}\n\n" + bodies) + LAST_CHUNK

    async def scenario() -> None:
        async with remote(serving(answer, lambda got: as_json(reply(got.message["id"])))) as (session, _):
            await session.begin()
            session.send(call(1))
            assert [(await session.message())["id"] for _ in range(3)] == ["nobody", 1, 1]
            assert await session.ask(call(2)) == reply(2)
            assert session.counted == (2, 0)

    play(scenario)


@pytest.mark.parametrize("name", ["s\u00e9ance", "a\tb", "\u2603"])
def test_a_session_id_that_no_header_can_carry_is_refused(name: str) -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            (handshake(got, None) or b"").replace(b"\r\n\r\n", b"\r\nMcp-Session-Id: " + name.encode() + b"\r\n\r\n", 1)
        )

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            assert "no header can carry" in (await session.ask(INITIALIZE))["error"]["message"]

    play(scenario)


@pytest.mark.parametrize("version", ["2025-11-25\r\nX-Evil: 1", "\u2603", "\x00"])
def test_a_version_that_no_header_can_carry_is_in_none(version: str) -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = got.message if got.body else {}
        if message.get("method") == "initialize":
            writer.write(as_json(reply(message["id"], protocolVersion=version), "Mcp-Session-Id: s"))
        else:
            writer.write(handshake(got) or as_json(reply(message["id"])))

    async def scenario() -> None:
        async with remote(handler) as (session, behind):
            await session.begin()
            assert await session.ask(call(1)) == reply(1)
            assert not any("evil" in got.head.lower() for got in behind.got)

    play(scenario)


def test_a_notification_of_the_newest_revision_has_headers_that_can_be_sent() -> None:
    async def scenario() -> None:
        async with remote(serving(lambda got: as_json(reply(got.message["id"])))) as (session, behind):
            assert await session.ask(call(1, _meta=MODERN)) == reply(1)
            session.send({"jsonrpc": "2.0", "method": "notifications/\u2603\r\nX-Evil: 1"})
            assert await session.ask(call(2, _meta=MODERN)) == reply(2)
            [note] = [got for got in behind.got if "id" not in got.message]
            assert str(note.header("mcp-method")).startswith("=?base64?")
            assert session.said == []

    play(scenario)
