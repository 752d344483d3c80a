"""An exclusive lock on an open file, held until it is closed or the process ends: what systems differ in.

Promises: `lock` waits for as long as another process holds it, `try_lock` not at all. Knows nothing of what is guarded.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import errno
    import msvcrt

    def lock(descriptor: int) -> None:
        """Waits for the lock on the first byte of the file (which need not exist)."""
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLK:  # what the C library says after ten seconds of waiting
                    raise
            else:
                return

    def try_lock(descriptor: int) -> bool:
        """Takes the lock if no other process holds it; whether it was taken."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def lock(descriptor: int) -> None:
        """Waits for the lock on the file."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def try_lock(descriptor: int) -> bool:
        """Takes the lock if no other process holds it; whether it was taken."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
