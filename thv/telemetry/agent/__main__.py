"""`python -m thv.telemetry.agent`: the agent's process. Started by the relay, never by a user.

It takes frames on stdin until that ends; however the relay ended, that is when this pipe does. Libraries that write to
descriptor 1 or 2 in this process write nowhere: only `diagnostics` holds the user's stderr. The end of stdout tells
the relay that everything is exported. A process that serves Prometheus stays for one interval after that, so that the
last values are scraped, and holds nothing of the session meanwhile.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import warnings
from threading import Thread
from typing import TYPE_CHECKING

from thv.telemetry.agent.diagnostics import Diagnostics, configure_logging
from thv.telemetry.frames import Configure, read_frames

if TYPE_CHECKING:
    from thv.telemetry.agent.agent_service import Agent

NICENESS = 10
"""The relay and its server come first."""

HARD_EXIT_S = 0.8
"""How long after the end of stdin exports may go on, whatever they wait for."""

UNUSED = ("charset_normalizer", "chardet", "psutil")
"""What `requests` and the SDK import where it is installed, for what is not done here: 3 MiB and 20 ms."""

STDIN, STDOUT, STDERR = 0, 1, 2

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def main() -> None:
    """Run until stdin ends."""
    gc.disable()  # 34 000 objects are imported that stay: looking for garbage among them is a fifteenth of the start
    _handle_signals(signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    stdout, stderr = _take_descriptors()
    configure_logging(stderr)
    warnings.simplefilter("ignore")  # PYTHONWARNINGS is for the user's programs; no library's warning may end this one
    os.environ.pop("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", None)  # the same: a value it does not know would end it
    sys.modules.update(dict.fromkeys(UNUSED))  # type: ignore[arg-type]  # None: it cannot be imported
    code = 0
    try:
        agent = _serve(stderr)
        if agent is not None and agent.prometheus is not None:
            _stay((stdout, stderr), agent.linger_s)
    except Exception as error:  # noqa: BLE001 - the last place that can tell; its text may quote what is secret
        Diagnostics().warn(f"telemetry: internal error, nothing more is exported: {type(error).__name__}")
        code = 1
    os._exit(code)  # no exit handler and no thread of a library may delay the end


def _serve(stderr: int) -> Agent | None:
    frames = read_frames(sys.stdin.buffer)
    first = next(frames, None)
    if first is None:
        return None
    if not isinstance(first, Configure):
        raise TypeError("the first frame configures")
    configure_logging(stderr, debug=first.agent.debug)
    from thv.telemetry.agent.agent_service import Agent

    agent = Agent(first.agent, Diagnostics())
    gc.freeze()  # nor is any of them looked at later
    gc.enable()
    for frame in frames:
        agent.take(frame)
    exports = Thread(target=agent.finish, daemon=True)
    exports.start()
    exports.join(HARD_EXIT_S)
    return agent


def _stay(inherited: tuple[int, ...], seconds: float) -> None:
    """Serve Prometheus for so many seconds, without anything that the session's end could wait for."""
    devnull = os.open(os.devnull, os.O_RDWR)
    for descriptor in (*inherited, STDIN):
        os.dup2(devnull, descriptor)
    os.chdir(os.path.abspath(os.sep))  # noqa: PTH100 - a folder that can be unmounted
    _handle_signals(signal.SIG_DFL)
    time.sleep(seconds)


def _handle_signals(handler: signal.Handlers) -> None:
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def _take_descriptors() -> tuple[int, int]:
    """Our own descriptors of stdout and stderr; the numbers that libraries write to lead nowhere from now on."""
    own = os.dup(STDOUT), os.dup(STDERR)
    devnull = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (STDOUT, STDERR):
        os.dup2(devnull, descriptor)
    os.close(devnull)
    return own


if __name__ == "__main__":
    main()
