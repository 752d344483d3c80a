"""Messages to the user: one line at a time, on stderr, whatever its state. stdout belongs to output and to MCP.

A stderr that is not read holds nothing up: after `WRITE_TIMEOUT_S` a message is dropped.
"""

from __future__ import annotations

import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.errors import ThvError


WRITE_TIMEOUT_S = 1.0
"""How long a message waits for a reader. A client that never drains stderr must still see its session end."""

PIECE = getattr(select, "PIPE_BUF", 1 << 20)
"""Bytes that a pipe takes at once whenever it is writable (POSIX.1-2024, `write`)."""


def warn(text: str) -> None:
    """Write ``thv: text`` to stderr in one piece, so that it does not mix with a server's lines.

    A closed or broken stderr is no reason to fail: the message is dropped.
    """
    try:
        warn_or_raise(text)
    except OSError:
        pass


def report(error: ThvError, debug: bool) -> int:
    """Print an error, with its traceback if `debug` is set; returns its exit code."""
    if debug:
        _print_traceback(error)
    warn(str(error))
    return error.exit_code


def report_unexpected(error: Exception, *, debug: bool) -> int:
    """Print an error that should not occur; returns its exit code."""
    if debug:
        _print_traceback(error)
    warn(f"internal error: {error!r}; run it again with --debug and report what it shows")
    return 1


def _print_traceback(error: Exception) -> None:
    import traceback

    warn("".join(traceback.format_exception(error)).rstrip())


def warn_or_raise(text: str) -> None:
    """Do what `warn` does, where a message must have been printed before something else happens.

    Raises:
        OSError: it could not be written.
    """
    if not text.replace("\n", "").isprintable():  # a name in a file or an argument must not control the terminal
        from thv.core.printable import printable

        text = printable(text)
    data = f"thv: {text}\n".encode("utf-8", "replace")
    while data:
        _wait_writable()
        try:
            data = data[os.write(2, data[:PIECE]) :]
        except BlockingIOError:  # another process filled the pipe
            time.sleep(0)


def stderr_is_discarded() -> bool:
    """Whether nothing that is written to stderr can ever be read: it is closed, or a device such as `/dev/null`."""
    import stat

    try:
        return stat.S_ISCHR(os.fstat(2).st_mode) and not os.isatty(2)
    except OSError:
        return True


def _wait_writable() -> None:
    if sys.platform != "win32" and not select.select([], [2], [], WRITE_TIMEOUT_S)[1]:
        raise TimeoutError("stderr is not read")
