"""Our own words: one line at a time, on stderr, whatever state stderr is in. stdout belongs to answers and to MCP.

A stderr that nobody reads holds nobody up: after `PATIENCE` the words are given up.
"""

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.errors import ThvError


PATIENCE = 1.0
"""Seconds that words wait for a reader. A client that never drains stderr must still see its session end."""

PIECE = getattr(select, "PIPE_BUF", 1 << 20)
"""Bytes that a pipe surely takes at once when it is said to take any (POSIX.1-2024, `write`)."""


def warn(text: str) -> None:
    """Write ``thv: text`` to stderr in one piece, so that it does not mix with a server's lines.

    A closed or broken stderr is no reason to fail: then nobody is there to be told.
    """
    try:
        warn_or_raise(text)
    except OSError:
        pass


def report(error: ThvError, debug: bool) -> int:
    """Tell the user of an error, with its traceback if asked for; returns its exit code."""
    if debug:
        _say_traceback(error)
    warn(str(error))
    return error.exit_code


def report_unexpected(error: Exception, *, debug: bool) -> int:
    """The same for an error that nobody foresaw."""
    if debug:
        _say_traceback(error)
    warn(f"internal error: {error!r}; run it again with --debug and report what it shows")
    return 1


def _say_traceback(error: Exception) -> None:
    import traceback

    warn("".join(traceback.format_exception(error)).rstrip())


def warn_or_raise(text: str) -> None:
    """The same, for words that must have been said before something else happens.

    Raises:
        OSError: they could not be written.
    """
    data = f"thv: {text}\n".encode("utf-8", "replace")
    while data:
        _await_room()
        try:
            data = data[os.write(2, data[:PIECE]) :]
        except BlockingIOError:  # somebody else took the room
            time.sleep(0)


def stderr_is_discarded() -> bool:
    """Whether nothing that is written to stderr can ever be read: it is closed, or a device such as `/dev/null`."""
    import stat

    try:
        return stat.S_ISCHR(os.fstat(2).st_mode) and not os.isatty(2)
    except OSError:
        return True


def _await_room() -> None:
    if sys.platform != "win32" and not select.select([], [2], [], PATIENCE)[1]:
        raise TimeoutError("nobody reads stderr")
