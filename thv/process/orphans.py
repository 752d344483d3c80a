"""The duty of a container's first process: to reap whatever it inherits. Linux; elsewhere thv never is one.

What a server left behind becomes a child of the first process when its parent ends, and stays a zombie until it is
reaped. Our own children (servers, watchdogs, the telemetry agent) lead a session each and are reaped by their owners;
what is inherited seldom leads one. A daemon does, so a session leader is reaped, too, if no owner has done it in time.
"""

from __future__ import annotations

import _thread
import os
import sys
import time

from thv.process.shutdown import FIRST_PROCESS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OWNERS_TIME = 60.0
"""Seconds that the owner of a child has to reap it: they do it as soon as they are told of its end."""

PAUSE = 1.0
"""Seconds between two looks while there are zombies that are not to be reaped yet."""


if sys.platform == "linux":

    class Reaper:
        """Reaps inherited processes."""

        def __init__(self) -> None:
            self._leaders: dict[int, float] = {}

        def run(self) -> None:
            """Reap for ever. Sleeps while no child has ended."""
            while True:
                try:
                    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                except ChildProcessError:  # there is none
                    pass
                else:
                    self.reap(time.monotonic())
                time.sleep(PAUSE)

        def reap(self, now: float) -> None:
            """Reap what is to be reaped now."""
            zombies = dict(_zombies())
            self._leaders = {pid: self._leaders.get(pid, now) for pid, leads in zombies.items() if leads}
            for pid, leads in zombies.items():
                if not leads or now - self._leaders[pid] > OWNERS_TIME:
                    try:
                        os.waitpid(pid, os.WNOHANG)
                    except ChildProcessError:  # its owner was faster
                        pass

    def _zombies() -> Iterator[tuple[int, bool]]:
        """Our children that have ended, and whether each leads a session (proc_pid_stat(5))."""
        ours = os.getpid()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent, _group, session = file.read().rpartition(b") ")[2].split()[:4]
            except (OSError, ValueError):  # it has just been reaped
                continue
            if state == b"Z" and int(parent) == ours:
                yield int(name), int(session) == int(name)


_started = False


def start_reaper() -> None:
    """Reap what is inherited from now on, if this is the first process. More than once is fine."""
    global _started  # noqa: PLW0603  one process, one reaper
    if sys.platform == "linux" and os.getpid() == FIRST_PROCESS and not _started:
        _started = True
        _thread.start_new_thread(Reaper().run, ())
