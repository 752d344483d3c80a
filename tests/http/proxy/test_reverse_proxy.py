"""The reverse proxy on the wire: what passes, what it answers itself, who notices whose end, and what it holds back."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.http.proxied import (
    LAST_CHUNK,
    PATIENCE,
    Received,
    answering,
    as_json,
    as_stream,
    call,
    chunk,
    event,
    parse,
    proxied,
    reply,
    stream_head,
    until,
)
from thv.errors import ThvError, UsageError
from thv.http.proxy import upstream as proxy_upstream
from thv.http.proxy.proxy_target import parse_target
from thv.http.proxy.reverse_proxy import ReverseProxy
from thv.http.server import http_connection as client_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


def run(scenario: Coroutine[None, None, None]) -> None:
    async def patiently() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await scenario

    asyncio.run(patiently())


def test_a_request_arrives_as_it_was_sent_but_for_what_is_between_two_neighbours() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            await setup.raw(
                b"POST /mcp?a=%2F&b HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nX-Odd_Name:  two  words \r\nx-empty:\r\n"
                b"Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=9\r\nTE: trailers\r\n"
                b"Proxy-Authorization: secret\r\nUpgrade: h2c\r\nAccept-Encoding: br;q=1, gzip, zstd\r\n"
                b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nAuthorization: Bearer t\r\n"
                b"X-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 3\r\n\r\nabc"
            )
            got = setup.behind.got[0]
            assert got.body == b"abc"
            assert got.head.split("\r\n") == [
                "POST /mcp?a=%2F&b HTTP/1.1",
                f"host: 127.0.0.1:{setup.behind.port}",
                "X-Odd_Name: two  words",
                "x-empty: ",
                "Accept-Encoding: gzip",
                "Authorization: Bearer t",
                "X-Twice: 1",
                "X-Twice: 2",
                "Content-Length: 3",
                "X-Forwarded-For: 127.0.0.1",
                "X-Forwarded-Proto: http",
                "X-Forwarded-Host: 127.0.0.1:8080",
                "Via: 1.1 thv",
                "",
                "",
            ]

    run(scenario())


def test_a_response_arrives_as_it_was_sent_but_for_what_is_between_two_neighbours() -> None:
    async def scenario() -> None:
        async with proxied(
            answering(
                lambda _: (
                    b"HTTP/1.1 207 Odd Words\r\nServer: x\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n"
                    b"Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
                    b"Location: http://127.0.0.1:%d/else?x\r\nContent-Length: 2\r\n\r\nok" % setup.behind.port
                )
            )
        ) as setup:
            answer = await setup.raw(b"GET /mcp HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n")
            assert answer == (
                b"HTTP/1.1 207 Odd Words\r\nServer: x\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n"
                b"Location: http://localhost:1/else?x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            )

    run(scenario())


def test_interim_responses_and_trailers_pass() -> None:
    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert got.header("expect") == "100-continue"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        body = await reader.readuntil(b"\r\n\r\n")
        assert body.endswith(b"0\r\nX-Sum: 1\r\n\r\n"), body
        writer.write(
            b"HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n"
        )

    async def scenario() -> None:
        async with proxied(handler) as setup:
            reader, writer = await setup.connect()
            writer.write(
                b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            writer.write(b"2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n")
            rest = await reader.readuntil(b"X-End: 2\r\n\r\n")
            assert b"Trailer: X-End" in rest
            assert b"3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n" in rest
            writer.close()

    run(scenario())


def test_every_event_leaves_at_once() -> None:
    heard = asyncio.Queue[int]()

    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for number in range(20):
            writer.write(chunk(event({"n": number})))
            assert await heard.get() == number  # not before the client has it
        writer.write(LAST_CHUNK)

    async def scenario() -> None:
        async with proxied(handler) as setup:
            reader, writer = await setup.connect()
            writer.write(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: s\r\n\r\n")
            for number in range(20):
                assert b'{"n": %d}' % number in await reader.readuntil(b"\n\n")
                heard.put_nowait(number)
            await reader.readuntil(LAST_CHUNK)
            writer.close()

    run(scenario())


def test_the_server_notices_that_the_client_left_and_the_other_way_round() -> None:
    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(event({})))
        if "leave" in got.line:
            await writer.drain()
            writer.transport.abort()
        else:
            await reader.read()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            reader, writer = await setup.connect()
            writer.write(b"GET /stay HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"\n\n")
            writer.write_eof()  # half of a close is one, too
            await until(lambda: setup.behind.connections == 0)
            assert not (await reader.read()).endswith(LAST_CHUNK)
            answer = await setup.raw(b"GET /leave HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in answer
            assert not answer.endswith(LAST_CHUNK)
            await until(lambda: not setup.proxy.clients and not setup.proxy.pool.connections)
            writer.close()

    run(scenario())


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


FRAMINGS = {
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified, with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
    "up to the end": (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it", b"all of it"),
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour", b"four"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nfo\r\n2\r\nur\r\n0\r\n\r\n", b"four"),
    "bytes that are no text": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 256\r\n\r\n" + bytes(range(256)),
        bytes(range(256)),
    ),
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("answer", "body"), FRAMINGS.values(), ids=FRAMINGS)
def test_however_a_body_is_framed_it_arrives(answer: bytes, body: bytes, version: str) -> None:
    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if b"HTTP/1.0" in answer:
            writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            request = f"GET /mcp HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            got = parse(await setup.raw(request.encode()))
            assert got.status == int(answer.split()[1])
            assert got.body == body

    run(scenario())


def test_a_head_request_has_no_body() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")) as setup:
            got = await setup.ask("HEAD", "/mcp")
            assert (got.status, got.header("content-length"), got.body) == (200, "5", b"")

    run(scenario())


REFUSED = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "a second length": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a blank before the colon": (b"GET / HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n", 400),
    "a bad chunk": (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "an unknown transfer coding": (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
    "too long a head": (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * (600 << 10) + b"\r\n\r\n", 431),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n", 400),
    "another scheme": (b"GET ftp://localhost/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
    "a foreign Host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403),
    "a foreign Host in the target": (
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        403,
    ),
    "a foreign page": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n",
        403,
    ),
}


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED)
def test_bad_requests_are_refused_and_never_reach_the_server(request_: bytes, status: int) -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            assert parse(await setup.raw(request_)).status == status
            assert not [got for got in setup.behind.got if got.body]
            assert (await setup.ask("GET", "/mcp")).status == 200

    run(scenario())


def test_a_length_beside_chunks_is_refused_and_reaches_nobody() -> None:
    """Two neighbours that believe different ones of the two see different requests (RFC 9112, 6.3)."""

    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            answer = await setup.raw(
                b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"2\r\n{}\r\n0\r\n\r\n"
            )
            assert parse(answer).status == 400
            assert setup.behind.got == []

    run(scenario())


def test_a_servers_length_beside_chunks_is_dropped() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    async def scenario() -> None:
        async with proxied(answering(lambda _: response)) as setup:
            got = await setup.ask("GET", "/mcp")
            assert (got.status, got.body, got.header("content-length")) == (200, b"{}", None)

    run(scenario())


def test_an_allowed_page_and_the_absolute_form_may_pass() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY), origins=["https://app.example"]) as setup:
            assert (await setup.ask("GET", "/mcp", b"", "Origin: https://app.example")).status == 200
            request = b"GET http://localhost:1/x?y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert parse(await setup.raw(request)).status == 200
            assert setup.behind.got[-1].line == "GET /x?y HTTP/1.1"

    run(scenario())


def test_a_server_that_is_not_there_is_a_bad_gateway_and_one_that_accepts_nobody_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_pool: proxy_upstream.Pool) -> None:
        raise TimeoutError

    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))  # and nobody listens
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


def test_health_is_the_servers_whatever_it_answers() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")) as setup:
            got = await setup.raw(b"GET /health HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n")
            assert parse(got).body == b'{"status":"healthy"}\n'
            assert setup.behind.got[0].line == "OPTIONS /mcp HTTP/1.1"

    run(scenario())


def test_a_client_that_does_not_read_slows_the_server_and_loses_nothing() -> None:
    sent = 0
    block, blocks = b"x" * (1 << 20), 96

    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(block) * blocks))
        for _ in range(blocks):
            writer.write(block)
            await writer.drain()
            sent += len(block)

    async def scenario() -> None:
        async with proxied(handler) as setup:
            reader, writer = await asyncio.open_connection("127.0.0.1", setup.proxy.port, limit=64 << 10)
            writer.write(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            before = -1
            while sent != before or not sent:
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 64 << 20  # what the system's buffers hold
            total = 0
            while piece := await reader.read(1 << 20):
                total += len(piece)
            assert total > len(block) * blocks
            writer.close()

    run(scenario())


def test_a_server_that_does_not_read_slows_the_client_and_gets_everything() -> None:
    go = asyncio.Event()
    size = 96 << 20

    async def handler(_got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        left = size
        while left:
            left -= len(await reader.read(1 << 20))
        writer.write(EMPTY)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await handler(Received(""), reader, writer)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            setup.proxy.pool.target.port = server.sockets[0].getsockname()[1]
            reader, writer = await setup.connect()
            writer.write(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
            writer.write(b"[" + b" " * (size - 2) + b"]")
            left = -1
            while writer.transport.get_write_buffer_size() != left:
                left = writer.transport.get_write_buffer_size()
                await asyncio.sleep(0.3)
            assert left > 32 << 20  # still with the client
            go.set()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()
            server.close()

    run(scenario())


def test_an_answer_before_the_request_is_whole_arrives() -> None:
    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            reader, writer = await setup.connect()
            writer.write(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n")
            assert (await reader.readuntil(b"big")).startswith(b"HTTP/1.1 413")
            writer.write(chunk(b"1]") + LAST_CHUNK)  # and the connection can go on
            writer.write(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"big")).startswith(b"HTTP/1.1 413")
            writer.close()

    run(scenario())


def test_slow_heads_and_endless_answered_bodies_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connection, "HEAD_TIMEOUT_S", 0.0)

    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            assert await setup.raw(b"GET /mcp HT") == b""
            reader, writer = await setup.connect()
            writer.write(b"POST /x HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9999999999\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x" * 65536)
                with suppress(OSError):
                    await writer.drain()

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


def test_two_hundred_streams_at_once_are_two_hundred_streams() -> None:
    everybody = asyncio.Event()

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(event({})))
        await everybody.wait()
        writer.write(chunk(event(reply(got.message["id"]))) + LAST_CHUNK)

    async def scenario() -> None:
        async with proxied(handler) as setup:
            posts = [asyncio.create_task(setup.post(call(number % 7))) for number in range(200)]
            await until(lambda: setup.behind.connections == 200)
            everybody.set()
            assert {got.status for got in await asyncio.gather(*posts)} == {200}
            assert setup.counted == (200, 0)

    run(scenario())


def test_the_end_of_the_proxy_ends_every_connection() -> None:
    async def handler(_got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(event({})))
        await reader.read()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            reader, writer = await setup.connect()
            body = json.dumps(call(1)).encode()
            writer.write(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await reader.readuntil(b"\n\n")
            await setup.proxy.close()
            assert not (await reader.read()).endswith(LAST_CHUNK)
            await until(lambda: setup.behind.connections == 0)
            assert setup.counted == (0, 0)
            writer.close()

    run(scenario())


def test_a_taken_port_and_a_circle_are_said_clearly() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            target = parse_target("http://127.0.0.1:1/mcp")
            second = ReverseProxy(target, setup.instrumentation, port=setup.proxy.port)
            with pytest.raises(ThvError, match=f"cannot listen on 127.0.0.1 port {setup.proxy.port}: "):
                await second.start()
            circle = parse_target(f"http://localhost:{setup.proxy.port}/mcp")
            with pytest.raises(UsageError, match="would lead to itself"):
                ReverseProxy(circle, setup.instrumentation, port=setup.proxy.port)

    run(scenario())


def test_a_browsers_question_is_answered_here_and_its_page_may_read_the_answer() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY), origins=["https://app.example"]) as setup:
            asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type, mcp-name")
            answer = await setup.ask("OPTIONS", "/mcp", b"", "Origin: https://app.example", *asks)
            assert (answer.status, setup.behind.got) == (204, [])
            assert answer.header("access-control-allow-origin") == "https://app.example"
            assert answer.header("access-control-allow-headers") == "content-type, mcp-name"
            assert (await setup.ask("OPTIONS", "/mcp", b"", "Origin: https://evil.example", *asks)).status == 403
            called = await setup.ask("POST", "/mcp", b"{}", "Origin: https://app.example")
            assert called.header("access-control-allow-origin") == "https://app.example"
            assert (await setup.ask("OPTIONS", "/mcp")).status == 200  # no browser's question: the server's to answer

    run(scenario())


def test_a_server_that_speaks_of_origins_itself_is_left_alone() -> None:
    response = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"

    async def scenario() -> None:
        async with proxied(answering(lambda _: response)) as setup:
            answer = await setup.raw(
                b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n"
            )
            assert answer.lower().count(b"access-control-allow-origin") == 1

    run(scenario())


@pytest.mark.parametrize("answer", [as_json, as_stream])
def test_an_exchange_that_is_over_leaves_nothing_to_the_garbage_collector(answer: Callable[..., bytes]) -> None:
    body = json.dumps(call(1)).encode()
    post = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: s\r\nContent-Length: %d\r\n\r\n%b"

    async def scenario() -> None:
        async with proxied(answering(lambda _: answer(reply(1)))) as setup:
            reader, writer = await setup.connect()

            async def ask() -> None:
                writer.write(post % (len(body), body))
                await reader.readuntil(LAST_CHUNK if answer is as_stream else json.dumps(reply(1)).encode())

            await ask()
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await ask()
                gc.collect()
                left = [type(each) for each in gc.garbage if type(each).__module__.startswith("thv.")]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
            assert left == []
            assert setup.counted == (2, 0)
            writer.close()

    run(scenario())


def test_many_requests_at_once_that_the_proxy_answers_itself_do_not_run_inside_one_another() -> None:
    count = 3000  # more than Python allows calls inside calls

    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            refused = b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.example\r\n\r\n" * count
            last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer = await setup.raw(refused + last)
            assert (answer.count(b"HTTP/1.1 403 "), answer.count(b"HTTP/1.1 200 ")) == (count, 1)

    run(scenario())
