"""An exclusive lock on an open file, held until it is closed or the process ends: what systems differ in.

Promises: waits for as long as another process holds it. Knows nothing of what is guarded.
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

else:
    import fcntl

    def lock(descriptor: int) -> None:
        """Waits for the lock on the file."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
