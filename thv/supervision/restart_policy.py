"""What `--restart` and `--call-timeout` ask for, and when a server that died is started again."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S: Final = 60.0
"""Restarts are given up after so many within this time."""

BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before each restart within the window; the last one for all further ones."""


class Policy:
    """What was asked for.

    Attributes:
        restarts: restarts within a minute, after which it is given up; None for none at all.
        call_timeout: seconds a tool call may take without progress; None for no limit.
    """

    __slots__ = ("call_timeout", "restarts")

    def __init__(self, restarts: int | None, call_timeout: float | None) -> None:
        self.restarts = restarts
        self.call_timeout = call_timeout


class BackOff:
    """How long to wait before each restart.

    Args:
        restarts: how many there may be within `WINDOW_S`.
        clock: seconds, as `time.monotonic` counts them.
    """

    def __init__(self, restarts: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._restarts = restarts
        self._clock = clock
        self._deaths: deque[float] = deque()

    def next_wait(self) -> float | None:
        """Seconds to wait before the next start; None to give up. Each call stands for one death of the server."""
        now = self._clock()
        while self._deaths and now - self._deaths[0] > WINDOW_S:
            self._deaths.popleft()
        if len(self._deaths) >= self._restarts:
            return None
        wait_s = BACK_OFF_S[min(len(self._deaths), len(BACK_OFF_S) - 1)]
        self._deaths.append(now)
        return wait_s
