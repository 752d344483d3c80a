"""The accounts of a proxy's sessions: bounded in number, dropped after a rest, and ended once."""

from __future__ import annotations

import pytest

from thv.http.proxy import proxy_sessions
from thv.http.proxy.proxy_sessions import IDLE_TIMEOUT_S, Sessions
from thv.instrumentation.instrumentation import Instrumentation

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}\n'


@pytest.fixture
def instrumentation(monkeypatch: pytest.MonkeyPatch) -> Instrumentation:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    return Instrumentation(activity=lambda: 0, debug=True)


def test_a_session_that_rested_is_over_and_one_with_a_stream_is_not(instrumentation: Instrumentation) -> None:
    now = 0.0
    sessions = Sessions(instrumentation, clock=lambda: now)
    resting, _streaming = sessions.get("resting"), sessions.get("streaming")
    sessions.leave(resting)
    now = IDLE_TIMEOUT_S + 1
    sessions.sweep()
    assert not sessions.known("resting")
    assert sessions.known("streaming")


def test_the_number_of_sessions_is_bounded(instrumentation: Instrumentation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_sessions, "MAX_SESSIONS", 3)
    sessions = Sessions(instrumentation)
    sessions.get("busy")
    for number in range(10):
        sessions.leave(sessions.get(str(number)))
    assert len(sessions) == 3
    assert sessions.known("busy")
    assert sessions.known("9")


def test_a_server_that_ends_a_session_leaves_its_calls_in_error_and_a_dropped_one_uncounted(
    instrumentation: Instrumentation,
) -> None:
    sessions = Sessions(instrumentation)
    for name in ("one", "two"):
        sessions.get(name).instrumentation.rewrite_client_data(CALL)
    sessions.drop("two")
    sessions.server_left("one")
    sessions.server_left("one")
    sessions.close()
    tally = instrumentation._tally
    assert tally is not None
    assert (tally.success, tally.error) == (0, 1)
