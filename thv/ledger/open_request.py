"""What the ledger remembers of a request that is open, and of a task; short texts only, nothing that holds a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from thv.core.interfaces import ErrorSummary
    from thv.core.message import ErrorObject

NAME_CHARACTERS: Final = 128
"""Characters kept of a method and of a tool's or prompt's name; the specification recommends at most 128 for tools."""

MESSAGE_READ: Final = 1024
"""Characters kept of an error message until it is redacted and cut."""


class OpenRequest(Struct, gc=False, eq=False):
    """A request that was not answered yet."""

    serial: int
    kind: int
    task_id: str | None = None
    token: object = None  # what the request observer gave
    # The rest is for the request log.
    method: str = "tools/call"
    name: str | None = None
    started_ns: int = 0
    request_bytes: int = 0
    arguments: str | None = None
    result: str | None = None


class OpenTask(Struct, frozen=True, gc=False, eq=False):
    """A task that a call created and that has no outcome yet."""

    extension: bool  # of the 2026-07-28 extension, whose `tasks/get` brings the outcome
    request: OpenRequest  # the call that created it


def summarize_error(error: ErrorObject | None) -> ErrorSummary | None:
    """What the request log may keep of an error: never the line that it came in."""
    if error is None:
        return None
    code = error.code
    number = int(code) if code is not None and code % 1 == 0 and abs(code) < 1 << 53 else None
    return number, None if error.message is None else error.message[:MESSAGE_READ]
