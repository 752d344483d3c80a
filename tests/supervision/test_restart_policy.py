"""When a server that died is started again, on a clock that the test owns."""

from __future__ import annotations

from thv.supervision.restart_policy import BACK_OFF_S, WINDOW_S, BackOff


def test_each_restart_waits_longer_and_then_it_is_given_up() -> None:
    back_off = BackOff(7, lambda: 0.0)
    assert [back_off.next_wait() for _ in range(8)] == [*BACK_OFF_S, BACK_OFF_S[-1], BACK_OFF_S[-1], None]


def test_a_death_of_more_than_a_minute_ago_counts_no_more() -> None:
    now = 0.0
    back_off = BackOff(2, lambda: now)
    assert back_off.next_wait() == BACK_OFF_S[0]
    now = 1.0
    assert back_off.next_wait() == BACK_OFF_S[1]
    now = WINDOW_S
    assert back_off.next_wait() is None
    now = WINDOW_S + 0.5
    assert back_off.next_wait() == BACK_OFF_S[1]


def test_without_restarts_it_is_given_up_at_once() -> None:
    assert BackOff(0).next_wait() is None
