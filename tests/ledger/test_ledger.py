"""Each call has its outcome once, or never: stories told as JSON lines, and what the ledger makes of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.ledger.stories import (
    ASK_RESULT,
    ASK_STATE,
    CALL,
    CALL_AS_TASK,
    CANCEL,
    ERROR,
    NEW_TASK,
    OK,
    OLD_TASK,
    TOOL_ERROR,
    awaited,
    client_sent,
    numbered,
    play,
    server_sent,
    state,
    told,
)
from thv.core.jsonrpc import NOT_FINAL
from thv.core.message import Message, read_line
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.interfaces import Outcome

CANCEL_TASK = '> {"id":3,"method":"tasks/cancel","params":{"taskId":"t"}}'

STORIES: dict[str, tuple[list[str], str, int]] = {
    # what happens; the outcomes in order (s, e); the replies still awaited
    "a result is a success": ([CALL, OK], "s", 0),
    "isError is an error, not a success": ([CALL, TOOL_ERROR], "e", 0),
    "a JSON-RPC error is an error": ([CALL, ERROR], "e", 0),
    "error wins over result": ([CALL, '< {"id":1,"result":{},"error":{"code":1}}'], "e", 0),
    "error null beside a result is a success": ([CALL, '< {"id":1,"result":{},"error":null}'], "s", 0),
    "result null is a success": ([CALL, '< {"id":1,"result":null}'], "s", 0),
    "a result of text is a success": ([CALL, '< {"id":1,"result":"done"}'], "s", 0),
    "an error of text is an error": ([CALL, '< {"id":1,"error":"boom"}'], "e", 0),
    "resultType complete is final": ([CALL, '< {"id":1,"result":{"resultType":"complete"}}'], "s", 0),
    "a call stays open until it is answered": ([CALL], "", 1),
    "other methods are no calls": (['> {"id":1,"method":"tools/list"}', OK], "", 0),
    "a notification is no call": (['> {"method":"tools/call"}', OK], "", 0),
    "a call with params in an array is a call": (['> {"id":1,"method":"tools/call","params":[1]}', OK], "s", 0),
    "a duplicate reply counts once": ([CALL, OK, OK, ERROR], "s", 0),
    "an unknown id counts nothing": ([CALL, '< {"id":2,"result":{}}'], "", 1),
    "an error without id matches nothing": (
        [CALL, '< {"error":{"code":-32700}}', '< {"id":null,"error":{"code":1}}'],
        "",
        1,
    ),
    "a string id answers its twin where no such id is open": ([CALL, '< {"id":"1","result":{}}'], "s", 0),
    "and a number a string": ([CALL.replace("1", '"1"'), OK], "s", 0),
    "also a number with a sign": ([CALL.replace("1", "-1"), '< {"id":"-1","result":{}}'], "s", 0),
    "and a number with a point": ([CALL.replace("1", '"1"'), '< {"id":1.0,"result":{}}'], "s", 0),
    "number and string ids differ where both are open": (
        [CALL, '> {"id":"1","method":"ping"}', '< {"id":"1","result":{}}'],
        "",
        1,
    ),
    "both are answered": ([CALL, CALL.replace("1", '"1"'), '< {"id":"1","error":{}}', OK], "es", 0),
    "a twin is spelled as the number is": ([CALL, '< {"id":"01","result":{}}', '< {"id":"1.0","result":{}}'], "", 1),
    "a text that is no number has no twin": ([CALL, '< {"id":"x","result":{}}', '< {"id":"","result":{}}'], "", 1),
    "a number too long for one has no twin": ([CALL, '< {"id":"%s","result":{}}' % ("1" * 5_000)], "", 1),
    "a cancellation names its id exactly": ([CALL, CANCEL.replace("1", '"1"'), OK], "s", 0),
    "the late answer to a cancelled call may be a twin's": (
        [CALL, CANCEL, '< {"id":"1","error":{"code":0}}', CALL, '< {"id":1,"error":{"code":0}}'],
        "e",
        0,
    ),
    "1 and 1.0 are one id": ([CALL, '< {"id":1.0,"result":{}}'], "s", 0),
    "true is not the id 1": ([CALL, '< {"id":true,"result":{}}'], "", 1),
    "a server request may reuse the client's id": ([CALL, '< {"id":1,"method":"roots/list"}', OK], "s", 0),
    "a server request with a result is still a request": ([CALL, '< {"id":1,"method":"x","result":{}}'], "", 1),
    "the client's answer to it is no request": ([CALL, '> {"id":1,"result":{"roots":[]}}', OK], "s", 0),
    "a log line with an id counts nothing": ([CALL, '< {"id":1,"level":"info","msg":"hi"}', OK], "s", 0),
    "a log line counts nothing": ([CALL, "< INFO id 1 result", "< [INFO] {", OK], "s", 0),
    "CRLF is a newline": ([CALL + "\r", OK + "\r"], "s", 0),
    "an id may be used again after its reply": ([CALL, OK, CALL, ERROR], "se", 0),
    "every request as id 1: replies close in order": ([CALL, CALL, OK, ERROR], "se", 0),
    "every request as id 1: another method's reply closes that request": (
        ['> {"id":1,"method":"tools/list"}', CALL, OK, ERROR],
        "e",
        0,
    ),
    "a batch counts each element": (
        [
            '> [{"id":1,"method":"tools/call"},{"id":2,"method":"tools/call"},{"id":3,"method":"ping"}]',
            '< [{"id":2,"error":{"code":1}},{"id":1,"result":{}},{"id":3,"result":{}}]',
        ],
        "es",
        0,
    ),
    "a cancelled call is not counted": ([CALL, CANCEL], "", 0),
    "nor is its late reply": ([CALL, CANCEL, OK], "", 0),
    "a cancellation after the reply changes nothing": ([CALL, OK, CANCEL], "s", 0),
    "a cancellation of something else changes nothing": ([CALL, CANCEL.replace("1", '"1"'), OK], "s", 0),
    "a cancelled id may be used again at once": ([CALL, CANCEL, CALL, OK], "s", 0),
    "and fails on its own account": ([CALL, CANCEL, CALL, ERROR], "e", 0),
    "python-sdk's late answer does not close the new call": (
        [CALL, CANCEL, CALL, '< {"id":1,"error":{"code":0,"message":"Request cancelled"}}', OK],
        "s",
        0,
    ),
    "such an answer is taken once": (
        [CALL, CANCEL, CALL, '< {"id":1,"error":{"code":0}}', '< {"id":1,"error":{"code":0}}'],
        "e",
        0,
    ),
    "code 0 without a cancellation is an error": ([CALL, '< {"id":1,"error":{"code":0}}'], "e", 0),
    "a late answer that came already guards no more": (
        [CALL, CANCEL, OK, CALL, '< {"id":1,"error":{"code":0}}'],
        "e",
        0,
    ),
    "a cancel of a cancelled id changes nothing": (
        [CALL, CANCEL, CANCEL, CALL, '< {"id":1,"error":{"code":0}}', OK],
        "s",
        0,
    ),
    "errors that ask for another try are no outcome": (
        [*(step for code in sorted(NOT_FINAL) for step in (CALL, f'< {{"id":1,"error":{{"code":{code}}}}}')), CALL, OK],
        "s",
        0,
    ),
    "nor where a task's result was asked for": (
        [CALL_AS_TASK, OLD_TASK, ASK_RESULT, '< {"id":2,"error":{"code":-32042}}', ASK_RESULT, OK.replace("1", "2")],
        "s",
        0,
    ),
    "a server's request by the client's id is no late answer": (
        [CALL, CANCEL, CALL, '< {"id":1,"method":"ping","error":{"code":0}}', OK],
        "s",
        0,
    ),
    "cancelling drops the oldest under the id": ([CALL, CALL, CANCEL, ERROR], "e", 0),
    "the server's cancellations concern its own requests": (
        [CALL, '< {"method":"notifications/cancelled","params":{"requestId":1}}', OK],
        "s",
        0,
    ),
    "a cancellation with an id is a request": ([CALL, CANCEL.replace("{", '{"id":5,', 1), OK], "s", 0),
    "input_required is no outcome, the retry has its own": (
        [CALL, '< {"id":1,"result":{"resultType":"input_required"}}', CALL, OK],
        "s",
        0,
    ),
    "an unknown resultType is no outcome": ([CALL, '< {"id":1,"result":{"resultType":"novel"}}'], "", 0),
    # Tasks of 2025-11-25
    "a task handle is no outcome": ([CALL_AS_TASK, OLD_TASK], "", 0),
    "its outcome is the reply to tasks/result": ([CALL_AS_TASK, OLD_TASK, ASK_RESULT, OK.replace("1", "2")], "s", 0),
    "a failed one too": ([CALL_AS_TASK, OLD_TASK, ASK_RESULT, TOOL_ERROR.replace("1", "2")], "e", 0),
    "a JSON-RPC error from tasks/result is an error": (
        [CALL_AS_TASK, OLD_TASK, ASK_RESULT, ERROR.replace("1", "2", 1)],
        "e",
        0,
    ),
    "it counts once however often it is fetched": (
        [CALL_AS_TASK, OLD_TASK, *[ASK_RESULT, OK.replace("1", "2")] * 3],
        "s",
        0,
    ),
    "tasks/result is awaited": ([CALL_AS_TASK, OLD_TASK, ASK_RESULT], "", 1),
    "a cancelled tasks/result leaves the task": (
        [CALL_AS_TASK, OLD_TASK, ASK_RESULT, CANCEL.replace("1", "2"), ASK_RESULT, OK.replace("1", "2")],
        "s",
        0,
    ),
    "tasks/result for an unknown task counts nothing": ([ASK_RESULT, OK.replace("1", "2")], "", 0),
    "a handle nobody asked for is an ordinary result": ([CALL, OLD_TASK], "s", 0),
    "a call that asked for a task may be answered at once": ([CALL_AS_TASK, OK], "s", 0),
    "a polled status is no outcome there": ([CALL_AS_TASK, OLD_TASK, ASK_STATE, state(status="completed")], "", 0),
    "nor a status told": ([CALL_AS_TASK, OLD_TASK, told("notifications/tasks/status", status="failed")], "", 0),
    "a task seen cancelled is not counted": (
        [CALL_AS_TASK, OLD_TASK, ASK_STATE, state(status="cancelled"), ASK_RESULT, ERROR.replace("1", "2", 1)],
        "",
        0,
    ),
    "a task told cancelled is not counted": (
        [CALL_AS_TASK, OLD_TASK, told("notifications/tasks/status", status="cancelled"), "gone"],
        "",
        0,
    ),
    "tasks/cancel ends it uncounted": (
        [CALL_AS_TASK, OLD_TASK, CANCEL_TASK, ASK_RESULT, ERROR.replace("1", "2", 1), "gone"],
        "",
        0,
    ),
    "even when it overtakes the look at the handle": (
        [CALL_AS_TASK, CANCEL_TASK, OLD_TASK, '< {"id":3,"result":{"status":"cancelled"}}', "gone"],
        "",
        0,
    ),
    "a refused tasks/cancel changes nothing": (
        [CALL_AS_TASK, OLD_TASK, CANCEL_TASK, '< {"id":3,"error":{"code":-32602}}', ASK_RESULT, OK.replace("1", "2")],
        "s",
        0,
    ),
    "not even for an outcome that came before the refusal": (
        [
            CALL_AS_TASK,
            OLD_TASK,
            CANCEL_TASK,
            ASK_RESULT,
            TOOL_ERROR.replace("1", "2"),
            '< {"id":3,"error":{"code":1}}',
        ],
        "e",
        0,
    ),
    "an outcome that came before a granted cancel is not counted": (
        [CALL_AS_TASK, OLD_TASK, CANCEL_TASK, ASK_RESULT, ERROR.replace("1", "2", 1), '< {"id":3,"result":{}}', "gone"],
        "",
        0,
    ),
    "nor is one that no answer to the cancel follows": (
        [CALL_AS_TASK, OLD_TASK, CANCEL_TASK, ASK_RESULT, OK.replace("1", "2"), "gone"],
        "",
        0,
    ),
    "a cancel that is cancelled itself changes nothing": (
        [CALL_AS_TASK, OLD_TASK, CANCEL_TASK, ASK_RESULT, OK.replace("1", "2"), CANCEL.replace("1", "3")],
        "s",
        0,
    ),
    "a cancel to be asked again is no grant": (
        [CALL, NEW_TASK, CANCEL_TASK, '< {"id":3,"error":{"code":-32020}}', told(status="completed", result={})],
        "s",
        0,
    ),
    "each of two cancels is waited for": (
        [
            *(CALL, NEW_TASK, CANCEL_TASK, CANCEL_TASK.replace("3", "4"), '< {"id":3,"error":{"code":1}}'),
            *(told(status="failed"), '< {"id":4,"result":{}}', "gone"),
        ],
        "",
        0,
    ),
    "a server that dies with a task leaves it an error, once its cancel was refused": (
        [CALL, NEW_TASK, CANCEL_TASK, '< {"id":3,"error":{"code":1}}', "gone"],
        "e",
        0,
    ),
    "tasks/result may overtake it too": ([CALL_AS_TASK, ASK_RESULT, OLD_TASK, OK.replace("1", "2")], "s", 0),
    # Tasks of the 2026-07-28 extension
    "an unasked task is no outcome": ([CALL, NEW_TASK], "", 0),
    "its outcome is polled": ([CALL, NEW_TASK, ASK_STATE, state(status="completed", result={"content": []})], "s", 0),
    "isError inside the polled result is an error": (
        [CALL, NEW_TASK, ASK_STATE, state(status="completed", result={"isError": True})],
        "e",
        0,
    ),
    "a failed task is an error": ([CALL, NEW_TASK, ASK_STATE, state(status="failed", error={"code": -32603})], "e", 0),
    "a working one is not over": (
        [CALL, NEW_TASK, ASK_STATE, state(status="working"), ASK_STATE, state(status="completed", result={})],
        "s",
        0,
    ),
    "a cancelled one is not counted": ([CALL, NEW_TASK, ASK_STATE, state(status="cancelled"), "gone"], "", 0),
    "a notification tells the outcome": ([CALL, NEW_TASK, told(status="completed", result={})], "s", 0),
    "polled and told count once": (
        [
            CALL,
            NEW_TASK,
            told(status="failed", error={"code": 1}),
            ASK_STATE,
            state(status="failed", error={"code": 1}),
        ],
        "e",
        0,
    ),
    "tasks/result is no method there": ([CALL, NEW_TASK, ASK_RESULT, ERROR.replace("1", "2", 1)], "", 0),
    "a failed poll is no outcome": ([CALL, NEW_TASK, ASK_STATE, ERROR.replace("1", "2", 1)], "", 0),
    "tasks/cancel ends it uncounted there too": (
        [CALL, NEW_TASK, CANCEL_TASK, told(status="completed", result={})],
        "",
        0,
    ),
    "a task without an id cannot be followed": ([CALL, '< {"id":1,"result":{"resultType":"task"}}', "gone"], "", 0),
    # Ends
    "a dead server leaves its open calls counted as errors": (
        [CALL, CALL, '> {"id":2,"method":"ping"}', "gone"],
        "ee",
        0,
    ),
    "and unfinished tasks": ([CALL, NEW_TASK, CALL_AS_TASK, OLD_TASK.replace('"t"', '"u"'), "gone"], "ee", 0),
    "once": ([CALL, "gone", "gone"], "e", 0),
    "not answered ones": ([CALL, OK, "gone"], "s", 0),
    "a call sent to a dead server is an error": (["gone", CALL, CALL_AS_TASK, '> {"id":2,"method":"ping"}'], "ee", 0),
    "what is abandoned is never counted": (
        [CALL_AS_TASK, OLD_TASK, CALL, "abandon", OK, CALL, OK, "gone", CALL],
        "",
        0,
    ),
    "abandoned after the server's death": ([CALL, "gone", "abandon", CALL], "e", 0),
    "an unreadable reply is awaited no more": (
        [CALL, '> {"id":2,"method":"tools/call"}', "unreadable", OK, OK.replace("1", "2")],
        "s",
        0,
    ),
    "an unreadable line is no reply to what is not awaited": (
        ['> {"id":1,"method":"ping"}', "unreadable", CALL],
        "",
        1,
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_story_has_its_outcome(name: str) -> None:
    story, expected, awaiting = STORIES[name]
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    play(ledger, story)
    assert "".join(outcome[0] for outcome in outcomes) == expected
    assert awaited(ledger) == awaiting


def test_every_observer_is_told_even_if_another_fails() -> None:
    first: list[Outcome] = []
    last: list[Outcome] = []
    reports: list[str] = []

    def failing(outcomes: Sequence[Outcome]) -> None:
        raise ValueError(outcomes)

    ledger = ToolCallLedger([first.extend, failing, last.extend], report=reports.append)
    play(ledger, [CALL, OK, CALL, ERROR, CALL, "gone"])
    assert first == last == ["success", "error", "error"]
    assert len(reports) == 1
    assert "success" in reports[0]


def test_an_observer_may_ask_the_ledger() -> None:
    seen: list[int] = []
    ledger = ToolCallLedger([lambda _: client_sent(ledger, []), lambda _: seen.append(awaited(ledger))])
    play(ledger, [CALL, CALL, OK])
    assert seen == [1]


def test_clients_that_know_nothing_of_each_other_may_share_a_ledger() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    for scope in ("a", "b", None):
        client_sent(ledger, read_line(CALL[2:].encode()), scope=scope)
    assert awaited(ledger) == 3
    server_sent(ledger, read_line(ERROR[2:].encode()), scope="b")
    client_sent(ledger, read_line(CANCEL[2:].encode()), scope="a")
    server_sent(ledger, read_line(OK[2:].encode()), scope="a")
    assert (outcomes, awaited(ledger)) == (["error"], 1)
    server_sent(ledger, read_line(b'{"id":"1","result":{}}'))
    assert (outcomes, awaited(ledger)) == (["error", "success"], 0)


def test_a_task_of_one_client_may_end_in_another_ones_exchange() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    client_sent(ledger, read_line(CALL[2:].encode()), scope=1)
    server_sent(ledger, read_line(NEW_TASK[2:].encode()), scope=1)
    client_sent(ledger, read_line(ASK_STATE[2:].encode()), scope=2)
    server_sent(ledger, read_line(state(status="completed", result={})[2:].encode()), scope=2)
    assert outcomes == ["success"]


def test_two_threads_and_an_end_in_the_middle_count_each_call_exactly_once() -> None:
    calls = 20_000
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    requests = [read_line(numbered(CALL, number)[2:].encode() + b"\n") for number in range(calls)]
    answers = [read_line(numbered(OK, number)[2:].encode() + b"\n") for number in range(calls)]
    half_sent = threading.Event()

    def client() -> None:
        for number, batch in enumerate(requests):
            client_sent(ledger, batch)
            if number == calls // 2:
                half_sent.set()

    def server() -> None:
        half_sent.wait()
        answered: list[Message] = [message for batch in answers[: calls // 2] for message in batch]
        for message in answered:
            server_sent(ledger, [message])
        ledger.server_exited()

    threads = [threading.Thread(target=client), threading.Thread(target=server)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Those the server answered, and the rest in error, whether they were sent before or after it died.
    assert outcomes.count("success") == calls // 2
    assert len(outcomes) == calls
    assert awaited(ledger) == 0
