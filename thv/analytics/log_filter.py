"""Keeps what OpenTelemetry logs about our work off stderr, which belongs to the server and to the user.

Only lines logged on the analytics thread are dropped: the user's own telemetry, on other threads, is heard exactly as
without us. No handler, level or logger of the application is replaced.
"""

from __future__ import annotations

import logging
import threading

LOGS_WHILE_IMPORTED = "opentelemetry.context"
"""Complains of `OTEL_PYTHON_CONTEXT` during its own import, before its logger could be found."""


class _NotFromThread(logging.Filter):
    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self.thread = thread

    def filter(self, _: logging.LogRecord) -> bool:
        return threading.current_thread() is not self.thread


def silence_this_thread() -> None:
    """Drop what the calling thread logs through OpenTelemetry's loggers, as far as they exist.

    A filter holds for one logger only, not for those below it: call this before the import, and again after it.
    """
    quiet = _NotFromThread(threading.current_thread())
    known = {name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "opentelemetry"}
    for name in {*known, LOGS_WHILE_IMPORTED}:
        logger = logging.getLogger(name)
        if not any(isinstance(other, _NotFromThread) and other.thread is quiet.thread for other in logger.filters):
            logger.addFilter(quiet)
