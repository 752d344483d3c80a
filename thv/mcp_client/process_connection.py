"""Lines to and from a server process, each with a deadline.

Two threads move the bytes, so that a server that does not read and a server that does not write can both be waited
for, on every system. What the server sends waits in a bounded queue: a flood fills no memory.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from thv.core.lines import LineSplitter
from thv.mcp_client.protocol import CLOSED_ITS_OUTPUT, ProtocolViolationError, ServerEndedError
from thv.process.server_process import ServerProcess
from thv.process.shutdown import ShutdownLadder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHUNK: Final = 65536
"""Bytes read at once: what a Linux pipe holds by default."""

MAX_WAITING: Final = 64
"""Chunks that wait to be read: 4 MiB."""

EXIT_GRACE_S: Final = 1.0
"""Seconds between the end of a process's output and its exit; then it closed its output and stays."""

JOIN_TIMEOUT_S: Final = 1.0
"""Seconds for a thread to write what is waiting, or to notice that the process is gone."""


class Connection(Protocol):
    """What a session needs of a transport."""

    def send(self, line: bytes) -> None:
        """Hand on one line, with its newline. Never waits; a line that cannot be delivered is dropped."""

    def receive(self, timeout: float | None) -> bytes:
        """The next line.

        Args:
            timeout: seconds to wait; None for as long as it takes.

        Raises:
            TimeoutError: none came in time.
            ServerEndedError: none will come any more; the message says how the server ended, as far as is known.
            ProtocolViolationError: the line is longer than any message.
        """

    def close(self, *, at_once: bool = False) -> int | None:
        """End the server; returns its exit code where there is one. May be called twice.

        Args:
            at_once: what it may still have to say is not waited for.
        """


class ProcessConnection:
    """A `Connection` to a process of our own.

    Args:
        executable: the file to execute.
        argv: the command as the process sees it, and its arguments.
        env: its environment.
        cwd: its working directory; None means ours.
        stderr: the descriptor that becomes its stderr; None means ours.

    Raises:
        ThvError: it cannot be started.
    """

    def __init__(
        self,
        executable: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stderr: int | None = None,
    ) -> None:
        self._process = ServerProcess.spawn(executable, argv, os.environ if env is None else env, cwd, stderr)
        if sys.platform != "win32":
            os.set_blocking(self._process.stdin, True)
        self._chunks: queue.Queue[bytes] = queue.Queue(MAX_WAITING)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lines: list[bytes] = []  # complete ones, the last first
        self._splitter = LineSplitter()
        self._at_end = False
        self._waiter: threading.Thread | None = None
        self._has_exited = threading.Event()
        self._exit_code: int | None = None
        self._written = 0  # bytes, all of them before the process ended
        self._has_read = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._reader.start()
        self._writer.start()

    def send(self, line: bytes) -> None:
        """Hand on one line, with its newline."""
        self._outgoing.put(line)

    def receive(self, timeout: float | None) -> bytes:
        """The next line; see `Connection.receive`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._lines:
            if self._at_end:
                raise self._server_ended()
            self._take(self._next_chunk(deadline))
        return self._lines.pop()

    def close(self, *, at_once: bool = False, hurry: threading.Event | None = None) -> int | None:
        """End the process by the ladder that ends every server; `at_once` begins with SIGTERM, then comes SIGKILL.

        Args:
            at_once: what it may still have to say is not waited for.
            hurry: once another thread sets it, the same holds.
        """
        if self._exit_code is None:
            self._outgoing.put(None)
            self._writer.join(JOIN_TIMEOUT_S)
            ladder = ShutdownLadder(self._process)
            ladder.close_input()
            if at_once:
                ladder.terminate()
            self._watch_for_exit()
            while not self._has_exited.is_set():
                if hurry is not None and hurry.is_set():
                    ladder.terminate()
                wait = ladder.advance(calls_are_open=True)  # it may be a relay, which has a server to wait for
                if wait is None:
                    return None  # not even SIGKILL ended it
                if self._drain(wait):
                    self._has_exited.wait(wait)
            self._exit_code = self._process.close()
            self._release()
        return self._exit_code

    def _release(self) -> None:
        if self._process.has_live_descendants():
            self._process.kill()
        threads = (self._reader, self._writer)
        for thread in threads:
            thread.join(JOIN_TIMEOUT_S)
        if not any(thread.is_alive() for thread in threads):  # else something still holds its pipe
            self._process.release()

    def _watch_for_exit(self) -> None:
        """Have a thread set `_has_exited`. Where a signal came as the first was started, it may never have begun."""
        if not self._has_exited.is_set() and (self._waiter is None or not self._waiter.is_alive()):
            self._waiter = threading.Thread(target=self._wait, daemon=True)
            self._waiter.start()

    def _wait(self) -> None:
        with suppress(ChildProcessError):  # of two such threads, the second may find it reaped
            self._process.wait()
        self._has_exited.set()

    def _server_ended(self) -> ServerEndedError:
        """What the end of its output means. Nearly every process exits with it, so that is waited for."""
        if self._exit_code is None:
            self._watch_for_exit()
            if not self._has_exited.wait(EXIT_GRACE_S):
                return ServerEndedError(CLOSED_ITS_OUTPUT, stays=True)
            self._has_read = self._written > 0 and not self._process.unread_input()
        return ServerEndedError(
            f"the server ended before it answered (exit code {self.close()})", has_read=self._has_read
        )

    def _next_chunk(self, deadline: float | None) -> bytes:
        try:
            return self._chunks.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError from None

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._at_end = True
            rest = self._splitter.finish()
            self._lines = [] if rest is None else [rest]
            return
        self._lines = [line[:-1] for line in reversed(self._splitter.feed(chunk))]
        if self._splitter.is_too_long:
            raise ProtocolViolationError(f"the server sent a line of more than {self._splitter.limit >> 20} MiB")

    def _drain(self, seconds: float | None) -> bool:
        """Throw away what the process still says, until it has closed its output; False if it did not in time."""
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            while not self._at_end:
                self._at_end = not self._next_chunk(deadline)
        except TimeoutError:
            return False
        return True

    def _read(self) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = os.read(self._process.stdout, CHUNK)
            except OSError:
                chunk = b""
            self._chunks.put(chunk)

    def _write(self) -> None:
        while (line := self._outgoing.get()) is not None:
            data = memoryview(line)
            try:
                while data:
                    written = os.write(self._process.stdin, data)
                    self._written += written
                    data = data[written:]
            except OSError:  # it reads no more: that it does not answer is found out by reading
                break
        self._process.close_stdin()
