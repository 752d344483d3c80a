"""How a command ends: its answer on stdout, or one line on stderr, and the exit code.

The fast path and the full command line both run their commands here, so that they cannot answer differently. Knows no
command; imports nothing slow.
"""

from __future__ import annotations

import errno
import os
import sys

from thv.errors import ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""128 + SIGINT, as a shell gives it."""

UNWRITABLE = {
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EBADF", "ENXIO") if hasattr(errno, name)
}
"""Errors of a write to a full disk, beyond a limit, to a broken disk or to a closed descriptor."""


class ClosedStdout:
    """Replaces a stdout that was closed when thv was started: using it fails with one clear line."""

    encoding = "utf-8"
    errors = "replace"

    def write(self, _text: str | bytes) -> int:
        """Fail.

        Raises:
            ThvError: always.
        """
        raise ThvError("the answer cannot be written: stdout is closed")

    def fileno(self) -> int:
        """Fail.

        Raises:
            ThvError: always.
        """
        raise ThvError("the answer cannot be written: stdout is closed")

    def flush(self) -> None:
        """Nothing was written."""

    def isatty(self) -> bool:
        """It is no terminal."""
        return False


def answer(text: str) -> None:
    """Write a line to stdout, at once; characters that stdout cannot show become question marks.

    Raises:
        BrokenPipeError: its reader has left.
        ThvError: it cannot be written.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_stdout()
        raise ThvError(f"the answer cannot be written to stdout: {error.strerror}") from error


def run_to_exit_code(command: Callable[[], object], *, debug: bool) -> int:
    """Run a command to its end; returns its exit code and never raises."""
    if sys.stdout is None:
        sys.stdout = ClosedStdout()
    try:
        result = command()
        sys.stdout.flush()
    except ThvError as error:
        from thv.core.console import report

        return report(error, debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `thv ... | head`
        _discard_stdout()
        return 0
    except OSError as error:
        return _report_os_error(error, debug=debug)
    except Exception as error:  # noqa: BLE001  one line, and no traceback unless it is asked for
        from thv.core.console import report_unexpected

        return report_unexpected(error, debug=debug)
    return result if isinstance(result, int) else 0


def _report_os_error(error: OSError, *, debug: bool) -> int:
    """Report an error of the system that no part expected; mostly it is stdout, which the libraries write for us."""
    from thv.core.console import report, report_unexpected

    if error.filename is not None or error.errno not in UNWRITABLE:
        return report_unexpected(error, debug=debug)
    _discard_stdout()
    return report(ThvError(f"the answer cannot be written to stdout: {error.strerror}"), debug=debug)


def _discard_stdout() -> None:
    """What could not be written must not be tried again when the interpreter ends."""
    try:  # noqa: SIM105  contextlib costs 4 ms
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, ThvError):  # a test's own stdout, or none
        pass
