"""An exclusive lock on an open file, held until it is closed or the process ends: what systems differ in.

Promises: `lock` waits for as long as it is told to, `try_lock` not at all. Knows nothing of what is guarded.
"""

from __future__ import annotations

import sys
import time

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


def lock(descriptor: int, timeout_s: float) -> bool:
    """Waits for the lock; False if another process held it all the time."""
    deadline = time.monotonic() + timeout_s
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
