"""A side that does not read slows the other one down through the proxy, and nothing is lost."""

from __future__ import annotations

import asyncio

from tests.http.proxied import EMPTY, Received, proxied, run


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
