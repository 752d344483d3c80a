"""Calls are found by server, tool, outcome and time, in the order in which they ended, while the store is written."""

from __future__ import annotations

import re
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.journals import Journal, end
from thv.errors import JournalError, UsageError
from thv.journal import journal_reader, journal_store
from thv.journal.call_record import encode_batch
from thv.journal.clearing import clear
from thv.journal.journal_reader import AT_ONCE, BATCHES_BACKWARDS, CallFilter
from thv.journal.live_sessions import LiveSessions, percentile, sparkline
from thv.journal.time_range import format_time, local_time, parse_since

HOUR_US = 3_600_000_000


def filled(directory: Path) -> Journal:
    journal = Journal(directory)
    one, two = journal.session("one"), journal.session("two")
    end(one, "a")
    end(two, "a", outcome="error")
    end(one, "b", outcome="error")
    end(two, "c")
    for session in (one, two):
        session.closed("client")
    journal.close()
    return journal


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["a", "a", "b", "c"]),
        ({"server": "one"}, ["a", "b"]),
        ({"tool": "a"}, ["a", "a"]),
        ({"failed": True}, ["a", "b"]),
        ({"server": "two", "failed": True}, ["a"]),
        ({"server": "nobody"}, []),
        ({"since_us": 1 << 60}, []),
    ],
)
def test_calls_are_found_by_what_is_asked(tmp_path: Path, wanted: dict[str, object], names: list[str]) -> None:
    journal = filled(tmp_path)
    found = journal.calls(**wanted)
    assert [call.record.name for call in found] == names
    assert [call.ended_us for call in found] == sorted(call.ended_us for call in found)


def test_the_last_ones_are_the_newest_of_all_sessions(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    assert [call.record.name for call in journal.reader().last_calls(CallFilter(), 2)] == ["b", "c"]
    assert journal.reader().last_calls(CallFilter(), 0) == []


def late(directory: Path, *minutes: int) -> tuple[Journal, int]:
    """A store with one call for each number, that many minutes ago, stored in this order; and the time that is now."""
    journal = Journal(directory)
    end(journal.session(), "t")
    journal.close()
    now_us = time.time_ns() // 1000
    with closing(sqlite3.connect(journal.path)) as store, store:
        (session,) = store.execute("SELECT id FROM sessions").fetchone()
        store.execute("DELETE FROM batches")
        for age in minutes:
            at_us = now_us - age * 60_000_000
            data = encode_batch([(at_us, [(1, str(age), 10, 20)])])
            store.execute(
                "INSERT INTO batches (session, first_us, last_us, requests, records) VALUES (?, ?, ?, 1, ?)",
                (session, at_us, at_us, data),
            )
    return journal, now_us


def test_calls_are_found_by_their_time_however_late_or_under_whatever_clock_they_were_stored(tmp_path: Path) -> None:
    journal, now_us = late(tmp_path, 50, 4, 3, 2, 2880, 1, 1440, 40)
    names = ["50", "40", "4", "3", "2", "1"]
    assert [call.record.name for call in journal.calls(since_us=now_us - HOUR_US)] == names
    reader = journal.reader()
    assert sorted(call.record.name or "" for call in reader.calls_since(now_us - HOUR_US)) == sorted(names)
    assert [call.record.name for call in reader.last_calls(CallFilter(), 3)] == names[-3:]


def test_every_batch_is_read_once_where_many_are_of_one_moment(tmp_path: Path) -> None:
    journal, now_us = late(tmp_path, *[5] * (AT_ONCE + 1), *[4] * AT_ONCE)
    assert len(journal.calls()) == len(list(journal.reader().calls_since(now_us - HOUR_US))) == 2 * AT_ONCE + 1


def test_the_last_calls_are_found_without_a_look_at_all_the_others(tmp_path: Path) -> None:
    journal, _ = late(tmp_path, 1)
    with closing(sqlite3.connect(journal.path)) as store:
        plan = [row[3] for row in store.execute(f"EXPLAIN QUERY PLAN {BATCHES_BACKWARDS}", (0, 1, 1))]
    assert len(plan) == 1
    assert "SEARCH" in plan[0]
    assert "batches_by_end" in plan[0]


def test_following_gives_each_call_once_and_survives_a_new_store(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    reader = journal.reader()  # before there is a store
    calls = reader.follow(CallFilter(), reader.last_batch())
    assert next(calls) == []
    session = journal.session()
    seen: list[str | None] = []

    def wait_for(count: int) -> None:
        deadline = time.monotonic() + 60
        while len(seen) < count:
            seen.extend(call.record.name for call in next(calls))
            assert time.monotonic() < deadline
            time.sleep(0.01)

    end(session, "first")
    wait_for(1)
    for file in journal.path.parent.iterdir():
        file.unlink()
    end(session, "second")
    wait_for(2)
    assert seen == ["first", "second"]
    journal.close()


def test_clearing_leaves_nothing_of_what_was_there_on_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session("a-server-of-mine")
    end(session, *["a-tool-of-mine"] * 3000)
    session.closed("client")
    journal.close()
    assert clear(str(journal.path))
    assert journal.calls() == []
    assert journal.reader().sessions() == []
    left = b"".join(file.read_bytes() for file in journal.path.parent.iterdir())
    assert b"a-tool-of-mine" not in left
    assert b"a-server-of-mine" not in left


def test_a_session_goes_on_in_a_journal_that_was_cleared(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session()
    end(session, "before")
    journal.until_stored(1)
    clear(str(journal.path))
    end(session, "after")
    journal.until_stored(1)
    assert [call.record.name for call in journal.calls()] == ["after"]
    journal.close()


def test_a_store_that_cannot_be_read_is_one_error_and_can_be_cleared(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.parent.mkdir()
    journal.path.write_bytes(b"garbage" * 2000)
    with pytest.raises(JournalError, match="thv log clear"):
        journal.reader()
    assert clear(str(journal.path))
    assert not journal.path.exists()


def test_a_store_that_another_process_holds_is_to_be_tried_again_and_not_to_be_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_store, "READ_WAIT_S", 0.0)
    journal = filled(tmp_path)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        reader = journal.reader()
        other.execute("BEGIN EXCLUSIVE")
        for read in (reader.sessions, journal.reader):
            with pytest.raises(JournalError, match=r"is locked by another process; try again$"):
                read()
    assert len(reader.sessions()) == 2


def test_what_stands_in_the_place_of_the_store_is_an_error_and_not_an_empty_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.mkdir(parents=True)
    with pytest.raises(JournalError, match=r"cannot be read: it is no file$"):
        journal.reader()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows says of both that there is nothing")
def test_a_file_in_the_place_of_the_directory_is_an_error_and_not_an_empty_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.path.parent.write_text("")
    with pytest.raises(JournalError, match=r"cannot be read: Not a directory$"):
        journal.reader()


@pytest.mark.parametrize(
    ("text", "ago_us"),
    [("90s", 90_000_000), ("1h", HOUR_US), ("2 d", 48 * HOUR_US), ("1W", 7 * 24 * HOUR_US), ("0s", 0)],
)
def test_an_age_is_read(text: str, ago_us: int) -> None:
    now = 1_800_000_000_000_000
    assert parse_since(text, now) == now - ago_us


def test_a_time_is_read_on_the_users_clock_unless_it_says_which() -> None:
    assert parse_since("2026-11-28T09:30:00+00:00", 0) == 1_795_858_200_000_000
    assert parse_since("2026-11-28T09:30:00Z", 0) == 1_795_858_200_000_000
    assert parse_since("2026-11-28", 0) % 1_000_000 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such zones")
@pytest.mark.parametrize(
    ("zone", "behind_s"), [("UTC+24", 86_400), ("ABC+24:59:59", 89_999), ("ABC-24:59:59", -89_999)]
)
def test_times_are_the_users_own_in_every_zone_that_posix_has(
    zone: str, behind_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_us = 1_795_858_200_000_000
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        local = local_time(at_us, date=True)
        read = parse_since(local, 0)
    time.tzset()
    assert local == format_time(at_us - behind_s * 1_000_000)[:19].replace("T", " ")
    assert read == at_us


@pytest.mark.parametrize("text", ["nonsense", "", "1", "-1h", "1y", "99999999999d", "2026-13-01", "\u0661h", "1h30m"])
def test_a_time_that_means_nothing_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        parse_since(text, 0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7], 0.5, 7),
        ([7], 0.95, 7),
        ([1, 2], 0.5, 1),
        ([1, 2, 3], 0.5, 2),
        (list(range(1, 101)), 0.95, 95),
    ],
)
def test_percentiles_are_nearest_ranks(values: list[int], share: float, expected: int | None) -> None:
    assert percentile(values, share) == expected


def test_a_sparkline_has_a_bar_for_each_rate() -> None:
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([0, 0]) == "  "


def test_live_sessions_know_calls_from_before_and_after_they_began_to_look(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session("live")
    end(session, "a", "b", outcome="error")
    journal.until_stored(2)
    live = LiveSessions(journal.reader())
    end(session, "c")
    journal.until_stored(3)
    # Asked within the process that holds the session's lock, which sees no lock of its own: so nothing runs.
    assert live.look() == []
    journal.close()


@pytest.mark.parametrize("path", sorted(Path(journal_reader.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_no_statement_numbers_its_values(path: Path) -> None:
    """Python 3.12.1 takes `?1` for a name, warns, and says that 3.14 will refuse it."""
    assert re.findall(r"\?\d", path.read_text(encoding="utf-8")) == []
