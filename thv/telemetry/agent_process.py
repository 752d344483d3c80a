"""Starts the agent: a process of its own, which no signal meant for thv reaches and which holds nothing of ours.

It gets a pipe on stdin, another one on stdout, which it closes when everything is exported, our stderr and no other
descriptor; our own module path, however thv was installed; and none of the `OTEL_*` variables, since the SDK's
exporters would add theirs to what the frames say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT = "thv.telemetry.agent"


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
