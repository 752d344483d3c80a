"""Sessions that create the store at the same moment all get into it, however long that takes them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import until
from tests.journal.journals import MIB, Journal, end
from thv.core.file_lock import try_lock
from thv.journal import journal_store
from thv.journal.journal_store import CREATION_LOCK, NEW_SUFFIX, is_locked, open_for_writing

PROCESSES = 12
ROUNDS = 15
"""Stores that all processes create at once: one round alone shows a race only now and then."""

WRITER = """
import os, sys
from thv.journal.journal_store import open_for_writing
print("ready", flush=True)
for path in map(str.strip, sys.stdin):
    try:
        connection = open_for_writing(path, max_bytes=1 << 26, wait_s=600)
        connection.execute(
            "INSERT INTO sessions (id, server, transport, pid, started_us, updated_us) "
            "VALUES (?, 's', 'stdio', 1, 1, 1)", (os.getpid(),),
        )
        connection.close()
        print("written", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""


def test_no_process_fails_when_many_create_the_store_at_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    bufsize=1,
                    cwd=Path(__file__).parents[2],
                )
            )
            for _ in range(PROCESSES)
        ]

        def answers() -> list[str]:
            return [writer.stdout.readline().strip() for writer in writers if writer.stdout is not None]

        assert answers() == ["ready"] * PROCESSES
        for number in range(ROUNDS):
            (tmp_path / str(number)).mkdir()
            journal = Journal(tmp_path / str(number))
            for writer in writers:
                assert writer.stdin is not None
                writer.stdin.write(f"{journal.path}\n")
            assert answers() == ["written"] * PROCESSES
            assert len(journal.reader().sessions()) == PROCESSES


def test_a_store_that_was_removed_leaves_nothing_to_the_one_that_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "journal.db"
    first = open_for_writing(str(path), max_bytes=MIB, wait_s=60)
    first.execute("INSERT INTO tools VALUES ('s', 'old', 1, 1, 1)")
    path.unlink()  # its WAL, which holds the row, stays
    second = open_for_writing(str(path), max_bytes=MIB, wait_s=60)
    assert second.execute("SELECT * FROM tools").fetchall() == []
    assert second.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    second.close()
    first.close()


def test_what_a_process_that_was_killed_while_it_created_the_store_left_is_replaced(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.parent.mkdir()
    (journal.path.parent / f"journal.db{NEW_SUFFIX}").write_bytes(b"half a file")
    end(journal.session(), "t")
    journal.until_stored(1)
    journal.close()
    assert journal.warnings == []
    assert not (journal.path.parent / f"journal.db{NEW_SUFFIX}").exists()


@pytest.mark.parametrize("uses_wal", [True, False])
def test_writes_are_synced_so_that_a_crash_of_the_machine_costs_the_last_commits_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, uses_wal: bool
) -> None:
    """`synchronous` 1 is NORMAL. With 0, OFF, nothing is synced, and such a crash may damage the file."""
    monkeypatch.setattr(journal_store, "allows_wal", lambda _directory: uses_wal)
    for _ in ("one that creates the store", "one that finds it"):
        journal = Journal(tmp_path)
        connection = journal.writer._connect()
        found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
        journal.writer._disconnect()
        assert found == [1, "wal" if uses_wal else "truncate"]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.parent.mkdir()
    journal.path.touch()
    end(journal.session(), "t")
    journal.until_stored(1)
    journal.close()
    assert journal.warnings == []


def test_a_process_that_never_gives_the_creation_up_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    with (tmp_path / CREATION_LOCK).open("w") as held:
        assert try_lock(held.fileno())
        with pytest.raises(sqlite3.OperationalError) as caught:
            open_for_writing(str(tmp_path / "journal.db"), max_bytes=MIB, wait_s=0)
    assert is_locked(caught.value)
    open_for_writing(str(tmp_path / "journal.db"), max_bytes=MIB, wait_s=0).close()


@pytest.mark.parametrize("began", [True, False])
def test_a_session_that_cannot_be_written_before_thv_ends_says_so_once(tmp_path: Path, *, began: bool) -> None:
    journal = Journal(tmp_path)
    journal.path.parent.mkdir()
    with (journal.path.parent / CREATION_LOCK).open("w") as held:
        assert try_lock(held.fileno())
        end(journal.session(), "t")
        if began:  # it has said that it tries again
            until(lambda: len(journal.warnings) == 1, "the first line")
        journal.writer.close(0.01)
        journal.writer.close(0.01)
        assert [warning for warning in journal.warnings if "may be missing" in warning] == journal.warnings[began:]
        assert len(journal.warnings) == 1 + began
