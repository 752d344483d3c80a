"""The one line that tells a person that the journal exists, where, and how to turn it off: on their first terminal."""

# ruff: noqa: PTH110, PTH118, PTH120  every command asks, and pathlib costs milliseconds

from __future__ import annotations

import os

from thv.journal.journal_settings import journal_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "notice-shown"
"""The file beside the journal whose existence says that the line was shown."""


def show_once(warn: Callable[[str], None]) -> None:
    """Show the line if there is a journal and it was not shown before. Never raises.

    Args:
        warn: writes a line to the terminal; raises OSError if it cannot, and then it does not count.
    """
    try:
        path = journal_path()
        mark = os.path.join(os.path.dirname(path), MARK)
        if not os.path.exists(path) or os.path.exists(mark):
            return
        warn(
            f"a local journal of your MCP calls (no arguments, no results, never sent) is kept in {path}; see it with "
            "`thv log`, turn it off with `thv config journal set enabled false`. Said once."
        )
        os.close(os.open(mark, os.O_CREAT | os.O_WRONLY, 0o600))
    except (OSError, RuntimeError):
        return
