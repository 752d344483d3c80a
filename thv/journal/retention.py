"""Keeps the store within its bounds: so many bytes and so many days, whichever is reached first. The oldest go first.

A little is removed at a time, so that no writer waits long for the one that tidies up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from thv.journal.journal_store import PAGE_BYTES

if TYPE_CHECKING:
    import sqlite3

WAL_RESERVE: Final = 4 << 20
"""Bytes of the bound left to the WAL and its index, which lie beside the file: it is reset at 1 MiB, but only after the
transaction that reached that, and not during a read."""

STEPS: Final = 64
"""One removal frees about this part of the bound."""


def file_bytes(max_bytes: int) -> int:
    """How large the database file may grow where the whole store may have `max_bytes`."""
    return max_bytes - min(WAL_RESERVE, max_bytes // 2)


def remove_expired(connection: sqlite3.Connection, before_us: int) -> None:
    """Remove what ended before that time. Within a transaction."""
    connection.execute("DELETE FROM batches WHERE last_us < ?", (before_us,))
    connection.execute("DELETE FROM sessions WHERE updated_us < ?", (before_us,))
    connection.execute("DELETE FROM tools WHERE listed_us < ?", (before_us,))


def make_room(connection: sqlite3.Connection, max_bytes: int, needed: int) -> None:
    """Remove the oldest until `needed` bytes fit within the bound. Within a transaction."""
    limit = file_bytes(max_bytes)
    step = max(PAGE_BYTES, limit // STEPS)
    while used_bytes(connection) + needed + step > limit and _remove_oldest(connection, step):
        pass


def shrink(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Give back the pages that a lower bound makes superfluous. Outside of a transaction."""
    over = _pragma(connection, "page_count") - file_bytes(max_bytes) // PAGE_BYTES
    if over > 0:
        connection.executescript(f"PRAGMA incremental_vacuum({over})")  # execute() would free a single page
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # until then the file is as large as before


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    return (_pragma(connection, "page_count") - _pragma(connection, "freelist_count")) * PAGE_BYTES


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _remove_oldest(connection: sqlite3.Connection, bytes_: int) -> bool:
    """Remove batches of about so many bytes and the ended sessions before them; False if there was nothing left."""
    last = None
    freed = 0
    for id_, size in connection.execute("SELECT id, length(records) + 64 FROM batches ORDER BY id LIMIT 65536"):
        last = id_
        freed += size
        if freed >= bytes_:
            break
    if last is not None:
        connection.execute("DELETE FROM batches WHERE id <= ?", (last,))
        (horizon,) = connection.execute("SELECT min(first_us) FROM batches").fetchone()
        if horizon is not None:
            connection.execute("DELETE FROM sessions WHERE ended_us < ?", (horizon,))
        return True
    removed = connection.execute(
        "DELETE FROM sessions WHERE id IN"
        " (SELECT id FROM sessions WHERE ended_us IS NOT NULL ORDER BY ended_us LIMIT 256)"
    ).rowcount
    if removed:
        return True
    return connection.execute("DELETE FROM tools").rowcount > 0
