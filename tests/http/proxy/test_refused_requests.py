"""Requests that the proxy refuses, which never reach the server, and the like of them that it lets pass."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.http.proxied import EMPTY, answering, parse, proxied, run
from thv.http.server import http_connection as client_connection

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


def test_an_allowed_page_and_the_absolute_form_may_pass() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY), origins=["https://app.example"]) as setup:
            assert (await setup.ask("GET", "/mcp", b"", "Origin: https://app.example")).status == 200
            request = b"GET http://localhost:1/x?y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert parse(await setup.raw(request)).status == 200
            assert setup.behind.got[-1].line == "GET /x?y HTTP/1.1"

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


def test_many_requests_at_once_that_the_proxy_answers_itself_do_not_run_inside_one_another() -> None:
    count = 3000  # more than Python allows calls inside calls

    async def scenario() -> None:
        async with proxied(answering(lambda _: EMPTY)) as setup:
            refused = b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.example\r\n\r\n" * count
            last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            answer = await setup.raw(refused + last)
            assert (answer.count(b"HTTP/1.1 403 "), answer.count(b"HTTP/1.1 200 ")) == (count, 1)

    run(scenario())
