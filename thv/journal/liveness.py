"""Tells a running session from one whose thv was killed: a running one holds a lock on one byte of a shared file.

The system drops the lock when the process ends, however it ends, so there is no heartbeat and nothing to tidy up. The
byte is at the session's id. A file system without locks makes every session that did not say how it ended look killed.
"""

from __future__ import annotations

import os
import sys
from typing import Final

FILE: Final = "running.lock"
"""Always empty, and never removed: two files would be two sets of locks."""


class RunningSessions:
    """The locks that this process holds, or looks at. Open it once a process: closing it drops the locks (POSIX)."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE)  # noqa: PTH118  pathlib would cost every session 1 MiB
        self._fd: int | None = None

    def hold(self, session: int) -> None:
        """Say that the session runs, until this process ends or releases it. Without locks it says nothing."""
        try:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            _lock(self._fd, session)
        except OSError:
            return

    def release(self, session: int) -> None:
        """The session ended."""
        if self._fd is not None:
            try:
                _unlock(self._fd, session)
            except OSError:
                return

    def is_running(self, session: int) -> bool:
        """Whether some other process holds the session."""
        if self._fd is None:
            try:
                self._fd = os.open(self._path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            except OSError:
                return False
        try:
            _lock(self._fd, session)
        except OSError:
            return True
        _unlock(self._fd, session)
        return False

    def close(self) -> None:
        """Drop every lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, position: int) -> None:
        os.lseek(fd, position, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int, position: int) -> None:
        os.lseek(fd, position, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int, position: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)

    def _unlock(fd: int, position: int) -> None:
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, position)
