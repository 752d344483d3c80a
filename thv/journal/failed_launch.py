"""Keeps in the journal that a server could not be started, so that `thv why` can tell. Never raises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.errors import ThvError

WRITE_S = 1.0
"""Seconds that the failed command waits for the store."""


def keep(server: str, error: ThvError) -> None:
    """Write down a session that never began.

    Args:
        server: what people call the server.
        error: why it could not be started. Its text holds no secret value, as no error of thv does.
    """
    try:
        _keep(server, error)
    except Exception:  # noqa: BLE001  the error itself is about to be told, and matters more
        return


def _keep(server: str, error: ThvError) -> None:
    import threading  # noqa: F401  before the thread that needs it

    from thv.config.settings import config_path
    from thv.core.console import warn
    from thv.journal.call_record import MESSAGE_CHARACTERS, cut
    from thv.journal.ending import LAUNCH
    from thv.journal.journal_settings import journal_path, resolve
    from thv.journal.writer import JournalWriter

    settings = resolve(os.environ, config_path(os.environ))
    if not settings.enabled:
        return
    writer = JournalWriter(
        journal_path(),
        max_bytes=settings.max_bytes,
        max_age_s=settings.max_age_s,
        activity=lambda: 0,
        warn=warn,
    )
    session = writer.open_session(server, "stdio")
    session.set_end(LAUNCH, error.exit_code, cut(str(error), MESSAGE_CHARACTERS))
    session.closed(LAUNCH)
    writer.close(WRITE_S)
