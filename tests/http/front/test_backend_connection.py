"""How long the front waits for what a server says last."""

from __future__ import annotations

import asyncio

import pytest

from tests.clocks import play_jumping
from thv.http.front.backend_connection import BackendConnection


class Deaf:
    """A server that reads no more, and does not end."""

    async def start(self) -> None:
        pass

    async def send(self, _line: bytes) -> None:
        raise BrokenPipeError

    async def receive(self) -> bytes:
        never: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self) -> int:
        return 0

    terminate = close


def test_a_server_that_reads_no_more_has_three_seconds_to_end_with_a_reason() -> None:
    async def scenario() -> None:
        connection = BackendConnection(Deaf(), lambda *_: None, lambda _: None, warn=lambda _: None)
        await connection.start()
        rest = connection.send(b"{}\n")
        assert rest is not None
        with pytest.raises(BrokenPipeError):
            await rest
        assert asyncio.get_running_loop().time() == 3.0

    play_jumping(scenario())
