"""The client's side of a bridge: lines whole and in order over any descriptor, and no more memory than is meant."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import until
from thv.core.lines import LineSplitter
from thv.relay import line_streams
from thv.relay.line_streams import TOO_LONG, ClientGoneError, LineInput, LineOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


class Reading:
    """A `LineInput` on a pipe, and what it handed on."""

    def __init__(self, fd: int) -> None:
        self.lines: list[bytes] = []
        self.ended = asyncio.Event()
        self.input = LineInput(fd, self.lines.append, self.ended.set)
        self.input.start()

    async def end(self) -> list[bytes]:
        await asyncio.wait_for(self.ended.wait(), 30)
        return self.lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [b"a\n", b"b\n"]),
        (b"a\r\n\n\nb", [b"a\r\n", b"\n", b"\n", b"b"]),
        (b"x" * 200_000 + b"\ny", [b"x" * 200_000 + b"\n", b"y"]),
        (b"\xff\0\n", [b"\xff\0\n"]),
    ],
)
def test_lines_arrive_whole_and_the_last_one_without_its_newline(data: bytes, lines: list[bytes]) -> None:
    async def scenario() -> None:
        read, write = os.pipe()
        reading = Reading(read)
        await asyncio.to_thread(os.write, write, data[:1])
        rest = data[1:]
        while rest:
            rest = rest[await asyncio.to_thread(os.write, write, rest[:65536]) :]
        os.close(write)
        assert await reading.end() == lines
        os.close(read)

    play(scenario)


def test_a_line_that_is_too_long_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_streams, "LineSplitter", lambda: LineSplitter(1000))

    async def scenario() -> None:
        read, write = os.pipe()
        reading = Reading(read)
        os.write(write, b"a\n" + b"x" * 5000 + b"\nb\n" + b"y" * 5000)
        os.close(write)
        assert await reading.end() == [b"a\n", TOO_LONG, b"b\n", TOO_LONG]
        os.close(read)

    play(scenario)


def test_a_client_is_read_no_further_than_its_lines_are_done_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_streams, "MAX_HELD", 100_000)

    async def scenario() -> None:
        read, write = os.pipe()
        reading = Reading(read)
        line = b"x" * 999 + b"\n"

        async def feed() -> None:
            for _ in range(500):
                await asyncio.to_thread(os.write, write, line)
            os.close(write)

        feeding = asyncio.create_task(feed())
        await until(lambda: len(reading.lines) >= 19)
        await asyncio.sleep(0.2)
        assert len(reading.lines) < 30
        done = 0
        while done < 500:
            await until(lambda: len(reading.lines) > done)  # noqa: B023  it is asked before `done` changes
            reading.input.done(reading.lines[done])
            done += 1
        assert await reading.end() == [line] * 500
        await feeding
        os.close(read)

    play(scenario)


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX shares descriptors' flags")
@pytest.mark.parametrize("blocking", [True, False])
def test_lines_leave_in_order_over_a_socket_that_may_be_non_blocking(blocking: bool) -> None:
    lines = [bytes(str(number), "ascii") * (1 if number % 3 else 40_000) + b"\n" for number in range(60)]

    async def scenario() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(blocking)
        output = LineOutput(ours.fileno())
        writing = [asyncio.create_task(output.write(line)) for line in lines]
        got = b""
        while len(got) < sum(map(len, lines)):
            got += await asyncio.to_thread(theirs.recv, 65536)
        await asyncio.gather(*writing)
        assert got == b"".join(lines)
        assert output.taken == output.given == len(lines)
        assert ours.getblocking() is blocking
        ours.close()
        theirs.close()

    play(scenario)


def test_a_line_whose_writer_is_cancelled_is_still_written_whole() -> None:
    async def scenario() -> None:
        read, write = os.pipe()
        output = LineOutput(write)
        big = b"x" * 1_000_000 + b"\n"
        writing = asyncio.create_task(output.write(big))
        await asyncio.sleep(0.05)
        writing.cancel()
        following = asyncio.create_task(output.write(b"next\n"))
        got = b""
        while not got.endswith(b"next\n"):
            got += await asyncio.to_thread(os.read, read, 65536)
        assert got == big + b"next\n"
        await following
        os.close(read)
        os.close(write)

    play(scenario)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_reader_that_left_is_noticed(size: int) -> None:
    async def scenario() -> None:
        read, write = os.pipe()
        os.close(read)
        with pytest.raises(ClientGoneError):
            await LineOutput(write).write(b"x" * size + b"\n")
        os.close(write)

    play(scenario)
