"""The signals that ask a program to end, for what runs on asyncio. Each is handed on to every server that runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from thv.http.process_backend import hand_on_to_servers
from thv.process.events import SIGNALS


class EndRequested(asyncio.Event):
    """Set by the first signal that asks to end; `signal_name` is its name."""

    signal_name: str | None = None


def install_signal_handlers() -> EndRequested:
    """An event that is set when a signal asks to end; call it on the main thread.

    What was ignored when the program was started (under nohup, or in the background) stays ignored. A later signal is
    handed on like the first. Only a person's second Ctrl-C ends the program at once; its servers are ended by their
    watchdogs.
    """
    loop = asyncio.get_running_loop()
    asked = EndRequested()
    interrupts = 0

    def ask(number: int) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if number == signal.SIGINT and interrupts > 1 and os.isatty(0):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        asked.signal_name = asked.signal_name or signal.Signals(number).name
        hand_on_to_servers(number)
        asked.set()

    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:
            continue
        if sys.platform == "win32":
            signal.signal(number, lambda number, _frame: loop.call_soon_threadsafe(ask, number))
        else:
            loop.add_signal_handler(number, ask, number)
    return asked
