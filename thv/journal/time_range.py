"""Reads `--since`: how far back, or from when."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from thv.errors import UsageError

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

LATEST_US: Final = 32_503_680_000_000_000
"""The year 3000, in microseconds since the epoch: later ones cannot be put into the user's time on every platform."""

_AGE: Final = re.compile(r"(\d{1,9})\s*([smhdw])", re.ASCII)


def parse_since(text: str, now_us: int) -> int:
    """The time that `text` means, in microseconds since the epoch: `90s`, `30m`, `1h`, `7d`, `2w`, a date or a time.

    Raises:
        UsageError: it means none.
    """
    word = text.strip()
    age = _AGE.fullmatch(word.lower())
    if age is not None:
        return max(0, now_us - int(age[1]) * UNITS_S[age[2]] * 1_000_000)
    try:
        return max(0, int(datetime.fromisoformat(word).timestamp() * 1_000_000))  # the user's own, if it says no zone
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since {text!r} is neither an age such as 30m, 1h or 7d nor a time such as 2026-11-28T09:30"
        ) from None


def format_time(time_us: int) -> str:
    """RFC 3339 in UTC with milliseconds, for programs."""
    moment = datetime.fromtimestamp(time_us / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(time_us: int, *, date: bool) -> str:
    """The time on the user's clock, for people."""
    # Not by `datetime`, which knows no zone that is a day or more away from UTC: POSIX has them up to 24:59:59.
    return time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", time.localtime(time_us / 1_000_000))
