"""`thv log`: the calls that ended, newest last; live with -f."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thv.cli.help_text import given_options, listed
from thv.cli.output import answer
from thv.core.console import warn
from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.journal.journal_reader import CallFilter, LoggedCall

POLL_S = 0.1
"""Seconds between two looks with -f: with the writer's quarter of a second that stays below half a second."""

LAST = 50
"""Calls shown unless -n says otherwise: a screen or two."""

CLEAR = "clear"
"""In the place of SERVER: empty the journal."""

SERVER_WIDTH, NAME_WIDTH = 8, 16
"""Minimum columns of names, so that lines are aligned with -f, too."""

EPILOG = listed(
    "Examples:",
    [
        ("thv log -f", "watch the calls of all running sessions"),
        ("thv log github --failed --since 1h", ""),
        ("thv log --format json -n 1000", "one JSON object a line"),
        ("thv log clear", "empty the journal"),
    ],
)


def log(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Argument(metavar="SERVER", help="Only calls of SERVER; `clear` empties the journal.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with calls as they end.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only calls that failed.")] = False,
    tool: Annotated[str | None, typer.Option("--tool", metavar="TOOL", help="Only calls of TOOL.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only since TIME: 30m, 1h, 7d, or a date.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", metavar="N", min=0, help=f"The last N; by default {LAST}, or all of --since.")
    ] = None,
    all_methods: Annotated[bool, typer.Option("--all", help="Requests of every method, not only tool calls.")] = False,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print them.")] = "text",
) -> None:
    """Show how calls ended. The newest come last.

    They come from the local journal that thv keeps of every session: times, names, outcomes, sizes and the server's
    error messages. No arguments and no results are in it, unless --journal-capture asked for them.
    """
    from contextlib import closing

    from thv.journal.journal_reader import CallFilter, JournalReader
    from thv.journal.journal_settings import journal_path
    from thv.journal.time_range import parse_since

    if server == CLEAR:
        if given_options(context):
            raise UsageError("thv log clear takes no options; see thv log --help")
        _clear()
        return
    since_us = 0 if since is None else parse_since(since, time.time_ns() // 1000)
    wanted = CallFilter(server, tool, failed, since_us, all_methods)
    with closing(JournalReader(journal_path())) as reader:
        printer = _Printer(as_json=output == "json")
        after = reader.last_batch()
        if count is None:
            count = sys.maxsize if since is not None else LAST
        calls = reader.last_calls(wanted, count)
        printer.print(calls)
        if follow:
            if not reader.exists:
                warn(why_nothing())
            for calls in reader.follow(wanted, after):
                printer.print(calls)
                if _reader_has_left():
                    return
                time.sleep(POLL_S)
        elif not calls and output == "text":
            warn(_nothing(wanted, exists=reader.exists))


class _Printer:
    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._colour = not as_json and has_colour()
        self._server_width, self._name_width = SERVER_WIDTH, NAME_WIDTH

    def print(self, calls: Sequence[LoggedCall]) -> None:
        if not calls:
            return
        from thv.journal.call_format import call_line, call_object

        if self._as_json:
            answer("\n".join(json.dumps(call_object(call), ensure_ascii=False) for call in calls))
            return
        self._server_width = max(self._server_width, *(len(call.server) for call in calls))
        self._name_width = max(
            self._name_width, *(min(len(call.record.name or call.record.method), 40) for call in calls)
        )
        today = time.strftime("%Y-%m-%d")
        date = any(time.strftime("%Y-%m-%d", time.localtime(call.ended_us / 1e6)) != today for call in calls)
        answer(
            "\n".join(
                call_line(
                    call,
                    colour=self._colour,
                    date=date,
                    server_width=self._server_width,
                    name_width=self._name_width,
                )
                for call in calls
            )
        )


def has_colour() -> bool:
    """Whether stdout is a terminal that takes colours (https://no-color.org)."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def why_nothing() -> str:
    """Why the journal may have nothing: it is off, or nothing happened since it began."""
    from thv.config.settings import config_path
    from thv.journal.journal_settings import resolve

    settings = resolve(os.environ, config_path(os.environ))
    if not settings.enabled:
        return f"the journal is off ({settings.source})"
    return "nothing is in the journal yet: it begins with the first session of `thv run` or `thv proxy`"


def _nothing(wanted: CallFilter, *, exists: bool) -> str:
    if exists and (wanted.server or wanted.tool or wanted.failed or wanted.since_us):
        return "no such call is in the journal"
    return why_nothing()


def _clear() -> None:
    from thv.journal.clearing import clear
    from thv.journal.journal_settings import journal_path

    path = journal_path()
    warn(f"the journal {path} is empty now" if clear(path) else "there is no journal to clear")


def _reader_has_left() -> bool:
    """Whether nothing reads our stdout any more; a pipe tells without being written to."""
    if sys.platform != "win32" and sys.stdout is not None:
        try:
            poller = select.poll()
            poller.register(sys.stdout.fileno(), 0)
            return any(flags & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, flags in poller.poll(0))
        except (OSError, ValueError):
            return False
    return False
