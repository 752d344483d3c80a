"""What the agent says on stderr: each cause once, what was lost at the end, and with `--debug` each export.

The last words come in one line: a session that ends with its collector down leaves one line, not three. A stderr that
cannot be written is nobody's concern.
"""

from __future__ import annotations

import os
import select
import sys
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.telemetry.agent.export_errors import Cause

PATIENCE_S = 0.1
"""Seconds that words wait for somebody to read stderr: exports must go on where nobody does."""


class Complaints:
    """Says things once.

    Args:
        descriptor: where; the agent's own copy of stderr.
        debug: whether each export is told of.
    """

    def __init__(self, descriptor: int, *, debug: bool = False) -> None:
        self._descriptor = descriptor
        self._debug = debug
        self._lock = Lock()
        self._said: set[tuple[str, str]] = set()
        self._last: list[str] | None = None

    def warn(self, text: str) -> None:
        """One line, now."""
        line = f"thv: {text}\n".encode("utf-8", "replace")
        try:
            if sys.platform != "win32" and not select.select([], [self._descriptor], [], PATIENCE_S)[1]:
                return
            os.write(self._descriptor, line)
        except OSError:
            return

    def failed(self, where: str, cause: Cause) -> None:
        """Something was not delivered to `where`: say so, if it is the first time for this cause."""
        with self._lock:
            if (where, cause.kind) in self._said:
                return
            self._said.add((where, cause.kind))
            sentence = f"telemetry: {where} {cause.text}"
            if self._last is None:
                self.warn(sentence)
            else:
                self._last.append(sentence)

    def exported(self, what: str, where: str, seconds: float, cause: Cause | None) -> None:
        """With `--debug`: one export and its fate."""
        if self._debug:
            fate = "taken" if cause is None else f"not taken: it {cause.text}"
            self.warn(f"telemetry: {what} to {where}, {seconds * 1000:.0f} ms: {fate}")

    def keep_for_last(self) -> None:
        """From now on causes wait for `last_words`."""
        with self._lock:
            self._last = []

    def last_words(self, *, spans: int, unmeasured: bool) -> None:
        """What was never delivered: `spans` of the whole session, and whether the last metrics are among it."""
        with self._lock:
            sentences = self._last or []
        lost = [f"{spans} span{'s' if spans > 1 else ''}"] if spans else []
        lost += ["the last metrics"] if unmeasured else []
        if lost:
            verb = "was" if lost == ["1 span"] else "were"
            sentences = [*sentences, f"{'' if sentences else 'telemetry: '}{' and '.join(lost)} {verb} lost"]
        if sentences:
            self.warn("; ".join(sentences))
