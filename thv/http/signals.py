"""The signals that ask a program to end, for what runs on asyncio. A second one ends it at once."""

from __future__ import annotations

import asyncio
import signal
import sys

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")
"""The ways to ask a program to end, where the system has them."""


def install_signal_handlers() -> asyncio.Event:
    """An event that is set when a signal asks to end; call it on the main thread.

    What was ignored when the program was started (under nohup, or in the background) stays ignored. The second signal
    is impatience: it ends the program at once, and what it started is for the watchdogs to end.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        asked.set()

    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:
            continue
        if sys.platform == "win32":
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(ask))
        else:
            loop.add_signal_handler(number, ask)
    return asked
