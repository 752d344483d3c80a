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

    from thv.core.interfaces import Look

READ_SIZE = 64 * 1024
"""Bytes asked for at a time. Above 128 KiB malloc maps and unmaps memory at each read, which doubles a round trip; and
a large message passes faster in pieces that client, relay and server can work on at once."""


def wait_readable(fd: int) -> None:
    """Sleep until `fd`, found non-blocking, has something to read or is closed."""
    _wait(fd, write=False)


def wait_writable(fd: int) -> None:
    """Sleep until `fd`, found non-blocking, takes bytes again or is closed."""
    _wait(fd, write=True)


def wait_writable_watching(fd: int, source: int) -> tuple[bool, bool]:
    """Sleep until `fd` takes bytes again, or something befalls `source` that is not to be seen by reading it yet.

    Returns:
        Whether something befell `source`, and whether that was a hang-up: nobody can write to it any more.
    """
    befallen = hung_up = False
    if sys.platform != "win32":
        poller = select.poll()
        poller.register(fd, select.POLLOUT)
        poller.register(source, 0)
        flags = dict(poller.poll()).get(source, 0)
        befallen, hung_up = bool(flags), bool(flags & (select.POLLHUP | select.POLLERR))
    else:
        wait_writable(fd)
    return befallen, hung_up


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
        wait: sleeps until `fd`, found non-blocking, takes bytes again.

    Raises:
        OSError: the other end is gone.
    """
    try:
        written = os.write(fd, data)
    except BlockingIOError:
        wait(fd)
        written = 0
    if written == len(data):
        return
    rest = memoryview(data)[written:]
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            wait(fd)


def ignore(_chunk: bytes) -> None:
    """The look that sees nothing."""


class Pump:
    """One direction of the relay.

    Args:
        source: descriptor read until end of file.
        sink: descriptor written to; it may be replaced while the pump runs (`os.dup2`).
        look: shown each chunk, once. A look that raises is not asked again.
        look_first: look before forwarding. Requests need it: a reply must not be read before its request is known.
        widen: called once with each end when traffic turns out to be heavy.
        wait: sleeps until the sink, found non-blocking, takes bytes again.
        rewrite: gives what is forwarded in place of each chunk that was looked at, and of the empty one at the end. It
            must not raise.

    Attributes:
        taken: chunks read so far.
        given: chunks forwarded so far; behind `taken` while a chunk is in hand.
        sink_gone: the sink refused bytes.
    """

    __slots__ = (
        "_look_first",
        "_rewrite",
        "_sink",
        "_source",
        "_wait",
        "_widen",
        "given",
        "look",
        "sink_gone",
        "taken",
    )

    def __init__(
        self,
        source: int,
        sink: int,
        look: Look = ignore,
        *,
        look_first: bool,
        grow_pipe: Callable[[int], None] | None = None,
        wait: Callable[[int], None] = wait_writable,
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._look_first = look_first
        self._widen = grow_pipe
        self._wait = wait
        self._rewrite = rewrite
        self.look = look
        self.taken = 0
        self.given = 0
        self.sink_gone = False

    def run(self) -> None:
        """Pump until the source ends or the sink is gone. Never raises."""
        source = self._source
        read = os.read
        forward = self._forward
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
            if not forward(chunk):
                return
            if len(chunk) == READ_SIZE and self._widen is not None:
                self._widen(source)
                self._widen(self._sink)
                self._widen = None

    def drain(self) -> None:
        """Go on reading after the sink is gone, so that the writer is not stuck on a full pipe; still look."""
        with open(os.devnull, "wb", buffering=0) as devnull:
            self._sink = devnull.fileno()
            self.run()

    def _forward(self, chunk: bytes) -> bool:
        """Forward one chunk, looking before or after; False when the sink is gone."""
        self.taken += 1
        if self._look_first:
            self._show(chunk)
        accepted = self._write(chunk if self._rewrite is None else self._rewrite(chunk))
        self.given += 1
        if not self._look_first:
            self._show(chunk)
        return accepted

    def _write(self, data: bytes) -> bool:
        try:
            write_all(self._sink, data, self._wait)
        except OSError:
            self.sink_gone = True
            return False
        return True

    def _show(self, chunk: bytes) -> None:
        try:
            self.look(chunk)
        except Exception:  # noqa: BLE001  a bug in looking never breaks the session
            self.look = ignore
