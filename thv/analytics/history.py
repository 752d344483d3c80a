"""What this machine has sent, kept for its user and for nobody else: a minute, two counts and a result per export.

Two lines are appended for each export, one before its request and one when its fate is known, so that a request that
the end of the process cut short is told too. Appending never raises, waits for no lock, and forgets the oldest: files
are numbered, a full one is followed by the next, and the two newest are kept. Nothing here is ever sent.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from pathlib import Path
from time import gmtime, strftime
from typing import TYPE_CHECKING

from thv.analytics.constants import ERROR, SUCCESS
from thv.core.state_dir import user_state_dir
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HISTORY = "usage-analytics-history"
"""The files are called so, with a dot and a number behind it."""

FULL = 48 * 1024
"""Bytes after which a file is not appended to: about 500 exports, so that the last 500 to 1000 are remembered."""

LONGEST = 2 * FULL
"""Bytes of one file that are ever read; somebody else must have made a longer one."""

KEPT = 2

PRIVATE_FILE = 0o600

NANOSECONDS = 1_000_000_000

BEGUN = "begun"
"""The result of an export whose request is being made."""

UNKNOWN = "unknown"
"""The result of an export whose process ended before it knew; `transport.Fate` has the word too."""

RESULTS = ("taken", "not taken", UNKNOWN)
"""The words of `transport.Fate`, without importing TLS to read them."""

# Not anchored at the start of a line: what a full disk cut short has no end, and spoils no line after it.
_LINE = re.compile(
    rf"(\d{{4}}-\d\d-\d\dT\d\d:\d\dZ) {SUCCESS}=(\d{{1,19}}) {ERROR}=(\d{{1,19}}) ({'|'.join((BEGUN, *RESULTS))})\n",
    re.ASCII,
)
_NAME = re.compile(rf"{HISTORY}\.([1-9]\d{{0,8}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Export:
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
        _append(export, Path((state_dir or user_state_dir)()))
    except Exception:  # noqa: BLE001 - a full disk, a read-only or unknown home: sending and the session go on
        return


def read(state_dir: Callable[[], str | Path] | None = None) -> list[Export]:
    """The exports that are remembered, in the order in which they were begun; none of them is `BEGUN`.

    Raises ThvError if there is a history that cannot be read.
    """
    directory = _directory(state_dir)
    try:
        texts = [_text(path) for _, path in sorted(_files(directory).items())]
    except OSError as error:
        raise ThvError(f"{directory}: the history cannot be read: {error.strerror}") from None
    return _settled(
        Export(minute, int(success), int(error), result)
        for minute, success, error, result in _LINE.findall("".join(texts))
    )


def clear(state_dir: Callable[[], str | Path] | None = None) -> int:
    """Forget all exports; returns how many there were. What else lies in the directory stays.

    Raises ThvError if there is a history that cannot be read or removed.
    """
    known = len(read(state_dir))
    directory = _directory(state_dir)
    try:
        for path in _files(directory).values():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ThvError(f"{directory}: the history cannot be removed: {error.strerror}") from None
    return known


def _append(export: Export, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    files = _files(directory)
    number = max(files, default=1)
    if number in files and files[number].stat().st_size >= FULL:
        # Sessions that notice this at the same time take the same next number: none can remove what another wrote.
        number += 1
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(directory / f"{HISTORY}.{number}", flags, PRIVATE_FILE)
    try:
        os.write(descriptor, f"{export}\n".encode("ascii"))
    finally:
        os.close(descriptor)
    for old, path in files.items():
        if old <= number - KEPT:
            path.unlink(missing_ok=True)


def _directory(state_dir: Callable[[], str | Path] | None) -> Path:
    try:
        return Path((state_dir or user_state_dir)())
    except (OSError, RuntimeError) as error:
        raise ThvError(f"the user's state directory is not known: {error}") from None


def _files(directory: Path) -> dict[int, Path]:
    try:
        found = [(_NAME.fullmatch(path.name), path) for path in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {int(match[1]): path for match, path in found if match is not None and path.is_file()}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST).decode("ascii", "replace")
    except FileNotFoundError:  # cleared, or forgotten, meanwhile
        return ""


def _settled(lines: Iterable[Export]) -> list[Export]:
    """One export for each beginning and the result that belongs to it, which says the same minute and counts."""
    found: list[Export] = []
    under_way: defaultdict[Export, deque[int]] = defaultdict(deque)
    for line in lines:
        beginnings = under_way[replace(line, result=BEGUN)]
        if line.result == BEGUN:
            beginnings.append(len(found))
            found.append(replace(line, result=UNKNOWN))
        elif beginnings:
            found[beginnings.popleft()] = line
        else:  # its beginning is forgotten
            found.append(line)
    return found
