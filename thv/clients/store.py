"""Reads and replaces a client's file: a compare-and-swap against programs that know nothing of us.

Promises: what a client writes at the same moment is not lost; the change is computed again from what the client wrote.
A reader sees the old file or the new one. Mode, owner, extended attributes and symbolic links stay. A full disk or a
`kill -9` leaves the file whole. No lock file is put beside a client's file: some clients use that name themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thv.clients.exchange import exchange, is_open_for_writing
from thv.config.locking import lock
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 64 << 20
"""Claude Code's file holds whole histories and grows to some megabytes; what is larger is not a configuration."""

DEADLINE_S = 10.0
"""How long a change is tried again while a client keeps writing."""

SETTLE_S = 0.02
"""How long a text that cannot be read is given to become one: a client that writes in place empties the file first."""

SYNCED_ATTEMPTS = 3
"""Attempts that wait for the disk before the swap. Where that lets a busy client in each time, the disk comes after."""

PRIVATE = 0o600


def read(path: Path) -> bytes:
    """The bytes of a client's file.

    Raises:
        ConfigError: it cannot be read, is no regular file, or is too large.
    """
    try:
        return _read(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"cannot be read: {_why(error)}", path=str(path)) from None


def settled(path: Path, use: Callable[[bytes], None]) -> None:
    """Hands the bytes to `use`; once more where it cannot use them and a client may be about to write them whole.

    Raises:
        ConfigError: the file cannot be read; whatever `use` raises on bytes that stay as they are.
    """
    data = read(path)
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return use(data)
        except ConfigError:
            time.sleep(SETTLE_S)
            again = read(path)
            if again == data or time.monotonic() > deadline:
                raise
            data = again


def update(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Replaces the file by what `change` makes of its bytes; returns whether that differs.

    `change` is called again whenever the file changed meanwhile, so it must have no effects but its last one's.

    Raises:
        ConfigError: the file cannot be read or written; whatever `change` raises. The file is then untouched.
    """
    try:
        target = path.resolve(strict=True)
        with _lock(target):
            return _update(path, target, change)
    except ConfigError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"cannot be changed: {_why(error)}", path=str(path)) from None


def _update(path: Path, target: Path, change: Callable[[bytes], bytes]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    attempts = 0
    temporary = target.with_name(f".{target.name}.thv.tmp")
    failed: bytes | None = None
    while True:
        data = _read(target)
        try:
            after = change(data)
        except ConfigError:
            if data == failed or time.monotonic() > deadline:
                raise
            failed = data
            time.sleep(SETTLE_S)
            continue
        if after == data:
            return False
        attempts += 1
        try:
            old = _check_replaceable(target)
            temporary.unlink(missing_ok=True)  # what a killed writer left there; only we use the name
            _write(temporary, after, target, old, sync=attempts <= SYNCED_ATTEMPTS)
            done = _swap(target, temporary, data, after)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if done:
            _sync(target, also_file=attempts > SYNCED_ATTEMPTS)
            return True
        if time.monotonic() > deadline:
            raise ConfigError(
                "is written by another program all the time; end that program and try again", path=str(path)
            )


def _swap(target: Path, temporary: Path, expected: bytes, ours: bytes) -> bool:
    """Puts the temporary file in place if the target still holds `expected`; False, and nothing done, if not."""
    if _read(target) != expected:
        return False
    if not exchange(str(temporary), str(target)):
        temporary.replace(target)
        return True
    # The temporary name now leads to the old file. What was written to it meanwhile goes back, and is begun from.
    if _holds(temporary, expected):
        return True
    exchange(str(temporary), str(target))
    if not _holds(temporary, ours):  # written between the two swaps: that is the newest
        exchange(str(temporary), str(target))
    return False


def _holds(path: Path, expected: bytes) -> bool:
    """Whether a file that has lost its name holds these bytes for good: nobody has it open for writing."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return not is_open_for_writing(descriptor) and _read_all(descriptor) == expected
    finally:
        os.close(descriptor)


def _check_replaceable(target: Path) -> os.stat_result:
    old = target.stat()
    if old.st_nlink > 1:
        raise PermissionError(None, "it has a second name (a hard link), which would keep the old text")
    if not os.access(target, os.W_OK):
        raise PermissionError(None, "it is read-only")
    return old


def _write(temporary: Path, data: bytes, target: Path, old: os.stat_result, *, sync: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, PRIVATE), "wb") as file:
        if os.name == "posix":
            _keep_owner(file.fileno(), old)
            _keep_attributes(target, file.fileno())
            temporary.chmod(stat.S_IMODE(old.st_mode))
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _keep_owner(descriptor: int, old: os.stat_result) -> None:
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) and hasattr(os, "fchown"):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            raise PermissionError(None, "its owner or group could not be kept") from None


def _keep_attributes(target: Path, descriptor: int) -> None:
    """Access lists and labels, where the system has them and lets us."""
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):
            for name in os.listxattr(target):
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(target, name))


def _sync(target: Path, *, also_file: bool) -> None:
    """Makes the new file last through a power cut, where the system can."""
    for path in [*([target] if also_file else []), target.parent]:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _lock(target: Path) -> Iterator[None]:
    """One thv at a time changes a file. The lock is in thv's own folder; without one, the swap alone has to do."""
    from platformdirs import user_state_path

    descriptor = None
    with contextlib.suppress(OSError):
        folder = user_state_path("toolhive", appauthor=False) / "client-locks"
        folder.mkdir(0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, PRIVATE)
        lock(descriptor)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _read(path: Path) -> bytes:
    # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        return _read_all(descriptor)
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    chunks = []
    left = MAX_BYTES + 1
    while left > 0 and (chunk := os.read(descriptor, left)):
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
    return b"".join(chunks)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
