"""What `thv top` shows: each running session with its recent calls, brought up to date as the writers go on.

Knows nothing of terminals. A look reads what was written since the last one, however much the journal holds.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from thv.journal.journal_reader import CallFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.journal.journal_reader import JournalReader, LoggedCall, SessionRow

WINDOW_S: Final = 60
"""Seconds of calls that the sparkline shows."""

BARS: Final = 20
"""Bars of the sparkline: each stands for three seconds."""

RECENT: Final = 1000
"""Calls of a session that its percentiles come from: the latest, of the last ten minutes."""

RECENT_S: Final = 600

SPARKS: Final = "▁▂▃▄▅▆▇█"

SORT_KEYS: Final = {
    "s": "server",
    "u": "uptime",
    "c": "calls",
    "e": "errors",
    "f": "in-flight",
    "p": "p95",
    "r": "rate",
}
"""By which column each key sorts."""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """One running session at one moment. Durations are microseconds, ages and the uptime seconds."""

    row: SessionRow
    uptime_s: float
    calls: int
    errors: int
    in_flight: tuple[tuple[str, float], ...]
    open_count: int
    p50_us: float | None
    p95_us: float | None
    rates: tuple[float, ...]

    @property
    def calls_per_s(self) -> float:
        """Over the window of the sparkline, or the session's life where that is shorter."""
        return sum(self.rates) * (WINDOW_S / BARS) / max(1.0, min(WINDOW_S, self.uptime_s))


class LiveSessions:
    """Follows the running sessions.

    Args:
        reader: the journal.
        now: the time in seconds since the epoch.
    """

    def __init__(self, reader: JournalReader, now: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._now = now
        self._last = 0
        self._recent: dict[int, deque[tuple[int, int, bool]]] = {}
        self._begin()

    def _begin(self) -> None:
        self._last = self._reader.last_batch()
        self._recent.clear()
        since_us = int((self._now() - RECENT_S) * 1e6)
        for call in sorted(self._reader.calls_since(since_us), key=lambda call: call.ended_us):
            self._add(call)

    def look(self) -> list[LiveSession]:
        """The sessions that run now, the oldest first.

        Raises:
            JournalError: the journal cannot be read.
        """
        if self._reader.reopen_if_replaced():
            self._begin()
        self._last, calls = self._reader.calls_after(self._last, CallFilter())
        for call in calls:
            self._add(call)
        running = self._reader.running_sessions()
        known = {row.id for row in running}
        for gone in self._recent.keys() - known:
            del self._recent[gone]
        return [self._session(row) for row in running]

    def _add(self, call: LoggedCall) -> None:
        if call.record.is_tool_call:
            recent = self._recent.setdefault(call.session_id, deque(maxlen=RECENT))
            recent.append((call.ended_us, call.record.duration_us, call.record.failed))

    def _session(self, row: SessionRow) -> LiveSession:
        now = self._now()
        recent = self._recent.get(row.id, ())
        since_us = (now - RECENT_S) * 1e6
        durations = sorted(duration for ended, duration, _ in recent if ended >= since_us)
        bars = [0] * BARS
        for ended, *_ in recent:
            bar = int((now - ended / 1e6) / (WINDOW_S / BARS))
            if 0 <= bar < BARS:
                bars[BARS - 1 - bar] += 1
        return LiveSession(
            row,
            max(0.0, now - row.started_us / 1e6),
            row.calls,
            row.errors,
            tuple((each.name or each.method, max(0.0, now - each.started_us / 1e6)) for each in row.open_requests),
            row.open_count,
            percentile(durations, 0.5),
            percentile(durations, 0.95),
            tuple(count / (WINDOW_S / BARS) for count in bars),
        )


def percentile(ordered: Sequence[int], share: float) -> float | None:
    """The value below which `share` of the ordered values lie (nearest rank); None of nothing."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def sparkline(rates: Sequence[float]) -> str:
    """The rates as bars of text, the highest one full; a bar of nothing is a space."""
    highest = max(rates, default=0)
    if not highest:
        return " " * len(rates)
    return "".join(" " if not rate else SPARKS[min(7, int(rate / highest * 7.999))] for rate in rates)


def ordered(sessions: Sequence[LiveSession], by: str) -> list[LiveSession]:
    """The sessions sorted by a column of `SORT_KEYS`, names upwards and figures downwards."""
    if by == "server":
        return sorted(sessions, key=lambda each: (each.row.server, each.row.started_us))
    keys: dict[str, Callable[[LiveSession], float]] = {
        "uptime": lambda each: each.uptime_s,
        "calls": lambda each: each.calls,
        "errors": lambda each: each.errors,
        "in-flight": lambda each: each.open_count,
        "p95": lambda each: each.p95_us or 0,
        "rate": lambda each: each.calls_per_s,
    }
    return sorted(sessions, key=keys[by], reverse=True)
