"""Lines of a pipe cut anywhere, and lines of several writers that do not mix."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thv.core.lines import LineSplitter
from thv.http import pipes
from thv.http.pipes import LineSink, LineSource, LineTooLongError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these pipes are POSIX ones")


def with_pipe(scenario: Callable[[int, int], Awaitable[None]]) -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        try:
            await asyncio.wait_for(scenario(reading, writing), 60)
        finally:
            for fd in (reading, writing):
                with suppress(OSError):
                    os.close(fd)

    asyncio.run(run())


async def all_of(source: LineSource) -> list[bytes]:
    lines = []
    while line := await source.take():
        lines.append(line)
    return lines


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab\n\r\0", max_size=12).map(str.encode), max_size=12))
def test_lines_arrive_whole_and_in_order_however_they_are_cut(chunks: list[bytes]) -> None:
    async def scenario(reading: int, writing: int) -> None:
        source = LineSource(reading)
        taking = asyncio.create_task(all_of(source))
        for chunk in chunks:
            os.write(writing, chunk)
            await asyncio.sleep(0)
        os.close(writing)
        *lines, rest = b"".join(chunks).split(b"\n")
        expected = [line + b"\n" for line in lines] + ([rest + b"\n"] if rest else [])
        assert await taking == expected

    with_pipe(scenario)


def test_lines_that_nobody_takes_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "QUEUE_LIMIT", 1000)

    async def scenario(reading: int, writing: int) -> None:
        os.set_blocking(writing, False)
        source = LineSource(reading)
        written = 0
        quiet = 0
        while quiet < 20:
            try:
                written += os.write(writing, b"x" * 99 + b"\n")
                quiet = 0
            except BlockingIOError:
                quiet += 1
                await asyncio.sleep(0.001)
        assert written < 400_000
        os.set_blocking(writing, True)
        os.close(writing)
        assert sum(map(len, await all_of(source))) == written

    with_pipe(scenario)


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "LineSplitter", lambda: LineSplitter(10_000))

    async def scenario(reading: int, writing: int) -> None:
        source = LineSource(reading)
        os.write(writing, b"whole\n" + b"x" * 20_000)
        assert await source.take() == b"whole\n"
        with pytest.raises(LineTooLongError):
            await source.take()

    with_pipe(scenario)


def test_lines_of_many_writers_do_not_mix_though_the_reader_is_slow() -> None:
    async def scenario(reading: int, writing: int) -> None:
        os.set_blocking(writing, False)
        sink = LineSink(writing)
        lines = [b"%d" % (number % 10) * (50_000 if number % 3 else 5) + b"\n" for number in range(40)]
        writers = [done for line in lines if (done := sink.write(line)) is not None]
        source = LineSource(reading)
        got = [await source.take() for _ in lines]
        await asyncio.gather(*writers)
        assert got == lines

    with_pipe(scenario)


def test_a_writer_that_waits_fails_when_the_server_is_given_up() -> None:
    async def scenario(_reading: int, writing: int) -> None:
        os.set_blocking(writing, False)
        sink = LineSink(writing)
        waiting = [done for _ in range(3) if (done := sink.write(b"x" * 200_000 + b"\n")) is not None]
        sink.close()
        assert waiting
        assert all(isinstance(each, OSError) for each in await asyncio.gather(*waiting, return_exceptions=True))
        with pytest.raises(OSError, match="ended"):
            sink.write(b"y\n")

    with_pipe(scenario)
