"""`python -m thv.telemetry.agent`: the agent's process. Started by the relay, never by a user.

It takes frames on stdin until that ends; the end of the relay, however it ended, is the end of that pipe. Whatever else
writes to descriptor 1 or 2 in this process is unheard: only `Complaints` holds the way to the user's stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from threading import Thread

from thv.telemetry.agent.diagnostics import Complaints
from thv.telemetry.frames import Configure, read_frames

NICENESS = 10
"""The relay and its server come first."""

OVERTIME_S = 0.8
"""Seconds after the end of stdin at which the process ends, whatever it does: even if stderr takes no more words."""

STDERR = 2


def main() -> None:
    """Run until stdin ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    words = _take_stderr()
    try:
        _serve(words)
    except Exception as error:  # noqa: BLE001 - the last place that can tell; its text may quote what is secret
        Complaints(words).warn(f"telemetry: internal error, nothing more is exported: {type(error).__name__}")
        os._exit(1)
    os._exit(0)  # no exit handler and no thread of a library may put off the end


def _serve(words: int) -> None:
    frames = read_frames(sys.stdin.buffer)
    first = next(frames, None)
    if first is None:
        return
    if not isinstance(first, Configure):
        raise TypeError("the first frame configures")
    complaints = Complaints(words, debug=first.agent.debug)
    from thv.telemetry.agent.agent_service import Agent

    agent = Agent(first.agent, complaints)
    for frame in frames:
        agent.take(frame)
    Thread(target=_end_in_time, daemon=True).start()
    agent.finish()


def _take_stderr() -> int:
    """Our own descriptor of stderr; those everybody knows lead nowhere from now on."""
    words = os.dup(STDERR)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)
    os.dup2(devnull, STDERR)
    os.close(devnull)
    return words


def _end_in_time() -> None:
    time.sleep(OVERTIME_S)
    os._exit(0)


if __name__ == "__main__":
    main()
