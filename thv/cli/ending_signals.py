"""What a command does that has servers running when it is asked to end: it ends them first."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final, Self

from thv.cli.output import INTERRUPTED

if TYPE_CHECKING:
    from types import FrameType

ENDING_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
"""The signals after which servers are ended before this process is, where the system has them."""


class EndingSignals:
    """Used as a context manager: every signal that asks this process to end raises KeyboardInterrupt meanwhile.

    Attributes:
        received: the signals that came.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for name in ENDING_SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # under nohup, or in the background
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 + N for the first signal N that came."""
        return 128 + self.received[0] if self.received else INTERRUPTED

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        raise KeyboardInterrupt
