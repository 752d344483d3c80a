"""Names the user's state directory for thv: what the user did not write and would miss. Creates nothing.

Promises: the directory that platformdirs names, without the 12 ms that importing it costs on Linux, where every command
may ask.
"""

# ruff: noqa: PTH117, PTH118  pathlib costs milliseconds that fast commands do not have

from __future__ import annotations

import os
import sys

APP = "toolhive"


def user_state_dir() -> str:
    """The directory, whether or not it exists.

    Raises:
        RuntimeError, OSError: the system does not say where it is.
    """
    if sys.platform == "linux":
        # XDG Base Directory Specification: a relative path is invalid and must be ignored.
        if os.path.isabs(base := os.environ.get("XDG_STATE_HOME", "")):
            return os.path.join(base, APP)
        if os.path.isabs(home := os.environ.get("HOME", "")):
            return os.path.join(home, ".local", "state", APP)
    from platformdirs import user_state_path

    return str(user_state_path(APP, appauthor=False))
