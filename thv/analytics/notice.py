"""The first-run notice: tells a person what will be sent, and how to stop it, before anything ever is.

Shown once per machine account; shown again each time if that it was shown cannot be recorded. If it cannot be shown,
nothing may be sent: the caller asks `shown` first and obeys. It knows nothing of counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thv.analytics.constants import DO_NOT_TRACK, ENDPOINT, SETTING
from thv.core.state_dir import user_state_dir

if TYPE_CHECKING:
    from collections.abc import Callable

MARKER = "usage-analytics-notice-shown"
"""The file that records the showing, in the user's state directory. Its existence is all it says."""

NOTICE = f"""\
Anonymous usage analytics are on. thv reports how many tool calls succeeded and how many failed, nothing else,
to {ENDPOINT}: no names, arguments, results, paths or identifiers.
To turn this off: thv config otel set {SETTING} false   (or set {DO_NOT_TRACK}=1)
Byte by byte: thv analytics show, docs/usage-analytics.md, https://docs.toolhive.dev/usage-analytics. Shown once."""


def shown(warn: Callable[[str], None], state_dir: Callable[[], str | Path] | None = None) -> bool:
    """Make sure the notice has been shown on this machine: now, if it was not before.

    Args:
        warn: writes a text for people; raises if it could not.
        state_dir: the directory of the marker; see `thv.core.state_dir.user_state_dir`.

    Returns:
        True if the user has been told; False if telling failed, and nothing may be sent.
    """
    marker = _marker(state_dir or user_state_dir)
    if marker is not None and _exists(marker):
        return True
    try:
        warn(NOTICE)
    except Exception:  # noqa: BLE001 - stderr may be closed, full or anything: not told is not told
        return False
    if marker is not None:
        _record(marker)
    return True


def was_shown(state_dir: Callable[[], str | Path] | None = None) -> bool:
    """Whether it is recorded that the user has seen the notice. Says nothing and records nothing."""
    marker = _marker(state_dir or user_state_dir)
    return marker is not None and _exists(marker)


def _marker(state_dir: Callable[[], str | Path]) -> Path | None:
    try:
        return Path(state_dir()) / MARKER
    except Exception:  # noqa: BLE001 - no HOME, a strange platform: then the notice is shown each time
        return None


def _exists(marker: Path) -> bool:
    try:
        return marker.is_file()
    except OSError:
        return False


def _record(marker: Path) -> None:
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:
        return  # shown again next time
