"""The journal's SQLite file: where it is, how it is opened, and its tables.

WAL mode, so that readers and fifty writers do not wait for each other, except where the file system cannot (network
file systems have no shared memory; SQLite, "Write-Ahead Logging", 2.2). The directory is 0700, the files are 0600.
A crash of thv loses nothing that was committed; only a crash of the machine may lose the last commits.
The file is created whole, under a lock, and gets its name last: with several processes that open an empty file, switch
it to WAL and create tables, SQLite fails at once in some of them, without the wait that it has for other locks.

The writer's half works on plain strings: pathlib would cost every session 1 MiB.
"""

# ruff: noqa: PTH102, PTH103, PTH104, PTH105, PTH108, PTH112, PTH116, PTH118, PTH120, PTH123  as said above

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from thv.core.file_lock import try_lock
from thv.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator

DAMAGED: Final = "journal.damaged.db"
CREATION_LOCK: Final = "creating.lock"
"""Locked by the process that creates the file. Always empty, and never removed: two files would be two locks."""

LOCK_PAUSE_S: Final = 0.01
"""Seconds between two tries to lock it; creating the file takes a few milliseconds, on a slow disk a tenth."""

NEW_SUFFIX: Final = ".new"
"""Ends the name of the file while it is created."""

SIDE_FILES: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside the file."""

FORMAT: Final = 1
"""`PRAGMA user_version`. Another number is another layout, which this version neither reads nor writes."""

PAGE_BYTES: Final = 4096
CACHE_KIB: Final = 128
"""The page cache of a connection, in a process that also relays; SQLite's default is 2 MiB."""

WAL_PAGES: Final = 256
"""Pages after which the WAL is written back into the file, so that it stays near 1 MiB."""

WAL_PART: Final = 16
"""The same as a part of the bound, where that is small."""

REMOTE_FILE_SYSTEMS: Final = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "davfs",
        "vboxsf",
    )
)

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    transport TEXT NOT NULL,
    client TEXT,
    protocol TEXT,
    pid INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    ended_us INTEGER,
    ended_by TEXT,
    exit_code INTEGER,
    detail TEXT,
    requests INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    answered INTEGER NOT NULL DEFAULT 0,
    restarts INTEGER NOT NULL DEFAULT 0,
    stray_lines INTEGER NOT NULL DEFAULT 0,
    stray_us INTEGER,
    open_count INTEGER NOT NULL DEFAULT 0,
    open_requests BLOB
);
CREATE INDEX IF NOT EXISTS sessions_by_start ON sessions (started_us);
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    records BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_by_end ON batches (last_us);
CREATE TABLE IF NOT EXISTS tools (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    session INTEGER NOT NULL,
    listed_us INTEGER NOT NULL,
    PRIMARY KEY (server, name)
) WITHOUT ROWID;
"""


def open_for_writing(path: str, *, max_bytes: int, wait_s: float) -> sqlite3.Connection:
    """Open the store, making it where there is none.

    Args:
        path: the file.
        max_bytes: the file never grows beyond.
        wait_s: seconds to wait for another writer, or for the process that creates the file.

    Raises:
        JournalError: it cannot be made or written, or another version made it.
        sqlite3.DatabaseError: it is locked, or damaged; see `is_locked` and `is_damaged`.
    """
    try:
        make_directory(os.path.dirname(path))
        if not os.path.lexists(path):
            with _creation_lock(path, wait_s):
                if not os.path.lexists(path):
                    _create_file(path, wait_s)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from None
    return _connect(path, max_bytes=max_bytes, wait_s=wait_s)


def open_for_reading(path: str) -> sqlite3.Connection | None:
    """Open the store to read it; None where there is none. Works on a read-only file system, too.

    Raises:
        JournalError: it cannot be read, or is damaged.
    """
    if not _is_there(path):
        return None
    from urllib.parse import quote

    problem: sqlite3.Error | None = None
    # In a directory in which SQLite can make no shared memory, nothing else writes either.
    for mode in ("mode=ro",) if os.access(os.path.dirname(path), os.W_OK) else ("mode=ro", "mode=ro&immutable=1"):
        connection = None
        try:
            connection = sqlite3.connect(
                f"file:{quote(os.fsencode(path))}?{mode}", uri=True, timeout=READ_WAIT_S, isolation_level=None
            )
            if not _check_format(path, connection):  # it is being made just now
                connection.close()
                return None
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            problem = error
        except JournalError:  # another version's
            if connection is not None:
                connection.close()
            raise
        else:
            return connection
    raise unreadable(path, problem)


def _is_there(path: str) -> bool:
    """Whether there is a file; raises JournalError where that cannot be told, or where it is something else."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise JournalError(f"the journal {path} cannot be read: it is no file")
    return True


def unreadable(path: str, problem: sqlite3.Error | None) -> JournalError:
    """What to tell the user where a read ended so. Only a store that nothing holds is worth beginning anew."""
    if problem is not None and is_locked(problem):
        return JournalError(f"the journal {path} is locked by another process; try again")
    return JournalError(f"the journal {path} cannot be read: {problem}; `thv log clear` begins a new one")


READ_WAIT_S: Final = 2.0
"""Seconds a command waits for a writer: in WAL mode it never has to, elsewhere writes take milliseconds."""


def make_directory(directory: str) -> None:
    """Make the journal's directory, for the user alone; those above it as they come.

    Raises:
        OSError: it cannot be made.
    """
    above = os.path.dirname(directory)
    if not os.path.isdir(above):
        os.makedirs(above, exist_ok=True)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return


def set_aside(path: str) -> None:
    """Move a damaged store out of the way, in the place of the one that was damaged before."""
    for suffix in SIDE_FILES:  # first, for as soon as the file is away another session may begin a new one
        _remove(path + suffix)
    try:
        os.replace(path, damaged_path(path))
    except OSError:
        return  # it is gone already, or is not ours to move


def damaged_path(path: str) -> str:
    """Where a damaged store is kept."""
    return os.path.join(os.path.dirname(path), DAMAGED)


def remove(path: str) -> None:
    """Remove the store, readable or not, and what lies beside it. Running sessions begin a new one.

    Raises:
        OSError: it cannot be removed.
    """
    for suffix in SIDE_FILES:
        _remove(path + suffix)
    _remove(damaged_path(path))
    if os.path.lexists(path):
        os.unlink(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # it is not there, or not ours to remove


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another process holds the store."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room, on the disk or within the bound."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def is_damaged(error: sqlite3.Error) -> bool:
    """Whether the file is no sound SQLite file any more."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def identity(path: str) -> tuple[int, int] | None:
    """What tells one file at `path` from another that takes its place; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: str, *, max_bytes: int, wait_s: float) -> sqlite3.Connection:
    connection = _open(path, wait_s)
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = OFF")  # on in some builds, where it doubles what is written
        uses_wal = allows_wal(os.path.dirname(path))
        if not _is_created(path, connection, uses_wal=uses_wal):
            with _creation_lock(path, wait_s):
                _create_tables(path, connection, uses_wal=uses_wal)
        if not uses_wal:
            connection.execute("PRAGMA journal_mode = TRUNCATE").fetchone()  # of this connection; WAL is of the file
        wal_pages = max(1, min(WAL_PAGES, max_bytes // WAL_PART // PAGE_BYTES))
        connection.execute(f"PRAGMA journal_size_limit = {wal_pages * PAGE_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_BYTES)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: str, wait_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # both only heeded while the file is empty
    except BaseException:
        connection.close()
        raise
    return connection


def _create_file(path: str, wait_s: float) -> None:
    """Create the store under another name, which no other process opens, and rename it. Needs the creation lock."""
    new = path + NEW_SUFFIX
    for suffix in ("", *SIDE_FILES):  # a process that was killed here may have left some
        _remove(new + suffix)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = _open(new, wait_s)
    try:
        _create_tables(path, connection, uses_wal=allows_wal(os.path.dirname(path)))
    finally:
        connection.close()
    for suffix in SIDE_FILES:  # of a store that was removed; SQLite would take them for those of the new one
        _remove(path + suffix)
    os.rename(new, path)


def _is_created(path: str, connection: sqlite3.Connection, *, uses_wal: bool) -> bool:
    """Whether the tables are there, and the file is in the mode that it should be in."""
    return _check_format(path, connection) and (_journal_mode(connection) == "wal") == uses_wal


def _create_tables(path: str, connection: sqlite3.Connection, *, uses_wal: bool) -> None:
    """Create what is missing; another process may have done all of it. Needs the creation lock."""
    if not _check_format(path, connection):
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    # Last, so that all of the file is in the file itself and its WAL is empty when it is renamed.
    if (_journal_mode(connection) == "wal") != uses_wal:
        connection.execute(f"PRAGMA journal_mode = {'WAL' if uses_wal else 'TRUNCATE'}").fetchone()


def _journal_mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


@contextmanager
def _creation_lock(path: str, wait_s: float) -> Iterator[None]:
    """Hold the creation lock. On a file system without locks it holds nothing.

    Raises:
        JournalError: the lock's file cannot be made.
        sqlite3.OperationalError: another process has held it for `wait_s`; `is_locked` is true of it.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(os.path.join(os.path.dirname(path), CREATION_LOCK), flags, 0o600)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from None
    try:
        _await_lock(descriptor, wait_s)
        yield
    finally:
        os.close(descriptor)


def _await_lock(descriptor: int, wait_s: float) -> None:
    # It does not simply wait: a stopped process may hold the lock for ever, and `thv log clear` must not hang on it.
    deadline = time.monotonic() + wait_s
    try:
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                error = sqlite3.OperationalError("another process is creating the journal")
                error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise error
            time.sleep(LOCK_PAUSE_S)
    except OSError:
        return  # SQLite's own locks remain, and the writer tries again


def _check_format(path: str, connection: sqlite3.Connection) -> bool:
    """Whether the tables are there; raises JournalError where another version made them."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found not in {0, FORMAT}:
        raise JournalError(f"{path} has format {found}, this thv knows {FORMAT}; `thv log clear` begins anew")
    return found == FORMAT


def allows_wal(directory: str) -> bool:
    """Whether the file system has the shared memory that WAL needs; False for network file systems, where told."""
    if sys.platform == "linux":
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except OSError:
            return True
        return file_system_type(os.path.realpath(directory), lines) not in REMOTE_FILE_SYSTEMS
    else:  # noqa: RET505  the form that type checkers understand on every platform
        return True


def file_system_type(directory: str, mounts: list[str]) -> str:
    """The type of the file system that holds `directory`, from the lines of /proc/self/mountinfo (proc(5))."""
    best, kind = "", ""
    for line in mounts:
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:  # noqa: PLR2004  the mount point is the fifth
            continue
        point = words[4].replace(r"\040", " ")
        inside = point in {"/", directory} or directory.startswith(f"{point}/")
        if inside and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind
