"""Reads the store for the commands: sessions, and finished requests in the order in which they ended.

No transaction outlives a method, so a reader that waits never keeps writers from reusing their log.
"""

from __future__ import annotations

import heapq
import os
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, ValidationError, convert

from thv.journal.call_record import STATUS_NAMES, CallRecord, OpenShown, decode_batch, decode_open
from thv.journal.journal_store import identity, open_for_reading, unreadable
from thv.journal.liveness import RunningSessions
from thv.journal.time_range import LATEST_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KILLED: Final = "killed"
"""`ended_by` of a session whose thv did not live to say how it ended."""

AT_ONCE: Final = 256
"""Batches that one statement reads."""

END_OF_TIME: Final = (1 << 63) - 1
"""Above every time and every id: the largest integer of SQLite."""


Time = Annotated[int, Meta(ge=0, le=LATEST_US)]
"""Microseconds since the epoch, at a time that can be shown."""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as the store has it. Its types are checked when it is read: what lies on a disk may be damaged."""

    id: int
    server: str
    transport: str
    client: str | None
    protocol: str | None
    pid: int
    started_us: Time
    updated_us: Time
    ended_us: Time | None
    ended_by: str | None
    exit_code: int | None
    detail: str | None
    requests: int
    calls: int
    errors: int
    lost: int
    answered: int  # the server answered at least one request
    restarts: int
    stray_lines: int
    stray_us: Time | None
    open_count: int
    open_requests: tuple[OpenShown, ...]

    @property
    def is_running(self) -> bool:
        """Whether it had not ended when it was read."""
        return self.ended_us is None

    @property
    def ran_us(self) -> int:
        """Microseconds until it ended, or was last seen; 0 where the clock was set back meanwhile."""
        return max(0, (self.updated_us if self.ended_us is None else self.ended_us) - self.started_us)


BATCHES_BACKWARDS: Final = (
    "SELECT last_us, id, session, records FROM batches WHERE last_us >= ? AND (last_us, id) < (?, ?)"  # noqa: S608  a constant
    f" ORDER BY last_us DESC, id DESC LIMIT {AT_ONCE}"
)
"""Needs the index of `last_us`: with it, the last calls are read at once however many there are."""

_COLUMNS: Final = tuple(field.name for field in fields(SessionRow))
_SESSION_COLUMNS: Final = ", ".join(_COLUMNS)


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """A finished request and the session it belongs to."""

    session_id: int
    server: str
    client: str | None
    ended_us: int
    record: CallRecord

    @property
    def outcome(self) -> str:
        """How it ended, in a word."""
        status = self.record.status
        return STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else "unknown"


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which requests are wanted; those of every method only with `all_methods`."""

    server: str | None = None
    tool: str | None = None
    failed: bool = False
    since_us: int = 0
    all_methods: bool = False

    def matches(self, record: CallRecord) -> bool:
        """Whether a request is wanted, as far as it does not depend on its session and time."""
        return (
            (self.all_methods or record.is_tool_call)
            and (self.tool is None or (record.is_tool_call and record.name == self.tool))
            and (not self.failed or record.failed)
        )


class JournalReader:
    """The store, opened to read it. It need not be there yet, and may be replaced meanwhile.

    Raises:
        JournalError: at once or from any method: it cannot be read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._running = RunningSessions(os.path.dirname(path))  # noqa: PTH120  as in `journal_store`
        found = identity(path)
        self._connection = open_for_reading(path)
        self._identity = None if self._connection is None else found
        self._labels: dict[int, tuple[str, str | None]] = {}

    @property
    def exists(self) -> bool:
        """Whether there is a store."""
        return self._connection is not None

    def reopen_if_replaced(self) -> bool:
        """Open the store if another has taken its place, or if it has appeared; returns whether that was so."""
        found = identity(self._path)
        if found == self._identity:
            return False
        was_open = self._connection is not None
        self.close()
        self._connection = open_for_reading(self._path)
        self._identity = None if self._connection is None else found  # one that is being made is tried again
        self._labels.clear()
        return was_open or self._connection is not None

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._running.close()

    def sessions(self, *, server: str | None = None, since_us: int = 0, limit: int = -1) -> list[SessionRow]:
        """The sessions that had not ended by `since_us`, the newest first."""
        rows = self._execute(
            f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE (? IS NULL OR server = ?)"  # noqa: S608  constants
            " AND (ended_us IS NULL OR ended_us >= ?) ORDER BY started_us DESC LIMIT ?",
            (server, server, since_us, limit),
        )
        return [session for session in self._sessions(rows) if session.ended_us is None or session.ended_us >= since_us]

    def running_sessions(self) -> list[SessionRow]:
        """The sessions that run now, the oldest first."""
        rows = self._execute(
            f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE ended_us IS NULL ORDER BY started_us",  # noqa: S608  constants
            (),
        )
        return [session for session in self._sessions(rows) if session.is_running]

    def last_calls(self, wanted: CallFilter, count: int) -> list[LoggedCall]:
        """The last `count` requests that are wanted, in the order in which they ended."""
        if count <= 0:
            return []
        newest: list[tuple[int, int, LoggedCall]] = []
        serial = 0
        for last_us, _, session_id, data in self._batches_backwards(wanted.since_us):
            if len(newest) >= count and last_us < newest[0][0]:
                break
            for call in self._wanted(session_id, data, wanted):
                serial += 1
                item = (call.ended_us, serial, call)
                if len(newest) < count:
                    heapq.heappush(newest, item)
                else:
                    heapq.heappushpop(newest, item)
        return [call for *_, call in sorted(newest)]

    def calls_since(self, since_us: int) -> Iterator[LoggedCall]:
        """Every request that ended since then, of every method, newest batch first."""
        wanted = CallFilter(since_us=since_us, all_methods=True)
        for _, _, session_id, data in self._batches_backwards(since_us):
            yield from self._wanted(session_id, data, wanted)

    def calls_after(self, batch_id: int, wanted: CallFilter) -> tuple[int, list[LoggedCall]]:
        """The requests written after that batch, in the order in which they ended, and the last batch there is now."""
        found: list[LoggedCall] = []
        for id_, session_id, data in self._execute(
            "SELECT id, session, records FROM batches WHERE id > ? ORDER BY id", (batch_id,)
        ):
            batch_id = id_
            found += self._wanted(session_id, data, wanted)
        return batch_id, sorted(found, key=lambda call: call.ended_us)

    def last_batch(self) -> int:
        """The id of the newest batch, 0 if there is none."""
        return int(self._execute("SELECT coalesce(max(id), 0) FROM batches", ())[0][0]) if self.exists else 0

    def tools(self) -> dict[str, dict[str, int]]:
        """By server: the size in bytes of each tool's definition, as its last session that listed tools saw them."""
        found: dict[str, dict[str, int]] = {}
        for server, name, size in self._execute(
            "SELECT server, name, bytes FROM tools AS t WHERE session ="
            " (SELECT session FROM tools WHERE server = t.server ORDER BY listed_us DESC LIMIT 1)"
            " ORDER BY server, name",
            (),
        ):
            if isinstance(server, str) and isinstance(name, str) and isinstance(size, int):
                found.setdefault(server, {})[name] = size
        return found

    def follow(self, wanted: CallFilter, after: int) -> Iterator[list[LoggedCall]]:
        """The requests written after that batch, whenever it is asked for more; empty lists while there is nothing."""
        while True:
            if self.reopen_if_replaced():
                after = 0
            after, calls = self.calls_after(after, wanted)
            yield calls

    def _sessions(self, rows: Iterable[tuple[object, ...]]) -> Iterator[SessionRow]:
        """The sessions of these rows, except those with a value that they cannot have."""
        for row in rows:
            values = dict(zip(_COLUMNS, row, strict=True))
            open_requests = decode_open(values["open_requests"])
            values["open_requests"] = tuple(each for each in open_requests if 0 <= each.started_us <= LATEST_US)
            try:
                session = convert(values, SessionRow)
            except ValidationError:
                continue
            if session.ended_us is None and not self._running.is_running(session.id):
                session = _killed(session)
            yield session

    def _wanted(self, session_id: object, data: object, wanted: CallFilter) -> Iterator[LoggedCall]:
        if not isinstance(session_id, int):
            return
        server, client = self._label(session_id)
        if wanted.server is not None and server != wanted.server:
            return
        for chunk in decode_batch(data):
            if wanted.since_us <= chunk.ended_us <= LATEST_US:
                for record in chunk.records:
                    if wanted.matches(record):
                        yield LoggedCall(session_id, server, client, chunk.ended_us, record)

    def _label(self, session_id: int) -> tuple[str, str | None]:
        label = self._labels.get(session_id)
        if label is None or label[1] is None:  # the client's name may come later than the first request
            rows = self._execute("SELECT server, client FROM sessions WHERE id = ?", (session_id,))
            server, client = rows[0] if rows else (None, None)
            label = (
                server if isinstance(server, str) else "?",
                client if isinstance(client, str) else None,
            )
            self._labels[session_id] = label
        return label

    def _batches_backwards(self, since_us: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Those whose last request ended since then, the latest first, in whatever order they were stored.

        A batch may be stored long after its requests, or under a clock that is behind: its id says nothing of its time.
        """
        before = (END_OF_TIME, END_OF_TIME)
        while rows := self._execute(BATCHES_BACKWARDS, (since_us, *before)):
            yield from rows
            before = rows[-1][:2]

    def _execute(self, statement: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]  # of what was selected
        if self._connection is None:
            return []
        import sqlite3

        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from None


def _killed(session: SessionRow) -> SessionRow:
    return replace(session, ended_us=session.updated_us, ended_by=KILLED)
