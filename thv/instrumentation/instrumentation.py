"""Who is told what of the tool calls that pass: the one place where the ledger meets those who count.

Usage analytics are handed outcomes and nothing else; consent is asked before anything of that pipeline is imported. The
user's own telemetry is handed requests and replies, and neither pipeline knows of the other. A tally is shown where
that was asked for. Every verb that carries MCP traffic uses this, so that the
same is counted everywhere. Imports msgspec: `thv run` imports it once its server runs.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

from thv.core.console import warn, warn_or_raise
from thv.instrumentation.inspector import TrafficInspector
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.analytics.consent import Consent
    from thv.analytics.pipeline import UsageAnalytics
    from thv.core.interfaces import BooleanReading, CallObserver, Outcome
    from thv.telemetry.recorder import Telemetry
    from thv.telemetry.telemetry_settings import TelemetrySettings

    MakeAnalytics = Callable[..., UsageAnalytics]

CLOSE_BUDGET = 0.9
"""Seconds that both pipelines together may hold up the end of thv: with what else ends, less than one."""


class Tally:
    """Counts outcomes, to be shown to the user of this process and to nobody else."""

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


class SessionInstrumentation:
    """The account of one MCP session: its ledger, and the tap that reads its bytes.

    `rewrite` is None, unless the user's trace context is to be passed on to the server. `passed_at` is None, unless
    somebody measures how long things take: then it can be told when what is shown now had passed, and with None that
    things are shown as they pass. `brought_by` is told, in the same way, of the HTTP status
    that brings what the server says.
    """

    def __init__(
        self,
        ledger: ToolCallLedger,
        tap: TrafficInspector,
        *,
        passed_at: Callable[[int | None], None] | None = None,
        brought_by: Callable[[int | None], None] | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._ledger = ledger
        self.from_client = tap.from_client
        self.from_server = tap.from_server
        self.passed_at = passed_at
        self._brought_by = brought_by
        self.rewrite = rewrite

    def from_response(self, lines: bytes, status: int) -> None:
        """Shown lines as `from_server` is, where an HTTP response of this status brings them."""
        if self._brought_by is None:
            self.from_server(lines)
            return
        self._brought_by(status)
        self.from_server(lines)
        self._brought_by(None)

    def outgoing(self, lines: bytes) -> bytes:
        """Shows what the client sent; returns what is to be forwarded in its place: nearly always the same bytes."""
        if self.rewrite is not None:
            return self.rewrite(lines)
        self.from_client(lines)
        return lines

    @property
    def awaiting_reply(self) -> int:
        """How many requests that can bring an outcome still wait for the server's reply."""
        return self._ledger.awaiting_reply

    def server_exited(self) -> None:
        """The server ended with the client still there: every open call ended in error."""
        self._ledger.server_exited()

    def abandon(self) -> None:
        """The client left or thv was told to stop: what is open is not counted."""
        self._ledger.abandon()


class Instrumentation:
    """What one thv process owes to those who count.

    Import `threading` on the main thread before constructing it elsewhere. Nothing here says anything before
    `emit_warnings`, which may find nobody to listen.

    Args:
        activity: a number that changes whenever traffic passes; heavy imports wait until it rests.
        is_demo: the server is thv's own demo, whose calls are no real usage: they are shown, never sent.
        debug: say what is decided and counted, and every analytics payload, on stderr.
        usage_analytics: what the command line says of usage analytics; None where it is silent.
        telemetry: what the user's own telemetry is to do; None for nothing.
        transport: how clients reach the server, for that telemetry: `stdio`, `streamable-http` or `sse`.
        warnings: lines for `emit_warnings`, to be said before its own.
        make_analytics: makes the analytics pipeline, in place of `UsageAnalytics`; for the launcher of the tests.
    """

    def __init__(
        self,
        *,
        activity: Callable[[], int],
        is_demo: bool = False,
        debug: bool = False,
        usage_analytics: bool | None = None,
        telemetry: TelemetrySettings | None = None,
        transport: str = "stdio",
        warnings: Sequence[str] = (),
        make_analytics: MakeAnalytics | None = None,
    ) -> None:
        self._debug = debug
        self._is_demo = is_demo
        self._remarks: list[str] = list(warnings)
        self._observers: list[CallObserver] = []
        self._tally = Tally() if debug or is_demo else None
        if self._tally is not None:
            self._observers.append(self._tally.record)
        self._consent = self._ask_consent(usage_analytics)
        self._analytics: UsageAnalytics | None = None
        if self._consent.enabled and not is_demo:
            if make_analytics is None:
                from thv.analytics.pipeline import UsageAnalytics

                make_analytics = UsageAnalytics
            self._analytics = make_analytics(activity=activity, warn=warn_or_raise, debug=debug)
            self._observers.append(self._analytics.record)
        self._captures = telemetry is not None and telemetry.capture_arguments
        self._propagates = telemetry is not None and telemetry.propagate
        self._telemetry: Telemetry | None = None
        if telemetry is not None:
            from thv.telemetry.recorder import Telemetry

            self._telemetry = Telemetry(telemetry, transport=transport, warn=warn_or_raise)
            self._telemetry.start()

    def emit_warnings(self) -> None:
        """Say what was noticed while this was made."""
        warnings, self._remarks = self._remarks, []
        try:
            for remark in warnings:
                warn_or_raise(remark)
        except OSError:
            pass  # nobody is there to be told

    def open_session(self, session_id: str | None = None) -> SessionInstrumentation:
        """The account of a session that begins now; `session_id` is what its transport calls it, if anything."""
        report = warn if self._debug else None
        if self._telemetry is None:
            ledger = ToolCallLedger(self._observers, report=report)
            return SessionInstrumentation(ledger, TrafficInspector(ledger, report=report))
        from thv.core.message_details import detailed_readers

        recorder = self._telemetry.open_session(session_id)
        ledger = ToolCallLedger(self._observers, requests=recorder, report=report)
        tap = TrafficInspector(ledger, report=report, readers=detailed_readers(capture=self._captures))
        rewrite = None
        if self._propagates:
            from thv.instrumentation.propagation import Propagation

            rewrite = Propagation(tap.from_client, recorder.take_contexts).rewrite
        return SessionInstrumentation(
            ledger, tap, passed_at=recorder.passed_at, brought_by=recorder.brought_by, rewrite=rewrite
        )

    def client_disconnected(self) -> None:
        """The last client left, or thv was told to stop: what is counted may be sent now. Returns at once."""
        if self._analytics is not None:
            self._analytics.client_disconnected()
        if self._telemetry is not None:
            self._telemetry.client_disconnected()

    def close(self) -> None:
        """Send what is left, within a second in all, and say what was counted where that was asked for."""
        deadline = monotonic() + CLOSE_BUDGET
        if self._telemetry is not None:
            self._telemetry.end()
        if self._analytics is not None:
            self._analytics.close()  # it has a budget of its own, of a third of a second
        if self._telemetry is not None:
            self._telemetry.close(deadline - monotonic())
        if self._tally is not None and self._debug:
            warn(f"tool calls: {self._tally}")
        if self._is_demo and self._tally:
            _show_demo(self._tally, self._consent)

    def _ask_consent(self, flag: bool | None) -> Consent:
        from thv.analytics.consent import decide
        from thv.config.settings import USAGE_ANALYTICS_ENABLED, config_path, read_boolean, unknown_keys

        path = config_path(os.environ)

        def read_setting() -> BooleanReading:
            self._remarks.extend(unknown_keys(path))
            return read_boolean(path, USAGE_ANALYTICS_ENABLED)

        consent = decide(os.environ, read_setting, flag=flag)
        if consent.warning is not None:
            self._remarks.append(consent.warning)
        if self._debug:
            self._remarks.append(f"usage analytics are {'on' if consent.enabled else 'off'} ({consent.source})")
        return consent


def _show_demo(tally: Tally, consent: Consent) -> None:
    """Tell what a real session like this one would have sent. The demo's calls are no real usage and stay here."""
    warn(f"the demo server's tool calls: {tally}. They are counted and shown, never sent.")
    if not consent.enabled:
        warn(f"usage analytics are off ({consent.source}): a real server's calls would not be sent either.")
    else:
        from thv.analytics.preview import request_for

        request = request_for(tally.success, tally.error)
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers)
        warn(
            f"a real server's calls would be sent so, and nothing else:\n{request.method} {request.url}\n{headers}\n\n"
            f"{request.readable_body()}"
        )
