"""What a session keeps for a client without a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from thv.http.front import http_session
from thv.http.front.http_session import HttpSession

if TYPE_CHECKING:
    import pytest


def test_of_too_many_messages_that_wait_for_a_stream_the_oldest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b'{"method":"notifications/%d"}\n' % number for number in range(4)]
    monkeypatch.setattr(http_session, "WAITING_BYTES", len(lines[0]) * 2)

    async def scenario() -> bytes:
        session = HttpSession("s", lambda _: None)
        for line in lines:
            session.unrelated(line)
        stream = session.listen()
        session.flush(stream)
        session.end("it is over")
        sent = b""

        async def send(piece: bytes) -> None:
            nonlocal sent
            sent += piece

        await stream.stream_to(send, stream.attach())
        return sent

    sent = asyncio.run(scenario())
    assert [line for line in lines if line.strip() in sent] == lines[2:]
