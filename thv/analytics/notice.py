"""The first-run notice: says what will be sent, and how to stop it, before anything ever is.

Shown once per machine account, and once more on the first terminal, because MCP clients write stderr into a log that
few people open. Shown again each time if that it was shown cannot be recorded. If it cannot be shown, nothing may be
sent: the caller asks `shown` first and obeys. It knows nothing of counts.
"""

# ruff: noqa: PTH103, PTH113, PTH118, PTH123  pathlib costs milliseconds that fast commands do not have

from __future__ import annotations

import os

from thv.analytics.constants import DO_NOT_TRACK, ENDPOINT, SETTING
from thv.core.state_dir import user_state_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKER = "usage-analytics-notice-shown"
"""The file that records the showing, in the user's state directory. Its existence is all it says."""

TERMINAL_MARKER = "usage-analytics-notice-shown-on-terminal"
"""The same, where it was shown on a terminal."""

NOTICE = f"""\
Anonymous usage analytics are on. thv reports how many tool calls succeeded and how many failed, nothing else,
to {ENDPOINT}: no names, arguments, results, paths or identifiers.
To turn this off: thv config otel set {SETTING} false   ({DO_NOT_TRACK}=1 works too, where thv sees it)
Byte by byte: thv analytics show, docs/usage-analytics.md, https://docs.toolhive.dev/usage-analytics. Shown once."""


def shown(warn: Callable[[str], None], state_dir: Callable[[], str | Path] | None = None) -> bool:
    """Make sure the notice has been shown on this machine: now, if it was not before.

    Args:
        warn: writes a text to stderr; raises if it cannot be written there, or not be read.
        state_dir: the directory of the markers; see `thv.core.state_dir.user_state_dir`.

    Returns:
        True if the notice was shown; False if showing it failed, and nothing may be sent.
    """
    if was_shown(state_dir):
        return True
    return show(warn, state_dir)


def is_due_on_terminal(state_dir: Callable[[], str | Path] | None = None) -> bool:
    """Whether it was shown before, though not on a terminal, and stderr is one now."""
    return _is_terminal() and was_shown(state_dir) and not _exists(_path(TERMINAL_MARKER, state_dir))


def was_shown(state_dir: Callable[[], str | Path] | None = None) -> bool:
    """Whether it is recorded that the user has seen the notice. Shows nothing and records nothing."""
    return _exists(_path(MARKER, state_dir))


def show(warn: Callable[[str], None], state_dir: Callable[[], str | Path] | None = None) -> bool:
    """Show it and record that; False if it cannot be shown. Arguments as for `shown`."""
    try:
        warn(NOTICE)
    except Exception:  # noqa: BLE001 - stderr may be closed, full or anything: not shown is not shown
        return False
    _record(_path(MARKER, state_dir))
    if _is_terminal():
        _record(_path(TERMINAL_MARKER, state_dir))
    return True


def _is_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _path(name: str, state_dir: Callable[[], str | Path] | None) -> str | None:
    try:
        return os.path.join((state_dir or user_state_dir)(), name)
    except Exception:  # noqa: BLE001 - no HOME, a strange platform: then the notice is shown each time
        return None


def _exists(marker: str | None) -> bool:
    return marker is not None and os.path.isfile(marker)


def _record(marker: str | None) -> None:
    if marker is None:
        return
    try:
        os.makedirs(os.path.dirname(marker), exist_ok=True)  # noqa: PTH120  as above
        with open(marker, "ab"):
            pass
    except OSError:
        return  # shown again next time
