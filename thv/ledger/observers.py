"""Those whom the ledger tells, and what becomes of one that raises: the session and the others never notice.

A call observer hears an outcome and nothing else. A request observer, the user's own telemetry, hears of each request
and how it ended. Only `begun` may be called with the ledger's lock held: nothing is reported there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from thv.ledger.open_request import summarize_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.core.interfaces import CallObserver, EndReason, FinishedCall, LoggedRequest, RequestLog, RequestObserver
    from thv.core.message import ClientMessage, ServerMessage

    Called: TypeAlias = FinishedCall

    Ended: TypeAlias = tuple[LoggedRequest, EndReason, ServerMessage | None]
    """A request, how it ended, and the reply that ended it."""


class Observers:
    """Tells the observers of one session. Safe to use from several threads.

    Args:
        calls: each is told of each outcome; one that raises is asked again.
        requests: told of every request; if it raises, it is told of nothing more.
        log: keeps how every request ended; likewise.
        report: told, once for each kind, that an observer raised.

    Attributes:
        want_requests: whether the request observer is to be told of requests.
        want_ends: whether anything is to be told of requests that end without a reply.
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
        self._problem: Exception | None = None  # what `begun` raised, until it can be reported
        self._log_problem: Exception | None = None  # likewise of the log
        self.want_requests = requests is not None
        self.log = log
        self.want_ends = requests is not None or log is not None

    def begun(self, message: ClientMessage) -> object:
        """A request is about to be forwarded; returns the observer's token."""
        requests = self._requests
        if requests is None:
            return None
        try:
            return requests.begun(message)  # type: ignore[arg-type]  # read with the detail that the observer needs
        except Exception as problem:  # noqa: BLE001 - a bug in telemetry must not cost the session its counts
            self._drop_requests()
            self._problem = problem
            return None

    def ended(self, ended: Sequence[Ended], at_ns: int = 0) -> None:
        """These requests are open no more."""
        if self.log is not None and ended:
            self.log_ended([entry for entry in ended if entry[1] != "replied"], at_ns)
        if self._problem is not None:
            problem, self._problem = self._problem, None
            self._report_requests(problem)
        requests = self._requests
        if requests is None:
            return
        try:
            for request, ending, reply in ended:
                requests.ended(request.token, ending, reply)
        except Exception as problem:  # noqa: BLE001 - as above
            self._drop_requests()
            self._report_requests(problem)

    def called(self, outcomes: Sequence[Called]) -> None:
        """These calls have their outcomes."""
        for outcome, *_ in outcomes:
            for observer in self._calls:
                try:
                    observer(outcome)
                except Exception as problem:  # noqa: BLE001 - an observer's bug must not cost the others an outcome
                    self._report_call_observer(problem)
        requests = self._requests
        if requests is None:
            return
        try:
            for outcome, request, *_ in outcomes:
                requests.called(request.token, outcome)
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
                self._requests.closed(error_type)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_requests()
                self._report_requests(problem)

    def log_detail(self, message: ClientMessage, request: LoggedRequest) -> None:
        """Before a request is forwarded, where the log wants to see it whole; with the ledger's lock."""
        if self.log is not None:
            try:
                self.log.detail(message, request)  # type: ignore[arg-type]  # read with the detail that it needs
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def log_reply(self, request: LoggedRequest, reply: ServerMessage, size: int, at_ns: int) -> None:
        """After the reply to a request that is no call, or to any where results are captured; with the lock, too."""
        if self.log is not None:
            try:
                self.log.replied(request, reply, (summarize_error(reply.error), size), at_ns)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def log_calls(self, calls: list[Called], at_ns: int) -> None:
        """These calls have their outcomes."""
        if self.log is not None:
            try:
                self.log.calls_ended(calls, at_ns)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_log(problem)

    def log_ended(self, ended: Sequence[Ended], at_ns: int = 0) -> None:
        """These requests will not be answered."""
        if self.log is not None:
            try:
                for request, reason, _ in ended:
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
