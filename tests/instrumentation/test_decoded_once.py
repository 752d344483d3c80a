"""Each message is decoded once: on the way to the server, and on the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.decodes import counted_decodes
from thv.core.message import read_parts
from thv.instrumentation.instrumentation import SessionInstrumentation
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from thv.core.interfaces import Outcome

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}\n'
REPLY = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi"}],"isError":false}}\n'


def test_a_call_and_its_reply_are_decoded_once_each_as_chunks() -> None:
    outcomes: list[Outcome] = []
    session = SessionInstrumentation(ToolCallLedger([outcomes.extend]))
    with counted_decodes() as decodes:
        session.on_client_data(CALL)
        assert decodes.lines == 1
        session.on_traffic([(False, REPLY, 1)])
    assert (decodes.lines, outcomes) == (2, ["success"])


def test_what_a_transport_decoded_is_not_decoded_again() -> None:
    outcomes: list[Outcome] = []
    session = SessionInstrumentation(ToolCallLedger([outcomes.extend]))
    ((call, request),), ((reply, response),) = read_parts(CALL), read_parts(REPLY)
    with counted_decodes() as decodes:
        assert session.on_client_message(call, request, scope="a") is call
        assert session.has_open_requests
        session.on_server_message(reply, response, scope="b", http_status=200)
        assert outcomes == [], "another client's request"
        session.on_server_message(reply, response, scope="a", http_status=200)
    assert (decodes.lines, outcomes) == (0, ["success"])


def test_a_transport_may_answer_or_cancel_in_the_place_of_others() -> None:
    outcomes: list[Outcome] = []
    session = SessionInstrumentation(ToolCallLedger([outcomes.extend]))
    ((call, request),) = read_parts(CALL)
    for scope in (1, 2, 3):
        session.on_client_message(call, request, scope=scope)
    session.on_request_cancelled(1, scope=1)
    session.on_request_failed(1, scope=2, http_status=502)
    assert (outcomes, session.has_open_requests) == (["error"], True)
    session.close()
    assert outcomes == ["error"]


@pytest.mark.parametrize("entry", ["on_client_message", "on_server_message"])
def test_a_bug_in_the_inspection_of_a_message_reaches_no_transport(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[str] = []
    ledger = ToolCallLedger()
    monkeypatch.setattr(ledger, "passed", lambda *_, **__: 1 / 0)
    session = SessionInstrumentation(ledger, report=reports.append)
    ((line, message),) = read_parts(CALL)
    for _ in range(2):
        getattr(session, entry)(line, message)
    assert len(reports) == 1
