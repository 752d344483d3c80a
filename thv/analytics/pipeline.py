"""Counts outcomes, and decides when they are sent: late, rarely, with consent, and never in the session's way.

Nothing here raises into the session, and nothing waits but `close`, which has a budget. Until the first outcome there
is no thread; until the relay has been quiet there is no TLS in the process; while nothing new is counted nothing wakes
up. Consent is asked again right before each export: after a no, everything that was counted is forgotten, and this
process counts no more. Importing this module is cheap: the analytics thread imports what an export needs.
"""

from __future__ import annotations

import os
from time import monotonic

from thv.analytics.constants import ENDPOINT, INTERVAL, JITTER
from thv.analytics.provider import AnalyticsMeterProvider

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thv.analytics.exporter import Exporter
    from thv.analytics.otlp import ReportRequest
    from thv.analytics.report_delivery import ReportDelivery
    from thv.core.interfaces import Outcome

QUIET = 0.25
"""Seconds without relay traffic before the TLS library is imported: beside live traffic its import costs latency."""

EXIT_BUDGET = 0.3
"""Seconds the end of a session may wait for the last export: unnoticed by a person, a few round trips to a server."""

RANDOM_BYTES = 4


class UsageAnalytics:
    """Counts how tool calls end, and reports the counts about every `interval` seconds and at exit.

    Import `threading` on the main thread before constructing it elsewhere: whichever thread imports it first becomes
    what Python takes for the main thread.

    Args:
        consent: whether counts may be sent now. Called on the analytics thread, right before each export.
        activity: a number that changes whenever relay traffic passes.
        debug: show every request and its result.
        warn: writes a text to stderr; must raise if no one can read it, since nothing is sent before the notice was
            shown. Called on the analytics thread.
        state_dir: where the notice's marker and the history are kept; see `thv.core.state_dir.user_state_dir`.
        endpoint: only tests give another one.
        ca_file: certificates to trust instead of the system's; only tests give some.
        interval: seconds from the first unsent outcome to its export, see `jittered`.
        quiet: seconds of silence on the relay before anything heavy is imported.

    A forked child neither counts nor sends.
    """

    def __init__(
        self,
        consent: Callable[[], bool],
        *,
        activity: Callable[[], int],
        debug: bool = False,
        warn: Callable[[str], None] | None = None,
        state_dir: Callable[[], str | Path] | None = None,
        endpoint: str = ENDPOINT,
        ca_file: str | None = None,
        interval: float = INTERVAL,
        quiet: float = QUIET,
    ) -> None:
        import threading

        self._consent = consent
        self._activity = activity
        self._debug = debug
        self._warn = warn or _warn_a_reader
        self._state_dir = state_dir
        self._endpoint = endpoint
        self._ca_file = ca_file
        self._interval = interval
        self._quiet = quiet
        self._process = os.getpid()
        self._provider = AnalyticsMeterProvider()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._exporter: Exporter | None = None
        self._unattended = True  # the next outcome must wake, or start, the thread
        self._refused = False  # nothing is counted any more
        self._client_is_gone = False
        self._closing = False
        self._finished = False

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes. The `CallObserver` of usage analytics; calls must not overlap."""
        if self._refused:
            return
        self._provider.record(outcomes)
        if self._unattended:
            self._attend()

    def client_disconnected(self) -> None:
        """Send what is counted now, while the server is being shut down. Returns at once."""
        if os.getpid() != self._process:
            return
        with self._condition:
            self._client_is_gone = True
            self._condition.notify_all()

    def close(self, budget: float = EXIT_BUDGET) -> None:
        """Send the last counts within `budget` seconds in all; what takes longer is left to die with the process."""
        if self._thread is None or os.getpid() != self._process:
            return
        with self._condition:
            self._closing = True
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._finished, timeout=budget)
        if self._exporter is not None and not self._finished:
            self._exporter.abandon()

    # Everything below runs on the analytics thread, except `_attend`.

    def _attend(self) -> None:
        from threading import Thread

        self._unattended = False
        if os.getpid() != self._process:
            return
        with self._condition:
            if self._thread is not None:
                self._condition.notify_all()
                return
            # A daemon, so that an endpoint that swallows packets cannot hold the process.
            thread = Thread(target=self._run, name="thv-usage-analytics", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no thread left; the session matters more
                return
            self._thread = thread

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - analytics never raise into the session, whatever is broken
            self._explain(f"usage analytics stopped: {error!r}")
        finally:
            with self._condition:
                self._finished = True
                self._condition.notify_all()

    def _serve(self) -> None:
        due = monotonic() + jittered(self._interval)
        self._await_quiet(due)
        if self._is_refused() or not self._notice_was_shown():
            return
        exporter = self._exporter = self._load()
        leaving = False
        while True:
            with self._condition:
                self._condition.wait_for(self._hurried, timeout=due - monotonic())
                closing, hurried = self._closing, self._hurried()
                self._client_is_gone = False
            # What a server just declined is not sent to it again in the same breath.
            if self._provider.has_news() or (self._provider.has_kept() and not leaving):
                if self._is_refused():
                    return
                exporter.export()
            leaving = leaving or hurried
            with self._condition:
                if closing:
                    break
                self._unattended = True
                self._condition.wait_for(lambda: self._provider.has_news() or self._hurried())
                self._unattended = False
            due = monotonic() + jittered(self._interval)

    def _await_quiet(self, due: float) -> None:
        while True:
            seen = self._activity()
            with self._condition:
                if self._condition.wait_for(self._hurried, timeout=min(self._quiet, due - monotonic())):
                    return
            if self._activity() == seen or monotonic() >= due:
                return

    def _is_refused(self) -> bool:
        """Ask for consent; after a no, forget what was counted and count no more."""
        try:
            refused = not self._consent()
        except Exception:  # noqa: BLE001 - when in doubt, nothing is reported
            refused = True
        if refused:
            self._refused = True
            self._provider.forget()
            self._explain("usage analytics were turned off: what was counted is forgotten")
        return refused

    def _notice_was_shown(self) -> bool:
        from thv.analytics.notice import shown

        return shown(self._warn, self._state_dir)

    def _load(self) -> Exporter:
        from thv.analytics.exporter import Exporter
        from thv.analytics.history import append

        exporter = Exporter(
            self._provider,
            endpoint=self._endpoint,
            ca_file=self._ca_file,
            remember=lambda export: append(export, self._state_dir),
            report=self._report if self._debug else None,
        )
        exporter.load()
        return exporter

    def _hurried(self) -> bool:
        return self._closing or self._client_is_gone

    def _report(self, request: ReportRequest, delivery: ReportDelivery) -> None:
        self._explain(
            f"usage analytics: {request.method} {request.url}, {len(request.body)} bytes: "
            f"{delivery.status.value} ({delivery.reason})\n{request.readable_body()}"
        )

    def _explain(self, text: str) -> None:
        if not self._debug:
            return
        try:
            self._warn(text)
        except Exception:  # noqa: BLE001 - an explanation that cannot be read changes nothing
            self._debug = False


def jittered(interval: float) -> float:
    """The interval, up to a fifth longer or shorter, by the system's random numbers: none depends on the one before."""
    draw = int.from_bytes(os.urandom(RANDOM_BYTES)) / (1 << 8 * RANDOM_BYTES)
    return interval * (1 + JITTER * (2 * draw - 1))


def _warn_a_reader(text: str) -> None:
    """Write to stderr.

    Raises:
        OSError: it could not be written, or goes where no one can read it.
    """
    from thv.core.console import stderr_is_discarded, warn_or_raise

    if stderr_is_discarded():
        raise OSError("stderr is closed, or a device that keeps nothing")
    warn_or_raise(text)
