"""Stories for the ledger: lists of strings, with the steps that many of them have.

``>`` the client sends the line, ``<`` the server does, and a word is an event: the server is `gone`, the client closes
(`abandon`), a line of the server is `unreadable`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thv.core.message import UNREADABLE, read_line
from thv.ledger.open_requests import LAST_AWAITED

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from thv.core.message import Message
    from thv.ledger.ledger import ToolCallLedger

CALL = '> {"id":1,"method":"tools/call","params":{"name":"x"}}'
CALL_AS_TASK = '> {"id":1,"method":"tools/call","params":{"name":"x","task":{"ttl":60000}}}'
OK = '< {"id":1,"result":{"content":[]}}'
TOOL_ERROR = '< {"id":1,"result":{"content":[],"isError":true}}'
ERROR = '< {"id":1,"error":{"code":-32602,"message":"no such tool"}}'
CANCEL = '> {"method":"notifications/cancelled","params":{"requestId":1}}'
OLD_TASK = '< {"id":1,"result":{"task":{"taskId":"t","status":"working"}}}'
NEW_TASK = '< {"id":1,"result":{"resultType":"task","taskId":"t","status":"working"}}'
ASK_RESULT = '> {"id":2,"method":"tasks/result","params":{"taskId":"t"}}'
ASK_STATE = '> {"id":2,"method":"tasks/get","params":{"taskId":"t"}}'


def state(**members: Any) -> str:
    """The reply to `ASK_STATE`, with these members in its result."""
    return "< " + json.dumps({"id": 2, "result": {"resultType": "complete", "taskId": "t", **members}})


def told(method: str = "notifications/tasks", **members: Any) -> str:
    """A notification of the server about the task `t`, with these members."""
    return "< " + json.dumps({"method": method, "params": {"taskId": "t", **members}})


def client_sent(ledger: ToolCallLedger, messages: Iterable[Message], *, scope: Hashable = None) -> None:
    """Show messages of the client to a ledger, as passed at once."""
    ledger.passed([(True, message, 0, 0) for message in messages], scope=scope)


def server_sent(ledger: ToolCallLedger, messages: Iterable[Message], *, scope: Hashable = None) -> None:
    """Show messages of the server to a ledger, as passed at once."""
    ledger.passed([(False, message, 0, 0) for message in messages], scope=scope)


def awaited(ledger: ToolCallLedger) -> int:
    """How many requests that can bring an outcome still wait for the server's reply."""
    return sum(request.kind <= LAST_AWAITED for _, request in ledger._open)


def play(ledger: ToolCallLedger, story: list[str]) -> None:
    """Show a story to a ledger."""
    for step in story:
        line = step[2:].encode() + b"\n"
        match step[:2]:
            case "> ":
                client_sent(ledger, read_line(line))
            case "< ":
                server_sent(ledger, read_line(line))
            case _ if step == "gone":
                ledger.server_exited()
            case _ if step == "abandon":
                ledger.close()
            case _:
                server_sent(ledger, [UNREADABLE])


def numbered(step: str, number: int) -> str:
    """A step about the id 1, with this id instead."""
    return step.replace('"id":1', f'"id":{number}')
