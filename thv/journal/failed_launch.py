"""Keeps in the journal that a server could not be started, so that `thv why` can tell. Never raises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thv.errors import ThvError

WRITE_S = 1.0
"""Seconds that the failed command waits for the store."""


def keep(server: str, transport: str, error: ThvError) -> None:
    """Write down a session that never began.

    Args:
        server: what people call the server.
        transport: how clients would have reached it: `stdio`, `streamable-http` or `sse`.
        error: why it could not be started. Its text holds no secret value, as no error of thv does.
    """
    try:
        _keep(server, transport, error)
    except Exception:  # noqa: BLE001  the error itself is about to be told, and matters more
        return


def _keep(server: str, transport: str, error: ThvError) -> None:
    import threading  # noqa: F401  before the thread that needs it

    from thv.config.settings import config_path
    from thv.core.console import warn
    from thv.journal.call_record import MESSAGE_CHARACTERS, cut
    from thv.journal.ending import LAUNCH
    from thv.journal.journal_settings import resolve
    from thv.journal.make_writer import make_writer

    writer = make_writer(resolve(os.environ, config_path(os.environ)), activity=lambda: 0, warn=warn)
    if writer is None:
        return
    session = writer.open_session(server, transport)
    session.set_end(LAUNCH, error.exit_code, cut(str(error), MESSAGE_CHARACTERS))
    session.closed(LAUNCH)
    writer.close(WRITE_S)
