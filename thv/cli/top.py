"""`thv top`: the sessions that run now, live; one frame where stdout is no terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thv.cli.help_text import listed
from thv.cli.output import answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text

    from thv.journal.live_sessions import LiveSession, LiveSessions

REFRESH_S = 0.5
"""Seconds between two frames: the writers are a quarter of a second behind."""

PIPE_COLUMNS = 160
"""Columns of the one frame on a pipe: nothing needs to be cut there."""

IN_FLIGHT_SHOWN = 2
"""Open calls that are named; the others are counted."""

Column = Literal["server", "uptime", "calls", "errors", "in-flight", "p95", "rate"]

WIDTHS = {
    "server": 10,
    "client": 11,
    "via": 6,
    "uptime": 7,
    "calls": 6,
    "errors": 6,
    "p50": 7,
    "p95": 7,
    "calls/s": 7,
    "in flight": 12,
}
"""The columns and what each needs at least."""

FIGURES = frozenset({"uptime", "calls", "errors", "p50", "p95"})

DROPPED_FIRST = ("via", "client", "p50", "uptime", "in flight", "p95", "calls/s")
"""What a narrow terminal goes without."""

NO_SESSION = "no session runs"

SPARKS_FROM = 124
"""Columns from which the calls a second are drawn, too."""

RATE_WIDTH = 27
"""What they need then."""

EPILOG = listed(
    "Keys:",
    [
        ("q", "quit"),
        ("s u c e f p r", "sort by server, uptime, calls, errors, in flight, p95, rate"),
    ],
)


def top(
    *,
    sort: Annotated[Column, typer.Option("--sort", help="Sort by this column.")] = "server",
    output: Annotated[
        Literal["text", "json"], typer.Option("--format", help="text for people; json prints the sessions once.")
    ] = "text",
) -> None:
    """Watch the running sessions.

    Over stdio, HTTP and remote ones: calls, errors, calls in flight with their age, the median and 95th percentile of
    the last calls' durations, and the calls a second of the last minute. On a pipe it prints one frame.
    """
    from contextlib import closing

    from thv.journal.journal_reader import JournalReader
    from thv.journal.journal_settings import journal_path
    from thv.journal.live_sessions import LiveSessions, ordered

    with closing(JournalReader(journal_path())) as reader:
        live = LiveSessions(reader)
        if output == "json":
            import json

            answer(json.dumps([_object(session) for session in ordered(live.look(), sort)], indent=2))
        elif sys.stdout is not None and sys.stdout.isatty():
            _watch(live, sort)
        else:
            from rich.console import Console

            sessions = ordered(live.look(), sort)
            console = Console(width=PIPE_COLUMNS, color_system=None, force_terminal=False)
            with console.capture() as captured:
                console.print(_frame(sessions, sort, PIPE_COLUMNS))
            answer("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))


def _watch(live: LiveSessions, sort: str) -> None:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from thv.cli.keyboard import keys
    from thv.journal.live_sessions import SORT_KEYS, ordered

    console = Console()
    help_line = Text("q quits; sort by  s server  u uptime  c calls  e errors  f in flight  p p95  r rate", style="dim")
    with Live(console=console, screen=True, auto_refresh=False) as screen, keys() as next_key:
        while True:
            sessions = ordered(live.look(), sort)
            room = max(1, console.size.height - 5)
            hidden = len(sessions) - room
            more = Text(f"and {hidden} more", style="dim") if hidden > 0 else Text()
            screen.update(
                Group(_title(sessions), _frame(sessions[:room], sort, console.size.width), more, help_line),
                refresh=True,
            )
            key = next_key(REFRESH_S)
            if key in {"q", "Q", "\x03"}:
                return
            sort = SORT_KEYS.get(key, sort)


def _title(sessions: Sequence[LiveSession]) -> Text:
    import time

    from rich.text import Text

    rate = sum(session.calls_per_s for session in sessions)
    number = "1 session" if len(sessions) == 1 else f"{len(sessions)} sessions"
    open_ = sum(session.open_count for session in sessions)
    return Text(f"thv top  {time.strftime('%H:%M:%S')}  {number}  {open_} in flight  {rate:.1f} calls/s", style="bold")


def _frame(sessions: Sequence[LiveSession], sort: str, width: int) -> Table:
    from rich.table import Column as TableColumn
    from rich.table import Table
    from rich.text import Text

    shown = columns_for(width)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in shown:
        table.columns.append(
            TableColumn(
                f"{name}▾" if sort == name.replace("calls/s", "rate").replace(" ", "-") else name,
                justify="right" if name in FIGURES else "left",
                no_wrap=True,
                overflow="ellipsis",
                min_width=RATE_WIDTH if name == "calls/s" and width >= SPARKS_FROM else WIDTHS[name],
                _index=len(table.columns),
            )
        )
    for session in sessions:
        cells = _cells(session, sparks=width >= SPARKS_FROM)
        table.add_row(*(cells[name] for name in shown))
    if not sessions:
        table.columns[0].min_width = len(NO_SESSION)
        table.add_row(Text(NO_SESSION, style="dim"))
    return table


def columns_for(width: int) -> list[str]:
    """The columns that so many columns of a terminal have room for, in the order in which they stand."""
    shown = list(WIDTHS)
    for name in DROPPED_FIRST:
        if sum(WIDTHS[each] + 1 for each in shown) <= width:
            break
        shown.remove(name)
    return shown


def _cells(session: LiveSession, *, sparks: bool) -> dict[str, Text | str]:
    from rich.text import Text

    from thv.core.printable import one_line
    from thv.journal.call_format import duration_text
    from thv.journal.live_sessions import sparkline

    rate = f"{session.calls_per_s:5.1f}"
    return {
        "server": Text(one_line(session.row.server)),
        "client": Text(one_line(session.row.client or "-")),
        "via": session.row.transport,
        "uptime": duration_text(int(session.uptime_s) * 1e6) if session.uptime_s >= 1 else "0 s",
        "calls": f"{session.calls}",
        "errors": Text(f"{session.errors}", style="red" if session.errors else ""),
        "p50": "-" if session.p50_us is None else duration_text(session.p50_us),
        "p95": "-" if session.p95_us is None else duration_text(session.p95_us),
        "calls/s": Text.assemble(rate, " ", (sparkline(session.rates), "cyan")) if sparks else rate,
        "in flight": Text(_in_flight(session)),
    }


def _in_flight(session: LiveSession) -> str:
    from thv.core.printable import one_line
    from thv.journal.call_format import duration_text

    if not session.open_count:
        return ""
    named = [f"{one_line(name)} {duration_text(age * 1e6)}" for name, age in session.in_flight[:IN_FLIGHT_SHOWN]]
    others = session.open_count - len(named)
    return f"{session.open_count}: {', '.join(named)}{f' and {others} more' if others else ''}"


def _object(session: LiveSession) -> dict[str, object]:
    from thv.journal.time_range import format_time

    return {
        "session": f"{session.row.id:012x}",
        "server": session.row.server,
        "client": session.row.client or None,
        "transport": session.row.transport,
        "pid": session.row.pid,
        "started": format_time(session.row.started_us),
        "uptime_s": round(session.uptime_s, 3),
        "calls": session.calls,
        "errors": session.errors,
        "in_flight": [{"name": name, "age_s": round(age, 3)} for name, age in session.in_flight],
        "open": session.open_count,
        "p50_ms": None if session.p50_us is None else session.p50_us / 1000,
        "p95_ms": None if session.p95_us is None else session.p95_us / 1000,
        "calls_per_s": round(session.calls_per_s, 3),
    }
