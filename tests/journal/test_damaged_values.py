"""A damaged value in a sound file costs no more than its own row: every command shows the others."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from thv.cli.app import main
from thv.journal.call_record import OpenShown, encode_batch, encode_open
from thv.journal.journal_settings import journal_path
from thv.journal.journal_store import _TABLES, open_for_writing

if TYPE_CHECKING:
    from pathlib import Path

    from thv.journal.call_record import Chunk

HUGE = 1 << 62
DAMAGED: tuple[object, ...] = (None, "text", b"\xff\x00", 1.5, HUGE, -HUGE, 1 << 54)
COMMANDS = (
    *("log --all", "log --all --format json", "log --since 1h", "why -n 99", "why -n 99 --format json"),
    *("report", "report --format json", "report --html -", "top", "top --format json"),
)
COLUMNS = [
    (table, column)
    for table, columns in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)\n\)", _TABLES, re.DOTALL)
    for column in re.findall(r"^    ([a-z_]+) ", columns, re.MULTILINE)
]

RECORD = (1, "t", 2, 3, 1, "tools/call", 4, "message", "arguments", "result")


class Store:
    """A store in the user's home with a sound session, and any number of others to be damaged."""

    def __init__(self) -> None:
        self.now_us = time.time_ns() // 1000
        self.store = open_for_writing(journal_path(), max_bytes=1 << 26, wait_s=60)
        self.add(1, "sound-one")

    def add(
        self, id_: int, server: str, batch: list[Chunk | tuple[int, list[tuple[object, ...]]]] | None = None
    ) -> None:
        now = self.now_us
        store = self.store
        store.execute(
            "INSERT INTO sessions (id, server, transport, client, pid, started_us, updated_us, ended_us, ended_by,"
            " detail, open_count, open_requests) VALUES (?, ?, 'stdio', 'c', 1, ?, ?, ?, 'server', 'd', 1, ?)",
            (id_, server, now - 5, now, now, encode_open([OpenShown(now - 3, "tools/call", "t")])),
        )
        store.execute(
            "INSERT INTO batches (id, session, first_us, last_us, requests, records) VALUES (?, ?, ?, ?, 1, ?)",
            (id_, id_, now - 2, now - 2, encode_batch(batch or [(now - 2, [RECORD])])),
        )
        store.execute("INSERT INTO tools VALUES (?, 't', 9, ?, ?)", (server, id_, now))

    def hidden_by(self, capfd: pytest.CaptureFixture[str]) -> list[str]:
        """The commands that fail, or do not show what is sound."""
        self.store.close()
        found = []
        for command in COMMANDS:
            code = main(command.split())
            shown = capfd.readouterr()
            if code != 0 or "error:" in shown.err or not ("sound-one" in shown.out or command.startswith("top")):
                found.append(f"{command}: {shown.err}")
        return found


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_damaged_column_leaves_the_other_rows_visible(
    table: str, column: str, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = Store()
    for at, value in enumerate(DAMAGED):
        found.add(at + 2, f"damaged-{at}")
        key = "session" if table == "tools" else "id"
        with closing(found.store.cursor()) as cursor:
            try:
                cursor.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, at + 2))
            except (sqlite3.IntegrityError, sqlite3.OperationalError):
                assert value is None or column in {"id", "name"}  # what SQLite itself rules out
    assert found.hidden_by(capfd) == []


@pytest.mark.parametrize("field", range(-1, len(RECORD)))
def test_a_damaged_call_leaves_the_others_visible(field: int, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = Store()
    for at, value in enumerate((*DAMAGED, -1, 10**6, (1 << 64) - 1, "\x1b[2J", "x" * 999)):
        record = list(RECORD)
        if field >= 0:
            record[field] = value
        when = value if field < 0 else found.now_us - 2
        found.add(at + 2, f"damaged-{at}", [(when, [tuple(record)])])  # type: ignore[list-item]  # damaged
    assert found.hidden_by(capfd) == []


def test_a_damaged_open_request_leaves_its_session_visible(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = Store()
    for at, value in enumerate((HUGE, -HUGE, -1)):
        found.add(at + 2, f"damaged-{at}")
        data = encode_open([OpenShown(value, "m", None)])
        found.store.execute("UPDATE sessions SET open_requests = ? WHERE id = ?", (data, at + 2))
    assert found.hidden_by(capfd) == []
    assert main(["why", "damaged-0"]) == 0
    assert "damaged-0" in capfd.readouterr().out
