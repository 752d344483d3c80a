"""What passes the proxy, byte by byte: the heads of requests and responses, their bodies, events and trailers."""

from __future__ import annotations

import asyncio

import pytest

from tests.http.proxied import EMPTY, LAST_CHUNK, Received, answering, chunk, event, parse, proxied, run, stream_head


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


@pytest.mark.parametrize(
    ("sent", "seen"),
    {
        "http://localhost:{port}": "http://localhost:1",
        "http://localhost:{port}/": "http://localhost:1/",
        "http://localhost:{port}?a=1": "http://localhost:1?a=1",
        "http://localhost:{port}#f": "http://localhost:1#f",
        "//localhost:{port}/else": "http://localhost:1/else",
        "//localhost:{port}": "http://localhost:1",
        "/else": "/else",
        "else?x": "else?x",
        "": "",
        "//example.com/else": "//example.com/else",
        "https://localhost:{port}": "https://localhost:{port}",
    }.items(),
)
def test_no_redirect_to_the_server_leads_around_the_proxy(sent: str, seen: str) -> None:
    async def scenario() -> None:
        async with proxied(
            answering(
                lambda _: (
                    f"HTTP/1.1 307 X\r\nLocation: {sent.format(port=setup.behind.port)}\r\nContent-Length: 0\r\n\r\n"
                ).encode()
            )
        ) as setup:
            answer = parse(await setup.raw(b"GET /mcp HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n"))
            assert answer.header("location") == seen.format(port=setup.behind.port)

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


def test_a_servers_length_beside_chunks_is_dropped() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    async def scenario() -> None:
        async with proxied(answering(lambda _: response)) as setup:
            got = await setup.ask("GET", "/mcp")
            assert (got.status, got.body, got.header("content-length")) == (200, b"{}", None)

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
