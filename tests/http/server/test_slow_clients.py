"""A client that sends requests and does not read the answers: it waits, and holds no memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from thv.http.server.listener import Listener

if TYPE_CHECKING:
    from thv.http.server.request import HttpRequest

GET = b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_request_waits_until_its_client_has_taken_the_answers_to_those_before() -> None:
    """Else all answers to a client that sends and does not read would be kept here."""
    unsent: list[int] = []

    def waiting_to_be_sent() -> int:
        return sum(each._transport.get_write_buffer_size() for each in listener.connections)

    def answer(request: HttpRequest) -> None:
        unsent.append(waiting_to_be_sent())
        request.respond(200, (), bytes(1 << 20))

    async def until_the_system_takes_no_more() -> None:
        while waiting_to_be_sent() <= 64 << 10:  # noqa: ASYNC110  the transport sets no event
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(GET * 32)
        await until_the_system_takes_no_more()
        writer.write(GET * 32)
        for _ in range(64):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n"
            await reader.readexactly(1 << 20)
        writer.write(GET * 32)
        await until_the_system_takes_no_more()
        writer.transport.abort()
        while listener.connections:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        await listener.close()

    listener = Listener(answer, "127.0.0.1", 0, port_option="--port", warn=list[str]().append)
    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert len(unsent) > 64
    assert max(unsent) <= 64 << 10
