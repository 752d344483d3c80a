"""What is open at a server, and what is kept of each request."""

from __future__ import annotations

import pytest

from tests.ledger.stories import CALL, OK, numbered, play
from thv.ledger.ledger import ToolCallLedger

SUBSCRIPTION = '> {"id":9,"method":"subscriptions/listen","params":{}}'


def test_the_end_of_a_session_does_not_wait_for_a_subscription_which_is_answered_when_it_ends() -> None:
    ledger = ToolCallLedger()
    seen = []
    for step in (SUBSCRIPTION, CALL, OK, '> {"id":1,"method":"tools/list"}', OK):
        play(ledger, [step])
        seen.append(ledger.has_open_requests)
    assert seen == [False, True, False, True, False]
    assert [request.method for request in ledger.open_requests(9)[1]] == ["subscriptions/listen"]


@pytest.mark.parametrize("task", ["", ',"task":{}'], ids=["call", "call as task"])
def test_of_a_name_that_a_client_makes_up_128_characters_are_kept(task: str) -> None:
    """Open calls are bounded in number, and so is what each of them keeps."""
    ledger = ToolCallLedger()
    for number, length in enumerate((128, 129, 100_000)):
        call = f'> {{"id":1,"method":"tools/call","params":{{"name":"{"x" * length}"{task}}}}}'
        play(ledger, [numbered(call, number)])
    count, requests = ledger.open_requests(3)
    assert count == 3
    assert [request.name for request in requests] == ["x" * 128] * 3


def test_of_a_method_that_a_client_makes_up_128_characters_are_kept() -> None:
    ledger = ToolCallLedger()
    play(ledger, [f'> {{"id":1,"method":"{"x" * 129}"}}'])
    [request] = ledger.open_requests(1)[1]
    assert request.method == "x" * 128
