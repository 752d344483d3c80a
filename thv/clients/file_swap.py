"""Swaps two files in one step, makes programs that open a file wait, tells whether one is being written to.

What systems differ in. Promises: where the system cannot do it, the caller learns that, and nothing has happened.
"""

from __future__ import annotations

import errno
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL), errno.EPERM}
"""What kernels and file systems without the call say (renameat2(2), renamex_np(2))."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""The same number on Linux (`RENAME_EXCHANGE`) and on macOS (`RENAME_SWAP`)."""


def exchanger(one: str, two: str) -> Callable[[], bool] | None:
    """What swaps the files of two paths of one folder; None where the system cannot.

    Everything slow is done here: a call is one system call, and may be made again to swap them back. It returns False,
    and has done nothing, where the file system cannot, and raises OSError where one of the files is not there.
    """
    import ctypes
    import os

    call = _system_call(os.fsencode(one), os.fsencode(two))
    if call is None:
        return None

    def exchange() -> bool:
        if call() == 0:
            return True
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            return False
        raise OSError(number, os.strerror(number), two)

    return exchange


if sys.platform == "win32":

    def _system_call(one: bytes, two: bytes) -> Callable[[], int] | None:  # noqa: ARG001  the signature of the others
        return None

elif sys.platform == "darwin":

    def _system_call(one: bytes, two: bytes) -> Callable[[], int] | None:
        import ctypes

        call = getattr(ctypes.CDLL(None, use_errno=True), "renamex_np", None)
        return None if call is None else partial(call, one, two, ctypes.c_uint(_RENAME_EXCHANGE))

else:

    def _system_call(one: bytes, two: bytes) -> Callable[[], int] | None:
        import ctypes

        call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        flag = ctypes.c_uint(_RENAME_EXCHANGE)
        return None if call is None else partial(call, _AT_FDCWD, one, _AT_FDCWD, two, flag)


if sys.platform == "linux":
    import fcntl
    import signal

    def is_open_for_writing(descriptor: int) -> bool:
        """Whether another program has the file open to write to it; False where the system does not tell.

        Linux grants a read lease only on a file that no program has open for writing (fcntl(2), "Leases").
        """
        if _lease(descriptor, fcntl.F_RDLCK) is False:
            return True
        _lease(descriptor, fcntl.F_UNLCK)
        return False

    def hold_openers(descriptor: int) -> bool:
        """Make every program that opens the file wait until the descriptor is closed; False where that cannot be done.

        A write lease on Linux, which holds for at most 45 seconds (`/proc/sys/fs/lease-break-time`).
        """
        return _lease(descriptor, fcntl.F_WRLCK) is True

    def _lease(descriptor: int, kind: int) -> bool | None:
        """Whether the lease was granted; None where there are none: a network file system, or another user's file."""
        try:
            # The holder gets a signal when a program opens the file. The default one would end us; this one is ignored.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, kind)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

else:

    def is_open_for_writing(descriptor: int) -> bool:  # noqa: ARG001  the signature of the other
        """False: this system does not tell."""
        return False

    def hold_openers(descriptor: int) -> bool:  # noqa: ARG001  the signature of the other
        """False: this system has no leases."""
        return False
