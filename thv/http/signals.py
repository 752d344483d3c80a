"""The signals to thv, for what runs on asyncio. Each is handed on to every server that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from thv.http.process_backend import hand_on_to_servers
from thv.process.main_thread_events import (
    ENDING_SIGNALS,
    FATAL_BY_DEFAULT,
    IGNORED_AT_START,
    OTHER_SIGNALS,
    signal_name,
)


class EndRequested(asyncio.Event):
    """Set by the first signal that asks to end; `signal_name` is its name.

    Attributes:
        passed_on: the signals that the servers got and that did not ask thv to end.
    """

    signal_name: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.passed_on: set[int] = set()


def install_signal_handlers(*, is_relay: bool = False) -> EndRequested:
    """An event that is set when a signal asks to end; call it on the main thread.

    A program ends by every signal that has no other meaning to it. Not a relay of one server: what such a signal means
    is the server's affair, and so is one that was ignored when thv was started (under nohup, or in the background of a
    script); anything else goes on to ignore that. A later signal is handed on like the first. Only a person's second
    Ctrl-C ends the program at once; its servers are ended by their watchdogs.
    """
    loop = asyncio.get_running_loop()
    asked = EndRequested()
    ends = ENDING_SIGNALS if is_relay else FATAL_BY_DEFAULT
    interrupts = 0

    def ask(number: int) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts > 1 and os.isatty(0):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        if number not in ends or number in IGNORED_AT_START:
            asked.passed_on.add(number)
            hand_on_to_servers(number, asks_to_end=False)
            return
        asked.signal_name = asked.signal_name or signal_name(number)
        hand_on_to_servers(number)
        asked.set()

    for number in ENDING_SIGNALS | OTHER_SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            if not is_relay:
                continue
            IGNORED_AT_START.add(number)
        if sys.platform == "win32":
            signal.signal(number, lambda number, _frame: loop.call_soon_threadsafe(ask, number))
        else:
            loop.add_signal_handler(number, ask, number)
    return asked
