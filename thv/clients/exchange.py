"""Swaps two files in one step, and tells whether anyone still writes to one: what systems differ in.

Promises: where the system cannot do it, that is said, and nothing has happened.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, getattr(errno, "ENOTSUP", errno.EINVAL), errno.EPERM}
"""What kernels and file systems without the call say (renameat2(2), renamex_np(2))."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""The same number on Linux (`RENAME_EXCHANGE`) and on macOS (`RENAME_SWAP`)."""


def exchange(one: str, two: str) -> bool:
    """Swap the files of two paths of one folder; False where the system or the file system cannot.

    Raises:
        OSError: one of them is not there, or may not be renamed.
    """
    import ctypes
    import os

    call = _system_call()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(two)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), two)


def _system_call() -> Callable[[bytes, bytes], int] | None:
    if sys.platform == "win32":
        return None
    else:  # noqa: RET505  a platform branch: mypy skips it whole on Windows
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            swap = getattr(library, "renamex_np", None)
            if swap is None:
                return None
            return lambda one, two: int(swap(one, two, ctypes.c_uint(_RENAME_EXCHANGE)))
        rename = getattr(library, "renameat2", None)
        if rename is None:
            return None
        return lambda one, two: int(rename(_AT_FDCWD, one, _AT_FDCWD, two, ctypes.c_uint(_RENAME_EXCHANGE)))


def is_open_for_writing(descriptor: int) -> bool:
    """Whether another program has the file open to write to it; False where the system does not tell.

    Linux grants a read lease only on a file that nobody has open for writing (fcntl(2), "Leases").
    """
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:  # not our file, or a file system without leases
            return False
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
