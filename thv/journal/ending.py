"""Explains how a session ended, for `thv why`: facts of the journal in words, and a hint where one is known."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from thv.core.printable import one_line
from thv.journal.call_format import duration_text
from thv.journal.time_range import local_time

if TYPE_CHECKING:
    from thv.journal.journal_reader import SessionRow

SIGNAL: Final = "signal"
"""`ended_by` of a session that a signal to thv ended; `detail` is then the signal's name."""

LAUNCH: Final = "launch"
"""`ended_by` of a server that could not be started."""

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
SIGNALLED: Final = 128
"""Exit codes above are 128 + the number of a signal (POSIX.1-2024, Shell Command Language, 2.8.2)."""

OPEN_SHOWN: Final = 5

ENDED_BY: Final = {
    "client": "the client: it closed the connection",
    "server": "the server, while its client was there",
    SIGNAL: "a signal to thv, from the client or from you",
    "thv": "thv",
    "killed": "thv was killed (SIGKILL, out of memory, or the machine went down)",
    LAUNCH: "thv: the server could not be started",
}


def exit_text(exit_code: int | None) -> str:
    """The exit code in words, with the signal by its name."""
    if exit_code is None:
        return "unknown"
    name = signal_name(exit_code)
    return f"{exit_code}" if name is None else f"{exit_code} ({name}, or the server's own exit code)"


def signal_name(exit_code: int) -> str | None:
    """The name of the signal that an exit code stands for."""
    try:
        return signal.Signals(exit_code - SIGNALLED).name if exit_code > SIGNALLED else None
    except ValueError:
        return None


def signal_of(session: SessionRow) -> str | None:
    """The name of the signal that ended the session: the one that thv got, or the one that its server died of."""
    if session.ended_by == SIGNAL and session.detail:
        return session.detail
    return None if session.exit_code is None else signal_name(session.exit_code)


def explain(session: SessionRow) -> list[tuple[str, str]]:
    """The session as titles and texts, in the order in which they are shown."""
    rows = [
        ("started", local_time(session.started_us, date=True)),
        ("client", one_line(session.client) if session.client else "unknown"),
        ("via", session.transport),
    ]
    if session.ended_us is None:
        rows.append(("state", f"running since {duration_text(session.ran_us)}"))
    else:
        rows += [
            ("ended", f"{local_time(session.ended_us, date=True)}, after {duration_text(session.ran_us)}"),
            ("ended by", _ended_by(session)),
        ]
        if session.ended_by != "killed" and session.exit_code is not None:
            rows.append(("exit code", exit_text(session.exit_code)))
    if session.detail and session.ended_by != SIGNAL:
        rows.append(("said", one_line(session.detail)))
    rows.append(("calls", _calls(session)))
    if session.open_count:
        rows.append(("open calls", _open(session)))
    if session.restarts:
        rows.append(("restarts", str(session.restarts)))
    if session.stray_lines:
        first = "" if session.stray_us is None else f", the first at {local_time(session.stray_us, date=True)}"
        rows.append(("stray lines", f"{session.stray_lines} on stdout that are not JSON-RPC{first}"))
    rows += [("hint", hint) for hint in hints(session)]
    return rows


def hints(session: SessionRow) -> list[str]:
    """What to do about it, where that is known."""
    found = []
    name = session.server
    early = session.ended_us is not None and not session.answered and session.ended_by in {"server", LAUNCH}
    if session.exit_code == NOT_FOUND:
        found.append(
            "127 means that a command was not found: the server's, its runner's (npx, uvx) or one that a "
            "script calls. MCP clients often start servers with a shorter PATH than your shell has; give the "
            "command's whole path"
        )
    elif session.exit_code == NOT_EXECUTABLE:
        found.append("126 means that the file is there and cannot be executed: chmod +x, or a wrong #! line")
    elif session.ended_by == "killed":
        found.append("open calls are those known a moment before; clients kill a server that takes too long to end")
    elif session.exit_code is not None and signal_name(session.exit_code) == "SIGKILL" and session.ended_by == "server":
        found.append(
            "nothing in thv kills a server while its client is there: often the system was out of memory "
            "(`journalctl -k`, `dmesg`)"
        )
    elif session.exit_code is not None and signal_name(session.exit_code) in {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL"}:
        found.append("the server's program crashed")
    if early and session.exit_code not in {NOT_FOUND, NOT_EXECUTABLE}:
        found.append(
            "it ended before it answered anything. What it wrote to stderr went past thv to the client's log; "
            f"to see it: thv doctor --start {name}"
        )
    if session.stray_lines:
        found.append(
            "a stdio server may write JSON-RPC only to stdout; logs belong on stderr. Some clients end a "
            "session over a stray line"
        )
    return found


def _ended_by(session: SessionRow) -> str:
    if session.ended_by == SIGNAL and session.detail:
        return f"{one_line(session.detail)} to thv, from the client or from you"
    return ENDED_BY.get(session.ended_by or "", session.ended_by or "unknown")


def _calls(session: SessionRow) -> str:
    text = f"{session.calls}, of which {session.errors} failed" if session.calls else "none"
    if session.lost:
        text += f"; {session.lost} requests could not be written into the journal"
    return text


def _open(session: SessionRow) -> str:
    at = session.ended_us if session.ended_us is not None else session.updated_us
    named = [
        f"{one_line(each.name or each.method)} for {duration_text(max(0, at - each.started_us))}"
        for each in session.open_requests[:OPEN_SHOWN]
    ]
    others = session.open_count - len(named)
    return f"{session.open_count}: {', '.join(named)}{f' and {others} more' if others > 0 else ''}"
