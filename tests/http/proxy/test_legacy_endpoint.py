"""The endpoint of the legacy transport leads to the proxy, however it is written and cut; nothing else changes."""

from __future__ import annotations

import asyncio
import gzip
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.proxied import LAST_CHUNK, Received, chunk, proxied, stream_head
from thv.http.proxy.legacy_endpoint import MAX_HELD, EndpointRewriter, rewriter
from thv.http.proxy.proxy_target import ProxyTarget

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

TARGET, PROXY = ProxyTarget("http", "127.0.0.1", 9000), b"http://localhost:8080"

LED = {
    b"event: endpoint\ndata: http://127.0.0.1:9000/m?s=1\n\n": b"event: endpoint\ndata: http://localhost:8080/m?s=1\n\n",
    b"event:endpoint\r\ndata:HTTP://127.0.0.1:9000/m\r\n\r\n": b"event:endpoint\r\ndata:http://localhost:8080/m\r\n\r\n",
    # A server on this machine may call itself by another of its names.
    b"event: endpoint\ndata: http://localhost:9000/m\n\n": b"event: endpoint\ndata: http://localhost:8080/m\n\n",
    b"event: endpoint\ndata: http://[::1]:9000/m\n\n": b"event: endpoint\ndata: http://localhost:8080/m\n\n",
    b"event: endpoint\ndata: //127.0.0.1:9000/m\n\n": b"event: endpoint\ndata: http://localhost:8080/m\n\n",
    b"data: http://127.0.0.1:9000\nevent: endpoint\n\n": b"data: http://localhost:8080\nevent: endpoint\n\n",
    b": hello\n\nretry: 5\n\nid: 1\nevent: endpoint\ndata: http://127.0.0.1:9000/\n\n": (
        b": hello\n\nretry: 5\n\nid: 1\nevent: endpoint\ndata: http://localhost:8080/\n\n"
    ),
}

KEPT = [
    b"event: endpoint\ndata: /messages?s=1\n\n",
    b"event: endpoint\ndata: http://127.0.0.1:90001/m\n\n",
    b"event: endpoint\ndata: //127.0.0.1:9001/m\n\n",
    b"event: endpoint\ndata: /127.0.0.1:9000/m\n\n",
    b"event: endpoint\ndata: http://127.0.0.1:9000.evil.example/m\n\n",
    b"event: endpoint\ndata: https://127.0.0.1:9000/m\n\n",
    b"event: message\ndata: http://127.0.0.1:9000/m\n\n",
    b"data: {}\n\nevent: endpoint\ndata: http://127.0.0.1:9000/m\n\n",
    b"event: endpoint\ndata: http://127.0.0.1:9000/m",
    b"\xff\x00" * MAX_HELD,
    b"",
]


def passed(stream: bytes, cuts: list[int]) -> bytes:
    rewriting = EndpointRewriter(TARGET, PROXY)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    return b"".join(map(rewriting.feed, pieces)) + rewriting.rest()


@pytest.mark.parametrize("stream", LED)
@given(cuts=st.lists(st.integers(0, 100), max_size=8))
def test_an_endpoint_at_the_servers_origin_leads_to_the_proxy(stream: bytes, cuts: list[int]) -> None:
    later = b"data: http://127.0.0.1:9000/\n\nevent: endpoint\ndata: http://127.0.0.1:9000/\n\n"
    assert passed(stream + later, cuts) == LED[stream] + later


@pytest.mark.parametrize("stream", KEPT)
@given(cuts=st.lists(st.integers(0, 100), max_size=8))
def test_everything_else_passes_byte_for_byte(stream: bytes, cuts: list[int]) -> None:
    assert passed(stream, cuts) == stream


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_no_bytes_are_lost(stream: bytes, cuts: list[int]) -> None:
    assert passed(stream, cuts) == stream


def test_a_whole_event_waits_for_nothing_and_a_long_one_is_let_go() -> None:
    rewriting = EndpointRewriter(TARGET, PROXY)
    assert rewriting.feed(b": hi\n\n") == b": hi\n\n"
    assert rewriting.feed(b"data: {}\n\n") == b"data: {}\n\n"
    assert EndpointRewriter(TARGET, PROXY).feed(b"x" * (MAX_HELD + 1)) == b"x" * (MAX_HELD + 1)


@pytest.mark.parametrize(
    ("status", "fields", "proxy"),
    [
        (404, [(b"Content-Type", b"text/event-stream")], b"http://h"),
        (200, [(b"Content-Type", b"application/json")], b"http://h"),
        (200, [], b"http://h"),
        (200, [(b"Content-Type", b"text/event-stream")], None),
        (200, [(b"Content-Type", b"text/event-stream"), (b"Content-Length", b"5")], b"http://h"),
        (200, [(b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip")], b"http://h"),
    ],
)
def test_what_cannot_be_changed_is_not(status: int, fields: list[tuple[bytes, bytes]], proxy: bytes | None) -> None:
    assert rewriter(status, fields, TARGET, proxy) is None


def test_a_client_of_the_legacy_transport_is_led_to_the_proxy() -> None:
    async def server(got: Received, _reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(b"event: endpoint\ndata: http://%b/messages?s=1\n\n" % str(got.header("host")).encode()))

    async def scenario() -> None:
        async with proxied(server, path="/sse") as setup:
            reader, writer = await setup.connect()
            writer.write(b"GET /sse HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % setup.proxy.port)
            first = await reader.readuntil(b"\n\n")
            assert b"data: http://localhost:%d/messages?s=1\n" % setup.proxy.port in first
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("headers", "asked_for"),
    [
        (("Accept: text/event-stream", "Accept-Encoding: gzip, deflate"), "identity"),
        (("Accept: Text/Event-Stream",), "identity"),
        (("Accept: */*", "Accept-Encoding: gzip, br"), "identity"),
        (("Accept: text/*;q=0.5",), "identity"),
        (("Accept-Encoding: gzip",), "identity"),
        (("Accept: text/event-stream", "Accept-Encoding: gzip", "Mcp-Session-Id: s"), "gzip"),
        (("Accept: application/json", "Accept-Encoding: gzip"), "gzip"),
        (("Accept: text/html",), None),
    ],
)
def test_a_stream_that_may_name_an_endpoint_is_asked_for_uncompressed(
    headers: tuple[str, ...], asked_for: str | None
) -> None:
    async def server(got: Received, _reader: StreamReader, writer: StreamWriter) -> None:
        assert got.header("accept-encoding") == asked_for
        body = b"event: endpoint\ndata: http://%b/m\n\n" % str(got.header("host")).encode()
        coding = "gzip" if asked_for == "gzip" else "identity"
        body = gzip.compress(body) if coding == "gzip" else body
        writer.write(stream_head(f"Content-Encoding: {coding}") + chunk(body) + LAST_CHUNK)

    async def scenario() -> None:
        async with proxied(server, path="/sse") as setup:
            body = (await setup.ask("GET", "/sse", b"", *headers)).body
            if asked_for == "gzip":
                assert gzip.decompress(body) == b"event: endpoint\ndata: http://127.0.0.1:%d/m\n\n" % setup.behind.port
            else:
                assert body == b"event: endpoint\ndata: http://127.0.0.1/m\n\n"

    asyncio.run(scenario())
