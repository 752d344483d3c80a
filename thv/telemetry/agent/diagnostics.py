"""What the agent writes to stderr: each problem once, what was lost at the end, and with `--debug` each export.

Everything goes through one log handler, on which the loggers of the SDK, of `requests` and of `grpc` do not write:
their messages quote servers, URLs and headers. At the end of a session everything comes in one line.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.telemetry.agent.export_errors import Cause

WRITE_TIMEOUT_S = 0.1
"""How long a line waits for a reader of stderr: exports go on where nothing drains it."""

LOGGER = "thv.telemetry.agent"


class StderrHandler(logging.Handler):
    """Writes each record as one line to a descriptor, and gives up where nothing reads it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        line = f"thv: {record.getMessage()}\n".encode("utf-8", "replace")
        try:
            if sys.platform == "win32" or select.select([], [self._descriptor], [], WRITE_TIMEOUT_S)[1]:
                os.write(self._descriptor, line)
        except OSError:
            pass  # a stderr that cannot be written is no reason to stop exporting


def configure_logging(descriptor: int, *, debug: bool = False) -> None:
    """Send our own records to this descriptor, and every other logger's nowhere."""
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = [logging.NullHandler()]
    root.setLevel(logging.CRITICAL + 1)
    logger = logging.getLogger(LOGGER)
    logger.handlers = [StderrHandler(descriptor)]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)


class Diagnostics:
    """Reports problems once, and at the end what was lost."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)
        self._lock = Lock()
        self._reported: set[tuple[str, str]] = set()
        self._final: list[str] | None = None

    def warn(self, text: str) -> None:
        """Write one line now."""
        self._logger.warning("%s", text)

    def failed(self, endpoint: str, cause: Cause) -> None:
        """Report a failed export to `endpoint`, unless the same cause was reported before."""
        with self._lock:
            if (endpoint, cause.kind) in self._reported:
                return
            self._reported.add((endpoint, cause.kind))
            sentence = f"telemetry: {endpoint} {cause.text}"
            if self._final is None:
                self.warn(sentence)
            else:
                self._final.append(sentence)

    def exported(self, what: str, endpoint: str, seconds: float, cause: Cause | None) -> None:
        """With `--debug`, report one request and its result."""
        result = "taken" if cause is None else f"not taken: it {cause.text}"
        self._logger.debug("%s", f"telemetry: {what} to {endpoint}, {seconds * 1000:.0f} ms: {result}")

    def collect_final(self) -> None:
        """From now on keep problems for `report_loss`."""
        with self._lock:
            self._final = []

    def report_loss(self, *, lost: list[str], unknown: list[str]) -> None:
        """Write the last line: what was lost, and what may have been, as `["3 spans", "the last metrics"]`."""
        with self._lock:
            sentences = self._final or []
        if lost:
            verb = "was" if lost == ["1 span"] else "were"
            sentences = [*sentences, f"{' and '.join(lost)} {verb} lost"]
        if unknown:
            sentences = [*sentences, f"{' and '.join(unknown)} may be lost"]
        if sentences:
            line = "; ".join(sentences)
            self.warn(line if line.startswith("telemetry: ") else f"telemetry: {line}")
