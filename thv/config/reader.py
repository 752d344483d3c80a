"""The config file as text: every byte accounted for, or a reason why not.

Promises: never blocks on a pipe, never reads without end, never guesses an encoding. Knows nothing of YAML.
On the path of `thv run`: imports nothing slow.
"""

# ruff: noqa: PTH116  pathlib costs milliseconds that the start of `thv run` does not have

from __future__ import annotations

import os
import stat
import time

from thv.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Signature: TypeAlias = tuple[int, ...]

MAX_BYTES = 512 << 10
"""Ten times what anyone has written by hand. How long reading takes has a bound of its own (`yaml.tree.PARSE_S`)."""


SETTLED_NS = 2_000_000_000
"""Nanoseconds after which the time of change tells two contents apart: the coarsest clock of a file system (FAT)."""

_LAST: dict[str, tuple[Signature, str]] = {}
"""The file that was read last: its path, its signature before that, and its text. Every part of a run reads it."""


def signature(path: str) -> Signature | None:
    """What changes with the file; None where that cannot be told, and the file has to be read again."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if abs(time.time_ns() - found.st_mtime_ns) < SETTLED_NS:
        return None  # a second change within one tick of the file system's clock would look the same
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_text(path: str, *, fresh: bool = False) -> str | None:
    """Returns the file's text, line breaks and byte order mark as they are, or None where there is no file.

    Costs one `stat` while the file is the one that was read last, unless it must be `fresh`: to be changed.

    Raises:
        ConfigError: it cannot be read, is no regular file, is too large, or is not UTF-8.
    """
    now = None if fresh else signature(path)
    known = _LAST.get(path)
    if now is not None and known is not None and known[0] == now:
        return known[1]
    text = _read_text(path)
    _LAST.clear()
    if now is not None and text is not None:
        _LAST[path] = now, text
    return text


def _read_text(path: str) -> str | None:
    try:
        data = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {why(error)}", path=path) from None
    if len(data) > MAX_BYTES:
        line, column = _place(data, MAX_BYTES)
        reason = f"is larger than {MAX_BYTES >> 10} KiB from here on, which no config file should be"
        raise ConfigError(reason, path=path, line=line, column=column)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _place(data, error.start)
        raise ConfigError(
            f"is not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8", path=path, line=line, column=column
        ) from None


def _place(data: bytes, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a byte."""
    before = data[:offset]
    return before.count(b"\n") + 1, offset - before.rfind(b"\n")


def why(error: Exception) -> str:
    """The system's reason, without the errno and the path that `str(error)` would repeat."""
    reason = getattr(error, "strerror", None) or str(error)
    return str(reason)


def _read(path: str) -> bytes:
    # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):  # /dev/null is how people say "no config"
            raise ValueError("not a regular file")
        chunks = []
        left = MAX_BYTES + 1
        while left > 0 and (chunk := os.read(descriptor, left)):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
