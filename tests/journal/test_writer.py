"""What sessions gathered is soon in the store, within its bound, whatever happens to the store; never in the way."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import until
from tests.journal.journals import MIB, Journal, call, end
from thv.core.file_lock import try_lock
from thv.journal.journal_reader import CallFilter
from thv.journal.journal_store import CREATION_LOCK, DAMAGED, file_system_type
from thv.journal.session_journal import MANY_REQUESTS, WRITE_AT, SessionJournal
from thv.journal.writer import FLUSH_S, ROWS, JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from thv.core.interfaces import LoggedRequest


def traced(
    connect: Callable[[JournalWriter], sqlite3.Connection], note: Callable[[str], None]
) -> Callable[[JournalWriter], sqlite3.Connection]:
    """`connect`, of whose connection every statement is noted."""

    def connect_and_trace(writer: JournalWriter) -> sqlite3.Connection:
        connection = connect(writer)
        connection.set_trace_callback(note)
        return connection

    return connect_and_trace


def test_a_call_is_stored_without_the_session_ending(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session("github")
    end(session, "search", outcome="error", size=33)
    journal.until_stored(1)
    (found,) = journal.calls()
    assert (found.server, found.record.name, found.outcome, found.record.response_bytes) == (
        "github",
        "search",
        "error",
        33,
    )
    assert found.record.duration_us >= 1000
    journal.close()


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    end(journal.session(), "t")
    journal.until_stored(1)
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in journal.path.parent.iterdir()} == {0o600}
    journal.close()


def test_a_flood_is_counted_to_the_last_call(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=256 * MIB)
    session = journal.session()
    for _ in range(400):
        end(session, *["echo"] * 500)
    session.closed("client")
    journal.close()
    (row,) = journal.reader().sessions()
    assert (row.calls, row.requests, row.errors, row.lost) == (200_000, 200_000, 0, 0)
    assert sum(1 for _ in journal.reader().calls_since(0)) == 200_000


def test_the_interpreter_is_taken_from_the_relay_as_often_for_fifty_sessions_as_for_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each statement gives the interpreter away and takes it again; a session's own statements would add up.
    statements: list[str] = []
    monkeypatch.setattr(JournalWriter, "_connect", traced(JournalWriter._connect, statements.append))
    journal = Journal(tmp_path)
    journal.session().closed("client")
    until(lambda: "COMMIT" in statements, "the first write, which is followed by no look at the bound")
    statements.clear()
    for _ in range(50):
        end(journal.session(), "t")
    journal.until_stored(50)
    writes = statements.count("COMMIT")
    journal.close()
    assert len([each for each in statements if each.startswith("INSERT")]) <= 2 * (50 // ROWS + 1 + writes)


def test_what_one_write_did_not_take_is_written_without_further_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails in `until_stored`, and for what has news for ever in `until`."""
    journal = Journal(tmp_path)
    monkeypatch.setattr("thv.journal.session_journal.WRITE_AT", 1 << 10)  # a write takes about 85 calls
    session = journal.session()
    for _ in range(20):
        end(session, *["echo"] * 70)
    journal.until_stored(1400)
    until(lambda: not session.has_news, "the journal to come to rest")
    journal.close()


def test_a_journal_that_was_given_up_sleeps_whatever_is_left(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no directory")
    journal = Journal(tmp_path)
    session = journal.session()
    end(session, "t")
    until(lambda: journal.writer.broken, "the journal to be given up")
    assert session.has_news
    assert not journal.writer._has_more()
    journal.close()


def test_traffic_is_encoded_where_it_passes_and_written_when_it_is_time(tmp_path: Path) -> None:
    hurried: list[None] = []
    session = SessionJournal(1, "s", "stdio", notify=lambda: None, hurry=lambda: hurried.append(None))
    for _ in range(MANY_REQUESTS):
        end(session, "echo")
    (batch,) = session.batches()
    assert (batch.requests, session.calls, hurried) == (MANY_REQUESTS, MANY_REQUESTS, [])
    session.was_stored([batch])
    while not hurried:
        end(session, *["echo"] * MANY_REQUESTS)
    assert WRITE_AT <= sum(len(batch.records) for batch in session.batches()) < WRITE_AT + 100 * MANY_REQUESTS


def test_the_store_is_one_file_again_when_its_last_writer_has_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session()
    end(session, "t")
    session.closed("client")
    journal.close()
    until(lambda: not list(journal.path.parent.glob("journal.db-*")), "SQLite to remove its own files")
    assert len(journal.calls()) == 1


def test_a_locked_store_is_reported_once_and_written_when_it_is_free(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.session().closed("client")
    first.close()
    holder = sqlite3.connect(first.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    journal = Journal(tmp_path)
    session = journal.session()
    end(session, "early")
    until(lambda: len(journal.warnings) > 0, "the warning")
    began = time.perf_counter()
    for _ in range(1000):
        end(session, "t")
    assert time.perf_counter() - began < 5  # thousands of times what it takes: it waits for no lock
    holder.execute("ROLLBACK")
    holder.close()
    session.closed("client")
    journal.until_stored(1001)
    journal.close()
    assert [warning for warning in journal.warnings if "locked" not in warning] == []
    assert len(journal.warnings) == 1


def test_the_oldest_calls_that_a_locked_store_cannot_take_are_dropped_and_counted_as_lost(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.session().closed("client")
    first.close()
    holder = sqlite3.connect(first.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    journal = Journal(tmp_path)
    session = journal.session()
    for number in range(400):
        end(session, *[f"tool-{number:03}"] * 500)
    assert session.lost > 0
    holder.execute("ROLLBACK")
    holder.close()
    session.closed("client")
    journal.close()
    (row,) = (row for row in journal.reader().sessions() if row.calls)
    names = [found.record.name for found in journal.calls()]
    kept = sorted(set(names), key=str)
    assert row.calls == 200_000
    assert row.calls - row.lost == len(names)
    assert kept == [f"tool-{number:03}" for number in range(400 - len(kept), 400)]


@pytest.mark.parametrize("damage", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_store_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: bytes) -> None:
    journal = Journal(tmp_path)
    journal.path.parent.mkdir()
    journal.path.write_bytes(damage)
    end(journal.session(), "t")
    aside = journal.path.parent / DAMAGED
    until(aside.exists, "the damaged one aside")
    journal.until_stored(1)
    assert aside.read_bytes() == damage
    assert len(journal.warnings) == 1
    journal.close()


def test_a_store_that_is_damaged_while_it_is_written_costs_one_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session()
    end(session, *["t"] * 3000)
    journal.until_stored(3000)
    with closing(sqlite3.connect(journal.path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with journal.path.open("r+b") as file:
        file.seek(0)
        file.write(b"\0" * journal.path.stat().st_size)
    end(session, "after")
    until(lambda: bool(journal.warnings), "the warning")
    journal.close()
    assert len(journal.warnings) == 1


def test_a_place_where_nothing_can_be_made_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file stands where the directory should")
    journal = Journal(tmp_path)
    session = journal.session()
    for _ in range(20):
        end(session, "t")
    until(lambda: journal.writer.broken, "the writer's end")
    journal.close()
    (warning,) = journal.warnings
    assert str(journal.path) in warning
    assert "\n" not in warning


@pytest.mark.skipif(
    sys.platform == "win32" or os.getuid() == 0, reason="root, and a user on Windows, may write anywhere"
)
def test_a_read_only_directory_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir(0o500)
    journal = Journal(tmp_path)
    end(journal.session(), "t")
    until(lambda: journal.writer.broken, "the writer's end")
    journal.close()
    assert len(journal.warnings) == 1


@pytest.mark.parametrize("step", ["thv.journal.journal_store.open_for_writing", "thv.journal.retention.make_room"])
def test_a_disk_that_is_full_is_reported_while_the_session_runs_and_tried_ever_more_seldom(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(step, fail)
    journal = Journal(tmp_path)
    end(journal.session(), "t")
    until(lambda: bool(journal.warnings), "the warning")
    until(lambda: journal.writer._wait_s > 2 * FLUSH_S, "a longer wait")
    monkeypatch.undo()
    journal.close()
    (warning,) = journal.warnings
    assert "no room for" in warning
    assert len(journal.calls()) == 1  # the last write found room


def test_a_store_that_is_removed_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session("s")
    end(session, "before")
    journal.until_stored(1)
    for file in journal.path.parent.iterdir():
        file.unlink()
    end(session, "after")
    journal.until_stored(1)
    assert [found.record.name for found in journal.calls()] == ["after"]
    assert journal.reader().sessions()[0].server == "s"
    journal.close()


class Clock:
    """Stands for the module `time`: it goes on only where the writer sleeps or waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert self.now < 60, "it never gives up"
        self.now += seconds


class NotedWaits(threading.Event):
    """An event that never comes; how long it is waited for is noted, and the clock goes on by that."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert len(self.waits) < 100, "it waits over and over"
        self.waits.append(timeout)
        self.clock.now += timeout or 0
        return False


@pytest.mark.parametrize(
    ("traffic", "waits"),
    [([0, 0], [0.25]), ([0, 1, 1, 1], [0.25, 0.25]), (range(100), [0.25, 0.25, 0.25])],
    ids=["none", "at first", "all the time"],
)
def test_sqlite_is_loaded_after_a_quarter_of_a_second_without_traffic_or_after_three_quarters_at_last(
    tmp_path: Path, traffic: Iterable[int], waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("thv.journal.writer.time", clock)
    seen = iter(traffic)
    writer = JournalWriter(
        str(tmp_path / "journal.db"), max_bytes=MIB, max_age_s=1e6, activity=lambda: next(seen), warn=print
    )
    noted = NotedWaits(clock)
    writer._hurried = noted
    writer._await_quiet()
    assert noted.waits == waits


def test_the_end_of_a_session_waits_nine_tenths_of_a_second_for_the_last_write_and_says_if_that_was_too_short(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path)
    noted = NotedWaits(Clock())
    journal.writer._finished = noted
    journal.path.parent.mkdir()
    with (journal.path.parent / CREATION_LOCK).open("w") as held:
        assert try_lock(held.fileno())  # nothing can be written
        end(journal.session(), "t")
        journal.writer.close()
        assert noted.waits == [0.9]
        assert [warning for warning in journal.warnings if "was not written within 0.9 s" in warning] != []


def test_the_last_write_is_tried_for_nine_tenths_of_a_second_while_the_store_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("thv.journal.writer.time", clock)
    journal = Journal(tmp_path)
    monkeypatch.setattr(journal.writer, "_flush", lambda: False)
    journal.writer.end()
    journal.writer._run()
    assert 0.9 <= clock.now < 0.95
    assert journal.writer._finished.is_set()


KILLED = """
import os, sys, time
from pathlib import Path
from tests.journal.journals import Journal, end
journal = Journal(Path(sys.argv[1]))
end(journal.session("killed"), "t")
journal.until_stored(1)
print("stored", flush=True)
time.sleep(600)
"""


def test_a_session_that_runs_is_told_from_one_whose_thv_was_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stored\n"
        reader = Journal(tmp_path).reader()
        (row,) = reader.running_sessions()
        assert (row.server, row.is_running, row.calls) == ("killed", True, 1)
        process.kill()
        process.wait()
        (row,) = reader.sessions()
    assert not row.is_running
    assert row.ended_by == "killed"
    assert reader.running_sessions() == []


def test_an_open_call_is_seen_while_it_is_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.session()
    waiting = call("slow", ms=3000)
    found: list[LoggedRequest] = [waiting]
    session.open_requests = lambda limit: (1, found[:limit])
    journal.writer.notify()
    until(lambda: bool(journal.path.exists() and journal.reader().sessions()), "the session")
    until(lambda: journal.reader().sessions()[0].open_count == 1, "the open call")
    (shown,) = journal.reader().sessions()[0].open_requests
    assert shown.name == "slow"
    session.open_requests = lambda _limit: (0, [])
    end(session, "slow")
    until(lambda: journal.reader().sessions()[0].open_count == 0, "its end")
    journal.close()


def test_many_sessions_of_many_threads_write_at_once(tmp_path: Path) -> None:
    journals = [Journal(tmp_path) for _ in range(8)]

    def run(journal: Journal) -> None:
        session = journal.session()
        for _ in range(50):
            end(session, *["t"] * 20)
        session.closed("client")
        journal.close()

    threads = [threading.Thread(target=run, args=(journal,)) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = journals[0].reader()
    assert len(reader.last_calls(CallFilter(), 1 << 40)) == 8 * 1000
    assert [row.calls for row in reader.sessions()] == [1000] * 8
    assert [warning for journal in journals for warning in journal.warnings] == []


def test_an_error_message_is_redacted_and_cut(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    session = journal.writer.open_session("s", "stdio", redact=lambda text: text.replace("hunter2", "[redacted]"))
    now = time.perf_counter_ns()
    error = (-32000, "password hunter2 " + "x" * 500)
    session.calls_ended([(now, [("error", call(), error, 0, now)])], succeeded=False)
    session.closed("client")
    journal.close()
    (found,) = journal.calls()
    assert found.record.code == -32000
    assert found.record.message is not None
    assert found.record.message.startswith("password [redacted] x")
    assert len(found.record.message) == 200


def test_a_network_file_system_gets_no_wal() -> None:
    mounts = [
        "25 30 0:23 / / rw - ext4 /dev/sda1 rw",
        "26 25 0:24 / /home rw,nosuid shared:1 - nfs4 server:/home rw",
        r"27 26 0:25 / /home/a\040b rw - tmpfs tmpfs rw",
    ]
    assert file_system_type("/var/lib", mounts) == "ext4"
    assert file_system_type("/home/u/.local/state", mounts) == "nfs4"
    assert file_system_type("/homework", mounts) == "ext4"
    assert file_system_type("/home/a b/c", mounts) == "tmpfs"
