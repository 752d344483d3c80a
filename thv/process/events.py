"""What wakes the main thread of a session: things that ended, and signals to thv.

On POSIX both arrive through one pipe. A signal's number is written there by the C handler at once, whichever thread
the system chose to interrupt and whatever the main thread was about to do; a lock or a queue would miss the signal
that comes just before the wait. Between events nothing wakes up.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` without the enums, which cost 5 ms before the spawn
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

CLIENT_EOF, CLIENT_HUNG_UP, CLIENT_GONE, SERVER_EOF, SERVER_STDIN_CLOSED, EXITED = range(250, 256)
"""Our stdin ended; it will end once the server has read what stands before; our stdout refused; the server's stdout
ended; its stdin refused; it exited. Bytes above every signal number: an event below them is a signal to thv."""

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
"""The ways to ask a program to end, where the system has them."""


def _install(act: Callable[[int, FrameType | None], None]) -> None:
    for name in SIGNALS:
        number = getattr(_signal, name, None)
        if number is not None and _signal.getsignal(number) != _signal.SIG_IGN:  # under nohup, or in the background
            _signal.signal(number, act)


if sys.platform != "win32":
    import select

    from thv.process.posix import ensure_standard_descriptors

    class Events:
        """A queue of events: put from any thread, taken by the main thread."""

        def __init__(self) -> None:
            ensure_standard_descriptors()  # or the pipe may take the place of a closed one
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)  # as set_wakeup_fd demands; the pipe holds more than ever waits there
            self._poll = select.poll()
            self._poll.register(self._read, select.POLLIN)

        def install_signal_handlers(self) -> None:
            """From now on a signal that asks thv to end is an event. Call it on the main thread."""
            if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:  # inherited; the system would keep the exit code
                _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            _signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            _install(_already_written)

        def watch_reader(self, fd: int) -> None:
            """From now on it is an event, `CLIENT_GONE`, that nobody can read what is written to `fd` any more."""
            self._poll.register(fd, 0)

        def put(self, event: int) -> None:
            """Add an event."""
            os.write(self._write, bytes((event,)))

        def get(self, timeout: float | None) -> int | None:
            """The next event, or the number of a signal; waits at most `timeout` seconds, or for ever.

            None if there was none.
            """
            ready = self._poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
            if not ready:
                return None
            if all(fd != self._read for fd, _ in ready):
                self._poll.unregister(ready[0][0])
                return CLIENT_GONE
            return os.read(self._read, 1)[0]

    def _already_written(_number: int, _frame: FrameType | None) -> None:
        """The C handler has put the signal's number into the pipe; this one keeps Python from doing more."""

else:
    from queue import Empty, SimpleQueue

    LOOK_UP = 0.5
    """Seconds between two looks at signals, which on Windows do not interrupt a wait."""

    class Events:
        """A queue of events: put from any thread, taken by the main thread."""

        def __init__(self) -> None:
            self._queue: SimpleQueue[int] = SimpleQueue()

        def install_signal_handlers(self) -> None:
            """From now on a signal that asks thv to end is an event. Call it on the main thread."""
            _install(lambda number, _frame: self._queue.put(number))

        def watch_reader(self, fd: int) -> None:
            """Nothing here tells that a reader is gone, short of writing."""

        def put(self, event: int) -> None:
            """Add an event."""
            self._queue.put(event)

        def get(self, timeout: float | None) -> int | None:
            """The next event, or the number of a signal; waits at most `timeout` seconds.

            None if there was none.
            """
            try:
                return self._queue.get(timeout=LOOK_UP if timeout is None else max(0.0, timeout))
            except Empty:
                return None
