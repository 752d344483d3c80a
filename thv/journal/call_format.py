"""One finished request as a line for people, or as an object for programs. Times are the user's own, or UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thv.core.printable import one_line
from thv.journal.call_record import ERROR, FAILURES, SERVER_EXITED, SUCCESS, TIMED_OUT
from thv.journal.time_range import format_time, local_time

if TYPE_CHECKING:
    from thv.journal.journal_reader import LoggedCall

WORDS: Final = {SUCCESS: "ok", ERROR: "error", SERVER_EXITED: "server exited", TIMED_OUT: "timed out"}
"""How an outcome is put to people; the others as in `STATUS_NAMES`, with spaces."""

GREEN: Final = "\x1b[32m"
RED: Final = "\x1b[31m"
YELLOW: Final = "\x1b[33m"
DIM: Final = "\x1b[2m"
RESET: Final = "\x1b[0m"

OUTCOME_WIDTH: Final = 13
DURATION_WIDTH: Final = 8
SIZE_WIDTH: Final = 9


def call_object(call: LoggedCall) -> dict[str, Any]:
    """The request as one JSON object: the same keys each time, null for what there is none of."""
    record = call.record
    return {
        "time": format_time(call.ended_us),
        "server": call.server,
        "client": call.client or None,
        "session": f"{call.session_id:012x}",
        "method": record.method,
        "tool": record.name if record.is_tool_call else None,
        "name": record.name,
        "outcome": call.outcome,
        "failed": record.failed,
        "duration_ms": record.duration_us / 1000,
        "request_bytes": record.request_bytes,
        "response_bytes": record.response_bytes,
        "error_code": record.code,
        "error_message": record.message,
        "arguments": record.arguments,
        "result": record.result,
    }


def call_line(call: LoggedCall, *, colour: bool, date: bool, server_width: int, name_width: int) -> str:
    """The request as one line, its columns as wide as asked for or wider."""
    record = call.record
    what = one_line(record.name or "?") if record.is_tool_call else _other(record.method, record.name)
    status = record.status
    outcome = WORDS.get(status, call.outcome.replace("_", " "))
    paint = GREEN if status == SUCCESS else RED if status in FAILURES else YELLOW
    parts = [
        _painted(local_time(call.ended_us, date=date), DIM, colour=colour),
        f"{one_line(call.server):{server_width}}",
        f"{what:{name_width}}",
        _painted(f"{outcome:{OUTCOME_WIDTH}}", paint, colour=colour),
        f"{duration_text(record.duration_us):>{DURATION_WIDTH}}",
        f"{size_text(record.response_bytes):>{SIZE_WIDTH}}" if record.response_bytes else " " * SIZE_WIDTH,
    ]
    if record.code is not None or record.message is not None:
        parts.append(
            " ".join(str(each) for each in (record.code, one_line(record.message or "")) if each not in {None, ""})
        )
    if record.arguments is not None:
        parts.append(f"args {one_line(record.arguments)}")
    if record.result is not None:
        parts.append(f"result {one_line(record.result)}")
    return "  ".join(parts).rstrip()


def duration_text(microseconds: float) -> str:
    """A duration in the unit that keeps it short."""
    for unit, size, below in (("µs", 1, 1_000), ("ms", 1_000, 1_000_000), ("s", 1_000_000, 60_000_000)):
        if microseconds < below:
            number = microseconds / size
            return f"{number:.0f} {unit}" if number >= 100 or unit == "µs" else f"{number:.3g} {unit}"  # noqa: PLR2004  digits  three digits
    minutes, seconds = divmod(int(microseconds) // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} m" if hours else f"{minutes} m {seconds:02} s"


def size_text(number: float) -> str:
    """So many bytes in the unit that keeps it short."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:  # noqa: PLR2004  the next unit begins
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.3g} {unit}"  # noqa: PLR2004  digits
        number /= 1024
    return f"{number:.3g} GiB"


def _other(method: str, name: str | None) -> str:
    return one_line(method if name is None else f"{method} {name}")


def _painted(text: str, paint: str, *, colour: bool) -> str:
    return f"{paint}{text}{RESET}" if colour else text
