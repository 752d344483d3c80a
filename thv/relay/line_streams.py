"""The client's side of a bridge: its lines from one descriptor, our lines to another, for an event loop.

Threads do the blocking, because the descriptors may be shared with other processes and their flags are not ours to
change. Promises: lines whole and in order; memory bounded, since a client that sends more than is taken is read no
further, and `write` returns when the line was handed on. Knows nothing of JSON.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from thv.core.lines import LineSplitter
from thv.relay.pump import READ_SIZE, wait_readable, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HELD = 64 << 20
"""Bytes of lines that were read and are not done with, before reading pauses. One larger line is let through alone."""

LINE_COST = 4096
"""What each line counts besides its bytes: the objects that follow it around."""

AT_ONCE = getattr(select, "PIPE_BUF", 0)
"""Bytes that a writable pipe takes at once (POSIX.1-2024, `write`): no thread is needed for them."""

TOO_LONG = b""
"""Stands for a line that was too long and is lost; see `LineSplitter`."""


class ClientGoneError(Exception):
    """The client no longer reads our output."""


class LineInput:
    """Reads lines on a thread of its own and hands each to the loop.

    Args:
        fd: where from.
        on_line: called in the loop with each line, its newline included if it had one.
        on_end: called in the loop once nothing more will come.
    """

    def __init__(self, fd: int, on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._fd = fd
        self._on_line = on_line
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._room = threading.Condition()
        self._held = 0

    def start(self) -> None:
        """Begin to read. The thread is not waited for: nothing but the client can end its read."""
        threading.Thread(target=self._run, name="thv-stdin", daemon=True).start()

    def done(self, line: bytes) -> None:
        """This line needs no memory any more."""
        with self._room:
            self._held -= len(line) + LINE_COST
            self._room.notify()

    def _run(self) -> None:
        splitter = LineSplitter()
        try:
            while chunk := self._read():
                for line in splitter.feed(chunk):
                    self._hand(line)
            rest = splitter.finish()
            if rest is not None:
                self._hand(rest)
            self._loop.call_soon_threadsafe(self._on_end)
        except RuntimeError:
            return  # the loop is closed: the session ended without us

    def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                wait_readable(self._fd)
            except OSError:  # a terminal that hung up, a socket that was reset
                return b""

    def _hand(self, line: bytes) -> None:
        with self._room:
            self._room.wait_for(lambda: self._held <= 0 or self._held + len(line) <= MAX_HELD)
            self._held += len(line) + LINE_COST
        self._loop.call_soon_threadsafe(self._on_line, line)


class LineOutput:
    """Writes lines, each in one piece, in the order in which they were given.

    Args:
        fd: where to.

    Attributes:
        taken: lines given so far.
        given: lines written so far.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[bytes, asyncio.Future[None]]] = SimpleQueue()
        self._queued = 0
        self._is_running = False
        self.taken = 0
        self.given = 0

    async def write(self, line: bytes) -> None:
        """Hand on one line, newline included; returns once it was taken.

        Cancelling the wait does not take the line back.

        Raises:
            ClientGoneError: the client no longer reads.
        """
        self.taken += 1
        try:
            if self._queued == 0:
                line = self._at_once(line)
            if line:
                await self._by_thread(line)
        except OSError as error:
            raise ClientGoneError from error
        self.given += 1

    def _at_once(self, line: bytes) -> bytes:
        """What is left of the line after writing what surely does not block."""
        if sys.platform != "win32" and len(line) <= AT_ONCE:
            poller = select.poll()
            poller.register(self._fd, select.POLLOUT)
            if poller.poll(0):
                try:
                    return line[os.write(self._fd, line) :]
                except BlockingIOError:
                    pass
        return line

    async def _by_thread(self, line: bytes) -> None:
        if not self._is_running:
            self._is_running = True
            threading.Thread(target=self._run, name="thv-stdout", daemon=True).start()
        written = self._loop.create_future()
        self._queued += 1
        self._queue.put((line, written))
        await asyncio.shield(written)

    def _run(self) -> None:
        while True:
            line, written = self._queue.get()
            try:
                write_all(self._fd, line)
            except OSError as error:
                outcome: OSError | None = error
            else:
                outcome = None
            try:
                self._loop.call_soon_threadsafe(self._settle, written, outcome)
            except RuntimeError:
                return  # the loop is closed

    def _settle(self, written: asyncio.Future[None], outcome: OSError | None) -> None:
        self._queued -= 1
        if outcome is None:
            written.set_result(None)
        else:
            written.set_exception(outcome)
            written.exception()  # the writer may have been cancelled
