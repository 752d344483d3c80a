"""What `thv client` does to files: surveys them, wraps and unwraps their servers, one file after the other.

Promises: a file that cannot be read or written never stops the others; what went wrong with it is in its report.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thv.clients import change, client_file_writer
from thv.clients.change import Change
from thv.clients.entries import State
from thv.errors import ConfigError, ThvError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from thv.clients.change import Source
    from thv.clients.client_file_locations import ClientFile
    from thv.clients.entries import ServerEntry

NOTHING = Change("", (), (), ())

NO_SERVERS = "holds no servers under any key that thv knows"


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file holds.

    Attributes:
        file: the file.
        entries: its servers.
        problem: why it could not be read, in one line; None if it could.
        source: the parsed file, for who looks closer; None where there is nothing in it.
    """

    file: ClientFile
    entries: tuple[ServerEntry, ...] = ()
    problem: str | None = None
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """What became of one file.

    Attributes:
        file: the file.
        before: its text before.
        change: what was changed, or would be.
        problem: why it was refused, in one line; None if it was not.
    """

    file: ClientFile
    before: str = ""
    change: Change = NOTHING
    problem: str | None = None


def survey(files: Sequence[ClientFile]) -> list[FileReport]:
    """Reads every file."""
    return [_survey(file) for file in files]


def wrap(
    files: Sequence[ClientFile], thv: str, *, names: Collection[str] = (), analytics_off: bool, dry_run: bool
) -> list[FileChange]:
    """Puts thv in front of the servers of every file."""

    def changed(text: str, file: ClientFile) -> Change:
        return change.wrap(text, file, thv, names=names, analytics_off=analytics_off)

    return [_change(file, changed, dry_run=dry_run) for file in files]


def unwrap(files: Sequence[ClientFile], *, names: Collection[str] = (), dry_run: bool) -> list[FileChange]:
    """Takes thv away from the servers of every file."""

    def changed(text: str, file: ClientFile) -> Change:
        return change.unwrap(text, file, names=names)

    return [_change(file, changed, dry_run=dry_run) for file in files]


def unknown_names(names: Collection[str], changes: Sequence[FileChange]) -> list[str]:
    """The names that no file has a server of."""
    known = {entry.name for done in changes for entry in (*done.change.changed, *done.change.others)}
    return [name for name in names if name not in known]


def _survey(file: ClientFile) -> FileReport:
    found: list[FileReport] = []

    def use(data: bytes) -> None:
        source = change.parse(change.decode(data, str(file.path)), file)
        if source is None and file.client is None and data.strip():
            raise ConfigError(NO_SERVERS, path=str(file.path))
        found.append(FileReport(file, tuple(source.entries()) if source else (), source=source))

    try:
        client_file_writer.settled(file.path, use)
    except ThvError as error:
        return FileReport(file, problem=str(error))
    return found[-1]


def _change(file: ClientFile, changed: Callable[[str, ClientFile], Change], *, dry_run: bool) -> FileChange:
    last: list[FileChange] = []

    def use(data: bytes) -> bytes:
        before = change.decode(data, str(file.path))
        if file.client is None and data.strip() and change.parse(before, file) is None:
            raise ConfigError(NO_SERVERS, path=str(file.path))
        done = changed(before, file)
        last.append(FileChange(file, before, done))
        return done.text.encode()

    try:
        if dry_run:
            client_file_writer.settled(file.path, lambda data: _discard(use(data)))
        else:
            client_file_writer.update(file.path, use, lock=file.lock)
    except ThvError as error:
        return FileChange(file, problem=str(error))
    return last[-1]


def _discard(_: bytes) -> None:
    """A dry run writes nothing."""


THROUGH_THV = {State.WRAPPED, State.BY_HAND}
"""The states of entries that go through thv."""
