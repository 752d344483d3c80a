"""Replaces the config file as a whole: the old file or the new one is there at any moment, whatever happens.

Promises: two writers never lose an update, a reader never sees half a file, a symbolic link stays one, mode and owner
stay. What another program, which knows nothing of the lock, writes before the replacement is begun from again. What
fails leaves the file as it was and nothing beside it but the lock. Knows nothing of YAML.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from thv.config.reader import MAX_BYTES, read_text, why
from thv.core.file_lock import lock
from thv.core.write_beside import PRIVATE_FILE, sync, write_beside
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

PRIVATE_DIRECTORY = 0o700

LOCK_TIMEOUT_S = 30.0
"""Seconds to wait for other commands that change the file; each takes milliseconds, and seconds for the worst YAML."""

ATTEMPTS = 20
"""How often a change is begun anew because another program, an editor perhaps, wrote the file meanwhile."""


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
        lock_path = Path(f"{target}.lock")
        guard = os.open(lock_path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), PRIVATE_FILE)
    except (OSError, RuntimeError) as error:  # RuntimeError: what pathlib raises for links in a circle
        at = getattr(error, "filename", None)
        raise ConfigError(f"cannot be changed: {f'{at}: ' if at else ''}{why(error)}", path=path) from None
    try:
        try:
            is_locked = lock(guard, lock_path, LOCK_TIMEOUT_S)
        except OSError as error:
            raise ConfigError(f"cannot be locked: {why(error)}", path=path) from None
        if not is_locked:
            raise ConfigError(f"is locked: another process holds {lock_path}; end it and try again", path=path)
        for _ in range(ATTEMPTS):
            before = read_text(str(target), fresh=True)
            after = change(before)
            if after == before:
                return False
            data = after.encode("utf-8")
            if len(data) > MAX_BYTES:
                raise ConfigError(f"would be larger than {MAX_BYTES} bytes, and could not be read again", path=path)
            try:
                if _replace(target, data, lambda: read_text(str(target), fresh=True) == before):  # noqa: B023  called now
                    return True
            except OSError as error:
                raise ConfigError(f"cannot be written: {why(error)}", path=path) from None
        raise ConfigError("cannot be changed: another program keeps writing it; try again", path=path)
    finally:
        os.close(guard)


def _make_directory(path: Path, target: Path) -> None:
    if target.parent.is_dir():
        return
    if path.is_symlink():
        # The link names a place that is not mounted, perhaps; creating it here would hide that.
        raise FileNotFoundError(
            None, "the file is a link into this directory, which does not exist", str(target.parent)
        )
    missing = [directory for directory in target.parents if not directory.is_dir()]
    for directory in reversed(missing):
        if directory.exists():
            raise NotADirectoryError(None, "not a directory", str(directory))
        directory.mkdir(PRIVATE_DIRECTORY, exist_ok=True)


def _replace(target: Path, data: bytes, is_unchanged: Callable[[], bool]) -> bool:
    """Replace the file, unless another program has changed it meanwhile; returns whether it was replaced."""
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
        write_beside(temporary, data, target, old)
        if not is_unchanged():
            temporary.unlink()
            return False
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)
    return True
