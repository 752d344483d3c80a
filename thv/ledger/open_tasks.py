"""The unfinished tasks of one session: each belongs to a call, and ends with that call's outcome, or without one.

Two eras (MCP 2025-11-25, "Tasks"; 2026-07-28 extension `io.modelcontextprotocol/tasks`) differ in what brings the
outcome. While a `tasks/cancel` is on its way, an outcome is held back: dropped if the server agrees to the cancel,
counted if it refuses. Called with the ledger's lock held.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from msgspec import Struct

from thv.ledger.open_requests import summarize_error

if TYPE_CHECKING:
    from thv.core.interfaces import FinishedCall, Outcome
    from thv.core.message import CallResult, Message, Params, Result, Task
    from thv.ledger.open_requests import OpenRequest


class OpenTask(Struct, gc=False, eq=False):
    """A task that a call created and that has no outcome yet."""

    extension: bool  # of the 2026-07-28 extension, whose `tasks/get` brings the outcome
    request: OpenRequest  # the call that created it
    cancellations: int = 0  # that the server has not answered yet
    held_back: FinishedCall | None = None  # until they are answered


class OpenTasks:
    """Tasks by their ids.

    Args:
        limit: how many are remembered; beyond, the oldest is dropped.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: OrderedDict[str, OpenTask] = OrderedDict()

    def clear(self) -> None:
        """Forget every task."""
        self._tasks.clear()

    def calls(self) -> list[OpenRequest]:
        """The calls whose tasks have not ended, without those that the client wants cancelled."""
        return [task.request for task in self._tasks.values() if not task.cancellations]

    def open(self, task_id: str, request: OpenRequest, *, extension: bool) -> None:
        """A call was answered with a task; `extension` says of which era it is."""
        self._tasks.pop(task_id, None)
        self._tasks[task_id] = OpenTask(extension=extension, request=request)
        if len(self._tasks) > self._limit:
            self._tasks.popitem(last=False)

    def cancel_asked(self, task_id: str | None) -> None:
        """The client sent `tasks/cancel`."""
        task = self._tasks.get(task_id or "")
        if task is not None:
            task.cancellations += 1

    def cancel_answered(self, task_id: str | None, outcomes: list[FinishedCall], at_ns: int, *, refused: bool) -> None:
        """A `tasks/cancel` is under way no more. If it was refused, the task's own end counts."""
        task = self._tasks.get(task_id or "")
        if task is None or task_id is None:
            return
        if not refused:
            del self._tasks[task_id]
            return
        task.cancellations = max(0, task.cancellations - 1)
        if task.held_back is not None:
            self._end(task_id, task, (*task.held_back[:-1], at_ns), outcomes)

    def result_came(self, task_id: str, reply: Message, outcomes: list[FinishedCall], size: int, at_ns: int) -> None:
        """The reply to `tasks/result`: exactly what the call would have been answered ("Result Retrieval")."""
        task = self._tasks.get(task_id)
        if task is not None and not task.extension:
            error = reply.error
            outcome = outcome_of(reply.result or None) if error is None else "error"
            self._end(task_id, task, (outcome, task.request, summarize_error(error), size, at_ns), outcomes)

    def state_came(
        self, task_id: str | None, state: Task | Params | Result, outcomes: list[FinishedCall], size: int, at_ns: int
    ) -> None:
        """A task's state: a `tasks/get` reply, or a notification."""
        task = self._tasks.get(task_id or "")
        if task is None or task_id is None:
            return
        if state.status == "cancelled":
            del self._tasks[task_id]
        elif task.extension and state.status in {"completed", "failed"}:
            # In 2025-11-25 these only say that `tasks/result` has the outcome; the extension has it here.
            outcome = "error" if state.status == "failed" else outcome_of(state.result)
            self._end(task_id, task, (outcome, task.request, summarize_error(state.error), size, at_ns), outcomes)

    def _end(self, task_id: str, task: OpenTask, call: FinishedCall, outcomes: list[FinishedCall]) -> None:
        if task.cancellations:
            task.held_back = task.held_back or call
        else:
            del self._tasks[task_id]
            outcomes.append(call)


def outcome_of(result: Result | CallResult | None) -> Outcome:
    """What a final result says (MCP, "Tools", `isError`)."""
    return "error" if result is not None and result.is_error is True else "success"
