"""One session of `thv run` over stdio, from spawn to exit code.

The server is started before anything slow is imported. Its first bytes are relayed while the instrumentation is still
being imported on another thread.
"""

from __future__ import annotations

import _thread
import time

from thv.core.console import warn
from thv.errors import ThvError
from thv.process.main_thread_events import Events, signal_name
from thv.process.server_process import ServerProcess
from thv.process.shutdown import REPLY_GRACE
from thv.relay.relay import Relay
from thv.relay.traffic_queue import NullObserver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.core.interfaces import TrafficObserver
    from thv.instrumentation.instrumentation import Instrumentation, MakeAnalytics, SessionInstrumentation
    from thv.servers.launch_spec import LaunchSpec
    from thv.telemetry.telemetry_settings import TelemetrySettings

LOAD_GRACE = 5.0
"""Seconds a finished session waits for its decoder, so that even the shortest session is counted."""


class Session:
    """Runs one server for one client.

    Args:
        spec: what to start.
        debug: say what the session does, and every analytics payload, on stderr.
        usage_analytics: what the command line says of usage analytics; None where it is silent.
        telemetry: what the user's own telemetry is to do; None for nothing.
        journal: as for `Instrumentation`.
        warnings: lines to be said once the server runs.
        make_analytics: makes the analytics pipeline, in place of `UsageAnalytics`; for the launcher of the tests.
        on_server_end: called in place of a line on stderr when the server ended, or closed its output, though the
            client was there: whether it closed its output and stays, and whether it had read what the client sent.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        *,
        debug: bool = False,
        usage_analytics: bool | None = None,
        telemetry: TelemetrySettings | None = None,
        journal: tuple[str, bool] | None = None,
        warnings: Sequence[str] = (),
        make_analytics: MakeAnalytics | None = None,
        on_server_end: Callable[[bool, bool], None] | None = None,
    ) -> None:
        self._spec = spec
        self._debug = debug
        self._usage_analytics = usage_analytics
        self._telemetry = telemetry
        self._journal = journal
        self._warnings = warnings
        self._make_analytics = make_analytics
        self._on_server_end = on_server_end
        self._started_ns = 0
        self._instrumentation: Instrumentation | None = None
        self._session: SessionInstrumentation | None = None
        self._loaded = _thread.allocate_lock()
        self._loaded.acquire()
        self._listening = _thread.allocate_lock()
        self._listening.acquire()

    def run(self) -> int:
        """Run the session to its end. Call it on the main thread.

        Returns:
            The exit code of the server, or 128 + N if signal N ended it.

        Raises:
            ThvError: the server cannot be started.
        """
        spec = self._spec
        events = Events()
        events.install_signal_handlers()  # before there is a server that a signal could leave behind
        self._started_ns = time.time_ns()
        server = ServerProcess.spawn(spec.executable, spec.argv, spec.env, spec.cwd)
        try:
            relay = Relay(
                server,
                events,
                requests_are_open=self._requests_are_open,
                client_disconnected=self._on_client_disconnected,
                output_closed=self._output_closed,
                rewrite=self._rewrite if self._telemetry is not None and self._telemetry.propagate else None,
                client_is_thv=self._on_server_end is not None,
            )
            relay.start()
            import threading  # noqa: F401  here, since its first importer becomes what Python takes for the main thread

            _thread.start_new_thread(self._load, (relay,))
        except BaseException as error:
            server.kill()
            if isinstance(error, RuntimeError):
                raise ThvError(f"the system refuses a thread that a session needs: {error}") from None
            raise
        exit_code = relay.run()
        if relay.ended_by_server and self._on_server_end is not None:
            self._on_server_end(False, relay.has_read)
        if self._loaded.acquire(timeout=LOAD_GRACE) and self._session is not None:
            signal = signal_name(relay.ending_signal) if relay.ended_by == "signal" else None
            self._session.set_end(relay.ended_by, exit_code, signal)
            self._warn_of_end(relay, exit_code)
            if relay.ended_by_server:
                self._session.server_exited()
            else:
                self._session.close()
        if self._instrumentation is not None:
            self._instrumentation.close()
        if relay.lost_output is not None:
            warn(f"messages of the server are lost: stdout cannot be written: {relay.lost_output.strerror}")
            return exit_code or ThvError.exit_code
        return exit_code

    def _warn_of_end(self, relay: Relay, exit_code: int) -> None:
        """Say what a person would not expect of the end of the session."""
        name = self._spec.name
        if relay.unanswered:
            warn(
                f"{name} was ended before it answered everything: it was silent for {REPLY_GRACE:.0f} s after the end "
                "of its input"
            )
        if self._on_server_end is not None or not relay.ended_by_server:
            return
        if relay.closed_output:
            warn(f"{name} closed its stdout and did not exit, so thv ended it")
        elif exit_code and self._session is not None and self._session.is_unanswered:
            from thv.core.shell_words import shell_argument

            why = f"thv why {shell_argument(name)}"
            warn(f"{name} ended with exit code {exit_code} before it answered anything: {why}")

    def _requests_are_open(self) -> bool:
        if self._loaded.locked():
            return True  # not known yet
        return self._session is not None and self._session.has_open_requests

    def _output_closed(self) -> None:
        if self._on_server_end is not None:
            self._on_server_end(True, True)

    def _on_client_disconnected(self) -> None:
        if self._instrumentation is not None:
            self._instrumentation.client_disconnected()

    def _rewrite(self, chunk: bytes) -> bytes:
        """The bytes to forward to the server in place of `chunk`; waits until the instrumentation is loaded."""
        self._listening.acquire()
        self._listening.release()
        return chunk if self._session is None else self._session.rewrite_client_data(chunk)

    def _load(self, relay: Relay) -> None:
        """Import the instrumentation, and pass it the session's traffic from the first byte on. Runs on a thread."""
        observer: TrafficObserver = NullObserver()
        problem = None
        try:
            from thv.instrumentation.instrumentation import Instrumentation

            self._instrumentation = Instrumentation(
                activity=relay.activity,
                is_demo=self._spec.is_demo,
                debug=self._debug,
                usage_analytics=self._usage_analytics,
                server_environ=self._spec.env,
                telemetry=self._telemetry,
                journal=self._journal,
                warnings=self._warnings,
                make_analytics=self._make_analytics,
            )
            observer = self._session = self._instrumentation.open_session(started_ns=self._started_ns)
        except Exception as error:  # noqa: BLE001  a session that is not counted is better than a broken one
            problem = f"cannot look at this session, so nothing is counted: {error!r}"
        relay.observe(observer, is_costly=self._telemetry is not None)
        self._listening.release()
        if problem is not None:
            warn(problem)
        elif self._instrumentation is not None:
            self._instrumentation.emit_warnings()
        self._loaded.release()
