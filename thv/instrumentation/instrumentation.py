"""Connects the tool-call ledger to its consumers: usage analytics, the user's telemetry and journal, the debug tally.

Usage analytics get outcomes and nothing else; consent is checked before anything of that pipeline is imported. The
user's own telemetry and journal get requests and replies, and neither side knows of the other. Every command that
carries MCP traffic uses this, so that the same is counted everywhere. Transports pass chunks or decoded messages; see
`SessionInstrumentation`. Imports msgspec: `thv run` imports this once its server runs.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

from thv.core import light_msgspec  # noqa: F401  before anything that imports msgspec
from thv.core.console import warn, warn_or_raise
from thv.instrumentation.inspector import TrafficInspector
from thv.instrumentation.usage_consent import UsageConsent
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from thv.analytics.consent import Consent
    from thv.analytics.pipeline import UsageAnalytics
    from thv.core.interfaces import CallObserver, EndReason, Outcome
    from thv.core.message import Message
    from thv.instrumentation.propagation import Propagation
    from thv.journal.session_journal import SessionJournal
    from thv.journal.writer import JournalWriter
    from thv.telemetry.recorder import SessionRecorder, Telemetry
    from thv.telemetry.telemetry_settings import TelemetrySettings

    MakeAnalytics = Callable[..., UsageAnalytics]

CLOSE_BUDGET = 0.9
"""Seconds that both pipelines together may hold up the end of thv: with what else ends, less than one."""


class Tally:
    """Counts outcomes, for the user of this process only."""

    def __init__(self) -> None:
        self.success = 0
        self.error = 0

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes."""
        successes = outcomes.count("success")
        self.success += successes
        self.error += len(outcomes) - successes

    def __bool__(self) -> bool:
        return self.success + self.error > 0

    def __str__(self) -> str:
        errors = "error" if self.error == 1 else "errors"
        return f"{self.success} success, {self.error} {errors}"


class SessionInstrumentation(TrafficInspector):
    """Per-session instrumentation: its inspector and ledger, and the trace context that is passed on to the server.

    A transport passes it all traffic: as chunks (`on_traffic`; `rewrite_client_data` where it forwards what that
    returns), or, where it decodes messages itself, message by message (`on_client_message`, `on_server_message`), so
    that nothing is decoded twice.

    Args:
        ledger: of this session.
        report: given one line, once, if inspection had to stop.
        recorder: records this session for the user's telemetry.
        propagates: write the recorder's trace contexts into the requests that are forwarded.
        journal: keeps this session for the user's local view.
    """

    def __init__(
        self,
        ledger: ToolCallLedger,
        *,
        report: Callable[[str], None] | None = None,
        recorder: SessionRecorder | None = None,
        propagates: bool = False,
        journal: SessionJournal | None = None,
    ) -> None:
        super().__init__(ledger, report=report)
        self._journal = journal
        self._propagation: Propagation | None = None
        if recorder is not None and propagates:
            from thv.instrumentation.propagation import Propagation

            self._propagation = Propagation(self.on_client_data, recorder.take_contexts)
        if journal is not None:
            journal.open_requests = ledger.open_requests
            journal.stray_lines = self.stray_lines

    def on_client_message(self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0) -> bytes:
        """The client sent a message, decoded already; returns what to forward: nearly always the line itself."""
        TrafficInspector.on_client_message(self, line, message, scope=scope, at_ns=at_ns)
        return line if self._propagation is None else self._propagation.rewrite_message(line)

    def rewrite_client_data(self, chunk: bytes) -> bytes:
        """Does what `on_client_data` does; returns what to forward in place of the chunk.

        With trace context to be written, half a line waits for its end, and an empty chunk is the end of the last one.
        """
        if self._propagation is not None:
            return self._propagation.rewrite(chunk)
        self.on_client_data(chunk)
        return chunk

    @property
    def has_open_requests(self) -> bool:
        """Whether any request still waits for the server's reply."""
        return self._ledger.has_open_requests

    def set_end(self, ended_by: str, exit_code: int | None = None, detail: str | None = None) -> None:
        """For the user's journal: who ends the session (`client`, `server`, `signal`, `thv`), and the exit code.

        `detail` is what is known beyond that; for `signal` its name.
        It may be called before the session is closed, or again once the exit code is known.
        """
        if self._journal is not None:
            self._journal.set_end(ended_by, exit_code, detail)

    def note_restart(self) -> None:
        """For the user's journal: the server was started again."""
        if self._journal is not None:
            self._journal.note_restart()

    def on_call_timed_out(self, line: bytes, reply: Message) -> None:
        """The transport gave up a tool call, and sent the client this error in the server's place."""
        if self._journal is not None:
            self._journal.is_timing_out = True
        self.on_server_message(line, reply)
        if self._journal is not None:
            self._journal.is_timing_out = False

    @property
    def is_unanswered(self) -> bool:
        """Whether the journal, if there is one, knows of no request that the server answered."""
        return self._journal is not None and not self._journal.answered

    def server_exited(self) -> None:
        """The server ended with the client still there: every open call ended in error. Ends the session."""
        self._ledger.server_exited()

    def close(self, reason: EndReason = "client_closed") -> None:
        """The client left or thv was stopped: what is open is not counted. Ends the session."""
        self._ledger.close(reason)


class Instrumentation:
    """Per-process instrumentation: decides what is on, makes one `SessionInstrumentation` a session.

    Import `threading` on the main thread before constructing it elsewhere. Nothing is printed before `emit_warnings`.

    Args:
        activity: a number that changes whenever traffic passes; heavy imports wait until it rests.
        is_demo: the server is thv's own demo, whose calls are no real usage: they are counted and printed, never sent.
        debug: print decisions, counts and every analytics payload on stderr.
        usage_analytics: the command line switch for usage analytics; None if it was not given.
        server_environ: the environment of the server; opting out of usage analytics there counts, too.
        telemetry: the settings of the user's own telemetry; None if it is off.
        transport: how clients reach the server, for that telemetry: `stdio`, `streamable-http` or `sse`.
        journal: the server's name in the user's journal, and whether to keep arguments and results; None if it is off.
        warnings: further lines for `emit_warnings`.
        make_analytics: used in place of `UsageAnalytics`, in tests.
    """

    def __init__(
        self,
        *,
        activity: Callable[[], int],
        is_demo: bool = False,
        debug: bool = False,
        usage_analytics: bool | None = None,
        server_environ: Mapping[str, str] | None = None,
        telemetry: TelemetrySettings | None = None,
        transport: str = "stdio",
        journal: tuple[str, bool] | None = None,
        warnings: Sequence[str] = (),
        make_analytics: MakeAnalytics | None = None,
    ) -> None:
        self._debug = debug
        self._is_demo = is_demo
        self._warnings: list[str] = list(warnings)
        self._observers: list[CallObserver] = []
        self._tally = Tally() if debug or is_demo else None
        if self._tally is not None:
            self._observers.append(self._tally.record)
        usage_consent = UsageConsent(os.environ, flag=usage_analytics, server_environ=server_environ)
        self._consent = self._ask(usage_consent)
        self._analytics: UsageAnalytics | None = None
        if self._consent.enabled and not is_demo:
            if make_analytics is None:
                from thv.analytics.pipeline import UsageAnalytics

                make_analytics = UsageAnalytics
            self._analytics = make_analytics(usage_consent.is_given, activity=activity, debug=debug)
            self._observers.append(self._analytics.record)
        self._propagates = telemetry is not None and telemetry.propagate
        self._telemetry: Telemetry | None = None
        if telemetry is not None:
            from thv.telemetry.recorder import Telemetry

            self._telemetry = Telemetry(telemetry, transport=transport, warn=warn_or_raise)
            self._telemetry.start()
        self._transport = transport
        self._server, self._journal_captures = journal or ("", False)
        self._journal = self._make_journal(activity) if journal is not None else None

    def emit_warnings(self) -> None:
        """Print what was noticed during construction."""
        warnings, self._warnings = self._warnings, []
        try:
            for warning in warnings:
                warn_or_raise(warning)
        except OSError:
            pass  # stderr is closed

    def open_session(self, session_id: str | None = None, *, started_ns: int | None = None) -> SessionInstrumentation:
        """Instrumentation for a session that begins now, or began at `started_ns`, by `time.time_ns`.

        `session_id` is its transport's name for it, if any.
        """
        report = warn if self._debug else None
        recorder = None if self._telemetry is None else self._telemetry.open_session(session_id)
        journal = self._open_journal()
        if journal is not None and started_ns is not None:
            journal.started_us = started_ns // 1000
        ledger = ToolCallLedger(self._observers, requests=recorder, log=journal, report=report)
        return SessionInstrumentation(
            ledger, report=report, recorder=recorder, propagates=self._propagates, journal=journal
        )

    def client_disconnected(self, signal_name: str | None = None) -> None:
        """The last client left, or thv was stopped: what is counted may be sent now. Returns at once.

        `signal_name` is that of the signal which ends thv, and with it the sessions that are open.
        """
        if self._analytics is not None:
            self._analytics.client_disconnected()
        if self._telemetry is not None:
            self._telemetry.client_disconnected()
        if self._journal is not None:
            if signal_name is not None:
                self._journal.note_signal(signal_name)
            self._journal.hurry()

    def close(self) -> None:
        """Send what is left, within a second in all, and print the tally where that was asked for."""
        deadline = monotonic() + CLOSE_BUDGET
        if self._telemetry is not None:
            self._telemetry.end()
        if self._journal is not None:
            self._journal.end()
        if self._analytics is not None:
            self._analytics.close()  # it has a budget of its own, of a third of a second
        if self._telemetry is not None:
            self._telemetry.close(deadline - monotonic())
        if self._journal is not None:
            self._journal.close()  # it has had the time of the others, and a budget of its own
        if self._tally is not None and self._debug:
            warn(f"tool calls: {self._tally}")
        if self._is_demo and self._tally:
            _show_demo(self._tally, self._consent)

    def _make_journal(self, activity: Callable[[], int]) -> JournalWriter | None:
        from thv.config.settings import config_path
        from thv.journal.journal_settings import resolve
        from thv.journal.make_writer import make_writer

        settings = resolve(os.environ, config_path(os.environ))
        self._warnings.extend(settings.warnings)
        if self._debug:
            self._warnings.append(f"the journal is {'on' if settings.enabled else 'off'} ({settings.source})")
        if self._journal_captures and not settings.enabled:
            self._warnings.append(f"--journal-capture changes nothing: the journal is off ({settings.source})")
        try:
            return make_writer(settings, activity=activity, warn=warn_or_raise)
        except (RuntimeError, OSError) as error:
            self._warnings.append(f"journal: there is no state directory, so nothing is journalled: {error}")
            return None

    def _open_journal(self) -> SessionJournal | None:
        if self._journal is None:
            return None
        capture = None
        if self._journal_captures:
            from thv.core.payload_redaction import show

            capture = show
        return self._journal.open_session(self._server, self._transport, redact=_redact, capture=capture)

    def _ask(self, usage_consent: UsageConsent) -> Consent:
        consent = usage_consent.decide()
        usage_consent.settle()
        if consent.enabled or consent.kind == "file":  # else the file need not have been read
            self._warnings.extend(usage_consent.warnings())
        if consent.warning is not None:
            self._warnings.append(consent.warning)
        if self._debug:
            self._warnings.append(f"usage analytics are {'on' if consent.enabled else 'off'} ({consent.source})")
        return consent


def _redact(text: str) -> str:
    from thv.core.payload_redaction import redact_text  # not before there is an error message

    return redact_text(text)


def _show_demo(tally: Tally, consent: Consent) -> None:
    """Print what a real session like this one would have sent. The demo's calls are no real usage, and are not sent."""
    warn(f"the demo server's tool calls: {tally}. They are counted and shown, never sent.")
    if not consent.enabled:
        warn(f"usage analytics are off ({consent.source}): a real server's calls would not be sent either.")
    else:
        from thv.analytics.preview import request_for

        request = request_for(tally.success, tally.error)
        headers = "\n".join(f"{name}: {value}" for name, value in request.headers)
        warn(
            f"a real server's calls would be sent like this, and nothing else:\n"
            f"{request.method} {request.url}\n{headers}\n\n"
            f"{request.readable_body()}"
        )
