"""An exclusive lock on an open file, held until it is closed or the process ends: what systems differ in.

Promises: `lock` gives up after a given time, and `try_lock` never waits. Neither knows what the file guards.
"""

from __future__ import annotations

import os
import sys
import time

from thv.core.console import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TELL_AFTER_S = 2.0
"""Seconds of waiting before a person is told which file it is for."""

POLL_S = 0.01
"""Seconds between two attempts to take a lock: the systems' own ways of waiting have no end."""

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Takes the lock if no other process holds it; whether it was taken."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Takes the lock if no other process holds it; whether it was taken."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class LockWait:
    """A bounded wait for a lock that another process holds, with a line for a person at a terminal.

    Args:
        path: of the locked file.
        timeout_s: seconds after which the wait is given up.
        clock: seconds, from any beginning.
    """

    def __init__(self, path: os.PathLike[str], timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = os.fspath(path)
        self._timeout_s = timeout_s
        self._clock = clock
        self._started = clock()
        self._is_told = False

    def goes_on(self) -> bool:
        """Whether there is time for another attempt; says once, after `TELL_AFTER_S`, which file is locked."""
        waited = self._clock() - self._started
        if waited > self._timeout_s:
            return False
        if waited > TELL_AFTER_S and not self._is_told:
            self._is_told = True
            if os.isatty(2):
                warn(f"waiting for another process, which holds {self._path}")
        return True


def lock(descriptor: int, path: os.PathLike[str], timeout_s: float) -> bool:
    """Waits for the lock on an open file; False if another process held it all the time. `path` is for the wait."""
    wait = LockWait(path, timeout_s)
    while not try_lock(descriptor):
        if not wait.goes_on():
            return False
        time.sleep(POLL_S)
    return True
