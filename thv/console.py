"""Our own words: one line at a time, on stderr, whatever state stderr is in. stdout belongs to answers and to MCP."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.errors import ThvError


def say(text: str) -> None:
    """Write ``thv: text`` to stderr in one piece, so that it does not mix with a server's lines.

    A closed or broken stderr is no reason to fail: then nobody is there to be told.
    """
    try:
        say_or_raise(text)
    except OSError:
        pass


def report(error: ThvError, *, debug: bool) -> int:
    """Tell the user of an error, with its traceback if asked for; returns its exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    say(str(error))
    return error.exit_code


def say_or_raise(text: str) -> None:
    """The same, for words that must have been said before something else happens.

    Raises:
        OSError: they could not be written.
    """
    data = f"thv: {text}\n".encode("utf-8", "replace")
    while data:
        try:
            data = data[os.write(2, data) :]
        except BlockingIOError:
            select.select([], [2], [])
