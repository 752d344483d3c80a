"""Moves bytes from one descriptor to another: all of them, in order, unchanged.

One blocking thread a direction: it costs least, and backpressure comes for nothing, because a thread that cannot write
does not read. Descriptors are used as they are found (pipe, socket, terminal, file, blocking or not); their flags are
never changed, since they may be shared with other processes. This module does not know what the bytes mean.
"""

from __future__ import annotations

import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import ChunkObserver

READ_SIZE = 64 * 1024
"""Bytes asked for at a time. Above 128 KiB malloc maps and unmaps memory at each read, which doubles a round trip; and
a large message passes faster in pieces that client, relay and server can work on at once."""


def wait_readable(fd: int) -> None:
    """Block until `fd`, found non-blocking, has something to read or is closed."""
    _wait(fd, write=False)


def wait_writable(fd: int) -> None:
    """Block until `fd`, found non-blocking, is writable or is closed."""
    _wait(fd, write=True)


def wait_writable_watching(fd: int, source: int) -> tuple[bool, bool]:
    """Block until `fd` is writable, or until `source` reports an error or hang-up that a read would not show yet.

    Returns:
        Whether `source` reported anything, and whether that was a hang-up: its writing end is closed.
    """
    has_event = hung_up = False
    if sys.platform != "win32":
        poller = select.poll()
        poller.register(fd, select.POLLOUT)
        poller.register(source, 0)
        flags = dict(poller.poll()).get(source, 0)
        has_event, hung_up = bool(flags), bool(flags & (select.POLLHUP | select.POLLERR))
    else:
        wait_writable(fd)
    return has_event, hung_up


def is_idle(fd: int) -> bool:
    """Whether the pipe `fd` is open and holds nothing to read. Windows cannot tell, so there it is assumed."""
    ready: list[tuple[int, int]] = []
    if sys.platform != "win32":
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        ready = poller.poll(0)
    return not ready


def _wait(fd: int, *, write: bool) -> None:
    if sys.platform != "win32":  # select() fails for descriptors above 1023
        poller = select.poll()
        poller.register(fd, select.POLLOUT if write else select.POLLIN)
        poller.poll()
    elif write:
        select.select([], [fd], [])
    else:
        select.select([fd], [], [])


def write_all(fd: int, data: bytes | memoryview, wait: Callable[[int], None] = wait_writable) -> None:
    """Write every byte of `data`, however few the descriptor takes at a time.

    Args:
        fd: where to.
        data: what.
        wait: blocks until `fd`, found non-blocking, is writable.

    Raises:
        OSError: the other end is gone.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            wait(fd)


def ignore(_chunk: bytes) -> None:
    """Inspect nothing."""


class Pump:
    """One direction of the relay.

    Args:
        source: descriptor read until end of file.
        sink: descriptor written to; it may be replaced while the pump runs (`os.dup2`).
        inspect: called with each chunk, once. If it raises, it is not called again.
        inspect_before_forwarding: requests need it: a reply must not be read before its request is known.
        grow_pipe: called once with each end when traffic turns out to be heavy.
        wait: blocks until the sink, found non-blocking, is writable.
        rewrite: returns the bytes to forward in place of each chunk, and of the empty one at the end. It must not
            raise.

    Attributes:
        chunks_read: how many so far.
        chunks_written: how many were forwarded so far; behind `chunks_read` while one is pending.
        sink_gone: the sink refused bytes.
        sink_error: with what error, if any.
    """

    __slots__ = (
        "_grow_pipe",
        "_inspects_first",
        "_rewrite",
        "_sink",
        "_source",
        "_wait",
        "chunks_read",
        "chunks_written",
        "inspect",
        "sink_error",
        "sink_gone",
    )

    def __init__(
        self,
        source: int,
        sink: int,
        inspect: ChunkObserver = ignore,
        *,
        inspect_before_forwarding: bool,
        grow_pipe: Callable[[int], None] | None = None,
        wait: Callable[[int], None] = wait_writable,
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._inspects_first = inspect_before_forwarding
        self._grow_pipe = grow_pipe
        self._wait = wait
        self._rewrite = rewrite
        self.inspect = inspect
        self.chunks_read = 0
        self.chunks_written = 0
        self.sink_gone = False
        self.sink_error: OSError | None = None

    def run(self) -> None:
        """Pump until the source ends or the sink is gone. Never raises."""
        source = self._source
        read = os.read
        inspects_first = self._inspects_first
        while True:
            try:
                chunk = read(source, READ_SIZE)
            except BlockingIOError:
                wait_readable(source)
                continue
            except OSError:  # a terminal that hung up (EIO), a socket that was reset
                chunk = b""
            if not chunk:
                if self._rewrite is not None:
                    self._write(self._rewrite(b""))
                return
            self.chunks_read += 1
            if inspects_first:
                self._inspect(chunk)
            is_forwarded = self._write(chunk if self._rewrite is None else self._rewrite(chunk))
            self.chunks_written += 1
            if not inspects_first:
                self._inspect(chunk)
            if not is_forwarded:
                return
            if len(chunk) == READ_SIZE and self._grow_pipe is not None:
                self._grow_pipe(source)
                self._grow_pipe(self._sink)
                self._grow_pipe = None

    def drain(self) -> None:
        """Go on reading after the sink is gone, so that the writer is not stuck on a full pipe; still inspect."""
        with open(os.devnull, "wb", buffering=0) as devnull:
            self._sink = devnull.fileno()
            self.run()

    def _write(self, data: bytes) -> bool:
        """Write all of it; False when the sink is gone."""
        try:
            try:
                written = os.write(self._sink, data)
            except BlockingIOError:
                written = 0
            if written != len(data):
                write_all(self._sink, memoryview(data)[written:], self._wait)
        except OSError as error:
            self.sink_gone = True
            self.sink_error = error
            return False
        return True

    def _inspect(self, chunk: bytes) -> None:
        try:
            self.inspect(chunk)
        except Exception:  # noqa: BLE001  a bug in inspection never breaks the session
            self.inspect = ignore
