"""A server's stdin and stdout as whole lines, for asyncio.

Where the system lets a loop wait for a pipe, the loop does, with nothing between it and the pipe: a thread a server
would cost a hand-over at each line. On Windows, where it cannot, threads do the waiting. Backpressure holds both ways:
while lines wait to be taken, reading stops, and a server that does not read makes its writer wait.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.core.lines import LineSplitter
from thv.process.server_process import grow_pipe
from thv.relay.pump import READ_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_LIMIT = 1 << 20
"""Bytes of lines that may wait to be taken before reading stops. One line may be larger."""


class LineTooLongError(OSError):
    """The server wrote more than `MAX_MESSAGE` bytes without a newline."""


class LineSource:
    """The lines of a pipe.

    Args:
        fd: our end; its owner closes it, after `finish`.

    Attributes:
        bytes_read: how much came so far.
        on_ready: called when there are lines for `take_nowait`, or the end; a task that waits for them would only be
            woken in the next turn of the loop.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._lines: list[bytes] = []  # the latest first, so that the next one is taken from the end
        self._waiting = 0
        self._splitter = LineSplitter()
        self._ended = False
        self._error: OSError | None = None
        self._taker: asyncio.Future[None] | None = None
        self.on_ready: Callable[[], None] | None = None
        self._reading = False
        self._widened = False
        self.bytes_read = 0
        if sys.platform != "win32":
            os.set_blocking(fd, False)  # our end alone: the server's is another description
        self._resume()

    @property
    def ended(self) -> bool:
        """Whether the pipe ended; lines may still wait to be taken."""
        return self._ended

    @property
    def is_reading(self) -> bool:
        """Whether what comes is read; not while too much waits to be taken."""
        return self._reading

    async def take(self) -> bytes:
        """The next line with its newline; empty at the end. One taker at a time.

        Raises:
            LineTooLongError: a line has more than `MAX_MESSAGE` bytes.
        """
        while (line := self.take_nowait()) is None:
            self._taker = self._loop.create_future()
            await self._taker
        return line

    def take_nowait(self) -> bytes | None:
        """The same, or None if there is no line yet."""
        if not self._lines:
            if not self._ended:
                return None
            if self._error is not None:
                raise self._error
            return b""
        line = self._lines.pop()
        self._waiting -= len(line)
        if not self._reading and not self._ended and self._waiting <= QUEUE_LIMIT // 2:
            self._resume()
        return line

    def finish(self) -> None:
        """Read no more: this is the end."""
        self._ended = True
        self._pause()
        self._wake()

    def _feed(self, chunk: bytes) -> None:
        """Add what was read; nothing is the end."""
        self.bytes_read += len(chunk)
        if not chunk:
            rest = self._splitter.finish()
            if rest:  # a last line without newline is one for a reader of lines
                self._lines.insert(0, rest + b"\n")
                self._waiting += len(rest) + 1
            self.finish()
            return
        if len(chunk) == READ_SIZE and not self._widened:
            self._widened = True
            grow_pipe(self._fd)
        lines = self._splitter.feed(chunk)
        is_too_long = self._splitter.is_too_long
        for line in lines:
            if not line:
                del lines[lines.index(line) :]
                is_too_long = True
                break
            self._waiting += len(line)
        if self._lines or len(lines) > 1:
            lines.reverse()
            lines += self._lines
        self._lines = lines
        if is_too_long:
            self._give_up()
            return
        if self._waiting > QUEUE_LIMIT:
            self._pause()
        self._wake()

    def _give_up(self) -> None:
        self._error = LineTooLongError(f"a line of more than {self._splitter.limit >> 20} MiB")
        self.finish()

    def _wake(self) -> None:
        taker, self._taker = self._taker, None
        if taker is not None and not taker.done():
            taker.set_result(None)
        if self.on_ready is not None:
            self.on_ready()

    if sys.platform != "win32":

        def _resume(self) -> None:
            self._reading = True
            self._loop.add_reader(self._fd, self._on_readable)

        def _pause(self) -> None:
            if self._reading:
                self._reading = False
                self._loop.remove_reader(self._fd)

        def _on_readable(self) -> None:
            try:
                chunk = os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            self._feed(chunk)

    else:

        def _resume(self) -> None:
            self._reading = True
            if not hasattr(self, "_go"):
                self._go = threading.Semaphore(0)
                # A thread of its own: a pool would be full of readers that wait.
                threading.Thread(target=self._read_on, daemon=True).start()
            self._go.release()

        def _pause(self) -> None:
            self._reading = False

        def _read_on(self) -> None:
            chunk = b"-"
            while chunk:
                self._go.acquire()
                try:
                    chunk = os.read(self._fd, READ_SIZE)
                except OSError:
                    chunk = b""
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._read_came, chunk)

        def _read_came(self, chunk: bytes) -> None:
            self._feed(chunk)
            if self._reading and not self._ended:
                self._go.release()


class LineSink:
    """The writing end of a pipe. Lines are written whole, in the order of the calls.

    Args:
        fd: our end, non-blocking where the system has that; its owner closes it.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[memoryview, asyncio.Future[None]]] = []
        self._closed = False

    if sys.platform != "win32":

        def write(self, line: bytes) -> asyncio.Future[None] | None:
            """Write one line.

            Returns:
                None if the pipe took it at once, as it does with most lines; else what is done once it is written.

            Raises:
                OSError: the reading end is closed; what was returned raises the same.
            """
            if self._closed:
                raise BrokenPipeError("the server ended")
            written = 0
            if not self._waiting:
                try:
                    written = os.write(self._fd, line)
                except BlockingIOError:
                    written = 0
                if written == len(line):
                    return None
                self._loop.add_writer(self._fd, self._go_on)
            done = self._loop.create_future()
            self._waiting.append((memoryview(line)[written:], done))
            return done

        def close(self) -> None:
            """Write no more; lines that wait fail."""
            self._closed = True
            self._fail(BrokenPipeError("the server ended"))

        def _go_on(self) -> None:
            """The pipe takes more."""
            while self._waiting:
                rest, done = self._waiting[0]
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    return
                except OSError as error:
                    self._fail(error)
                    return
                self._waiting[0] = (rest, done)
                if rest:
                    return
                del self._waiting[0]
                if not done.done():
                    done.set_result(None)
            self._loop.remove_writer(self._fd)

        def _fail(self, error: OSError) -> None:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._loop.remove_writer(self._fd)
            for _, done in waiting:
                if not done.done():
                    done.set_exception(error)

    else:

        def write(self, line: bytes) -> asyncio.Future[None] | None:
            """Write one line; see above."""
            if self._closed:
                raise BrokenPipeError("the server ended")
            if not hasattr(self, "_pool"):
                self._pool = ThreadPoolExecutor(1)  # of its own: a write may wait for long
            return self._loop.run_in_executor(self._pool, self._write, line)

        def close(self) -> None:
            """Write no more; lines that wait fail. A thread that waits in a write wakes when the pipe is closed."""
            self._closed = True

        def _write(self, line: bytes) -> None:
            rest = memoryview(line)
            while rest:
                if self._closed:
                    raise BrokenPipeError("the server ended")
                rest = rest[os.write(self._fd, rest) :]
