"""A server that is a process of our own ends once, whatever interrupts the wait for it."""

from __future__ import annotations

import sys
import threading

import pytest

from thv.mcp_client.process_connection import ProcessConnection

LISTENS = "import sys; sys.stdin.read(); sys.exit(3)"


def test_a_signal_that_comes_as_the_wait_for_the_exit_begins_leaves_the_end_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    for begins in (False, True):
        connection = ProcessConnection(sys.executable, [sys.executable, "-c", LISTENS])

        def interrupted(thread: threading.Thread, begins: bool = begins) -> None:
            if begins:
                start(thread)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                connection.close()
        assert connection.close() == 3


def test_a_second_wait_for_the_exit_finds_the_server_reaped_without_a_word() -> None:
    connection = ProcessConnection(sys.executable, [sys.executable, "-c", LISTENS])
    assert connection.close() == 3
    connection._wait()
    assert connection._has_exited.is_set()
