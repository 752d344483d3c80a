"""What the journal learns of one session, gathered in memory on the relay's threads: a few numbers a request.

What waits is encoded every few hundred requests, by the thread that appends, or by the writer's. So memory stays flat
and nothing is lost; where the store cannot be written, the oldest batches are dropped and counted.
"""

from __future__ import annotations

import time
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from thv.core.surrogates import replace_surrogates
from thv.journal.call_record import (
    CANCELLED,
    CLIENT_CLOSED,
    COUNTED,
    ERROR,
    EVICTED,
    FAILURES,
    MESSAGE_CHARACTERS,
    NAME_CHARACTERS,
    SERVER_EXITED,
    SUCCESS,
    TIMED_OUT,
    TOOL_CALL,
    EncodedBatch,
    OpenShown,
    cut,
    encode_batch,
    encode_open,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from thv.core.interfaces import EndedCall, EndedCalls, EndReason, ErrorSummary, LoggedRequest
    from thv.core.message import Message

    Record: TypeAlias = tuple[Any, ...]
    """The fields of a `CallRecord`, in their order."""

INITIALIZE: Final = "initialize"
LIST_TOOLS: Final = "tools/list"

ITEMS: Final = 5
"""Items of a request among those that wait: when it ended, and the four of a successful call, or its record alone."""

STATUS_BY_WORD: Final = {
    "replied": SUCCESS,
    "error": ERROR,
    "cancelled": CANCELLED,
    "client_closed": CLIENT_CLOSED,
    "server_exited": SERVER_EXITED,
    "evicted": EVICTED,
    "timed_out": TIMED_OUT,
}

SUCCESS_FIELDS: Final = 4
"""Fields of a record that are kept of a successful call; the others have their defaults."""

READ: Final = 16 << 10
"""Bytes of arguments or of a result that are read, where they are kept at all: what is shown comes from far fewer."""

MANY_REQUESTS: Final = 256
"""So many waiting requests are encoded by the thread that appends, in some 50 µs: handing them to another thread would
cost it more, since both need the interpreter, and a third of them at once would show in every hundredth call."""

MANY_AT_ONCE: Final = 100
"""So many calls that one chunk brought are encoded right away: their time stands there once."""

WRITE_AT: Final = 64 << 10
"""Encoded bytes at which the writer is called before its time, and the least that makes it write twice in a row."""

ENCODED_LIMIT: Final = 1 << 20
"""Bytes of batches kept while the store cannot be written: some 40 000 requests."""

SLOW_DOWN_S: Final = 0.002
"""Seconds that traffic of more than half a million requests a second stands aside for a writer that works but lags."""

OPEN_SHOWN: Final = 16
"""Open requests that are written down with their age: the oldest."""


class SessionEnd(NamedTuple):
    """How a session ended."""

    at_us: int
    ended_by: str
    exit_code: int | None
    detail: str | None


class SessionJournal:
    """One session, as the writer will store it: a `thv.core.interfaces.RequestLog`, which any thread may call.

    Args:
        session_id: what the store calls it.
        server: the server's name.
        transport: how the client reaches it.
        notify: called when something is to be written; returns at once.
        hurry: called when much is to be written.
        redact: what an error message is passed through before it is cut.
        capture: what raw arguments and results are passed through; None where they are not kept.
    """

    def __init__(
        self,
        session_id: int,
        server: str,
        transport: str,
        *,
        notify: Callable[[], None],
        hurry: Callable[[], None],
        redact: Callable[[str], str] = str,
        capture: Callable[[bytes], str] | None = None,
    ) -> None:
        self.id = session_id
        self.server = replace_surrogates(server)  # what a file name has that is no UTF-8 cannot be stored
        self.transport = transport
        self.client: str | None = None
        self.protocol: str | None = None
        self.started_us = time.time_ns() // 1000
        self.answered = False  # the server answered anything
        self.requests = self.calls = self.errors = self.lost = self.restarts = 0
        self.stray_lines: Callable[[], tuple[int, int | None]] = lambda: (0, None)
        self.open_requests: Callable[[int], tuple[int, list[LoggedRequest]]] = lambda _limit: (0, [])
        self.end: SessionEnd | None = None
        self.is_final = False
        self.signal_name: str | None = None  # of the signal that ends thv
        self.is_stuck = False  # the store cannot be written just now
        self.stored = False
        self.is_timing_out = False  # calls that end just now do so because thv gave them up
        self.shows_open = False  # the store says that requests are open
        self.changed = True
        self.wants_detail = True
        self.captures = capture is not None
        self._notify = notify
        self._hurry = hurry
        self._redact = redact
        self._capture = capture
        self._pending: list[Any] = []  # several threads append; who holds `_encoding` takes from its front
        self._encoded: list[EncodedBatch] = []
        self._encoded_bytes = 0
        self._listed: bytes | None = None
        self._encoding = Lock()

    # The request log.

    def detail(self, message: Message, request: LoggedRequest) -> None:
        """Who asks, which the first messages say; and the arguments of calls, if they are to be kept."""
        params = message.params
        if self.client is None:
            info = None if params is None else params.client_info or (params.meta and params.meta.client_info)
            if info:
                self.client = cut(info.name or "", NAME_CHARACTERS)
            elif request.method == TOOL_CALL:
                self.client = ""
        if params is not None and params.meta is not None and params.meta.protocol_version is not None:
            self.protocol = cut(params.meta.protocol_version, NAME_CHARACTERS)
        if self._capture is not None and params is not None and params.arguments:
            request.arguments = self._capture(_start(params.arguments))
        self.wants_detail = self.client is None or self.captures
        self._notify()  # a request that stays open is to be seen, too

    def replied(
        self, request: LoggedRequest, reply: Message, kept: tuple[ErrorSummary | None, int], at_ns: int
    ) -> None:
        """A reply to something else than a call; and to calls, where results are to be kept."""
        result: Any = reply.result or None
        if self._capture is not None and result is not None and result.content:
            request.result = self._capture(_start(result.content))
        if request.method == TOOL_CALL:
            return
        if result is not None and request.method == INITIALIZE and result.protocol_version is not None:
            self.protocol = cut(result.protocol_version, NAME_CHARACTERS)
        if result is not None and request.method == LIST_TOOLS and result.tools:
            self._listed = bytes(result.tools)
        self.answered = True
        self._keep(self._record("replied" if reply.error is None else "error", request, *kept, at_ns), at_ns)

    def calls_ended(self, calls: EndedCalls, *, succeeded: bool) -> None:
        """The hot path."""
        self.answered = True
        chunks: Sequence[tuple[int, Sequence[Record]]] = calls
        if not succeeded:
            chunks = [(at_ns, [self._record_of_call(call) for call in some]) for at_ns, some in calls]
        if len(chunks[0][1]) >= MANY_AT_ONCE:
            self.encode_pending()
            offset_ns = time.time_ns() - time.perf_counter_ns()
            chunks = [((at_ns + offset_ns) // 1000, records) for at_ns, records in chunks]
            with self._encoding:
                self._encode(chunks, sum(len(records) for _, records in chunks), succeeded=succeeded)
        else:
            for at_ns, records in chunks:
                for record in records:
                    self._pending.extend((at_ns, *record) if succeeded else (at_ns, record, None, None, None))
        if len(self._pending) >= ITEMS * MANY_REQUESTS or self._encoded_bytes >= WRITE_AT:
            self._relieve()
        self._notify()

    def ended(self, request: LoggedRequest, reason: EndReason, at_ns: int) -> None:
        """A request that was not answered."""
        at_ns = at_ns or time.perf_counter_ns()
        self._keep(self._record(reason, request, None, 0, at_ns), at_ns)

    def _keep(self, record: Record, at_ns: int) -> None:
        self._pending.extend((at_ns, record, None, None, None))
        if len(self._pending) >= ITEMS * MANY_REQUESTS:
            self._relieve()
        self._notify()

    def _relieve(self) -> None:
        """Encode what waits, and call the writer if there is much."""
        self.encode_pending()
        if self._encoded_bytes >= WRITE_AT:
            self._hurry()
            if self._encoded_bytes > ENCODED_LIMIT // 2 and not self.is_stuck:
                time.sleep(SLOW_DOWN_S)

    def closed(self, ended_by: str) -> None:
        """Nothing more will be appended. `ended_by` counts if nothing else said how the session ended."""
        if self.signal_name is not None and ended_by == "client":
            self.set_end("signal", detail=self.signal_name)
        self.set_end(ended_by)
        self.is_final = True
        self._notify()

    def set_end(self, ended_by: str, exit_code: int | None = None, detail: str | None = None) -> None:
        """How the session ends; the first word counts, an exit code that it lacked may come with a later one."""
        known = self.end
        if known is None:
            self.end = SessionEnd(time.time_ns() // 1000, ended_by, exit_code, detail and replace_surrogates(detail))
        elif known.exit_code is None and exit_code is not None:
            self.end = known._replace(exit_code=exit_code)
        self.changed = True
        self._notify()

    def note_restart(self) -> None:
        """The server was started again."""
        self.restarts += 1
        self.changed = True
        self._notify()

    # Called by the writer, `encode_pending` by others, too.

    def encode_pending(self) -> int:
        """Turn what waits into a batch; returns how many requests that were."""
        with self._encoding:
            taken = self._pending[:]
            del self._pending[: len(taken)]
            if taken:
                times = taken[::ITEMS]
                records: list[Record] = list(zip(*(taken[item::ITEMS] for item in range(1, ITEMS)), strict=True))
                succeeded = set(map(type, taken[1::ITEMS])) == {int}
                if not succeeded:
                    records = [record[0] if record[-1] is None else record for record in records]
                self._encode(by_moment(times, records), len(records), succeeded=succeeded)
            return len(taken) // ITEMS

    def _encode(self, chunks: Sequence[tuple[int, Sequence[Record]]], requests: int, *, succeeded: bool) -> None:
        """With `_encoding` held."""
        data = encode_batch(chunks)
        self.requests += requests
        self.calls += requests
        if not succeeded:
            self._count_others(record for _, records in chunks for record in records)
        first_us, first = chunks[0]
        self._encoded.append(EncodedBatch(first_us, chunks[-1][0], requests, data))
        self._encoded_bytes += len(data)
        self.started_us = min(self.started_us, first_us - first[0][0])  # it may have passed before we are loaded
        self.changed = True
        while self._encoded_bytes > ENCODED_LIMIT:
            dropped = self._encoded.pop(0)
            self._encoded_bytes -= len(dropped.records)
            self.lost += dropped.requests

    def _count_others(self, records: Iterable[Record]) -> None:
        """Correct the counts, which took each of these records for a successful call."""
        for _, _, _, _, status, method, *_ in filter(lambda record: len(record) > SUCCESS_FIELDS, records):
            if method != TOOL_CALL or status not in COUNTED:
                self.calls -= 1
            elif status in FAILURES:
                self.errors += 1

    def _record_of_call(self, call: EndedCall) -> Record:
        if len(call) == SUCCESS_FIELDS:
            return call
        how, request, error, size, at_ns = call
        if self.is_timing_out:
            return self._record("timed_out", request, error, size, at_ns)
        return self._record("replied" if how == "success" else how, request, error, size, at_ns)

    def _record(self, how: str, request: LoggedRequest, error: ErrorSummary | None, size: int, at_ns: int) -> Record:
        """What is kept of a request that is no successful call."""
        code = message = None
        if error is not None:
            code, message = error
            if message is not None:
                message = cut(self._redact(message), MESSAGE_CHARACTERS)
        status = STATUS_BY_WORD[how]
        return (
            (at_ns - request.started_ns) // 1000,
            request.name,
            request.request_bytes,
            size,
            status,
            request.method,
            code,
            message,
            request.arguments,
            request.result,
        )

    def batches(self) -> list[EncodedBatch]:
        """What is to be stored next: the oldest, until they have `WRITE_AT` bytes. They are kept until `was_stored`."""
        found: list[EncodedBatch] = []
        size = 0
        with self._encoding:
            for batch in self._encoded:
                if size >= WRITE_AT:
                    break
                found.append(batch)
                size += len(batch.records)
        return found

    def was_stored(self, batches: Iterable[EncodedBatch]) -> None:
        """These are in the store."""
        with self._encoding:
            for batch in batches:
                if self._encoded and self._encoded[0] is batch:
                    self._encoded.pop(0)
                    self._encoded_bytes -= len(batch.records)
        self.stored = True

    def take_listed(self) -> bytes | None:
        """The tools listed since the last time."""
        listed, self._listed = self._listed, None
        return listed

    @property
    def has_news(self) -> bool:
        """Whether anything is to be written."""
        return self.changed or bool(self._pending) or bool(self._encoded) or self._listed is not None

    @property
    def has_much(self) -> bool:
        """Whether another write is due at once."""
        return self._encoded_bytes >= WRITE_AT

    def row(self) -> dict[str, Any]:
        """The columns of its row."""
        open_count, oldest = self.open_requests(OPEN_SHOWN)
        offset_ns = time.time_ns() - time.perf_counter_ns()
        stray_lines, stray_ns = self.stray_lines()
        end = self.end
        return {
            "id": self.id,
            "server": self.server,
            "transport": self.transport,
            "client": self.client,
            "protocol": self.protocol,
            "started_us": self.started_us,
            "updated_us": time.time_ns() // 1000,
            "ended_us": None if end is None else end.at_us,
            "ended_by": None if end is None else end.ended_by,
            "exit_code": None if end is None else end.exit_code,
            "detail": None if end is None else end.detail,
            "requests": self.requests,
            "calls": self.calls,
            "errors": self.errors,
            "lost": self.lost,
            "answered": self.answered,
            "restarts": self.restarts,
            "stray_lines": stray_lines,
            "stray_us": None if stray_ns is None else (stray_ns + offset_ns) // 1000,
            "open_count": open_count,
            "open_requests": encode_open([_shown(each, offset_ns) for each in oldest]) if oldest else None,
        }


def by_moment(times_ns: Sequence[int], records: Sequence[Record]) -> list[tuple[int, Sequence[Record]]]:
    """Requests by the moment at which they ended, as they are stored: in microseconds since the epoch."""
    offset_ns = time.time_ns() - time.perf_counter_ns()
    if len(set(times_ns)) * 2 > len(times_ns):
        return [((at_ns + offset_ns) // 1000, (record,)) for at_ns, record in zip(times_ns, records, strict=True)]
    joined = groupby(zip(times_ns, records, strict=True), itemgetter(0))
    return [((at_ns + offset_ns) // 1000, [record for _, record in group]) for at_ns, group in joined]


def _shown(request: LoggedRequest, offset_ns: int) -> OpenShown:
    return OpenShown((request.started_ns + offset_ns) // 1000, request.method, request.name)


def _start(raw: Any) -> bytes:
    """As much of raw JSON as is ever shown: the original holds its whole line."""
    return bytes(memoryview(raw)[:READ])
