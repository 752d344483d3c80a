"""What `thv report` tells: calls, failures, durations and sizes by server and tool, and tools never called.

One pass over the journal. Durations are microseconds, sizes bytes, times microseconds since the epoch.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from thv.journal.live_sessions import percentile

if TYPE_CHECKING:
    from thv.journal.journal_reader import JournalReader, LoggedCall

INTERVALS: Final = 60
"""Points of time in a plot."""

EDGES_US: Final = (
    *(100, 300, 1_000, 3_000, 10_000, 30_000),
    *(100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000),
)
"""Where one bar of a distribution of durations ends and the next begins."""

MAX_TOOLS: Final = 2000
"""Tools of one server that are told apart: names may be anything."""

OTHERS: Final = "(others)"


@dataclass(slots=True)
class ToolUse:
    """The calls of one tool."""

    name: str
    calls: int = 0
    failed: int = 0
    largest_result: int = 0
    definition_bytes: int | None = None
    durations_us: array[int] = field(default_factory=lambda: array("Q"))
    p50_us: float | None = None
    p95_us: float | None = None

    def add(self, duration_us: int, response_bytes: int, *, failed: bool) -> None:
        """Count a call."""
        self.calls += 1
        self.failed += failed
        self.largest_result = max(self.largest_result, response_bytes)
        self.durations_us.append(max(0, duration_us))  # a damaged one may be anything

    def finish(self) -> None:
        """Compute the percentiles."""
        durations = sorted(self.durations_us)
        self.p50_us, self.p95_us = percentile(durations, 0.5), percentile(durations, 0.95)

    @property
    def share_failed(self) -> float:
        """From 0 to 1."""
        return self.failed / self.calls if self.calls else 0.0


@dataclass(slots=True)
class ServerUse:
    """The sessions and calls of one server."""

    name: str
    sessions: int = 0
    total: ToolUse = field(default_factory=lambda: ToolUse(""))
    tools: dict[str, ToolUse] = field(default_factory=dict)
    definitions_bytes: int = 0
    listed: int = 0
    """Tools in its last listing."""
    calls_by_interval: list[int] = field(default_factory=lambda: [0] * INTERVALS)
    failed_by_interval: list[int] = field(default_factory=lambda: [0] * INTERVALS)
    distribution: list[int] = field(default_factory=lambda: [0] * (len(EDGES_US) + 1))

    def add(self, call: LoggedCall, report: Report) -> None:
        """Count a call."""
        record = call.record
        name = record.name or "?"
        if name not in self.tools and len(self.tools) >= MAX_TOOLS:
            name = OTHERS
        for each in (self.total, self.tools.setdefault(name, ToolUse(name))):
            each.add(record.duration_us, record.response_bytes, failed=record.failed)
        interval = min(INTERVALS - 1, int((call.ended_us - report.since_us) / report.interval_us))
        self.calls_by_interval[interval] += 1
        self.failed_by_interval[interval] += record.failed
        self.distribution[bar_of(record.duration_us)] += 1

    def list_tools(self, tools: dict[str, int]) -> None:
        """Add the tools that the server offers, by the size of their definitions."""
        self.listed, self.definitions_bytes = len(tools), sum(tools.values())
        for name, size in tools.items():
            self.tools.setdefault(name, ToolUse(name)).definition_bytes = size

    @property
    def never_called(self) -> list[str]:
        """The tools that it offers and that were never called."""
        return sorted(tool.name for tool in self.tools.values() if not tool.calls)

    @property
    def used_tools(self) -> list[ToolUse]:
        """The tools that were called, the most frequent first."""
        return sorted((tool for tool in self.tools.values() if tool.calls), key=lambda tool: (-tool.calls, tool.name))


@dataclass(frozen=True, slots=True)
class Report:
    """Everything, from `since_us` to `until_us`."""

    since_us: int
    until_us: int
    servers: list[ServerUse]
    lost: int
    """Requests that could not be written into the journal."""

    @property
    def interval_us(self) -> float:
        """How long one point of a plot lasts."""
        return max(1.0, (self.until_us - self.since_us) / INTERVALS)


def make_report(reader: JournalReader, since_us: int, until_us: int, *, server: str | None = None) -> Report:
    """Read the journal.

    Args:
        reader: the journal.
        since_us: from when.
        until_us: until when: now.
        server: only this one.

    Raises:
        JournalError: it cannot be read.
    """
    servers: dict[str, ServerUse] = {}
    report = Report(since_us, until_us, [], 0)
    lost = 0
    for session in reader.sessions(server=server, since_us=since_us):
        servers.setdefault(session.server, ServerUse(session.server)).sessions += 1
        lost += session.lost
    for call in reader.calls_since(since_us):
        if call.record.is_counted and server in {None, call.server} and call.ended_us <= until_us:
            servers.setdefault(call.server, ServerUse(call.server)).add(call, report)
    for name, tools in reader.tools().items():
        if name in servers:
            servers[name].list_tools(tools)
    for use in servers.values():
        for each in (use.total, *use.tools.values()):
            each.finish()
    found = sorted(servers.values(), key=lambda use: (-use.total.calls, use.name))
    return Report(since_us, until_us, found, lost)


def bar_of(duration_us: int) -> int:
    """Which bar of a distribution a duration belongs to."""
    return next((bar for bar, edge in enumerate(EDGES_US) if duration_us < edge), len(EDGES_US))
