"""`thv report`: calls, failures and durations by server and tool, as tables or as one HTML page."""

from __future__ import annotations

import sys
import time
from pathlib import Path  # noqa: TC003  Typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thv.cli.help_text import listed
from thv.cli.log import has_colour, why_nothing
from thv.cli.output import answer
from thv.core.console import warn
from thv.errors import ThvError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table
    from rich.text import Text

    from thv.journal.report_data import Report, ServerUse, ToolUse

PIPE_COLUMNS = 140
"""Columns of the tables on a pipe."""

NAME_WIDTH = 12
"""Columns that the names of tools have at least; longer ones go on in the next line."""

DROPPED_FIRST = ("definition", "largest result", "p50", "p95", "failed")
"""What a narrow terminal goes without, so that no name and no figure is cut."""

EPILOG = listed(
    "Examples:",
    [
        ("thv report", "the last seven days"),
        ("thv report github --since 30d", ""),
        ("thv report --html report.html", ""),
    ],
)


def report(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="Only calls of SERVER.")] = None,
    *,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Since TIME: 1h, 7d, or a date.")] = "7d",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page with plots to FILE; - for stdout.")
    ] = None,
    output: Annotated[
        Literal["text", "json"] | None, typer.Option("--format", help="How to print it; by default as text.")
    ] = None,
) -> None:
    """Sum up the calls by server and tool.

    How many, the share that failed, the median and 95th percentile of durations, the largest result, what the tools'
    definitions cost a client (tools/list), and the tools that were never called. The page needs no network.
    """
    from contextlib import closing

    from thv.journal.journal_reader import JournalReader
    from thv.journal.journal_settings import journal_path
    from thv.journal.report_data import make_report
    from thv.journal.time_range import parse_since

    if html is not None and output is not None:
        raise UsageError("--html and --format exclude each other; see thv report --help")
    now_us = time.time_ns() // 1000
    with closing(JournalReader(journal_path())) as reader:
        found = make_report(reader, parse_since(since, now_us), now_us, server=server)
        if html is not None:
            from thv.journal.report_page import page

            _write(html, page(found))
        elif output == "json":
            import json

            answer(json.dumps(_object(found), indent=2, ensure_ascii=False))
        elif found.servers:
            _print(found)
        if not found.servers:
            warn(f"no session since {since} is in the journal" if reader.exists else why_nothing())


def _write(path: Path, text: str) -> None:
    if str(path) == "-":
        answer(text.rstrip("\n"))
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ThvError(f"{path} cannot be written: {error.strerror}") from None
    warn(f"written: {path}")


def _print(found: Report) -> None:
    from rich.console import Console

    terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(no_color=not has_colour()) if terminal else Console(width=PIPE_COLUMNS, color_system=None)
    with console.capture() as captured:
        for use in found.servers:
            console.print(_table(use, console.width))
            for line in _below(use):
                console.print(line, markup=False, highlight=False)
            console.print()
        if found.lost:
            console.print(f"{found.lost} requests could not be written into the journal.", highlight=False)
    text = captured.get().rstrip("\n")
    answer(text if terminal else "\n".join(line.rstrip() for line in text.split("\n")))


def _table(use: ServerUse, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    from thv.core.printable import one_line

    rows = [_row(tool, tool.name) for tool in use.used_tools]
    has_sum = len(rows) != 1
    if has_sum:
        total = use.total
        total.definition_bytes = use.definitions_bytes or None
        rows.append(_row(total, "all tools"))
    sessions = "1 session" if use.sessions == 1 else f"{use.sessions} sessions"
    table = Table(
        title=Text(f"{one_line(use.name)}: {sessions}", style="bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    table.add_column("tool", overflow="fold", min_width=NAME_WIDTH)
    needed = {title: max(len(title), *(row[title].cell_len for row in rows)) for title in rows[0]}
    shown = columns_for(width, needed)
    for title in shown[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        is_sum = has_sum and row is rows[-1]
        table.add_row(*(row[title] for title in shown), style="bold" if is_sum else None)
    return table


def columns_for(width: int, needed: Mapping[str, int]) -> list[str]:
    """The columns that a terminal has room for, in the order in which they stand.

    Args:
        width: columns of the terminal.
        needed: what each needs, the names of the tools first, which may be folded.
    """
    shown = list(needed)
    for title in DROPPED_FIRST:
        if NAME_WIDTH + sum(2 + needed[each] for each in shown[1:]) <= width:
            break
        shown.remove(title)
    return shown


def _row(tool: ToolUse, name: str) -> dict[str, Text]:
    """What stands in each column."""
    from rich.text import Text

    from thv.core.printable import one_line
    from thv.journal.call_format import duration_text, size_text

    return {
        "tool": Text(one_line(name)),
        "calls": Text(f"{tool.calls}"),
        "failed": Text(percent(tool.share_failed) if tool.calls else "-", style="red" if tool.failed else ""),
        "p50": Text("-" if tool.p50_us is None else duration_text(tool.p50_us)),
        "p95": Text("-" if tool.p95_us is None else duration_text(tool.p95_us)),
        "largest result": Text(size_text(tool.largest_result) if tool.largest_result else "-"),
        "definition": Text("-" if tool.definition_bytes is None else size_text(tool.definition_bytes)),
    }


def _below(use: ServerUse) -> list[str]:
    from thv.core.printable import one_line
    from thv.journal.call_format import size_text

    lines = []
    if use.listed:
        lines.append(
            f"{use.listed} tools, whose definitions take {size_text(use.definitions_bytes)} of a client's context"
        )
    if use.never_called:
        lines.append(f"never called: {', '.join(map(one_line, use.never_called))}")
    return lines


def percent(share: float) -> str:
    """A share as a percentage; what is not nothing never looks like nothing."""
    if 0 < share < 0.001:  # noqa: PLR2004  a tenth of a percent
        return "<0.1 %"
    return f"{share * 100:.1f} %" if share else "0 %"


def _object(found: Report) -> dict[str, object]:
    from thv.journal.time_range import format_time

    return {
        "since": format_time(found.since_us),
        "until": format_time(found.until_us),
        "lost": found.lost,
        "servers": [
            {
                "server": use.name,
                "sessions": use.sessions,
                **_figures(use.total),
                "definitions_bytes": use.definitions_bytes,
                "tools": [
                    {"tool": tool.name, **_figures(tool), "definition_bytes": tool.definition_bytes}
                    for tool in use.used_tools
                ],
                "never_called": use.never_called,
            }
            for use in found.servers
        ],
    }


def _figures(tool: ToolUse) -> dict[str, object]:
    return {
        "calls": tool.calls,
        "failed": tool.failed,
        "share_failed": round(tool.share_failed, 6),
        "p50_ms": None if tool.p50_us is None else tool.p50_us / 1000,
        "p95_ms": None if tool.p95_us is None else tool.p95_us / 1000,
        "largest_result_bytes": tool.largest_result,
    }
