"""The events that wake the main thread of a session: something ended, or a signal to thv.

`SIGNALS` ask a program to end. Every other signal that can be handed on to a server is an event, too (`OTHER_SIGNALS`).

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
    from collections.abc import Callable, Sequence
    from types import FrameType

# Above every signal number: a smaller event is the number of a signal to thv.
CLIENT_EOF = 250
"""Our stdin ended."""
CLIENT_HUNG_UP = 251
"""Our stdin will end once the server has read what stands before the end."""
CLIENT_GONE = 252
"""Our stdout was refused: its reader is gone."""
SERVER_EOF = 253
"""The server's stdout ended."""
SERVER_STDIN_CLOSED = 254
"""The server's stdin was refused: it reads no more."""
EXITED = 255
"""The server exited."""

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
"""The signals that ask a program to end, where the system has them."""


NOT_HANDED_ON = (
    *("SIGKILL", "SIGSTOP"),  # the system carries them out by itself
    *("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"),  # an error of thv's own: to return from a handler would repeat it
    *("SIGPIPE", "SIGXFSZ", "SIGCHLD"),  # what thv itself did or started
    *("SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT"),  # they stop thv, or let it go on: with it, its server waits
)
"""The signals that do not go on to the server."""

IGNORED_BY_DEFAULT = ("SIGWINCH", "SIGURG", "SIGINFO")
"""The handed on signals that end no program by default."""


def _numbers(names: Sequence[str]) -> set[int]:
    return {getattr(_signal, name) for name in names if hasattr(_signal, name)}


ENDING_SIGNALS = frozenset(_numbers(SIGNALS))
"""The numbers of `SIGNALS`."""

_ALL = _signal.valid_signals() if sys.platform != "win32" else set()

OTHER_SIGNALS = frozenset(_ALL - _numbers(SIGNALS) - _numbers(NOT_HANDED_ON))
"""Signals that mean what their receiver makes of them: by default nearly all end it. Real-time signals are among
them."""

FATAL_BY_DEFAULT = ENDING_SIGNALS | (OTHER_SIGNALS - _numbers(IGNORED_BY_DEFAULT))
"""All handed on signals that end a program that has no handler for them."""


def signal_name(number: int | None) -> str | None:
    """The name of a signal that is handed on. The `signal` module, which knows all names, costs 5 ms."""
    for name in SIGNALS if number in ENDING_SIGNALS else dir(_signal):
        if name.startswith("SIG") and name[3] != "_" and getattr(_signal, name, None) == number:
            return name
    return None


def _install(act: Callable[[int, FrameType | None], None]) -> None:
    for number in ENDING_SIGNALS | OTHER_SIGNALS:
        if _signal.getsignal(number) == _signal.SIG_IGN:
            IGNORED_AT_START.add(number)
        _signal.signal(number, act)


if sys.platform != "win32":
    import select

    from thv.process import posix
    from thv.process.posix import ensure_standard_descriptors

    IGNORED_AT_START = posix.IGNORED_AT_START

    class Events:
        """A queue of events: put from any thread, taken by the main thread."""

        def __init__(self) -> None:
            ensure_standard_descriptors()  # or the pipe may take the place of a closed one
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)  # as set_wakeup_fd demands; the pipe holds more than ever waits there
            self._poll = select.poll()
            self._poll.register(self._read, select.POLLIN)

        def install_signal_handlers(self) -> None:
            """From now on every signal that is handed on is an event. Call it on the main thread."""
            if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:  # inherited; the system would keep the exit code
                _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            _signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            _install(_already_written)

        def watch_reader(self, fd: int) -> None:
            """From now on `CLIENT_GONE` is put when the reading end of `fd` is closed."""
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

    IGNORED_AT_START: set[int] = set()
    """On Windows none is."""

    LOOK_UP = 0.5
    """Seconds between two looks at signals, which on Windows do not interrupt a wait."""

    class Events:
        """A queue of events: put from any thread, taken by the main thread."""

        def __init__(self) -> None:
            self._queue: SimpleQueue[int] = SimpleQueue()

        def install_signal_handlers(self) -> None:
            """From now on every signal that is handed on is an event. Call it on the main thread."""
            _install(lambda number, _frame: self._queue.put(number))

        def watch_reader(self, fd: int) -> None:
            """On Windows only a write shows that a reader is gone."""

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
