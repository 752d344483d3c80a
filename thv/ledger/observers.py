"""Those whom the ledger tells, and what becomes of one that raises: the session and the others never notice.

A call observer hears an outcome and nothing else. A request observer, the user's own telemetry, hears of each request
and how it ended. Only `begun` may be called with the ledger's lock held: nothing is reported there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.core.interfaces import CallObserver, EndReason, Outcome, RequestObserver
    from thv.core.message import ClientMessage, ServerMessage

    Called: TypeAlias = tuple[Outcome, object]
    """An outcome, and the token of the call that it belongs to."""

    Ended: TypeAlias = tuple[object, EndReason, ServerMessage | None]
    """The token of a request, how it ended, and the reply that ended it."""


class Observers:
    """Tells the observers of one session. Safe to use from several threads.

    Args:
        calls: each is told of each outcome; one that raises is asked again.
        requests: told of every request; if it raises, it is told of nothing more.
        report: told, once for each kind, that an observer raised.

    Attributes:
        want_requests: whether anybody is to be told of requests.
    """

    def __init__(
        self,
        calls: Sequence[CallObserver],
        requests: RequestObserver | None,
        report: Callable[[str], None] | None,
    ) -> None:
        self._calls = tuple(calls)
        self._requests = requests
        self._report = report
        self._reported_calls = False
        self._problem: Exception | None = None  # what `begun` raised, until it can be reported
        self.want_requests = requests is not None

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

    def ended(self, ended: Sequence[Ended]) -> None:
        """These requests are open no more."""
        if self._problem is not None:
            problem, self._problem = self._problem, None
            self._report_requests(problem)
        requests = self._requests
        if requests is None:
            return
        try:
            for token, ending, reply in ended:
                requests.ended(token, ending, reply)
        except Exception as problem:  # noqa: BLE001 - as above
            self._drop_requests()
            self._report_requests(problem)

    def called(self, outcomes: Sequence[Called]) -> None:
        """These calls have their outcomes."""
        for outcome, _ in outcomes:
            for observer in self._calls:
                try:
                    observer(outcome)
                except Exception as problem:  # noqa: BLE001 - an observer's bug must not cost the others an outcome
                    self._report_call_observer(problem)
        requests = self._requests
        if requests is None:
            return
        try:
            for outcome, token in outcomes:
                requests.called(token, outcome)
        except Exception as problem:  # noqa: BLE001 - as above
            self._drop_requests()
            self._report_requests(problem)

    def closed(self, error_type: str | None) -> None:
        """The session is over."""
        if self._requests is not None:
            try:
                self._requests.closed(error_type)
            except Exception as problem:  # noqa: BLE001 - as above
                self._drop_requests()
                self._report_requests(problem)

    def _drop_requests(self) -> None:
        self._requests = None
        self.want_requests = False

    def _report_requests(self, problem: Exception) -> None:
        if self._report is not None:
            self._report(f"telemetry failed and is off for the rest of this session: {problem!r}")

    def _report_call_observer(self, problem: Exception) -> None:
        if self._report is not None and not self._reported_calls:
            self._reported_calls = True
            self._report(f"an observer of tool calls failed: {problem!r}")
