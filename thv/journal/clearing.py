"""Empties the journal: nothing of what it held is left on the disk. Running sessions go on with an empty one."""

from __future__ import annotations

import os
import sqlite3

from thv.errors import JournalError
from thv.journal import journal_store
from thv.journal.liveness import RunningSessions

WAIT_S = 2.0
"""Seconds to wait for sessions that write."""


def clear(path: str) -> bool:
    """Empty the store, or remove one that cannot be read; False if there was none.

    Raises:
        JournalError: it cannot be emptied.
    """
    if not os.path.lexists(path):
        return False
    try:
        connection = journal_store.open_for_writing(path, max_bytes=1 << 40, wait_s=WAIT_S)
    except (JournalError, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.Error) and journal_store.is_locked(error):
            raise JournalError(f"{path} is locked by another process; try again") from None
        _remove(path)
        return True
    running = RunningSessions(os.path.dirname(path))  # noqa: PTH120  as in `journal_store`
    try:
        _empty(connection, running)
    except sqlite3.Error as error:
        if journal_store.is_damaged(error):
            _remove(path)
            return True
        raise JournalError(f"{path} cannot be emptied: {error}") from None
    finally:
        connection.close()
        running.close()
    return True


def _empty(connection: sqlite3.Connection, running: RunningSessions) -> None:
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM batches")
    connection.execute("DELETE FROM tools")
    for (session,) in connection.execute("SELECT id FROM sessions").fetchall():
        if not running.is_running(session):
            connection.execute("DELETE FROM sessions WHERE id = ?", (session,))
    connection.execute("COMMIT")
    connection.executescript("PRAGMA incremental_vacuum")  # execute() would free a single page
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _remove(path: str) -> None:
    try:
        journal_store.remove(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be removed: {error.strerror}") from None
