"""Replaces the config file as a whole: the old file or the new one is there at any moment, whatever happens.

Promises: two writers never lose an update, a reader never sees half a file, a symbolic link stays one, mode and owner
stay. What fails leaves the file as it was and nothing beside it but the lock. Knows nothing of YAML.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from thv.config.file_lock import lock
from thv.config.reader import MAX_BYTES, read_text, why
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
"""The file may hold the headers of the user's collector, which are keys."""


def update(path: str, change: Callable[[str | None], str]) -> bool:
    """Gives the text of the file (None where there is none) to `change`, and writes what it returns if that differs.

    `change` runs while the lock is held, so what it sees is what it changes. Returns whether the file was written. The
    lock file, ``<file>.lock`` beside the file, is never removed: removing it would let two writers hold two locks.

    Raises:
        ConfigError: the file cannot be read or written; whatever `change` raises. The file is then untouched.
    """
    try:
        target = Path(path).resolve()
        _make_directory(Path(path), target)
        if target.exists() and not target.is_file():  # asked before a lock is made beside it, in /dev for one
            raise FileExistsError(None, "not a regular file")
        guard = os.open(f"{target}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), PRIVATE_FILE)
    except (OSError, RuntimeError) as error:  # RuntimeError: what pathlib raises for links in a circle
        at = getattr(error, "filename", None)
        raise ConfigError(f"cannot be changed: {f'{at}: ' if at else ''}{why(error)}", path=path) from None
    try:
        try:
            lock(guard)
        except OSError as error:
            raise ConfigError(f"cannot be locked: {why(error)}", path=path) from None
        before = read_text(str(target))
        after = change(before)
        if after == before:
            return False
        data = after.encode("utf-8")
        if len(data) > MAX_BYTES:
            raise ConfigError(f"would be larger than {MAX_BYTES} bytes, and could not be read again", path=path)
        try:
            _replace(target, data)
        except OSError as error:
            raise ConfigError(f"cannot be written: {why(error)}", path=path) from None
        return True
    finally:
        os.close(guard)


def _make_directory(path: Path, target: Path) -> None:
    if target.parent.is_dir():
        return
    if path.is_symlink():
        # Whoever made the link meant a place that is away just now; making it up would hide that.
        raise FileNotFoundError(
            None, "the file is a link into this directory, which does not exist", str(target.parent)
        )
    missing = [directory for directory in target.parents if not directory.is_dir()]
    for directory in reversed(missing):
        directory.mkdir(PRIVATE_DIRECTORY, exist_ok=True)


def _replace(target: Path, data: bytes) -> None:
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    if old is not None and not os.access(target, os.W_OK):
        raise PermissionError(None, "it is read-only")
    # One name is enough under the lock, and what a killed writer left there is cleared by the next.
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        _write(temporary, data, old)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


def _write(temporary: Path, data: bytes, old: os.stat_result | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, PRIVATE_FILE), "wb") as file:
        if old is not None and os.name == "posix":
            _keep_owner(file.fileno(), old)
            temporary.chmod(stat.S_IMODE(old.st_mode))
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _keep_owner(descriptor: int, old: os.stat_result) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) and hasattr(os, "fchown"):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            raise PermissionError(None, "its owner or group could not be kept") from None


def _sync_directory(directory: Path) -> None:
    """Makes the new name last through a power cut, where the system can; the file itself is whole either way."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
