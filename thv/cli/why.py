"""`thv why`: how the last sessions ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thv.cli.help_text import listed
from thv.cli.log import why_nothing
from thv.cli.output import answer
from thv.core.console import warn

if TYPE_CHECKING:
    from thv.journal.journal_reader import SessionRow

LAST = 3
"""Sessions shown unless -n says otherwise."""

TITLE_WIDTH = len("stray lines")

EPILOG = listed("Examples:", [("thv why", "the last sessions of any server"), ("thv why github -n 1", "")])


def why(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="Only sessions of SERVER.")] = None,
    *,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="The last N sessions.")] = LAST,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print them.")] = "text",
) -> None:
    """Show how sessions ended. The newest comes first.

    Exit code or signal, who ended it, how long it ran, calls that were open, stray lines on stdout (how many; their
    text is not kept), and a hint where one is known.
    """
    from contextlib import closing

    from thv.journal.journal_reader import JournalReader
    from thv.journal.journal_settings import journal_path

    with closing(JournalReader(journal_path())) as reader:
        ended = [session for session in reader.sessions(server=server) if not session.is_running]
        running = [session for session in reader.sessions(server=server) if session.is_running]
        shown = (ended or running)[:count]
        if output == "json":
            import json

            answer(json.dumps([_object(session) for session in shown], indent=2, ensure_ascii=False))
        elif shown:
            answer("\n\n".join(_text(session) for session in shown))
        else:
            from thv.core.printable import one_line

            known = sorted({one_line(session.server) for session in reader.sessions()})
            others = f"no session of {one_line(server or '')} is in the journal; it has those of {', '.join(known)}"
            warn(others if known else why_nothing())


def _text(session: SessionRow) -> str:
    from thv.core.printable import one_line
    from thv.journal.ending import explain

    rows = "\n".join(f"  {title:{TITLE_WIDTH}}  {text}" for title, text in explain(session))
    return f"{one_line(session.server)}\n{rows}"


def _object(session: SessionRow) -> dict[str, object]:
    from thv.journal.ending import hints, signal_of
    from thv.journal.time_range import format_time

    ended_us = session.ended_us
    return {
        "session": f"{session.id:012x}",
        "server": session.server,
        "client": session.client or None,
        "transport": session.transport,
        "started": format_time(session.started_us),
        "ended": None if ended_us is None else format_time(ended_us),
        "ran_s": round(session.ran_us / 1e6, 3),
        "ended_by": session.ended_by,
        "exit_code": session.exit_code,
        "signal": signal_of(session),
        "detail": session.detail,
        "calls": session.calls,
        "errors": session.errors,
        "open": session.open_count,
        "open_requests": [
            {"method": each.method, "name": each.name, "started": format_time(each.started_us)}
            for each in session.open_requests
        ],
        "answered": bool(session.answered),
        "restarts": session.restarts,
        "stray_lines": session.stray_lines,
        "first_stray_line": None if session.stray_us is None else format_time(session.stray_us),
        "hints": hints(session),
    }
