"""A request observer hears of every request once, of its one end, and of a call's outcome when call observers do.

A story is a list of strings, as in stories.py: ``>`` the client sends the line, ``<`` the server does, and a word is
an event. What the observer hears is written `method:ending`, and `tool=outcome` for a call.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.stories import (
    ASK_RESULT,
    ASK_STATE,
    CALL,
    CALL_AS_TASK,
    CANCEL,
    NEW_TASK,
    OK,
    OLD_TASK,
    TOOL_ERROR,
    client_sent,
    server_sent,
)
from thv.core.message import UNREADABLE, read_line
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Hashable

    from thv.core.interfaces import EndReason, Outcome

LIST = '> {"id":2,"method":"tools/list"}'
LISTED = '< {"id":2,"result":{"tools":[]}}'
DONE = '< {"id":2,"result":{"taskId":"t","status":"completed","result":{"isError":true}}}'

STORIES: dict[str, tuple[list[str], str]] = {
    "a call and its reply": ([CALL, OK], "tools/call:answered x=success"),
    "a call that fails": ([CALL, TOOL_ERROR], "tools/call:answered x=error"),
    "every method is a request": ([LIST, LISTED], "tools/list:answered"),
    "an error is a reply": ([LIST, '< {"id":2,"error":{"code":-32601}}'], "tools/list:answered"),
    "a notification is no request": (['> {"method":"notifications/initialized"}', '> {"method":"tools/call"}'], ""),
    "a request of the server is another": (
        ['< {"id":1,"method":"roots/list"}', '> {"id":1,"result":{}}'],
        "asks:roots/list answers:1",
    ),
    "nor does it answer one": ([CALL, '< {"id":1,"method":"roots/list"}'], "asks:roots/list"),
    "nobody else's reply ends anything": ([CALL, '< {"id":9,"result":{}}'], ""),
    "a cancelled request has ended, and has no outcome": ([CALL, CANCEL, OK], "tools/call:cancelled"),
    "the reused id is another request": (
        [CALL, CANCEL, CALL, OK],
        "tools/call:cancelled tools/call:answered x=success",
    ),
    "the server goes": (
        [LIST, CALL, "gone"],
        "tools/list:server_exited tools/call:server_exited x=error closed:server_gone",
    ),
    "a call to a server that is gone": (
        ["gone", CALL, LIST],
        "closed:server_gone tools/call:server_exited x=error tools/list:server_exited",
    ),
    "the client goes": ([LIST, CALL, "abandon"], "tools/list:client_closed tools/call:client_closed closed:None"),
    "a session closes once": (["gone", "abandon", "gone"], "closed:server_gone"),
    "the oldest of too many is forgotten": ([CALL, CALL, CALL, LIST], "tools/call:evicted"),
    "an unreadable reply forgets the oldest call": ([LIST, CALL, "unreadable"], "tools/call:evicted"),
    "a batch": (
        [
            '> [{"id":1,"method":"tools/call","params":{"name":"x"}},{"id":2,"method":"ping"}]',
            f"< [{LISTED[2:]},{OK[2:]}]",
        ],
        "ping:answered tools/call:answered x=success",
    ),
    "a task of 2025-11-25": (
        [CALL_AS_TASK, OLD_TASK, ASK_RESULT, '< {"id":2,"result":{"isError":true}}'],
        "tools/call:answered tasks/result:answered x=error",
    ),
    "a task of 2026-07-28": ([CALL, NEW_TASK, ASK_STATE, DONE], "tools/call:answered tasks/get:answered x=error"),
    "a task that is announced": (
        [CALL, NEW_TASK, '< {"method":"notifications/tasks","params":{"taskId":"t","status":"failed"}}'],
        "tools/call:answered x=error",
    ),
    "a task open when the server goes": (
        [CALL, NEW_TASK, "gone"],
        "tools/call:answered x=error closed:server_gone",
    ),
    "a task open when the client goes": ([CALL, NEW_TASK, "abandon"], "tools/call:answered closed:None"),
    "a retry is a call of its own": (
        [CALL, '< {"id":1,"result":{"resultType":"input_required"}}', CALL, OK],
        "tools/call:answered tools/call:answered x=success",
    ),
}


class Token:
    def __init__(self, method: str, name: str | None) -> None:
        self.method, self.name, self.ended, self.outcomes = method, name, 0, 0


class Heard:
    """A request observer that writes down what it hears; `fails` names the method that raises."""

    def __init__(self, fails: str = "") -> None:
        self.words: list[str] = []
        self.tokens: list[Token] = []
        self.fails = fails
        self.heard = 0

    def _hear(self, what: str) -> None:
        self.heard += 1
        if what == self.fails:
            raise RuntimeError(what)

    def on_request_started(self, request: Any, at_ns: int) -> Token:
        self._hear("on_request_started")
        token = Token(request.method, request.params and request.params.name)
        self.tokens.append(token)
        return token

    def on_server_request(self, request: Any, at_ns: int, scope: Hashable) -> None:
        self._hear("on_server_request")
        self.words.append(f"asks:{request.method}")

    def on_server_request_answered(self, reply: Any, at_ns: int, scope: Hashable) -> None:
        self._hear("on_server_request_answered")
        self.words.append(f"answers:{reply.id}")

    def on_request_finished(
        self, token: object, reason: EndReason, reply: Any, at_ns: int, http_status: int | None
    ) -> None:
        self._hear("on_request_finished")
        assert isinstance(token, Token)
        assert (reply is not None) == (reason == "answered")
        token.ended += 1
        self.words.append(f"{token.method}:{reason}")

    def on_tool_outcome(self, token: object, outcome: Outcome) -> None:
        self._hear("on_tool_outcome")
        assert isinstance(token, Token)
        token.outcomes += 1
        self.words.append(f"{token.name}={outcome}")

    def on_session_closed(self, error_type: str | None) -> None:
        self._hear("on_session_closed")
        self.words.append(f"closed:{error_type}")


def tell(story: list[str], observer: Heard, reports: list[str] | None = None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    report = None if reports is None else reports.append
    ledger = ToolCallLedger([outcomes.extend], requests=observer, max_open=3, report=report)
    for step in story:
        if step.startswith("> "):
            client_sent(ledger, read_line(step[2:].encode() + b"\n"))
        elif step.startswith("< "):
            server_sent(ledger, read_line(step[2:].encode() + b"\n"))
        elif step == "unreadable":
            server_sent(ledger, [UNREADABLE])
        else:
            (ledger.server_exited if step == "gone" else ledger.close)()
    return outcomes


@pytest.mark.parametrize("story", STORIES)
def test_a_request_observer_hears(story: str) -> None:
    steps, expected = STORIES[story]
    heard = Heard()
    tell(steps, heard)
    assert heard.words == expected.split()


STEPS = [CALL, CALL_AS_TASK, LIST, OK, LISTED, TOOL_ERROR, CANCEL, OLD_TASK, NEW_TASK, ASK_RESULT, ASK_STATE, DONE]


@given(st.lists(st.sampled_from([*STEPS, *STEPS, "unreadable", "gone"]), max_size=30))
def test_every_request_ends_once_and_outcomes_are_those_of_call_observers(story: list[str]) -> None:
    heard = Heard()
    outcomes = tell([*story, "abandon"], heard)
    assert [token.ended for token in heard.tokens] == [1] * len(heard.tokens)
    assert max([token.outcomes for token in heard.tokens], default=0) <= 1
    assert [word.partition("=")[2] for word in heard.words if "=" in word] == outcomes


@pytest.mark.parametrize("fails", ["on_request_started", "on_request_finished", "on_tool_outcome", "on_session_closed"])
def test_an_observer_that_raises_is_asked_no_more_and_costs_no_outcome(fails: str) -> None:
    heard = Heard(fails)
    reports: list[str] = []
    outcomes = tell([CALL, OK, CALL, TOOL_ERROR, CALL, "gone"], heard, reports)
    assert outcomes == ["success", "error", "error"]
    assert len(reports) == 1
    assert fails in reports[0]
    assert (
        heard.heard
        == {"on_request_started": 1, "on_request_finished": 2, "on_tool_outcome": 3, "on_session_closed": 10}[fails]
    )


def test_a_request_is_begun_before_it_can_be_answered_and_its_end_is_told_without_the_lock() -> None:
    ledger: ToolCallLedger

    class Curious(Heard):
        def on_request_finished(
            self, token: object, reason: EndReason, reply: Any, at_ns: int, http_status: int | None
        ) -> None:
            asked = threading.Thread(target=client_sent, args=[ledger, []])  # needs the lock
            asked.start()
            asked.join(30)
            assert not asked.is_alive()
            super().on_request_finished(token, reason, reply, at_ns, http_status)

    heard = Curious()
    ledger = ToolCallLedger(requests=heard)
    client_sent(ledger, read_line(CALL[2:].encode() + b"\n"))
    assert len(heard.tokens) == 1
    server_sent(ledger, read_line(json.dumps({"id": 1, "result": {}}).encode() + b"\n"))
    assert heard.words == ["tools/call:answered", "x=success"]


def test_what_the_server_asks_is_heard_apart_and_no_request_of_the_client() -> None:
    heard = Heard()
    story = [CALL, '< {"id":1,"method":"sampling/createMessage","params":{}}', '> {"id":1,"result":{}}', OK]
    story.append('> {"id":9,"method":"ping"}')
    story.append('< {"method":"notifications/message","params":{}}')
    tell(story, heard)
    assert heard.words[:4] == ["asks:sampling/createMessage", "answers:1", "tools/call:answered", "x=success"]
