"""Writes a new version of a file beside it, ready to take its place: what every part that replaces files needs.

Promises: the version has the owner, mode and extended attributes of the old one before it has any content. Knows
nothing of what is written, and replaces nothing itself.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_FILE = 0o600
"""The mode of a file that replaces none: it may hold keys."""


def write_beside(temporary: Path, data: bytes, target: Path, old: os.stat_result | None, *, sync: bool = True) -> None:
    """Write the new version of `target` to `temporary`, which must not be there yet.

    Args:
        temporary: where it goes.
        data: its bytes.
        target: the file that it is to replace.
        old: what `stat` says of the target; None where there is none.
        sync: wait until the disk has it.

    Raises:
        OSError: it cannot be written, or its owner cannot be kept.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, PRIVATE_FILE), "wb") as file:
        if old is not None and os.name == "posix":
            _keep_owner(file.fileno(), old)
            _keep_attributes(target, file.fileno())
            temporary.chmod(stat.S_IMODE(old.st_mode))
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Make a file or a folder last through a power cut, where the system can; it is whole either way."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _keep_owner(descriptor: int, old: os.stat_result) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) and hasattr(os, "fchown"):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            raise PermissionError(None, "its owner or group could not be kept") from None


def _keep_attributes(target: Path, descriptor: int) -> None:
    """Access lists and labels, where the system has them and lets us."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            for name in os.listxattr(target):
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(target, name))
