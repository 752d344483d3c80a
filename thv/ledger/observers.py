"""Calls the ledger's observers, and drops one that raises: the session and the other observers never notice.

A call observer gets outcomes and nothing else. The request observer and the request log, which are the user's own,
get each request and how it ended. Methods that may be called with the ledger's lock held say so: nothing is reported
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from thv.ledger.open_requests import summarize_error

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from thv.core.interfaces import (
        CallObserver,
        EndedCalls,
        EndReason,
        FinishedCall,
        LoggedRequest,
        Outcome,
        RequestLog,
        RequestObserver,
    )
    from thv.core.message import Message

    Ended: TypeAlias = tuple[LoggedRequest, EndReason, Message | None, int]
    """A request, how it ended, the reply that ended it, and when, as `time.perf_counter_ns` counts; 0: now."""


class Observers:
    """The observers of one session. Safe to use from several threads.

    Args:
        calls: each gets each outcome, those that came together at once; one that raises is called again.
        requests: gets every request; if it raises, it is called no more.
        log: keeps how every request ended; likewise.
        report: gets one line, once for each kind of observer, when one raised.

    Attributes:
        want_requests: whether there is a request observer left.
        want_ends: whether anything wants the requests that end without a reply.
        log: the request log, while there is one.
    """

    def __init__(
        self,
        calls: Sequence[CallObserver],
        requests: RequestObserver | None,
        log: RequestLog | None,
        report: Callable[[str], None] | None,
    ) -> None:
        self._calls = tuple(calls)
        self._requests = requests
        self._report = report
        self._reported_calls = False
        self._problem: Exception | None = None  # what `on_request_started` raised, until it can be reported
        self._log_problem: Exception | None = None  # likewise of the log
        self.want_requests = requests is not None
        self.log = log
        self.want_ends = requests is not None or log is not None

    def started(self, message: Message, at_ns: int) -> object:
        """A request passes, or did; returns the observer's token. With the lock held."""
        requests = self._requests
        if requests is None:
            return None
        try:
            return requests.on_request_started(message, at_ns)
        except Exception as problem:  # noqa: BLE001 - a bug in telemetry must not cost the session its counts
            self._drop_requests()
            self._problem = problem
            return None

    def server_asked(self, message: Message, at_ns: int, scope: Hashable) -> None:
        """The server sent a request. With the lock held."""
        if self._requests is not None:
            try:
                self._requests.on_server_request(message, at_ns, scope)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_requests()
                self._problem = problem

    def client_answered(self, message: Message, at_ns: int, scope: Hashable) -> None:
        """The client answered a request of the server. With the lock held."""
        if self._requests is not None:
            try:
                self._requests.on_server_request_answered(message, at_ns, scope)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_requests()
                self._problem = problem

    def finished(self, ended: Sequence[Ended], http_status: int | None = None) -> None:
        """These requests are open no more."""
        if self.log is not None and ended:
            self.log_ended([entry for entry in ended if entry[1] != "answered"])
        if self._problem is not None:
            problem, self._problem = self._problem, None
            self._report_requests(problem)
        requests = self._requests
        if requests is None:
            return
        try:
            for request, reason, reply, at_ns in ended:
                requests.on_request_finished(request.token, reason, reply, at_ns, http_status)
        except Exception as problem:  # noqa: BLE001 - as above
            self._drop_requests()
            self._report_requests(problem)

    def called(self, words: Sequence[Outcome], outcomes: Sequence[FinishedCall] = ()) -> None:
        """Calls have their outcomes: these words, for the request observer these calls."""
        for observer in self._calls:
            try:
                observer(words)
            except Exception as problem:  # noqa: BLE001 - an observer's bug must not cost the others an outcome
                self._report_call_observer(problem)
        requests = self._requests
        if requests is None:
            return
        try:
            for outcome, request, *_ in outcomes:
                requests.on_tool_outcome(request.token, outcome)
        except Exception as problem:  # noqa: BLE001 - as above
            self._drop_requests()
            self._report_requests(problem)

    def closed(self, error_type: str | None) -> None:
        """The session is over."""
        if self._log_problem is not None and self._report is not None:
            self._report(f"the journal failed and missed the rest of this session: {self._log_problem!r}")
        if self.log is not None:
            try:
                self.log.closed("server" if error_type is not None else "client")
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)
        if self._requests is not None:
            try:
                self._requests.on_session_closed(error_type)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_requests()
                self._report_requests(problem)

    def log_detail(self, message: Message, request: LoggedRequest) -> None:
        """A request passes, or did, and the log wants to see it whole. With the lock held."""
        if self.log is not None:
            try:
                self.log.detail(message, request)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def log_reply(self, request: LoggedRequest, reply: Message, size: int, at_ns: int) -> None:
        """A request was answered that is no call, or any where results are captured. With the lock held."""
        if self.log is not None:
            try:
                self.log.replied(request, reply, (summarize_error(reply.error), size), at_ns)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def log_calls(self, calls: EndedCalls, *, succeeded: bool) -> None:
        """These calls have their outcomes; see `RequestLog.calls_ended`."""
        if self.log is not None:
            try:
                self.log.calls_ended(calls, succeeded=succeeded)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def log_ended(self, ended: Sequence[Ended]) -> None:
        """These requests will not be answered."""
        if self.log is not None:
            try:
                for request, reason, _, at_ns in ended:
                    self.log.ended(request, reason, at_ns)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def _drop_log(self, problem: Exception) -> None:
        self.log = None
        self.want_ends = self.want_requests
        self._log_problem = problem

    def _drop_requests(self) -> None:
        self._requests = None
        self.want_requests = False
        self.want_ends = self.log is not None

    def _report_requests(self, problem: Exception) -> None:
        if self._report is not None:
            self._report(f"telemetry failed and is off for the rest of this session: {problem!r}")

    def _report_call_observer(self, problem: Exception) -> None:
        if self._report is not None and not self._reported_calls:
            self._reported_calls = True
            self._report(f"an observer of tool calls failed: {problem!r}")


def sort_in(rare: list[FinishedCall], words: list[Outcome], outcomes: list[FinishedCall], logged: EndedCalls) -> None:
    """Put calls that ended where each observer finds what it wants, and forget them here."""
    for call in rare:
        words.append(call[0])
        outcomes.append(call)
        logged.append((call[-1], [call]))
    rare.clear()
