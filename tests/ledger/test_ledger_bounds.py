"""What the ledger keeps is bounded: the oldest open call or task is dropped for a new one, at a bounded cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ledger.stories import CALL, CANCEL, ERROR, NEW_TASK, OK, awaited, numbered, play, told
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    import pytest

    from thv.core.interfaces import Outcome


def test_the_oldest_open_call_is_dropped_when_there_are_too_many() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend], max_open=3)
    play(ledger, [numbered(CALL, number) for number in range(5)])
    assert awaited(ledger) == 3
    play(ledger, [numbered(OK, number) for number in range(5)])
    assert outcomes == ["success"] * 3


def test_the_oldest_is_told_by_age_also_among_calls_that_share_an_id() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend], max_open=3)
    play(ledger, [CALL, numbered(CALL, 2), CALL, OK, numbered(CALL, 3), numbered(CALL, 4)])
    play(ledger, [numbered(ERROR, 2), ERROR, numbered(ERROR, 3), numbered(ERROR, 4)])
    assert outcomes == ["success", "error", "error", "error"]


def test_the_oldest_unfinished_task_is_dropped_when_there_are_too_many() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend], max_open=2)
    for name in ("t", "u", "v"):
        play(ledger, [CALL, NEW_TASK.replace('"t"', f'"{name}"')])
    ledger.server_exited()
    assert outcomes == ["error"] * 2


def test_dropping_looks_at_each_open_call_once_however_many_are_never_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def counting_age(entry: Any) -> int:
        nonlocal looked
        looked += 1
        serial: int = entry[1].serial
        return serial

    monkeypatch.setattr("thv.ledger.open_requests.age", counting_age)
    ledger = ToolCallLedger(max_open=100)
    for number in range(5_000):
        play(ledger, [numbered(CALL, number)])
    assert awaited(ledger) == 100
    assert 5_000 - 100 <= looked <= 2 * 5_000, "a look at every open call for each drop would be 490 000"


def test_the_oldest_and_not_the_newest_is_dropped() -> None:
    """Told apart by their replies: calls 0 and 1 are dropped, 2 to 4 answered with alternating outcomes."""
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend], max_open=3)
    play(ledger, [numbered(CALL, number) for number in range(5)])
    play(ledger, [numbered(OK, 0), numbered(OK, 1), numbered(ERROR, 2), numbered(OK, 3), numbered(ERROR, 4)])
    assert outcomes == ["error", "success", "error"]


def test_the_oldest_and_not_the_newest_awaited_call_is_dropped_for_an_unreadable_line() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    play(ledger, ['> {"id":0,"method":"ping"}', CALL, numbered(CALL, 2), numbered(CALL, 3), "unreadable"])
    play(ledger, [numbered(OK, 1), numbered(ERROR, 2), numbered(OK, 3)])
    assert outcomes == ["error", "success"]


def test_the_oldest_and_not_the_newest_task_is_dropped() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend], max_open=2)
    for name in ("t", "u", "v"):
        play(ledger, [CALL, NEW_TASK.replace('"t"', f'"{name}"')])
    play(ledger, [told(status="completed").replace('"t"', f'"{name}"') for name in ("t", "u")])
    play(ledger, [told(status="failed").replace('"t"', '"v"')])
    assert outcomes == ["success", "error"]


def test_cancelled_ids_are_not_remembered_without_end() -> None:
    ledger = ToolCallLedger(max_open=10)
    for number in range(1_000):
        play(ledger, [numbered(CALL, number), CANCEL.replace("1", str(number))])
    assert len(ledger._cancelled) <= 10
