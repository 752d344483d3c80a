"""What this machine has sent, kept for its user alone: a minute, two counts and a result per export.

Two lines are appended for each export, one before its request and one with its result, so that a request that
the end of the process cut short is listed too. Appending never raises, waits for no lock, and forgets the oldest: files
are numbered, a full one is followed by the next, and the two newest are kept. Nothing here is ever sent.
"""

# ruff: noqa: PTH103, PTH108, PTH116, PTH118  pathlib costs every session that reports memory

from __future__ import annotations

import os
from time import gmtime, strftime
from typing import TYPE_CHECKING, NamedTuple

from thv.analytics.constants import ERROR, SUCCESS
from thv.analytics.report_delivery import DeliveryStatus
from thv.core.state_dir import user_state_dir
from thv.core.write_beside import PRIVATE_FILE
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

HISTORY = "usage-analytics-history"
"""The files are called so, with a dot and a number behind it."""

FULL = 48 * 1024
"""Bytes after which a file is not appended to: about 500 exports, so that the last 500 to 1000 are remembered."""

LONGEST = 2 * FULL
"""Bytes of one file that are ever read; a longer one is not ours."""

KEPT = 2

MAX_DIGITS = 9
"""Of a file's number."""

NANOSECONDS = 1_000_000_000

BEGUN = "begun"
"""The result of an export whose request is being made."""

RESULTS = tuple(status.value for status in DeliveryStatus)

UNKNOWN = DeliveryStatus.UNKNOWN.value
"""The result of an export whose process ended before it knew."""


class Export(NamedTuple):
    """One export: the UTC minute in which it was made (``2026-11-22T16:23Z``), what it counted, what became of it."""

    minute: str
    success: int
    error: int
    result: str

    def __str__(self) -> str:
        return f"{self.minute} {SUCCESS}={self.success} {ERROR}={self.error} {self.result}"


def minute_of(now_ns: int) -> str:
    """The UTC minute of a time in nanoseconds since the epoch."""
    return strftime("%Y-%m-%dT%H:%MZ", gmtime(now_ns // NANOSECONDS))


def append(export: Export, state_dir: Callable[[], str | Path] | None = None) -> None:
    """Remember an export, as begun or with its result. Where that cannot be written it is forgotten, silently.

    Args:
        export: what to remember.
        state_dir: the directory of the files; see `thv.core.state_dir.user_state_dir`.
    """
    try:
        _append(export, str((state_dir or user_state_dir)()))
    except Exception:  # noqa: BLE001 - a full disk, a read-only or unknown home: sending and the session go on
        return


def read(state_dir: Callable[[], str | Path] | None = None) -> list[Export]:
    """The exports that are remembered, in the order in which they were begun; none of them is `BEGUN`.

    Raises ThvError if there is a history that cannot be read.
    """
    import re

    # Not anchored at the start of a line: a line that a full disk cut short has no end, and spoils none after it.
    results = "|".join((BEGUN, *RESULTS))
    line = re.compile(
        rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\dZ) {SUCCESS}=(\d{{1,19}}) {ERROR}=(\d{{1,19}}) ({results})\n", re.ASCII
    )
    directory = _directory(state_dir)
    try:
        texts = [_text(path) for _, path in sorted(_files(directory).items())]
    except OSError as error:
        raise ThvError(f"{directory}: the history cannot be read: {error.strerror}") from None
    return _settled(
        Export(minute, int(success), int(error), result)
        for minute, success, error, result in line.findall("".join(texts))
    )


def clear(state_dir: Callable[[], str | Path] | None = None) -> int:
    """Forget all exports; returns how many there were. What else lies in the directory stays.

    Raises ThvError if there is a history that cannot be read or removed.
    """
    known = len(read(state_dir))
    directory = _directory(state_dir)
    try:
        for path in _files(directory).values():
            _unlink(path)
    except OSError as error:
        raise ThvError(f"{directory}: the history cannot be removed: {error.strerror}") from None
    return known


def _append(export: Export, directory: str) -> None:
    os.makedirs(directory, exist_ok=True)
    files = _files(directory)
    number = max(files, default=1)
    if number in files and os.stat(files[number]).st_size >= FULL:
        # Sessions that notice this at the same time take the same next number: none can remove what another wrote.
        number += 1
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(os.path.join(directory, f"{HISTORY}.{number}"), flags, PRIVATE_FILE)
    try:
        os.write(descriptor, f"{export}\n".encode("ascii"))
    finally:
        os.close(descriptor)
    for old, path in files.items():
        if old <= number - KEPT:
            _unlink(path)


def _directory(state_dir: Callable[[], str | Path] | None) -> str:
    try:
        return str((state_dir or user_state_dir)())
    except (OSError, RuntimeError) as error:
        raise ThvError(f"the user's state directory is not known: {error}") from None


def _files(directory: str) -> dict[int, str]:
    """Number -> path of each file of the history."""
    found = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                name, _, number = entry.name.rpartition(".")
                digits = number.isascii() and number.isdigit() and number[0] != "0" and len(number) <= MAX_DIGITS
                if name == HISTORY and digits and entry.is_file():
                    found[int(number)] = entry.path
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # another session has removed it
        return


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  as above
            return file.read(LONGEST).decode("ascii", "replace")
    except FileNotFoundError:  # cleared, or forgotten, meanwhile
        return ""


def _settled(lines: Iterable[Export]) -> list[Export]:
    """One export for each beginning and the result that belongs to it, which says the same minute and counts."""
    from collections import defaultdict, deque

    found: list[Export] = []
    under_way: defaultdict[Export, deque[int]] = defaultdict(deque)
    for line in lines:
        beginnings = under_way[line._replace(result=BEGUN)]
        if line.result == BEGUN:
            beginnings.append(len(found))
            found.append(line._replace(result=UNKNOWN))
        elif beginnings:
            found[beginnings.popleft()] = line
        else:  # its beginning is forgotten
            found.append(line)
    return found
