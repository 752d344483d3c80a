"""A server that is a process of our own ends once, whatever interrupts the wait for it."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from thv.mcp_client.process_connection import ProcessConnection

if TYPE_CHECKING:
    from collections.abc import Callable

LISTENS = "import sys; sys.stdin.read(); sys.exit(3)"


@pytest.mark.parametrize("begins", [False, True])
def test_a_signal_during_the_start_of_the_thread_that_waits_for_the_exit_changes_nothing(
    begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupted thread never begins, or so late that the server has been reaped."""
    connection = ProcessConnection(sys.executable, [sys.executable, "-c", LISTENS])
    late: list[Callable[[], None]] = []

    def interrupted(thread: threading.Thread) -> None:
        late.append(thread.run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            connection.close()
    assert connection.close() == 3
    for run in late if begins else ():
        run()
    assert len(late) == 1
