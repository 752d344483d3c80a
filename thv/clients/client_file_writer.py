"""Reads and replaces a client's file: a compare-and-swap against programs that know nothing of us.

Promises: what a client writes at the same moment is not lost; the change is computed again from what the client wrote.
A reader sees the old file or the new one. Mode, owner, extended attributes and symbolic links stay. A full disk or a
`kill -9` leaves the file whole. No lock of our own is put beside a client's file: some clients use that name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thv.clients.file_swap import exchanger, hold_openers, is_open_for_writing
from thv.core.file_lock import lock as lock_file
from thv.core.state_dir import user_state_dir
from thv.core.write_beside import PRIVATE_FILE, sync, write_beside
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 64 << 20
"""Claude Code's file holds whole histories and grows to some megabytes; what is larger is not a configuration."""

DEADLINE_S = 10.0
"""How long a change is tried again while a client keeps writing."""

LOCK_TIMEOUT_S = 30.0
"""How long another thv may take to change the file: it gives up itself after `DEADLINE_S`."""

SETTLE_S = 0.02
SETTLE_TRIES = 5
"""How often, and after how long, an empty or broken text is looked at again: a client that writes in place empties the
file first. A text that stays the same was not being written."""

WRITER_S = 1.0
"""How long a client that was just writing when we swapped has to finish. A file written in place takes microseconds."""

OPENING_S = 0.0005
"""A client may have found the old file by its name and not opened it yet: the system is in the middle of a call."""

LOCK_IS_STALE_S = 10.0
"""As Claude Code has it: the default of `proper-lockfile`, whose holder renews the folder's time every five seconds."""

SYNCED_ATTEMPTS = 3
"""Attempts that wait for the disk before the swap. Where that lets a busy client in each time, the disk comes after."""


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
    patience = _Patience()
    while True:
        data = read(path)
        try:
            if data.strip() or patience.is_over(data):
                return use(data)
        except ConfigError:
            if patience.is_over(data):
                raise
        time.sleep(SETTLE_S)


def update(path: Path, change: Callable[[bytes], bytes], *, lock: Path | None = None) -> bool:
    """Replaces the file by what `change` makes of its bytes; returns whether that differs.

    Args:
        path: the file.
        change: makes the new bytes of the old ones.
        lock: the folder by which the file's client locks it, if it does; see `_client_lock`.

    `change` is called again whenever the file changed meanwhile, so it must have no effects but its last one's.

    Raises:
        ConfigError: the file cannot be read or written; whatever `change` raises. The file is then untouched.
    """
    try:
        target = _regular_file(path)  # asked before a lock is made beside it
        with _own_lock(target), _client_lock(lock):
            return _update(path, target, change)
    except ConfigError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"cannot be changed: {_why(error)}", path=str(path)) from None


def _regular_file(path: Path) -> Path:
    target = path.resolve(strict=True)
    if not target.is_file():
        raise ConfigError("cannot be changed: not a regular file", path=str(path))
    return target


class _Patience:
    """Counts how often a text was the same; what changes is being written, and worth waiting for."""

    def __init__(self) -> None:
        self._deadline = time.monotonic() + DEADLINE_S
        self._last: bytes | None = None
        self._times = 0

    def is_over(self, data: bytes) -> bool:
        self._times = self._times + 1 if data == self._last else 1
        self._last = data
        return self._times >= SETTLE_TRIES or time.monotonic() > self._deadline


def _update(path: Path, target: Path, change: Callable[[bytes], bytes]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    attempts = 0
    temporary = target.with_name(f".{target.name}.thv.tmp")
    patience = _Patience()
    while True:
        data = _read(target)
        if not data.strip() and not patience.is_over(data):
            time.sleep(SETTLE_S)
            continue
        try:
            after = change(data)
        except ConfigError:
            if patience.is_over(data):
                raise
            time.sleep(SETTLE_S)
            continue
        if after == data:
            return False
        attempts += 1
        try:
            old = _check_replaceable(target)
            temporary.unlink(missing_ok=True)  # what a killed writer left there; only we use the name
            write_beside(temporary, after, target, old, sync=attempts <= SYNCED_ATTEMPTS)
            done = _swap(target, temporary, data)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if done:
            if attempts > SYNCED_ATTEMPTS:
                sync(target)
            sync(target.parent)
            return True
        if time.monotonic() > deadline:
            raise ConfigError(
                "is written by another program all the time; end that program and try again", path=str(path)
            )


def _swap(target: Path, temporary: Path, expected: bytes) -> bool:
    """Puts the temporary file in place if the target still holds `expected`; returns False if it does not.

    Looking and replacing cannot be one step. So the two files are swapped, which brings to light what a client wrote
    behind our last look, and that is put back before anyone has read our version: on Linux, a program that opens the
    new file meanwhile has to wait. Elsewhere it is a matter of microseconds; where files cannot be swapped (Windows),
    what is written within these is lost.
    """
    exchange = exchanger(str(temporary), str(target))
    if exchange is None:  # Windows refuses to rename what we have open
        if _read(target) != expected:
            return False
        temporary.replace(target)
        return True
    ours = os.open(temporary, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        is_held = hold_openers(ours)
        before = target.stat()
        if _read(target) != expected or _version(target.stat()) != _version(before):
            return False
        if not exchange():
            temporary.replace(target)
            return True
        found = _final_content(temporary)
        if found == expected:
            return True
        if found is None or not is_held or not _overwrite(ours, found):
            exchange()
        return False
    finally:
        os.close(ours)


def _version(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_size


def _final_content(path: Path) -> bytes | None:
    """What a file that has lost its name holds in the end; None while a client goes on writing to it."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        deadline = time.monotonic() + WRITER_S
        while time.monotonic() < deadline:
            if not is_open_for_writing(descriptor):
                os.lseek(descriptor, 0, os.SEEK_SET)
                found = _read_all(descriptor)
                version = os.fstat(descriptor)
                time.sleep(OPENING_S)
                if not is_open_for_writing(descriptor) and _version(os.fstat(descriptor)) == _version(version):
                    return found
            time.sleep(OPENING_S)
        return None
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int, data: bytes) -> bool:
    """Gives the new file the content that the client wrote into the old one; False if there is no room for it."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.ftruncate(descriptor, len(data))
    except OSError:
        return False
    return True


def _check_replaceable(target: Path) -> os.stat_result:
    old = target.stat()
    if old.st_nlink > 1:
        raise PermissionError(None, "it has a second name (a hard link), which would keep the old text")
    if not os.access(target, os.W_OK):
        raise PermissionError(None, "it is read-only")
    return old


@contextlib.contextmanager
def _own_lock(target: Path) -> Iterator[None]:
    """One thv at a time changes a file. The lock is in thv's own folder; without one, the swap alone has to do."""
    descriptor = None
    is_held = False
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path(user_state_dir()) / "client-locks"
        folder.mkdir(0o700, parents=True, exist_ok=True)
        guard = folder / hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        is_held = not lock_file(descriptor, guard, LOCK_TIMEOUT_S)
    try:
        if is_held:
            raise ConfigError(f"is locked: another process holds {guard}; end it and try again", path=str(target))
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def _client_lock(folder: Path | None) -> Iterator[None]:
    """The lock that Claude Code takes while it reads, changes and writes its file: a folder beside it.

    With it the client does not overwrite our change with one that it has made of the text before. A folder that is
    older than `LOCK_IS_STALE_S` was left behind, and is its client's to remove. After `WRITER_S` we go on without: the
    swap alone still loses nothing of the client's.
    """
    is_ours = False
    deadline = time.monotonic() + WRITER_S
    while folder is not None:
        try:
            folder.mkdir()
        except FileExistsError:
            if time.monotonic() > deadline or _age(folder) > LOCK_IS_STALE_S:
                break
            time.sleep(OPENING_S)
        except OSError:
            break
        else:
            is_ours = True
            break
    try:
        yield
    finally:
        if is_ours and folder is not None:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> bytes:
    descriptor = _open(path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        return _read_all(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    deadline = time.monotonic() + WRITER_S
    while True:
        try:
            return os.open(path, flags)
        except BlockingIOError:  # another thv is just replacing it
            if time.monotonic() > deadline:
                raise
            time.sleep(OPENING_S)


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
