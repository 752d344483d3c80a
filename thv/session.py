"""One session of `thv run`, from spawn to exit code: the one place where analytics meet the ledger.

Order is everything here. The server is started first; its first bytes are relayed while the JSON decoder is still being
imported on a side thread; consent is asked before anything of the analytics pipeline is imported.
"""

from __future__ import annotations

import _thread
import os

from thv.console import say, say_or_raise
from thv.relay.events import Events
from thv.relay.process import ServerProcess
from thv.relay.relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.analytics.consent import Consent
    from thv.analytics.pipeline import UsageAnalytics
    from thv.jsonrpc.ledger import ToolCallLedger
    from thv.ports import BooleanReading, CallObserver, Look, Outcome
    from thv.servers.spec import LaunchSpec

    MakeAnalytics = Callable[..., UsageAnalytics]

LOAD_GRACE = 5.0
"""Seconds a finished session waits for its decoder, so that even the shortest session is counted."""


class Tally:
    """Counts outcomes, to be shown to the user of this session and to nobody else."""

    def __init__(self) -> None:
        self.success = 0
        self.error = 0

    def record(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if outcome == "success":
            self.success += 1
        else:
            self.error += 1

    def __bool__(self) -> bool:
        return self.success + self.error > 0

    def __str__(self) -> str:
        errors = "error" if self.error == 1 else "errors"
        return f"{self.success} success, {self.error} {errors}"


class Session:
    """Runs one server for one client.

    Args:
        spec: what to start.
        debug: say what the session does, and every analytics payload, on stderr.
        make_analytics: makes the analytics pipeline, in place of `UsageAnalytics`; for the launcher of the tests.
    """

    def __init__(self, spec: LaunchSpec, *, debug: bool = False, make_analytics: MakeAnalytics | None = None) -> None:
        self._spec = spec
        self._debug = debug
        self._make_analytics = make_analytics
        self._tally = Tally() if debug or spec.is_demo else None
        self._consent: Consent | None = None
        self._analytics: UsageAnalytics | None = None
        self._ledger: ToolCallLedger | None = None
        self._loaded = _thread.allocate_lock()
        self._loaded.acquire()

    def run(self) -> int:
        """Run the session to its end. Call it on the main thread.

        Returns:
            The exit code of the server, or 128 + N if signal N ended it.

        Raises:
            ThvError: the server cannot be started.
        """
        spec = self._spec
        events = Events()
        events.heed_signals()  # before there is a server that a signal could leave behind
        server = ServerProcess.spawn(spec.executable, spec.argv, spec.env, spec.cwd)
        try:
            relay = Relay(server, events, awaiting_reply=self._awaiting_reply, client_gone=self._client_gone)
            relay.start()
            server.watch()
        except BaseException:  # no thread or descriptor left
            server.kill()
            raise
        import threading  # noqa: F401  here, since its first importer becomes what Python takes for the main thread

        _thread.start_new_thread(self._load, (relay,))
        exit_code = relay.run()
        if self._loaded.acquire(timeout=LOAD_GRACE) and self._ledger is not None:
            if relay.ended_by_server:
                self._ledger.server_gone()
            else:
                self._ledger.abandon()
        if self._analytics is not None:
            self._analytics.close()
        self._report()
        return exit_code

    def _awaiting_reply(self) -> int:
        if self._loaded.locked():
            return 1  # not known yet
        return self._ledger.awaiting_reply if self._ledger is not None else 0

    def _client_gone(self) -> None:
        if self._analytics is not None:
            self._analytics.client_gone()

    def _load(self, relay: Relay) -> None:
        """Import what looks at the traffic, and show it the session from its first byte. Runs on a thread."""
        remarks: list[str] = []
        try:
            relay.listen(*self._make_tap(relay.activity, remarks))
        except Exception as error:  # noqa: BLE001  a session nobody counts is better than a broken one
            remarks.append(f"cannot look at this session, so nothing is counted: {error!r}")
            relay.listen(_ignore, _ignore)
        try:
            for remark in remarks:
                say_or_raise(remark)
        except OSError:
            pass  # nobody is there to be told
        self._loaded.release()

    def _make_tap(self, activity: Callable[[], int], remarks: list[str]) -> tuple[Look, Look]:
        from thv.jsonrpc.ledger import ToolCallLedger
        from thv.jsonrpc.tap import Tap

        observers: list[CallObserver] = []
        if self._tally is not None:
            observers.append(self._tally.record)
        self._consent = self._ask_consent(remarks)
        if self._consent.enabled and not self._spec.is_demo:
            self._analytics = self._build_analytics(activity)
            observers.append(self._analytics.record)
        self._ledger = ToolCallLedger(observers)
        tap = Tap(self._ledger, report=say if self._debug else None)
        return tap.from_client, tap.from_server

    def _ask_consent(self, remarks: list[str]) -> Consent:
        from thv.analytics.consent import decide
        from thv.config.settings import USAGE_ANALYTICS_ENABLED, config_path, read_boolean, unknown_keys

        path = config_path(os.environ)

        def read_setting() -> BooleanReading:
            remarks.extend(unknown_keys(path))
            return read_boolean(path, USAGE_ANALYTICS_ENABLED)

        consent = decide(os.environ, read_setting)
        if consent.warning is not None:
            remarks.append(consent.warning)
        if self._debug:
            remarks.append(f"usage analytics are {'on' if consent.enabled else 'off'} ({consent.source})")
        return consent

    def _build_analytics(self, activity: Callable[[], int]) -> UsageAnalytics:
        make = self._make_analytics
        if make is None:
            from thv.analytics.pipeline import UsageAnalytics

            make = UsageAnalytics
        return make(activity=activity, say=say_or_raise, debug=self._debug)

    def _report(self) -> None:
        if self._tally is not None and self._debug:
            say(f"tool calls: {self._tally}")
        if self._spec.is_demo and self._tally and self._consent is not None:
            _show_demo(self._tally, self._consent)


def _show_demo(tally: Tally, consent: Consent) -> None:
    """Tell what a real session like this one would have sent. The demo's calls are no real usage and stay here."""
    say(f"the demo server's tool calls: {tally}. They are counted and shown, never sent.")
    if not consent.enabled:
        say(f"usage analytics are off ({consent.source}): a real server's calls would not be sent either.")
    else:
        from thv.analytics.preview import request_for

        request = request_for(tally.success, tally.error)
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers)
        say(
            f"a real server's calls would be sent so, and nothing else:\n{request.method} {request.url}\n{headers}\n\n"
            f"{request.readable_body()}"
        )


def _ignore(_chunk: bytes) -> None:
    """Look at nothing."""
