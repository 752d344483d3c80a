"""The reverse proxy as a whole: how it starts and ends, who notices that the other left, and what it keeps."""

from __future__ import annotations

import asyncio
import gc
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.garbage import collect_all
from tests.http.proxied import (
    EMPTY,
    LAST_CHUNK,
    Received,
    answering,
    as_json,
    as_stream,
    call,
    chunk,
    event,
    proxied,
    reply,
    run,
    stream_head,
    until,
)
from thv.errors import ThvError, UsageError
from thv.http.proxy.proxy_target import parse_target
from thv.http.proxy.reverse_proxy import ReverseProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


@contextmanager
def nothing_left_to_the_collector() -> Iterator[None]:
    """Of thv's own objects, all that is used meanwhile and is used no more is freed at once."""
    gc.disable()
    collect_all()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        collect_all()
        left = [type(each) for each in gc.garbage if type(each).__module__.startswith("thv.")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


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
            with nothing_left_to_the_collector():
                await ask()
            assert setup.counted == (2, 0)
            writer.close()

    run(scenario())


@pytest.mark.parametrize("answer", [as_json, as_stream])
def test_a_connection_that_is_closed_leaves_nothing_to_the_garbage_collector(answer: Callable[..., bytes]) -> None:
    async def handler(_: Received, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(reply(1)))
        writer.close()  # so the proxy cannot use the connection again

    async def scenario() -> None:
        async with proxied(handler) as setup:

            async def ask() -> None:
                await setup.post(call(1))
                await until(lambda: not setup.proxy.clients and not setup.proxy.pool.connections)

            await ask()
            with nothing_left_to_the_collector():
                await ask()
            assert setup.counted == (2, 0)

    run(scenario())
