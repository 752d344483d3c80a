"""Counts outcomes as two integers, and decides when they are sent: late, rarely, and never in anyone's way.

Nothing here raises into the session, and nothing waits but `close`, which has a budget. Until the first outcome there
is no thread; until the relay has been quiet there is no OpenTelemetry, TLS or HTTP in the process; while nothing new is
counted nothing wakes up. Importing this module is cheap: everything heavy is imported by the analytics thread.
"""

from __future__ import annotations

import os
from time import monotonic

from thv.analytics.constants import ENDPOINT, INTERVAL, SUCCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from thv.analytics.exporter import AllowListExporter
    from thv.analytics.otlp import Request
    from thv.analytics.provider import AnalyticsMeterProvider
    from thv.analytics.transport import Delivery
    from thv.core.interfaces import Outcome

QUIET = 0.25
"""Seconds without relay traffic before OpenTelemetry may be imported: beside live traffic its import costs latency."""

EXIT_BUDGET = 0.3
"""Seconds the end of a session may wait for the last export: unnoticed by a person, a few round trips to a server."""


class UsageAnalytics:
    """Counts how tool calls end, and reports the counts every `interval` seconds and at exit.

    Import `threading` on the main thread before constructing it elsewhere: whichever thread imports it first becomes
    what Python takes for the main thread.

    Args:
        activity: a number that changes whenever relay traffic passes.
        warn: writes a text for people to stderr; must raise if it cannot, since nothing is sent before the notice
            was shown. Called on the analytics thread.
        debug: say every request and its result.
        state_dir: where the notice's marker and the history are kept; see `thv.core.state_dir.user_state_dir`.
        endpoint: only tests give another one.
        ssl_context: only tests give another one; see `transport.trust`.
        interval: seconds from the first unsent outcome to its export.
        quiet: seconds of silence on the relay before anything heavy is imported.

    A forked child neither counts nor sends.
    """

    def __init__(
        self,
        *,
        activity: Callable[[], int],
        warn: Callable[[str], None],
        debug: bool = False,
        state_dir: Callable[[], str | Path] | None = None,
        endpoint: str = ENDPOINT,
        ssl_context: ssl.SSLContext | None = None,
        interval: float = INTERVAL,
        quiet: float = QUIET,
    ) -> None:
        import threading

        self._activity = activity
        self._say = warn
        self._debug = debug
        self._state_dir = state_dir
        self._endpoint = endpoint
        self._ssl_context = ssl_context
        self._interval = interval
        self._quiet = quiet
        self._process = os.getpid()
        self._successes = 0
        self._errors = 0
        self._collected = 0
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._unattended = True  # the next outcome must wake, or start, the thread
        self._client_is_gone = False
        self._closing = False
        self._finished = False

    def record(self, outcome: Outcome) -> None:
        """Count one outcome. The `CallObserver` of usage analytics; calls must not overlap."""
        if outcome == SUCCESS:
            self._successes += 1
        else:
            self._errors += 1
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
        due = monotonic() + self._interval
        self._await_quiet(due)
        loaded = self._load()
        if loaded is None:
            return
        provider, exporter = loaded
        parting = False
        while True:
            with self._condition:
                self._condition.wait_for(self._hurried, timeout=due - monotonic())
                closing, hurried = self._closing, self._hurried()
                self._client_is_gone = False
            # What a server just declined is not pressed on it again in the same breath.
            if self._has_news() or (exporter.keeps_counts() and not parting):
                self._collected = self._successes + self._errors
                provider.collect()
            parting = parting or hurried
            with self._condition:
                if closing:
                    break
                self._unattended = True
                self._condition.wait_for(lambda: self._has_news() or self._hurried())
                self._unattended = False
            due = monotonic() + self._interval
        provider.shutdown()

    def _await_quiet(self, due: float) -> None:
        while True:
            seen = self._activity()
            with self._condition:
                if self._condition.wait_for(self._hurried, timeout=min(self._quiet, due - monotonic())):
                    return
            if self._activity() == seen or monotonic() >= due:
                return

    def _load(self) -> tuple[AnalyticsMeterProvider, AllowListExporter] | None:
        from thv.analytics.log_filter import silence_this_thread
        from thv.analytics.notice import shown

        if not shown(self._say, self._state_dir):
            return None
        silence_this_thread()
        from thv.analytics.exporter import AllowListExporter
        from thv.analytics.history import append
        from thv.analytics.provider import AnalyticsMeterProvider
        from thv.analytics.transport import trust

        silence_this_thread()
        exporter = AllowListExporter(
            endpoint=self._endpoint,
            context=self._ssl_context or trust(),
            remember=lambda export: append(export, self._state_dir),
            report=self._report if self._debug else None,
        )
        return AnalyticsMeterProvider(exporter, lambda: (self._successes, self._errors)), exporter

    def _hurried(self) -> bool:
        return self._closing or self._client_is_gone

    def _has_news(self) -> bool:
        return self._successes + self._errors != self._collected

    def _report(self, request: Request, delivery: Delivery) -> None:
        self._explain(
            f"usage analytics: {request.method} {request.url}, {len(request.body)} bytes: "
            f"{delivery.fate.value} ({delivery.reason})\n{request.readable_body()}"
        )

    def _explain(self, text: str) -> None:
        if not self._debug:
            return
        try:
            self._say(text)
        except Exception:  # noqa: BLE001 - an explanation nobody can read changes nothing
            self._debug = False
