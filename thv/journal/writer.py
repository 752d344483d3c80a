"""Writes what sessions gathered into the store, on a thread of its own: nothing that carries traffic waits for it.

Promises: it sleeps while nothing happens; SQLite is loaded when the relay has been quiet, or after a second; what
happened is in the store a quarter of a second later, so that `kill -9` loses no more than the last second; a store that
is locked, full, damaged or read-only, or too slow at the end, is reported and costs the session only its journal.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

from thv.errors import JournalError
from thv.journal.call_record import join
from thv.journal.session_journal import SessionJournal
from thv.journal.tool_sizes import tool_sizes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from thv.journal.liveness import RunningSessions

FLUSH_S: Final = 0.25
"""Seconds between two writes while things happen: `thv log -f` is to be half a second behind at most."""

QUIET_S: Final = 0.25
"""Seconds without traffic before SQLite is loaded, which would cost its neighbours latency."""

LOAD_S: Final = 0.75
"""Seconds after which it is loaded all the same: with a write that makes the second that `kill -9` may cost."""

LOCK_WAIT_S: Final = 0.5
"""Seconds a write waits for those of other sessions, which take a millisecond each. Then it is tried again later."""

MAX_RETRY_S: Final = 30.0
"""Seconds between two tries at most, while the store is locked or full; each wait is twice the one before."""

LOCKED_S: Final = 2.0
"""Seconds after which a lock is not taken for another session's write any more, and is reported."""

CLOSE_S: Final = 0.9
"""Seconds the end of a session may wait for the last write; it takes milliseconds, unless others write, too."""

CLOSE_PAUSE_S: Final = 0.02
"""Seconds between two tries at the end, each of which may already have waited `LOCK_WAIT_S` for a lock."""

TIDY_S: Final = 3600.0
"""Seconds between two removals of what is too old."""

ENCODED_AT_ONCE: Final = 1024
"""Requests this thread encodes, in some 100 µs, before it stands aside for threads that wait for the interpreter."""

YIELD_S: Final = 0.0001
"""Seconds it stands aside."""

CHECK_BYTES: Final = 64 << 10
"""Bytes that are written between two looks at the bound. SQLite itself holds the bound meanwhile."""

ROW_BYTES: Final = 256
"""About what a session's row takes."""

ROWS: Final = 16
"""Rows of one statement. This thread takes the interpreter from the relay several times a statement, however many rows
it has; SQLite before 3.32 takes 999 values at most."""

MAX_TOOLS: Final = 2048
"""Tools of one server that are remembered."""

_COLUMNS: Final = (
    "id", "server", "transport", "client", "protocol", "pid", "started_us", "updated_us", "ended_us", "ended_by",
    "exit_code", "detail", "requests", "calls", "errors", "lost", "answered", "restarts", "stray_lines", "stray_us",
    "open_count", "open_requests",
)  # fmt: skip
_INSERT_SESSIONS: Final = f"INSERT INTO sessions ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608  constants
_REPLACING: Final = " ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
_INSERT_BATCHES: Final = "INSERT INTO batches (session, first_us, last_us, requests, records) VALUES "
_INSERT_TOOL: Final = "INSERT OR REPLACE INTO tools (server, name, bytes, session, listed_us) VALUES (?, ?, ?, ?, ?)"


class JournalWriter:
    """The writer of one thv process, for all its sessions.

    Import `threading` on the main thread before constructing it elsewhere.

    Args:
        path: the store's file.
        max_bytes: the bound of the store.
        max_age_s: how old anything in it may become.
        activity: a number that changes whenever relay traffic passes.
        warn: tells the user something in one line; may raise OSError.
    """

    def __init__(
        self,
        path: str,
        *,
        max_bytes: int,
        max_age_s: float,
        activity: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._activity = activity
        self._warn = warn
        self._process = os.getpid()
        self._sessions: list[SessionJournal] = []
        self._wake = threading.Event()
        self._hurried = threading.Event()
        self._finished = threading.Event()
        self._closing = False
        self._awake = False
        self._thread: threading.Thread | None = None
        self._warned = self._warned_locked = self._warned_full = False
        self._written = False  # everything is in the store, or it was said that it is not
        self._locked_since = 0.0
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._running: RunningSessions | None = None
        self._tidied = -TIDY_S
        self._wait_s = FLUSH_S
        self._unchecked = CHECK_BYTES
        self.broken = False

    def open_session(
        self,
        server: str,
        transport: str,
        *,
        redact: Callable[[str], str] = str,
        capture: Callable[[bytes], str] | None = None,
    ) -> SessionJournal:
        """The journal of a session that begins now."""
        session = SessionJournal(
            int.from_bytes(os.urandom(6)),
            server,
            transport,
            notify=self.notify,
            hurry=self.hurry,
            redact=redact,
            capture=capture,
        )
        self._sessions.append(session)
        if self._thread is None:
            # A daemon, so that a store that never answers cannot hold the process.
            thread = threading.Thread(target=self._run, name="thv-journal", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no thread left; the session matters more
                self.broken = True
            else:
                self._thread = thread
        self.notify()
        return session

    def notify(self) -> None:
        """Something happened. Returns at once."""
        if not self._awake:
            self._awake = True
            self._wake.set()

    def hurry(self) -> None:
        """Write now. Returns at once."""
        self._awake = True
        self._hurried.set()
        self._wake.set()

    def note_signal(self, name: str) -> None:
        """A signal of this name ends thv, and with it every session that nothing else has ended."""
        for session in list(self._sessions):
            session.signal_name = name

    def end(self) -> None:
        """Write what is left, and nothing after it. Returns at once."""
        self._closing = True
        self.hurry()

    def close(self, budget_s: float = CLOSE_S) -> None:
        """Write what is left, within so many seconds; one line says so if that was not enough."""
        if self._thread is None or os.getpid() != self._process:
            return
        self.end()
        self._finished.wait(budget_s)
        if not (self._written or self._warned_full or self.broken):
            self._written = True
            self._say(f"{self._path} was not written within {budget_s:g} s: this session may be missing there")

    # What follows runs on the journal's thread.

    def _run(self) -> None:
        try:
            self._await_quiet()
            while not self._closing:
                self._wake.wait()
                self._wake.clear()
                self._hurried.wait(self._wait_s)
                self._hurried.clear()
                self._awake = False
                if self._flush():
                    self._wait_s = FLUSH_S
                    if self._has_more():
                        self.notify()
                else:  # what could not be written is tried again
                    if not self._locked_since or time.monotonic() - self._locked_since > LOCKED_S:
                        self._wait_s = min(2 * self._wait_s, MAX_RETRY_S)
                    self._awake = True
                    self._wake.set()
            deadline = time.monotonic() + CLOSE_S
            while not self._flush():
                # For a lock it waits as long as the process lasts, which is for `close` to say.
                if not self._locked_since and time.monotonic() > deadline:
                    return
                time.sleep(CLOSE_PAUSE_S)
            self._written = True
        except Exception as error:  # noqa: BLE001  the session must go on; the error may quote what it must not
            self._give_up(f"internal error ({type(error).__name__})")
        finally:
            self._finished.set()  # first: `close` need not wait while SQLite tidies its files
            self._disconnect()

    def _has_more(self) -> bool:
        """Whether another write is due, be there traffic or not. A journal that was given up sleeps."""
        return not self.broken and any(session.has_news for session in self._sessions)

    def _await_quiet(self) -> None:
        deadline = time.monotonic() + LOAD_S
        while not self._closing and (left := deadline - time.monotonic()) > 0:
            seen = self._activity()
            if self._hurried.wait(min(QUIET_S, left)) or self._activity() == seen:
                return

    def _flush(self) -> bool:
        """Write what there is, all of it at the end; False if it has to be tried again."""
        while not self.broken:
            encoded = 0
            for session in list(self._sessions):
                encoded += session.encode_pending()
                if encoded >= ENCODED_AT_ONCE and not self._closing:
                    encoded = 0
                    time.sleep(YIELD_S)
            sessions = [session for session in self._sessions if session.has_news or self._has_open(session)]
            if not sessions:
                break
            written = self._try_write(sessions)
            for session in sessions:
                session.is_stuck = not written
            if not written:
                return self.broken
            if not any(session.has_news if self._closing else session.has_much for session in sessions):
                break
        return True

    def _try_write(self, sessions: list[SessionJournal]) -> bool:
        import sqlite3

        try:
            self._write(self._connect(), sessions)
        except JournalError as error:
            self._give_up(str(error))
        except sqlite3.Error as error:
            self._handle(error)
        else:
            self._locked_since = 0.0
            return True
        return False

    def _handle(self, error: sqlite3.Error) -> None:
        from thv.journal.journal_store import is_damaged, is_full, is_locked

        if is_locked(error):
            self._locked_since = self._locked_since or time.monotonic()
            if time.monotonic() - self._locked_since < LOCKED_S:
                return
            if not self._warned_locked and not self._closing:  # at the end, `close` says what came of it
                self._warned_locked = True
                self._say(f"{self._path} is locked by another process; writing is tried again")
        elif is_full(error):
            if 0 < self._unchecked <= CHECK_BYTES:  # others have filled it meanwhile, perhaps: look at the bound, once
                self._unchecked = CHECK_BYTES + 1
                self._wait_s = FLUSH_S / 2
                return
            self._locked_since = 0.0
            self._warned_full = True
            self._warn_once(f"no room for {self._path}; what does not fit is left out")
        elif is_damaged(error):
            self._set_aside()
        else:
            self._give_up(f"{self._path}: {error}")

    @staticmethod
    def _has_open(session: SessionJournal) -> bool:
        return session.shows_open or session.open_requests(0)[0] > 0

    def _connect(self) -> sqlite3.Connection:
        from thv.journal.journal_store import identity, open_for_writing
        from thv.journal.liveness import RunningSessions
        from thv.journal.retention import file_bytes, shrink

        if self._connection is not None and identity(self._path) != self._identity:
            self._disconnect()  # it was removed, or another one took its place
        if self._connection is None:
            self._connection = open_for_writing(self._path, max_bytes=file_bytes(self._max_bytes), wait_s=LOCK_WAIT_S)
            self._identity = identity(self._path)
            shrink(self._connection, self._max_bytes)
            if self._running is None:
                self._running = RunningSessions(os.path.dirname(self._path))  # noqa: PTH120  as in `journal_store`
            for session in self._sessions:
                session.stored = False
        return self._connection

    def _write(self, connection: sqlite3.Connection, sessions: list[SessionJournal]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._tidy(connection)
            written = [(session, session.batches()) for session in sessions]
            self._make_room(
                connection, sum(len(each.records) for _, some in written for each in some) + ROW_BYTES * len(sessions)
            )
            for session in sessions:
                if not session.stored and self._running is not None:
                    self._running.hold(session.id)  # before anybody can see it
            _insert(connection, _INSERT_SESSIONS, [self._row(session) for session in sessions], _REPLACING)
            _insert(connection, _INSERT_BATCHES, [(session.id, *join(some)) for session, some in written if some])
            for session in sessions:
                self._store_tools(connection, session)
            connection.execute("COMMIT")
        except BaseException:
            for session in sessions:
                session.changed = True
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        for session, some in written:
            session.was_stored(some)
            if session.is_final and not session.has_news:
                self._sessions.remove(session)
                if self._running is not None:
                    self._running.release(session.id)

    def _row(self, session: SessionJournal) -> list[object]:
        session.changed = False
        row = {**session.row(), "pid": self._process}
        session.shows_open = row["open_count"] > 0
        return [row[name] for name in _COLUMNS]

    def _make_room(self, connection: sqlite3.Connection, needed: int) -> None:
        self._unchecked += needed
        if self._unchecked > CHECK_BYTES:
            from thv.journal.retention import make_room

            make_room(connection, self._max_bytes, needed)
            self._unchecked = 0

    def _store_tools(self, connection: sqlite3.Connection, session: SessionJournal) -> None:
        listed = session.take_listed()
        if listed is not None:
            now_us = time.time_ns() // 1000
            rows = [(session.server, name, size, session.id, now_us) for name, size in tool_sizes(listed)]
            connection.executemany(_INSERT_TOOL, rows[:MAX_TOOLS])

    def _tidy(self, connection: sqlite3.Connection) -> None:
        """Every hour: what is too old goes, and sessions whose thv was killed get their end."""
        if time.monotonic() - self._tidied < TIDY_S:
            return
        self._tidied = time.monotonic()
        from thv.journal.retention import remove_expired

        remove_expired(connection, (time.time_ns() - int(self._max_age_s * 1e9)) // 1000)
        ours = {session.id for session in self._sessions}
        unended = connection.execute("SELECT id FROM sessions WHERE ended_us IS NULL").fetchall()
        running = self._running
        dead = [(id_,) for (id_,) in unended if id_ not in ours and running is not None and not running.is_running(id_)]
        connection.executemany("UPDATE sessions SET ended_us = updated_us, ended_by = 'killed' WHERE id = ?", dead)

    def _disconnect(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _set_aside(self) -> None:
        from thv.journal.journal_store import DAMAGED, identity, set_aside

        seen = self._identity if self._connection is not None else identity(self._path)
        self._disconnect()
        if identity(self._path) == seen:  # else another session was quicker
            set_aside(self._path)
            self._warn_once(f"{self._path} was damaged; it is now {DAMAGED}, and a new one is begun")

    def _warn_once(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            self._say(text)

    def _say(self, text: str) -> None:
        try:
            self._warn(f"journal: {text}")
        except OSError:
            return

    def _give_up(self, text: str) -> None:
        self.broken = True
        self._warn_once(f"{text}; this session is not journalled (`thv config journal set enabled false` turns it off)")


def _insert(connection: sqlite3.Connection, insert: str, rows: Sequence[Sequence[object]], rest: str = "") -> None:
    """Insert the rows, several a statement; `rest` ends each statement."""
    for at in range(0, len(rows), ROWS):
        some = rows[at : at + ROWS]
        marks = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        connection.execute(f"{insert}{marks}{rest}", [value for row in some for value in row])
