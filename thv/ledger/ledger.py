"""The tool-call ledger: which calls are open, and how each one that ended did (MCP, "Tools", "Cancellation", "Tasks").

Promises: every call has at most one outcome; a call is known before its reply can be; what is remembered is bounded;
nothing a peer sends raises. It knows messages, not bytes. Call observers get outcomes and nothing else; the
request observer and the request log, which are the user's own, get each request and how it ended.

What the specification leaves open is decided like this:

- An id names the oldest request still open under it, whatever that request's method (some clients send every request
  as id 1): a reply closes that one, a cancellation drops that one.
- A reply whose id matches no open request, but whose twin of the other type does (`"1"` for `1`), belongs to that one:
  official clients take it so.
- A cancelled request is forgotten, so its id may be used again at once (2026-07-28) and the next reply belongs to the
  new request. Only an error that itself says "cancelled" (`SAYS_CANCELLED`) is the late reply to the cancelled one.
- Errors that a client answers by asking again (`NOT_FINAL`) end the request, but are no outcome.
- A result whose `resultType` is unknown is no outcome: what is not understood is not claimed to have succeeded.
- A line that could not be read may have been any reply: the oldest awaited request is dropped uncounted, so that the
  end of the session does not wait for a reply that already came.
"""

from __future__ import annotations

from itertools import count, islice
from threading import Lock
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from thv.core.jsonrpc import NOT_FINAL, SAYS_CANCELLED
from thv.core.message import UNREADABLE, twin
from thv.ledger.observers import Observers, sort_in
from thv.ledger.open_requests import (
    CALL,
    CALL_AS_TASK,
    NAME_CHARACTERS,
    OTHER,
    TASK_CANCEL,
    TASK_GET,
    TASK_RESULT,
    OpenRequest,
    OpenRequests,
    summarize_error,
)
from thv.ledger.open_tasks import OpenTasks, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from thv.core.interfaces import (
        CallObserver,
        EndedCall,
        EndedCalls,
        EndReason,
        FinishedCall,
        LoggedRequest,
        Outcome,
        PassedMessage,
        RequestLog,
        RequestObserver,
    )
    from thv.core.message import Id, Message, Params, Result
    from thv.ledger.observers import Ended
    from thv.ledger.open_requests import Key


MAX_OPEN = 65_536
"""Requests, and tasks, remembered at once: far more than any client keeps open, and at worst 13 MiB."""

SUBSCRIBE: Final = "subscriptions/listen"
"""Answered when it ends (MCP 2026-07-28, "Subscriptions")."""

_KINDS: Final = {
    "tools/call": CALL,
    "tasks/result": TASK_RESULT,
    "tasks/get": TASK_GET,
    "tasks/cancel": TASK_CANCEL,
}

_TASK_NOTIFICATIONS: Final = frozenset({"notifications/tasks", "notifications/tasks/status"})
"""The first carries the outcome (2026-07-28 extension), the second only a status (2025-11-25)."""


class ToolCallLedger:
    """Follows the tool calls of one session. Safe to use from several threads.

    Args:
        observers: each gets each outcome once, those that came together at once, on the thread that brought them,
            outside the ledger's lock.
        requests: gets every request and its end.
        log: keeps how every request ended; called once a chunk where that can be.
        max_open: how many open requests, and how many unfinished tasks, are remembered; the oldest is dropped.
        report: gets one line, once for each kind, when an observer raised; the others are called all the same. A call
            observer is called again, the other two are not.
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
        self._new_serial = count(1).__next__
        self._open = OpenRequests(max_open)
        self._tasks = OpenTasks(max_open)
        self._cancelled: set[Key] = set()
        self._ended: list[Ended] = []  # for the request observer, once unlocked
        self._running = True
        self._server_exited = False

    @property
    def has_open_requests(self) -> bool:
        """Whether any request waits for a reply; a subscription, which is answered when it ends, is not among them."""
        with self._lock:
            return any(request.method != SUBSCRIBE for _, request in self._open)

    def open_requests(self, limit: int) -> tuple[int, list[LoggedRequest]]:
        """How many requests are open, and the oldest of them, at most so many."""
        with self._lock:
            return self._open.count, [request for _, request in islice(self._open, limit)]

    def passed(  # noqa: C901, PLR0912, PLR0915  the hot path: another function would cost it a twentieth
        self, traffic: Iterable[PassedMessage], *, scope: Hashable = None, http_status: int | None = None
    ) -> None:
        """Registers requests, heeds cancellations, closes the requests that are replied to, and counts what ended.

        Args:
            traffic: messages of both sides in the order in which they passed, a request before its reply.
            scope: whose ids these are, where clients that know nothing of each other share the ledger. Tasks have none.
            http_status: the status of the HTTP response that brings the server's, if one does.
        """
        words: list[Outcome] = []
        outcomes: list[FinishedCall] = []  # for the request observer
        logged: EndedCalls = []
        rare: list[FinishedCall] = []  # calls whose end is nothing usual, until they are sorted in
        succeeded = True
        moment_ns = -1
        refused: Iterable[PassedMessage] = ()
        with self._lock:
            if not self._running:
                refused, traffic = (traffic if self._server_exited else ()), ()
            open_, observers = self._open, self._observers
            by_key, observed, log, new_serial = open_.by_key, observers.want_requests, observers.log, self._new_serial
            wants_detail, captures = (False, False) if log is None else (log.wants_detail, log.captures)
            room = open_.limit - open_.behind
            for is_client, message, size, at_ns in traffic:
                if rare:
                    succeeded, moment_ns = False, -1
                    sort_in(rare, words, outcomes, logged)
                id_ = message.id
                if is_client:
                    method = message.method
                    if method is None or id_ is None or id_ is UNSET:
                        self._client_notified(message, scope, rare, at_ns)
                        continue
                    params = message.params
                    if method == "tools/call" and (params is None or params.task is None):
                        name = None if params is None else params.name
                        if name is not None and len(name) > NAME_CHARACTERS:
                            name = name[:NAME_CHARACTERS]
                        request = OpenRequest(new_serial(), CALL, None, None, "tools/call", name, at_ns, size)
                    else:
                        request = self._other_request(method, params, at_ns, size)
                    if wants_detail:
                        observers.log_detail(message, request)
                        wants_detail = log is not None and log.wants_detail
                    if observed:
                        request.token = observers.started(message, at_ns)
                    key = id_ if scope is None else (scope, id_)
                    # What `add` would do, without the call.
                    if len(by_key) >= room or by_key.setdefault(key, request) is not request:
                        self._note_evicted(open_.add(key, request), at_ns)
                        room = open_.limit - open_.behind
                    continue
                if message.method is not None or id_ is UNSET or id_ is None:
                    self._server_notified(message, scope, rare, size, at_ns)
                    continue
                error, result = message.error, message.result
                if error is None and result is UNSET:
                    continue  # a log line that happens to have an id
                key = id_ if scope is None else (scope, id_)
                if error is not None and self._cancelled and self._is_late(key, message, scope):
                    continue
                answered = by_key.pop(key, None)  # what `close` would do, without the call
                if not isinstance(answered, OpenRequest):
                    if answered is not None:
                        by_key[key] = answered
                    answered = self._close_queued_or_twin(key, id_, scope)
                    if answered is None:
                        continue
                    room = open_.limit - open_.behind
                if observed:
                    self._ended.append((answered, "answered", message, at_ns))
                kind = answered.kind
                if captures or (kind > CALL_AS_TASK and log is not None):
                    observers.log_reply(answered, message, size, at_ns)
                if kind == CALL and error is None and result and result.result_type is None:
                    # What nearly every message is, for the shortest way; _settle would say the same.
                    if result.is_error or captures:
                        rare.append(("error" if result.is_error else "success", answered, None, size, at_ns))
                    else:
                        words.append("success")
                        if observed:
                            outcomes.append(("success", answered, None, size, at_ns))
                        if log is not None:
                            if at_ns != moment_ns:
                                moment_ns = at_ns
                                moment: list[EndedCall] = []
                                logged.append((at_ns, moment))
                            took_us = (at_ns - answered.started_ns) // 1000
                            moment.append((took_us, answered.name, answered.request_bytes, size))
                else:
                    self._settle(answered, message, rare, size, at_ns)
            succeeded = succeeded and not rare
            sort_in(rare, words, outcomes, logged)
            ended = self._take_ended() if self._ended else ()
        if ended or observed:
            observers.finished(ended, http_status)
        if words:
            observers.called(words, outcomes)
            if observers.log is not None:
                observers.log_calls(logged, succeeded=succeeded)
        if refused:
            self._refuse(refused)

    def server_exited(self) -> None:
        """The server exited, or closed its stdout, with the client still there: every open call ended in error.

        So does each call the client sends from now on.
        """
        with self._lock:
            calls = [request for _, request in self._open if request.kind <= CALL_AS_TASK]
            tasks = self._tasks.calls()
            was_running, self._server_exited = self._running, self._running
            self._forget("server_exited")
            ended = self._take_ended()
        self._observers.finished(ended)
        ended_calls: list[FinishedCall] = [("error", request, None, 0, 0) for request in (*calls, *tasks)]
        self._observers.called(["error"] * len(ended_calls), ended_calls)
        self._observers.log_ended([(request, "server_exited", None, 0) for request in tasks])
        if was_running:
            self._observers.closed("server_gone")

    def close(self, reason: EndReason = "client_closed") -> None:
        """The session is over because the client left or thv was stopped: what is open is never counted."""
        with self._lock:
            was_running, self._server_exited = self._running, False
            self._forget(reason)
            ended = self._take_ended()
        self._observers.finished(ended)
        if was_running:
            self._observers.closed(None)

    def _refuse(self, traffic: Iterable[PassedMessage]) -> None:
        """Requests sent after the server was gone."""
        observers = self._observers
        for is_client, message, _, at_ns in traffic:
            if not is_client or message.method is None or not message.is_request:
                continue
            request = self._other_request(message.method, message.params, at_ns, 0)
            request.token = observers.started(message, at_ns)
            observers.finished([(request, "server_exited", None, at_ns)])
            if message.method == "tools/call":
                observers.called(["error"], [("error", request, None, 0, at_ns)])

    # What follows is called with the lock held.

    def _forget(self, reason: EndReason) -> None:
        self._running = False
        if self._observers.want_ends:
            self._ended += [(request, reason, None, 0) for request in self._open.oldest_first()]
        self._open.clear()
        self._tasks.clear()
        self._cancelled.clear()

    def _take_ended(self) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def _other_request(self, method: str, params: Params | None, at_ns: int, size: int) -> OpenRequest:
        kind = _KINDS.get(method, OTHER)
        request = OpenRequest(self._new_serial(), kind, None, None, method[:NAME_CHARACTERS], None, at_ns, size)
        if params is None:
            return request
        if params.name is not None:
            request.name = params.name[:NAME_CHARACTERS]
        if kind == CALL and params.task is not None:
            request.kind = CALL_AS_TASK
        elif kind == TASK_CANCEL:
            self._tasks.cancel_asked(params.task_id)
        if kind != OTHER:
            request.task_id = params.task_id
        return request

    def _note_evicted(self, request: OpenRequest | None, at_ns: int) -> None:
        if request is not None and self._observers.want_ends:
            self._ended.append((request, "evicted", None, at_ns))

    def _close_queued_or_twin(self, key: Key, id_: Id, scope: Hashable) -> OpenRequest | None:
        """Close the oldest of several requests with this id, or the one whose id is the same as the other type."""
        request = self._open.close(key)
        if request is None:
            key = self._twin(key, id_, scope)
            request = self._open.close(key)
            if request is None:
                self._cancelled.discard(key)
        return request

    def _client_notified(self, message: Message, scope: Hashable, outcomes: list[FinishedCall], at_ns: int) -> None:
        """Heeds a cancellation, or the answer to what the server asked."""
        if message.is_response:
            self._observers.client_answered(message, at_ns, scope)
            return
        if message.method != "notifications/cancelled" or message.key is not None or message.params is None:
            return
        id_ = message.params.request_id
        key = id_ if scope is None else (scope, id_)
        request = None if id_ is None else self._open.close(key)
        if request is None:
            return  # answered, or cancelled already
        if self._observers.want_ends:
            self._ended.append((request, "cancelled", None, at_ns))
        if request.kind == TASK_CANCEL:
            self._tasks.cancel_answered(request.task_id, outcomes, at_ns, refused=True)
        if len(self._cancelled) >= self._max_open:
            self._cancelled.clear()  # replies this late do not come; the set only guards against some that do
        self._cancelled.add(key)

    def _is_late(self, key: Key, reply: Message, scope: Hashable) -> bool:
        """Whether an error is the late reply to a request that was cancelled; it guards once."""
        if reply.error is None or reply.error.code not in SAYS_CANCELLED or reply.key is None:
            return False
        if key not in self._cancelled and key not in self._open:
            key = self._twin(key, reply.key, scope)
        if key not in self._cancelled:
            return False
        self._cancelled.discard(key)
        return True

    def _twin(self, key: Key, id_: Id, scope: Hashable) -> Key:
        """The key under which the same id of the other type is known, or else the key itself."""
        other: Key = twin(id_) if scope is None else (scope, twin(id_))
        return other if other in self._open or other in self._cancelled else key

    def _server_notified(
        self, message: Message, scope: Hashable, outcomes: list[FinishedCall], size: int, at_ns: int
    ) -> None:
        if message.is_request:
            self._observers.server_asked(message, at_ns, scope)
        elif message is UNREADABLE:
            self._note_evicted(self._open.drop_oldest_awaited(), at_ns)
        elif message.method in _TASK_NOTIFICATIONS and message.params:
            self._tasks.state_came(message.params.task_id, message.params, outcomes, size, at_ns)

    def _settle(
        self, request: OpenRequest, reply: Message, outcomes: list[FinishedCall], size: int, at_ns: int
    ) -> None:
        """Draws the consequence of a reply to a request that is open no more."""
        result = reply.result or None
        error, kind, task_id = reply.error, request.kind, request.task_id
        if error is not None and error.code in NOT_FINAL:
            if kind == TASK_CANCEL:
                self._tasks.cancel_answered(task_id, outcomes, at_ns, refused=True)
        elif kind <= CALL_AS_TASK:
            if error is not None:
                outcomes.append(("error", request, summarize_error(error), size, at_ns))
            elif result is None or not self._is_provisional(request, result):
                outcomes.append((outcome_of(result), request, None, size, at_ns))
        elif task_id is not None:
            self._settle_task_request(kind, task_id, reply, (outcomes, size, at_ns))

    def _settle_task_request(
        self, kind: int, task_id: str, reply: Message, ending: tuple[list[FinishedCall], int, int]
    ) -> None:
        """The same for a request that concerns a task."""
        outcomes, size, at_ns = ending
        result, error = reply.result or None, reply.error
        if kind == TASK_RESULT:
            self._tasks.result_came(task_id, reply, outcomes, size, at_ns)
        elif kind == TASK_GET:
            if result is not None and error is None:
                self._tasks.state_came(task_id, result, outcomes, size, at_ns)
        elif kind == TASK_CANCEL:
            self._tasks.cancel_answered(task_id, outcomes, at_ns, refused=error is not None)

    def _is_provisional(self, request: OpenRequest, result: Result) -> bool:
        """Whether the result of a call is not its outcome; a task that it hands out is remembered."""
        if result.result_type not in {None, "complete"}:
            if result.result_type == "task" and result.task_id is not None:
                self._tasks.open(result.task_id, request, extension=True)
            return True
        if request.kind == CALL_AS_TASK and result.task is not None and result.task.task_id is not None:
            self._tasks.open(result.task.task_id, request, extension=False)
            return True
        return False
