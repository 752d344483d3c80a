"""A client session for `thv mcp`: with a server behind `thv run`, and a person on the terminal.

The server is started before anything slow is imported; its stderr is ours.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeVar

from thv.cli.ending_signals import EndingSignals
from thv.core.printable import one_line
from thv.errors import ThvError
from thv.mcp_client import RELAY_ERROR
from thv.mcp_client.process_connection import ProcessConnection
from thv.mcp_client.protocol import ServerEndedError
from thv.mcp_client.session import Callbacks, ClientSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.mcp_client.protocol import JsonObject

T = TypeVar("T")

SLOW_START_S: Final = 2.0
"""Seconds after which a person wants to know why nothing happens yet."""

DOWNLOAD_TIMEOUT_S: Final = 600.0
"""Seconds on top of the timeout for the first reply of a server that uvx or npx may have to download."""

MAX_STATUS: Final = 70
"""Characters of the status line: it must fit on one line, or it could not be erased."""


class StatusLine:
    """One line on a terminal's stderr that says what is being waited for; erased before anything else is printed."""

    def __init__(self) -> None:
        self._is_on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        """Show a text in place of the one shown now."""
        line = one_line(text)[:MAX_STATUS]
        if self._is_on_terminal and line != self._shown:
            self._write(f"\r\x1b[K{line}")
            self._shown = line

    def clear(self) -> None:
        """Erase the line."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text.encode(sys.stderr.encoding, "replace").decode(sys.stderr.encoding))
            sys.stderr.flush()
        except OSError:  # the terminal is gone
            self._is_on_terminal = False


class _Terminal:
    """What the session tells the user."""

    def __init__(self, starting: str) -> None:
        self._starting = starting
        self.status = StatusLine()
        self.relay_error: str | None = None
        self.is_connected = False

    def callbacks(self) -> Callbacks:
        elicit = None
        if sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty():
            from thv.cli.mcp_elicitation import elicit as ask

            def elicit(params: JsonObject) -> JsonObject:
                self.status.clear()
                return ask(params)

        return Callbacks(on_notification=self._notified, on_wait=self._waited, elicit=elicit)

    def _notified(self, method: str, params: JsonObject) -> None:
        if method == RELAY_ERROR:
            self.relay_error = one_line(str(params.get("message")))
        elif method == "notifications/progress":
            parts = [params.get("progress"), params.get("total")]
            figures = "/".join(f"{part:g}" for part in parts if isinstance(part, int | float))
            self.status.show(f"{figures} {params.get('message') or ''}")

    def _waited(self, seconds: float) -> None:
        if not self.is_connected and seconds >= SLOW_START_S:
            self.status.show(f"starting {self._starting} …")


def run_session(
    run_words: Sequence[str],
    starting: str,
    work: Callable[[ClientSession], T],
    done: Callable[[T], int],
    *,
    timeout: float | None,
    may_download: bool,
) -> int:
    """Start a server through `thv run`, do something with it, and end it.

    Args:
        run_words: the command line after ``thv run``.
        starting: what is being started, for the person who waits.
        work: what to do with the session.
        done: prints what `work` returned, before the server is ended; returns the exit code.
        timeout: seconds for each reply; None for as long as it takes.
        may_download: the first reply may have to wait for a download.

    Returns:
        The exit code; 128 + N if signal N ended the session.

    Raises:
        ThvError: the server cannot be started or used, or it answered with an error.
    """
    terminal = _Terminal(starting)

    def start() -> ProcessConnection:
        flags = ["-E", "-P"] if sys.flags.ignore_environment else ["-P"]
        argv = [sys.executable, *flags, "-m", "thv.cli.mcp_relay", *run_words]
        return ProcessConnection(sys.executable, argv)

    signals = EndingSignals()
    try:
        with signals, ClientSession(start, timeout=timeout, callbacks=terminal.callbacks()) as session:
            try:
                session.connect(extra_s=DOWNLOAD_TIMEOUT_S if may_download else 0.0)
                terminal.is_connected = True
                result = work(session)
            except ServerEndedError as error:
                raise ThvError(terminal.relay_error or str(error)) from error
            finally:
                terminal.status.clear()
            return done(result)
    except KeyboardInterrupt:
        return signals.exit_code
