"""The end of a listener, and of what it accepted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.clocks import play_jumping
from thv.http.server.handler_runner import HandlerRunner
from thv.http.server.http_connection import HttpConnection
from thv.http.server.listener import Listener

if TYPE_CHECKING:
    from thv.http.server.request import HttpRequest


class Unread(asyncio.Transport):
    """The connection of a client that never reads: nothing that is written goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[float, str]] = []

    def is_closing(self) -> bool:
        return bool(self.steps)

    def write(self, _data: object) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.steps.append((asyncio.get_running_loop().time(), "close"))

    def abort(self) -> None:
        self.steps.append((asyncio.get_running_loop().time(), "abort"))


def answer_nothing(_request: HttpRequest) -> None:
    raise AssertionError("no request is expected")


def test_a_client_that_never_reads_is_cut_off_soon() -> None:
    async def scenario() -> None:
        listener = Listener(answer_nothing, "127.0.0.1", 0, port_option="--port", warn=lambda _: None)
        connection, client = HttpConnection(listener, asyncio.get_running_loop()), Unread()
        connection.connection_made(client)
        await listener.close()
        assert client.steps == [(0.0, "close"), (0.3, "abort")]

    play_jumping(scenario())


LONG_HEAD = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"


@pytest.mark.parametrize(
    "data",
    [b"no HTTP\r\n\r\n", LONG_HEAD + b"\r\n", LONG_HEAD + b"Connection: close\r\n\r\n"],
    ids=["refused", "answered early", "answered early, the last one"],
)
def test_what_comes_after_an_early_answer_is_read_for_five_seconds(data: bytes) -> None:
    now = 0.0

    def answer(request: HttpRequest) -> None:
        nonlocal now
        now = 7.0
        request.respond(200, (), b"early")

    owner: Any = SimpleNamespace(connections=set(), runner=HandlerRunner(answer, lambda _: None))
    loop: Any = SimpleNamespace(time=lambda: now)
    connection = HttpConnection(owner, loop)
    connection.connection_made(Unread())
    connection.data_received(data)
    assert connection.deadline == now + 5.0
