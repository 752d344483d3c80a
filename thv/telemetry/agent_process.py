"""Starts the agent: a process of its own, which no signal meant for thv reaches and which holds nothing of ours.

It gets a pipe on stdin, another one on stdout, which it closes when everything is exported, our stderr and no other
descriptor; our own module path, however thv was installed; and none of the `OTEL_*` variables, since the SDK's
exporters would add theirs to what the frames say.

Where Linux shares its CPUs between sessions (sched(7), "The autogroup feature"), a process's own nice value counts
within its session alone, and the agent is one of its own: half of a CPU that the relay, its client and its server need
would be the agent's. So the session has its nice value set, too, until its relay waits for it. Where the whole machine
is busy that is not done: the agent could not make up for it in the time that its relay waits.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT = "thv.telemetry.agent"

SESSION_NICENESS = 10
"""The nice value of the agent's session while others are busy: it gets a tenth of what one of them gets."""

RETRY_MS = 20
"""Time between two attempts to set it: Linux allows ten a second, of all processes together."""


def agent_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the agent."""
    kept = {
        name: value
        for name, value in environ.items()
        # PYTHON* variables that thv itself ignores are not for it either.
        if not name.upper().startswith("OTEL_") and not (sys.flags.ignore_environment and name.startswith("PYTHON"))
    }
    kept.setdefault("MALLOC_ARENA_MAX", "1")  # its threads take turns anyway; 3 MiB less with glibc
    kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return kept


def start_agent() -> subprocess.Popen[bytes]:
    """Start it; its `stdin` takes frames, and its `stdout` ends when it has exported everything.

    Raises:
        OSError: no process can be started.
    """
    # -P: a module of the current directory is nothing of ours.
    command = [sys.executable, "-P", "-m", AGENT]
    environment = agent_environment(os.environ)
    if sys.platform == "win32":
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
        )
    else:  # noqa: RET505 - a type checker for one system skips the other's branch
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )


def step_back(agent: subprocess.Popen[bytes]) -> bool:
    """Let other sessions have the CPU first. False: try again later. True on a system that does not know of this."""
    return not _is_machine_busy() and _set_session_niceness(agent, SESSION_NICENESS)


def catch_up(agent: subprocess.Popen[bytes]) -> None:
    """Let the agent's session have as much of the CPU as others have. Returns when that is so, or its stdout ended."""
    if sys.platform != "win32" and agent.stdout is not None and not _set_session_niceness(agent, 0):
        poller = select.poll()
        poller.register(agent.stdout, select.POLLIN)
        while not poller.poll(RETRY_MS) and not _set_session_niceness(agent, 0):
            pass


def _is_machine_busy() -> bool:
    """Whether processes have been waiting for a CPU."""
    return sys.platform == "linux" and os.getloadavg()[0] >= (os.cpu_count() or 1)


def _set_session_niceness(agent: subprocess.Popen[bytes], niceness: int) -> bool:
    if sys.platform == "linux":
        try:
            if os.getsid(agent.pid) == agent.pid:
                with open(f"/proc/{agent.pid}/autogroup", "wb", buffering=0) as group:  # noqa: PTH123 - pathlib is slow to import
                    group.write(b"%d" % niceness)
        except BlockingIOError:
            return False
        except OSError:
            pass  # the process has ended, or the kernel has no such groups
    return True
