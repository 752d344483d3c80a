"""How a command ends: its answer on stdout, or one line on stderr, and the exit code.

Both readers of the command line, the fast and the full one, end their commands here, so that no way in can answer
differently. Knows no command; imports nothing slow.
"""

from __future__ import annotations

import os
import sys

from thv.errors import ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""128 + SIGINT, as a shell gives it."""


def answer(text: str) -> None:
    """Write a line to stdout, at once; characters that stdout cannot show become question marks.

    Raises:
        BrokenPipeError: its reader has left.
        ThvError: it cannot be written.
    """
    if sys.stdout is None:  # closed by whoever started us
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_stdout()
        raise ThvError(f"the answer cannot be written to stdout: {error.strerror}") from error


def ended(command: Callable[[], object], *, debug: bool) -> int:
    """Run a command to its end; returns its exit code and never raises."""
    try:
        result = command()
    except ThvError as error:
        from thv.core.console import report

        return report(error, debug=debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `thv ... | head`
        _discard_stdout()
        return 0
    except Exception as error:  # noqa: BLE001  one line, and no traceback unless it is asked for
        from thv.core.console import report_unexpected

        return report_unexpected(error, debug=debug)
    return result if isinstance(result, int) else 0


def _discard_stdout() -> None:
    """What could not be written must not be tried again when the interpreter ends."""
    try:  # noqa: SIM105  contextlib costs 4 ms
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a test's own stdout
        pass
