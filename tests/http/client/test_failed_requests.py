"""Each failed request gets an error reply with its own id, and the user is told once."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.http.proxied import Received, as_json, as_stream, call, chunk, stream_head
from tests.http.remotes import (
    ACCEPTED,
    INITIALIZE,
    INITIALIZED,
    PROGRESS,
    handshake,
    play,
    raw,
    remote,
    running,
    serving,
)
from thv.http.client import streamable_http as remote_streamable
from thv.http.client.http_client import HttpClient
from thv.servers.remote_spec import resolve_remote

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from thv.auth.authorizer import Authorizer

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


def test_what_is_to_be_typed_to_log_in_again_is_quoted() -> None:
    logged_in = cast("Authorizer", SimpleNamespace(is_logged_in=True))
    http = HttpClient(resolve_remote("http://127.0.0.1:9/mcp?team=a", environ={}), {}, logged_in)
    assert http.refusal(401).endswith("to log in again: thv auth login 'http://127.0.0.1:9/mcp?…'")
