"""The store stays within its bounds of bytes and of age, and the oldest go first."""

from __future__ import annotations

import random
import time
from contextlib import closing
from typing import TYPE_CHECKING

from tests.e2e.harness import until
from tests.journal.journals import MIB, Journal, end
from thv.journal.journal_store import open_for_writing
from thv.journal.retention import file_bytes, make_room, used_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_the_store_keeps_its_bound_and_loses_the_oldest_first(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=MIB)
    session = journal.session()
    largest = 0
    for number in range(300):
        end(session, *[f"tool-{number:03}"] * 500)
        if number % 20 == 0:
            until(lambda: not session.has_news, "the write")
            largest = max(largest, journal.size())
    session.closed("client")
    journal.close()
    names = [found.record.name for found in journal.calls()]
    kept = sorted(set(names), key=str)
    assert max(largest, journal.size()) <= MIB
    assert 10_000 < len(names) < 150_000
    assert names == sorted(names, key=str)
    assert len(kept) < 300, "the first are gone"
    assert kept == [f"tool-{number:03}" for number in range(300 - len(kept), 300)]
    (row,) = journal.reader().sessions()
    assert (row.calls, row.lost) == (150_000, 0)


def test_of_ended_sessions_without_calls_the_oldest_go_first_and_one_that_runs_stays(tmp_path: Path) -> None:
    numbers = list(range(1, 5001))
    ids = random.Random(1).sample(range(1 << 48), len(numbers))  # as drawn by real ones: in no order of time
    rows = [(id_, "a long name " * 12, number, number) for id_, number in zip(ids, numbers, strict=True)]
    with closing(open_for_writing(str(tmp_path / "journal.db"), max_bytes=64 * MIB, wait_s=60)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO sessions (id, server, transport, pid, started_us, updated_us, ended_us)"
            " VALUES (?, ?, 'stdio', 1, 0, ?, ?)",
            [*rows, (1 << 48, "runs", 0, None)],
        )
        make_room(connection, MIB, 0)
        connection.execute("COMMIT")
        left = [number for (number,) in connection.execute("SELECT updated_us FROM sessions ORDER BY updated_us")]
        assert used_bytes(connection) <= 512 * 1024
    assert 1 < len(left) < 5001
    assert left == [0, *range(5002 - len(left), 5001)]


def test_a_lower_bound_shrinks_a_store_that_is_too_large(tmp_path: Path) -> None:
    first = Journal(tmp_path, max_bytes=8 * MIB)
    session = first.session()
    for _ in range(300):
        end(session, *["a-tool-with-a-name"] * 500)
    session.closed("client")
    first.close()
    assert first.size() > 2 * MIB
    second = Journal(tmp_path, max_bytes=MIB)
    later = second.session()
    for _ in range(3):
        end(later, *["new"] * 5000)
        until(lambda: not later.has_news, "the write")
    later.closed("client")
    second.close()
    third = Journal(tmp_path, max_bytes=MIB)
    end(third.session(), "last")
    third.until_stored(1)
    third.close()
    assert third.path.stat().st_size <= file_bytes(MIB) + 64 * 1024
    assert third.calls()[-1].record.name == "last"


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    old = first.session("old")
    end(old, "t")
    old.closed("client")
    first.close()
    time.sleep(0.01)
    second = Journal(tmp_path, max_age_s=0.005)
    end(second.session("new"), "t")
    second.until_stored(1)
    second.close()
    assert {found.server for found in second.calls()} == {"new"}
    assert {row.server for row in second.reader().sessions()} == {"new"}
