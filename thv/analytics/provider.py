"""The dedicated meter provider: the two counts, and the message made of them. It can count nothing else.

`record` runs on the thread that carries a session, everything else on the analytics thread, one call at a time. The
former only ever adds, and the latter only remembers how far it has read, so the two need no lock.
"""

from __future__ import annotations

from thv.analytics.constants import SUCCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.analytics.otlp import Counts, ReportRequest
    from thv.core.interfaces import Outcome


class AnalyticsMeterProvider:
    """Counts tool-call outcomes for usage analytics."""

    __slots__ = ("_collected", "_errors", "_kept", "_successes")

    def __init__(self) -> None:
        self._successes = 0
        self._errors = 0
        self._collected = (0, 0)
        self._kept: Counts | None = None

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes."""
        successes = outcomes.count(SUCCESS)
        self._successes += successes
        self._errors += len(outcomes) - successes

    def has_news(self) -> bool:
        """Whether an outcome was recorded since the last `collect` or `forget`."""
        return (self._successes, self._errors) != self._collected

    def has_kept(self) -> bool:
        """Whether counts of a failed export wait for the next."""
        return bool(self._kept)

    def collect(self) -> Counts:
        """What is new since the last time, and what was kept."""
        from thv.analytics.otlp import Counts

        before, self._collected = self._collected, (self._successes, self._errors)
        new = Counts(self._collected[0] - before[0], self._collected[1] - before[1])
        kept, self._kept = self._kept, None
        return new if kept is None else new.plus(kept)

    def keep(self, counts: Counts) -> None:
        """Add counts that were surely not taken to the next collection."""
        self._kept = counts

    def forget(self) -> None:
        """Drop everything that was counted and not sent."""
        self._collected = (self._successes, self._errors)
        self._kept = None

    @staticmethod
    def message(counts: Counts, *, endpoint: str, now_ns: int) -> ReportRequest:
        """The request that reports these counts, see `otlp.request_for`."""
        from thv.analytics.otlp import request_for

        return request_for(counts, endpoint=endpoint, now_ns=now_ns)
