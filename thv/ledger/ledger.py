"""The tool-call ledger: which calls are open, and how each one that ended did (MCP, "Tools", "Cancellation", "Tasks").

Promises: every call has at most one outcome; a call is known before its reply can be; what is remembered is bounded;
nothing a peer sends raises. It knows messages, not bytes, and tells call observers an outcome and nothing else; a
request observer, the user's own, is handed each request and how it ended.

What the specification leaves open is decided like this:

- An id names the oldest request still open under it, whatever that request's method (some clients send every request
  as id 1): a reply closes that one, a cancellation drops that one.
- A cancelled request is forgotten, so its id may be used again at once (2026-07-28) and the next reply belongs to the
  new request. Only an error that itself says "cancelled" (code 0 of python-sdk 1.x, -32800 of LSP) is taken as the late
  answer to the cancelled one.
- A result whose `resultType` is unknown is no outcome: what is not understood is not claimed to have succeeded.
- A line that could not be read may have been any reply: the oldest awaited request is dropped uncounted, so that the
  end of the session does not wait for a reply that already came.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice, repeat
from threading import Lock
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from thv.core.message import UNREADABLE, Id, Result
from thv.ledger.observers import Observers
from thv.ledger.open_request import NAME_CHARACTERS, OpenRequest, OpenTask, summarize_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from thv.core.interfaces import (
        CallObserver,
        EndReason,
        LoggedRequest,
        Outcome,
        RequestLog,
        RequestObserver,
    )
    from thv.core.message import CallResult, ClientMessage, ClientParams, ServerMessage, Task
    from thv.ledger.observers import Called, Ended

MAX_OPEN = 65_536
"""Requests, and tasks, remembered at once: far more than any client keeps open, and at worst 13 MiB."""

NO_SIZES: Final = repeat(0)

_CALL: Final = 0
_CALL_AS_TASK: Final = 1
_TASK_RESULT: Final = 2
_TASK_GET: Final = 3
_TASK_CANCEL: Final = 4
_OTHER: Final = 5

_LAST_AWAITED: Final = _TASK_GET
"""The kinds up to this one can bring an outcome, so the end of a session waits for their replies."""

_KINDS: Final = {
    "tools/call": _CALL,
    "tasks/result": _TASK_RESULT,
    "tasks/get": _TASK_GET,
    "tasks/cancel": _TASK_CANCEL,
}

_TASK_NOTIFICATIONS: Final = frozenset({"notifications/tasks", "notifications/tasks/status"})
"""The first carries the outcome (2026-07-28 extension), the second only a status (2025-11-25)."""

_SAYS_CANCELLED: Final = frozenset({0, -32800})


class ToolCallLedger:
    """Follows the tool calls of one session. Safe to use from several threads.

    Args:
        observers: each is told of each outcome once, on the thread that brought it, outside the ledger's lock.
        requests: told of every request and its end; its messages must have been read with the detail it asks for.
        log: keeps how every request ended, as above; asked once a chunk where it can be.
        max_open: how many open requests, and how many unfinished tasks, are remembered; the oldest is dropped.
        report: told, once for each kind, that an observer raised; the others are told all the same. A call observer
            is asked again, a request observer is not.
    """

    def __init__(
        self,
        observers: Sequence[CallObserver] = (),
        *,
        requests: RequestObserver | None = None,
        log: RequestLog | None = None,
        max_open: int = MAX_OPEN,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._observers = Observers(observers, requests, log, report)
        self._max_open = max_open
        self._lock = Lock()
        self._serial = 0
        self._count = 0
        self._awaited = 0
        self._open: dict[Id, OpenRequest | deque[OpenRequest]] = {}
        self._by_age: deque[tuple[Id, OpenRequest]] = deque()
        self._tasks: OrderedDict[str, OpenTask] = OrderedDict()
        self._cancelled: set[Id] = set()
        self._ended: list[Ended] = []  # for the request observer, once unlocked
        self._running = True
        self._server_gone = False

    @property
    def awaiting_reply(self) -> int:
        """How many requests that can bring an outcome still wait for the server's reply.

        A call whose task runs is not among them: once the client is gone nobody asks for its result.
        """
        return self._awaited

    def open_requests(self, limit: int) -> tuple[int, list[LoggedRequest]]:
        """How many requests are open, and the oldest of them, at most so many."""
        with self._lock:
            return self._count, [request for _, request in islice(self._requests_open(), limit)]

    def client_sent(  # noqa: C901, PLR0912  the hot path: another function would cost it a twentieth
        self, messages: Sequence[ClientMessage], sizes: Iterable[int] = NO_SIZES, at_ns: int = 0
    ) -> None:
        """Registers requests and heeds cancellations; to be called before the server can see the messages.

        Args:
            messages: what passed.
            sizes: the bytes of each message; only the request log wants them.
            at_ns: when they passed, by `time.perf_counter_ns`; likewise.
        """
        with self._lock:
            open_, max_open = self._open, self._max_open
            observed, log = self._observers.want_requests, self._observers.log
            for message, size in zip(messages if self._running else (), sizes, strict=False):
                method, id_ = message.method, message.id
                if method is None or id_ is None:
                    self._client_notified(message)
                    continue
                self._serial += 1
                params = message.params
                if method == "tools/call" and (params is None or params.task is None):
                    name = None if params is None else params.name
                    if name is not None and len(name) > NAME_CHARACTERS:
                        name = name[:NAME_CHARACTERS]
                    request = OpenRequest(self._serial, _CALL, None, None, method, name, at_ns, size)
                else:
                    request = self._other_request(method, params, at_ns, size)
                if log is not None and log.wants_detail:
                    self._observers.log_detail(message, request)
                if observed:
                    request.token = self._observers.begun(message)
                if id_ in open_:
                    self._open_again(id_, request)
                else:
                    open_[id_] = request
                self._count += 1
                if request.kind <= _LAST_AWAITED:
                    self._awaited += 1
                if self._count > max_open:
                    self._drop_oldest()
            unanswerable = self._server_gone
            ended = self._take_ended() if self._ended else None
        if ended is not None or observed:
            self._observers.ended(ended or (), at_ns)
        if unanswerable:
            self._refuse(messages, at_ns)

    def server_sent(  # noqa: C901  as above
        self, messages: Sequence[ServerMessage], sizes: Iterable[int] = NO_SIZES, at_ns: int = 0
    ) -> None:
        """Closes the requests that the messages reply to, and counts what ended; arguments as of `client_sent`."""
        outcomes: list[Called] = []
        with self._lock:
            cancelled, observed = self._cancelled, self._observers.want_requests
            log = self._observers.log
            for message, size in zip(messages, sizes, strict=False):
                id_, error = message.id, message.error
                if id_ is None or message.method is not None:
                    self._server_notified(message, outcomes, size)
                    continue
                if error is None:
                    if message.result is UNSET:
                        continue  # a log line that happens to have an id
                elif id_ in cancelled and error.code in _SAYS_CANCELLED:
                    cancelled.discard(id_)
                    continue
                request = self._close(id_)
                if request is None:
                    continue
                if observed:
                    self._ended.append((request, "replied", message))
                if log is not None and (log.captures or request.kind > _CALL_AS_TASK):
                    self._observers.log_reply(request, message, size, at_ns)
                result = message.result
                if request.kind == _CALL and error is None and result and result.result_type is None:
                    # What nearly every message is, for the shortest way; _settle would say the same.
                    outcomes.append(("error" if result.is_error else "success", request, None, size))
                else:
                    self._settle(request, message, outcomes, size)
            ended = self._take_ended() if self._ended else ()
        if ended:
            self._observers.ended(ended, at_ns)
        self._observers.called(outcomes)
        if log is not None and outcomes:
            self._observers.log_calls(outcomes, at_ns)

    def server_exited(self) -> None:
        """The server exited, or closed its stdout, with the client still there: every open call ended in error.

        So does each call the client sends from now on.
        """
        with self._lock:
            calls = [request for _, request in self._requests_open() if request.kind <= _CALL_AS_TASK]
            tasks = [task.request for task in self._tasks.values()]
            was_running, self._server_gone = self._running, self._running
            self._forget("server_gone")
            ended = self._take_ended()
        self._observers.ended(ended)
        self._observers.called([("error", request, None, 0) for request in (*calls, *tasks)])
        self._observers.log_ended([(request, "server_gone", None) for request in tasks])
        if was_running:
            self._observers.closed("server_gone")

    def abandon(self) -> None:
        """The session is over because the client left or thv was told to stop: what is open is never counted."""
        with self._lock:
            was_running, self._server_gone = self._running, False
            self._forget("abandoned")
            ended = self._take_ended()
        self._observers.ended(ended)
        if was_running:
            self._observers.closed(None)

    def _refuse(self, messages: Sequence[ClientMessage], at_ns: int) -> None:
        """Requests sent after the server was gone."""
        for message in messages:
            if message.method is None or message.id is None:
                continue
            request = self._other_request(message.method, message.params, at_ns, 0)
            request.token = self._observers.begun(message)
            self._observers.ended([(request, "server_gone", None)], at_ns)
            if message.method == "tools/call":
                self._observers.called([("error", request, None, 0)])

    # What follows is called with the lock held.

    def _forget(self, ending: EndReason) -> None:
        self._running = False
        if self._observers.want_ends:
            self._ended += [(request, ending, None) for _, request in sorted(self._requests_open(), key=_age)]
        self._open.clear()
        self._by_age.clear()
        self._tasks.clear()
        self._cancelled.clear()
        self._count = self._awaited = 0

    def _take_ended(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def _other_request(self, method: str, params: ClientParams | None, at_ns: int, size: int) -> OpenRequest:
        kind = _KINDS.get(method, _OTHER)
        request = OpenRequest(self._serial, kind, None, None, method[:NAME_CHARACTERS], None, at_ns, size)
        if params is None:
            return request
        if params.name is not None:
            request.name = params.name[:NAME_CHARACTERS]
        if kind == _CALL and params.task is not None:
            request.kind = _CALL_AS_TASK
        elif kind == _TASK_CANCEL and params.task_id is not None:
            self._tasks.pop(params.task_id, None)
        if kind != _OTHER:
            request.task_id = params.task_id
        return request

    def _open_again(self, id_: Id, request: OpenRequest) -> None:
        earlier = self._open[id_]
        if isinstance(earlier, deque):
            earlier.append(request)
        else:
            self._open[id_] = deque((earlier, request))

    def _client_notified(self, message: ClientMessage) -> None:
        if message.method != "notifications/cancelled" or message.id is not None or message.params is None:
            return
        id_ = message.params.request_id
        request = None if id_ is None else self._close(id_)
        if id_ is not None and request is not None:
            if self._observers.want_ends:
                self._ended.append((request, "cancelled", None))
            if len(self._cancelled) >= self._max_open:
                self._cancelled.clear()  # replies this late do not come; the set only guards against some that do
            self._cancelled.add(id_)

    def _server_notified(self, message: ServerMessage, outcomes: list[Called], size: int) -> None:
        if message is UNREADABLE:
            self._drop_oldest_awaited()
        elif message.method in _TASK_NOTIFICATIONS and message.params:
            self._task_seen(message.params.task_id, message.params, outcomes, size)

    def _close(self, id_: Id) -> OpenRequest | None:
        request = self._open.pop(id_, None)
        if request is None:
            self._cancelled.discard(id_)
            return None
        if isinstance(request, deque):
            request = self._oldest_of(id_, request)
        self._count -= 1
        if request.kind <= _LAST_AWAITED:
            self._awaited -= 1
        return request

    def _oldest_of(self, id_: Id, queue: deque[OpenRequest]) -> OpenRequest:
        oldest = queue.popleft()
        if queue:
            self._open[id_] = queue
        return oldest

    def _settle(self, request: OpenRequest, reply: ServerMessage, outcomes: list[Called], size: int) -> None:
        """Draws the consequence of a reply to a request that is open no more."""
        result = reply.result or None
        kind, task_id = request.kind, request.task_id
        if kind <= _CALL_AS_TASK:
            if reply.error is not None:
                outcomes.append(("error", request, summarize_error(reply.error), size))
            elif result is None or not self._is_provisional(request, result):
                outcomes.append((_outcome(result), request, None, size))
        elif task_id is None:
            return
        elif kind == _TASK_RESULT:
            # The reply is exactly what the call would have been answered (2025-11-25, "Result Retrieval").
            task = self._tasks.get(task_id)
            if task is not None and not task.extension:
                del self._tasks[task_id]
                outcome = "error" if reply.error is not None else _outcome(result)
                outcomes.append((outcome, task.request, summarize_error(reply.error), size))
        elif kind == _TASK_GET:
            if result is not None and reply.error is None:
                self._task_seen(task_id, result, outcomes, size)
        elif kind == _TASK_CANCEL:
            # Dropped when the client asked, unless the reply that created the task had not been read by then.
            self._tasks.pop(task_id, None)

    def _is_provisional(self, request: OpenRequest, result: Result) -> bool:
        """Whether the result of a call is not its outcome; a task that it hands out is remembered."""
        if result.result_type not in {None, "complete"}:
            if result.result_type == "task" and result.task_id is not None:
                self._open_task(result.task_id, OpenTask(extension=True, request=request))
            return True
        if request.kind == _CALL_AS_TASK and result.task is not None and result.task.task_id is not None:
            self._open_task(result.task.task_id, OpenTask(extension=False, request=request))
            return True
        return False

    def _open_task(self, task_id: str, task: OpenTask) -> None:
        self._tasks.pop(task_id, None)
        self._tasks[task_id] = task
        if len(self._tasks) > self._max_open:
            self._tasks.popitem(last=False)

    def _task_seen(self, task_id: str | None, task: Task, outcomes: list[Called], size: int) -> None:
        """A task's state went by: a `tasks/get` reply, or a notification."""
        known = None if task_id is None else self._tasks.get(task_id)
        if task_id is None or known is None:
            return
        if task.status == "cancelled":
            del self._tasks[task_id]
        elif known.extension and task.status in {"completed", "failed"}:
            # In 2025-11-25 these only say that `tasks/result` has the outcome; the extension has it here.
            del self._tasks[task_id]
            outcome = "error" if task.status == "failed" else _outcome(task.result)
            outcomes.append((outcome, known.request, summarize_error(task.error), size))

    def _requests_open(self) -> Iterator[tuple[Id, OpenRequest]]:
        for id_, found in self._open.items():
            if isinstance(found, deque):
                for request in found:
                    yield id_, request
            else:
                yield id_, found

    def _drop_oldest(self) -> None:
        """Forgets the oldest open request, in constant time over the long run.

        `_by_age` is made when it is needed and has been used up, from everything open then; what was opened later is
        younger than all of it.
        """
        while True:
            if not self._by_age:
                self._by_age.extend(sorted(self._requests_open(), key=_age))
            if self._remove(*self._by_age.popleft()):
                return

    def _drop_oldest_awaited(self) -> None:
        oldest = min(
            (entry for entry in self._requests_open() if entry[1].kind <= _LAST_AWAITED), key=_age, default=None
        )
        if oldest is not None:
            self._remove(*oldest)

    def _remove(self, id_: Id, request: OpenRequest) -> bool:
        found = self._open.get(id_)
        if isinstance(found, deque):
            if found[0] is request:
                found.popleft()
            elif request in found:
                found.remove(request)
            else:
                return False
            if not found:
                del self._open[id_]
        elif found is request:
            del self._open[id_]
        else:
            return False
        self._count -= 1
        if request.kind <= _LAST_AWAITED:
            self._awaited -= 1
        if self._observers.want_ends:
            self._ended.append((request, "forgotten", None))
        return True


def _age(entry: tuple[Id, OpenRequest]) -> int:
    return entry[1].serial


def _outcome(result: Result | CallResult | None) -> Outcome:
    return "error" if result is not None and result.is_error is True else "success"
