"""Bytes in both directions, cut anywhere, give the outcomes that a slow and obvious model gives.

The model is the ledger again: json.loads, lists searched from the front, and the rules one after another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.ledger.stories import awaited
from thv.instrumentation.inspector import TrafficInspector
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from thv.core.interfaces import Outcome


class Open(NamedTuple):
    id: Any
    method: str
    params: dict[str, Any]


class TaskSeen:
    def __init__(self, era: str) -> None:
        self.era = era
        self.cancels = 0
        self.held: str | None = None


def objects(line: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(line.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    except ValueError:
        return []
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def is_id(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def part(value: Any, name: str) -> dict[str, Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


class Model:
    """Takes whole lines; `outcomes` and `awaiting` are what the ledger must show."""

    def __init__(self) -> None:
        self.open: list[Open] = []
        self.tasks: dict[str, TaskSeen] = {}
        self.cancelled: list[Any] = []
        self.outcomes: list[str] = []

    @property
    def awaiting(self) -> int:
        return sum(entry.method in {"tools/call", "tasks/result", "tasks/get"} for entry in self.open)

    def client_line(self, line: bytes) -> None:
        for message in objects(line):
            method, params = message.get("method"), part(message, "params")
            if method is None:
                continue
            if is_id(message.get("id")):
                if method == "tasks/cancel" and str(params.get("taskId")) in self.tasks:
                    self.tasks[str(params.get("taskId"))].cancels += 1
                self.open.append(Open(message["id"], method, params))
            elif method == "notifications/cancelled" and is_id(params.get("requestId")):
                self.cancel(params["requestId"])

    def cancel(self, id_: Any) -> None:
        request = self.take(id_)
        if request is not None:
            self.cancelled.append(id_)
            if request.method == "tasks/cancel":
                self.cancel_answered(str(request.params.get("taskId")), refused=True)

    def take(self, id_: Any) -> Open | None:
        """The oldest open request under the id, closed."""
        for entry in self.open:
            if entry.id == id_:
                self.open.remove(entry)
                return entry
        return None

    def meant(self, id_: Any) -> Any:
        """The id that a reply with this one is for."""
        twin = str(int(id_)) if not isinstance(id_, str) else int(id_) if id_.isdigit() else id_
        if any(entry.id == id_ for entry in self.open):
            return id_
        return twin if any(entry.id == twin for entry in self.open) or twin in self.cancelled else id_

    def cancel_answered(self, task_id: str, *, refused: bool) -> None:
        task = self.tasks.get(task_id)
        if task is None:
            return
        task.cancels = max(0, task.cancels - 1)
        if not refused:
            del self.tasks[task_id]
        elif task.held is not None:
            self.task_ended(task_id, task.held)

    def task_ended(self, task_id: str, outcome: str) -> None:
        task = self.tasks[task_id]
        if task.cancels:
            task.held = task.held or outcome
        else:
            del self.tasks[task_id]
            self.outcomes.append(outcome)

    def server_line(self, line: bytes) -> None:
        for message in objects(line):
            if message.get("method") is not None:
                if message["method"] == "notifications/tasks":
                    self.task(part(message, "params").get("taskId"), part(message, "params"))
            elif is_id(message.get("id")) and (message.get("error") is not None or "result" in message):
                self.reply(message)

    def reply(self, message: dict[str, Any]) -> None:
        id_, failed, result = self.meant(message["id"]), message.get("error") is not None, part(message, "result")
        code = part(message, "error").get("code")
        if failed and id_ in self.cancelled and code == 0:
            self.cancelled = [late for late in self.cancelled if late != id_]
            return
        request = self.take(id_)
        if request is None:
            self.cancelled = [late for late in self.cancelled if late != id_]
            return
        again = failed and code in {-32020, -32042}
        if again and request.method != "tasks/cancel":
            return
        outcome = "error" if failed or result.get("isError") is True else "success"
        task_id = request.params.get("taskId")
        if request.method == "tools/call":
            self.call_ended(request, result, outcome, failed=failed)
        elif request.method == "tasks/result":
            if str(task_id) in self.tasks and self.tasks[str(task_id)].era == "old":
                self.task_ended(str(task_id), outcome)
        elif request.method == "tasks/cancel":
            self.cancel_answered(str(task_id), refused=failed)
        elif request.method == "tasks/get" and not failed:
            self.task(task_id, result)

    def call_ended(self, request: Open, result: dict[str, Any], outcome: str, *, failed: bool) -> None:
        handle = part(result, "task")
        if failed or ("resultType" not in result and not ("task" in request.params and handle)):
            self.outcomes.append(outcome)
        elif result.get("resultType") == "task":
            self.tasks[result["taskId"]] = TaskSeen("new")
        elif "resultType" not in result:
            self.tasks[handle["taskId"]] = TaskSeen("old")

    def task(self, task_id: Any, state: dict[str, Any]) -> None:
        known = self.tasks.get(task_id)
        if known is not None and state.get("status") == "cancelled":
            del self.tasks[task_id]
        elif known is not None and known.era == "new" and state.get("status") in {"completed", "failed"}:
            failed = state["status"] == "failed" or part(state, "result").get("isError") is True
            self.task_ended(task_id, "error" if failed else "success")

    def server_exited(self) -> None:
        calls = [entry for entry in self.open if entry.method == "tools/call"]
        self.outcomes += ["error"] * (len(calls) + sum(not task.cancels for task in self.tasks.values()))
        self.open, self.tasks = [], {}


IDS: st.SearchStrategy[Any] = st.sampled_from([1, 1, 1, 1.0, 2, "1", "1", 10**18])
TASK_IDS = st.sampled_from(["t", "u"])
ODD_IDS: st.SearchStrategy[Any] = st.sampled_from([None, True, [], {}, -7])


def message(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(dict(members))


def just(value: Any) -> st.SearchStrategy[Any]:
    return st.just(value)


RESULTS: st.SearchStrategy[Any] = (
    st.sampled_from([None, "done", [True], {}, {"isError": False}, {"isError": "yes"}, {"isError": 1}])
    | just({"isError": True, "content": [{"text": '"isError": false \ud83d'}], "structuredContent": float("nan")})
    | just({"resultType": "input_required"})
    | just({"resultType": "novel", "isError": True})
    | message(task=message(taskId=TASK_IDS, status=just("working")))
    | message(resultType=just("task"), taskId=TASK_IDS, status=just("working"))
)
STATES = message(
    taskId=TASK_IDS,
    status=st.sampled_from(["working", "completed", "failed", "cancelled"]),
    result=st.sampled_from([{}, {"isError": True}, {"isError": 0}]),
)
REQUESTS = (
    message(id=IDS, method=just("tools/call"), params=st.sampled_from([{}, {"task": {}}, {"name": "x"}, [1], None]))
    | message(
        id=IDS, method=st.sampled_from(["tasks/result", "tasks/get", "tasks/cancel"]), params=message(taskId=TASK_IDS)
    )
    | message(id=IDS, method=st.sampled_from(["ping", "tools/list", 5]))
    | message(id=ODD_IDS, method=just("tools/call"))
    | message(method=just("notifications/cancelled"), params=message(requestId=IDS | ODD_IDS))
    | message(id=IDS, result=just({}))
)
REPLIES = (
    message(id=IDS, result=RESULTS)
    | message(id=IDS, result=STATES)
    | message(
        id=IDS,
        error=st.sampled_from(
            [{"code": -32600}, {"code": 0}, {"code": -32042}, {"code": -32020}, "boom", {"code": "x"}]
        ),
    )
    | message(id=IDS, result=RESULTS, error=st.sampled_from([None, {"code": 1}]))
    | message(id=IDS | ODD_IDS, error=st.sampled_from([{"code": 1}, None]))
    | message(id=IDS, method=st.sampled_from(["roots/list", 3]), result=just({}))
    | message(id=IDS, level=just("info"))
    | message(method=just("notifications/tasks"), params=STATES)
    | message(method=just("notifications/cancelled"), params=message(requestId=IDS))
)
GARBAGE = st.sampled_from([b"", b"\r", b"INFO up", b"[INFO] {", b'{"id":1', b"{}{}", b"\xff\xfe", b"null", b"[[{}]]"])
GARBAGE |= st.binary(max_size=12).map(lambda data: data.replace(b"\n", b" "))


def lines(messages: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    # What JSON.stringify writes, what json.dumps writes, a batch, with CRLF, and with a byte order mark.
    compact = messages.map(lambda value: json.dumps(value, separators=(",", ":")).encode())
    loose = messages.map(lambda value: json.dumps(value).encode() + b"\r")
    batch = st.lists(messages | just(3), max_size=3).map(lambda value: json.dumps(value).encode())
    marked = compact.map(lambda line: b"\xef\xbb\xbf" + line)
    return st.one_of(compact, compact, compact, compact, loose, batch, marked, GARBAGE)


# Most of what passes is plain; otherwise random stories seldom reach an outcome.
CALLS = message(id=IDS, method=just("tools/call"), params=st.sampled_from([{}, {"task": {}}]))
ANSWERS = message(id=IDS, result=RESULTS | STATES)

STEPS = st.lists(
    st.tuples(just("client"), lines(CALLS | CALLS | REQUESTS))
    | st.tuples(just("server"), lines(ANSWERS | ANSWERS | REPLIES)),
    min_size=6,
    max_size=40,
)


@settings(max_examples=400)
@given(steps=STEPS, data=st.data(), gone=st.booleans())
def test_the_tap_agrees_with_the_obvious_model_whatever_the_chunks(
    steps: list[tuple[str, bytes]], data: st.DataObject, gone: bool
) -> None:
    outcomes: list[Outcome] = []
    reports: list[str] = []
    ledger = ToolCallLedger([outcomes.extend])
    tap = TrafficInspector(ledger, report=reports.append)
    model = Model()
    model_lines = {"client": model.client_line, "server": model.server_line}
    unseen = {"client": b"", "server": b""}
    half_line = {"client": b"", "server": b""}
    for index, (side, line) in enumerate(steps):
        unseen[side] += line + b"\n"
        last = index == len(steps) - 1
        for each in ("client", "server") if last else (side,):
            size = len(unseen[each]) if last else data.draw(st.integers(0, len(unseen[each])))
            chunk, unseen[each] = unseen[each][:size], unseen[each][size:]
            if not chunk:
                continue  # it would say that the side ended
            tap.on_traffic([(each == "client", chunk, 1)])
            *whole, half_line[each] = (half_line[each] + chunk).split(b"\n")
            for seen in whole:
                model_lines[each](seen)
            assert outcomes == model.outcomes
            assert awaited(ledger) == model.awaiting
    if gone:
        ledger.server_exited()
        model.server_exited()
        assert outcomes == model.outcomes
    assert reports == []
    event(f"outcomes: {len(outcomes)}")
