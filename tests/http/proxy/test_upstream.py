"""When the proxy reuses its connections to the server, and what it tells the client if it cannot open one."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.http.proxied import (
    EMPTY,
    Received,
    Setup,
    answering,
    as_json,
    as_stream,
    call,
    parse,
    proxied,
    reply,
    run,
    until,
)
from thv.http.proxy import upstream as proxy_upstream
from thv.http.proxy.proxy_target import parse_target
from thv.http.proxy.reverse_proxy import ReverseProxy

if TYPE_CHECKING:
    from pathlib import Path


def test_connections_are_kept_and_not_used_after_the_server_closed_them() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda got: as_json(reply(got.message["id"])))) as setup:
            body = json.dumps(call(1)).encode()
            request = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            reader, writer = await setup.connect()
            for _ in range(10):
                writer.write(request)
                assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 200")
            assert setup.behind.opened == 1
            next(iter(setup.proxy.pool.connections))._transport.abort()
            await until(lambda: not setup.proxy.pool.connections)
            writer.write(request * 3)  # pipelined, and answered in order
            for _ in range(3):
                assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 200")
            assert setup.behind.opened == 2
            assert setup.counted == (13, 0)
            writer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("promise", "again"), [("", 1), ("Keep-Alive: timeout=1\r\n", 2), ("Connection: close\r\n", 2)]
)
def test_a_connection_is_used_again_only_as_long_as_the_server_promises(promise: str, again: int) -> None:
    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{promise}Content-Length: 0\r\n\r\n".encode())

    async def scenario() -> None:
        async with proxied(handler) as setup:
            for _ in range(2):
                assert (await setup.ask("GET", "/mcp")).status == 200
            assert setup.behind.opened == again

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [as_json(reply(1)), as_stream(reply(1)), b"HTTP/1.1 204 No Content\r\n\r\n"],
    ids=["length", "chunks", "none"],
)
@pytest.mark.parametrize(
    "surplus",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["upgrade", "text", "response"],
)
def test_what_follows_a_whole_response_does_not_take_it_away(answer: bytes, surplus: bytes) -> None:
    """As a body does that is longer than its length says, or has a status without one."""

    async def scenario() -> None:
        async with proxied(answering(lambda _: answer + surplus)) as setup:
            for _ in range(2):
                body = json.dumps(call(1)).encode()
                reader, writer = await setup.connect()
                writer.write(
                    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                )
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                got = await reader.read()
                assert got.startswith(answer[:20])
                assert got.count(b"HTTP/1.1 ") == 2
                writer.close()
            await until(lambda: not setup.proxy.pool.connections)
            assert setup.behind.opened >= 2
            assert setup.counted == ((2, 0) if b"result" in answer else (0, 2))

    run(scenario())


def test_only_what_may_be_repeated_is_sent_again_when_a_kept_connection_was_closed() -> None:
    requests = 0

    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        if requests in {2, 5}:
            writer.transport.abort()
        else:
            writer.write(EMPTY)

    async def scenario() -> None:
        async with proxied(handler) as setup:
            assert (await setup.ask("GET", "/first")).status == 200
            assert (await setup.ask("GET", "/again")).status == 200
            assert [got.line for got in setup.behind.got[1:]] == ["GET /again HTTP/1.1"] * 2
            assert (await setup.ask("GET", "/first")).status == 200
            assert (await setup.post(call(1), target="/again")).status == 502
            assert len(setup.behind.got) == 5

    run(scenario())


def test_a_server_that_is_not_there_is_a_bad_gateway_and_one_that_accepts_nobody_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_pool: proxy_upstream.Pool) -> None:
        raise TimeoutError

    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))  # bound, but not listening
                setup.proxy.pool.target.port = taken.getsockname()[1]
                got = await setup.post(call("x"))
                assert got.status == 502
                assert json.loads(got.body)["error"]["message"].endswith("cannot be reached: Connection refused")
                assert (await setup.ask("GET", "/health")).status == 503
            monkeypatch.setattr(proxy_upstream.Pool, "connect", never)
            assert (await setup.post(call("x"))).status == 504
            assert (await setup.ask("GET", "/mcp")).body.startswith(b"the server at http://127.0.0.1:")
            assert setup.counted == (0, 2)

    run(scenario())


@pytest.mark.parametrize("host", ["a.b..c", "a" * 64 + ".example"])
def test_a_name_that_no_host_can_have_is_a_bad_gateway(host: str) -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            proxy = ReverseProxy(parse_target(f"http://{host}/mcp"), setup.instrumentation)
            await proxy.start()
            try:
                got = await Setup(proxy, setup.behind, setup.instrumentation).post(call(1))
            finally:
                await proxy.close()
            assert got.status == 502
            assert "no host can have this name" in json.loads(got.body)["error"]["message"]

    run(scenario())


def test_a_server_without_tls_where_https_is_meant_is_said_to_be_one() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        plain = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with plain, proxied(answering(lambda _: EMPTY)) as setup:
            setup.proxy.pool.target = parse_target(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/mcp")
            got = await setup.post(call(1))
            assert got.status == 502
            message = json.loads(got.body)["error"]["message"]
            assert "cannot be reached: TLS fails (" in message
            assert message.endswith("; is it an https server?")

    run(scenario())


def test_health_is_the_servers_whatever_it_answers() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")) as setup:
            got = await setup.raw(b"GET /health HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n")
            assert parse(got).body == b'{"status":"healthy"}\n'
            assert setup.behind.got[0].line == "OPTIONS /mcp HTTP/1.1"

    run(scenario())


def test_a_server_that_speaks_no_http_is_a_bad_gateway() -> None:
    async def scenario() -> None:
        for nonsense in (
            b"220 smtp.example ESMTP\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            b"HTTP/1.1 101 Switch\r\n\r\n",
        ):
            async with proxied(answering(lambda _, nonsense=nonsense: nonsense)) as setup:  # type: ignore[misc]  # no type is inferred for it
                got = await setup.post(call(1))
                assert got.status == 502
                assert json.loads(got.body)["id"] == 1

    run(scenario())


def test_a_server_behind_tls_is_trusted_as_the_system_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Host: localhost:" in head
        writer.write(EMPTY)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with proxied(answering(lambda _: EMPTY)) as setup:
            setup.proxy.pool.target = parse_target(f"https://localhost:{server.sockets[0].getsockname()[1]}/mcp")
            got = await setup.ask("GET", "/mcp")
            assert got.status == 502
            assert b"its certificate is not trusted" in got.body
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            setup.proxy.pool._tls = None
            assert (await setup.ask("GET", "/mcp")).status == 200
        server.close()

    run(scenario())
