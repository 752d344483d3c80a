"""An event loop whose clock the test owns."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class JumpingSelector(selectors.DefaultSelector):
    """Puts its clock forward instead of waiting for a time; it waits for descriptors where no time is waited for."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self.now = round(self.now + max(0.0, timeout), 9)  # as exactly as the loop reads a clock
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that is at the next timer as soon as nothing else is left to do: hours take no time.

    What comes from another process may come at any time of its clock, so no timer may run while a test waits for that.
    """

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def play_jumping(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario to its end on a `JumpingLoop`."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(scenario)
