"""Opening the user's browser: whether there can be one, and handing it a URL.

Promises: the browser's own output reaches neither stdout, which belongs to MCP, nor stderr; it outlives thv.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DISPLAYS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
"""Variables that say that there is a screen."""

AWAY: Final = ("SSH_CONNECTION", "SSH_TTY")
"""The user sits at another machine: a browser that opens here is not seen."""


def can_open(environ: Mapping[str, str]) -> bool:
    """Whether a browser that is opened here is one that the user sees; `BROWSER` says so in any case."""
    if environ.get("BROWSER"):
        return True
    if environ.get("CI") or any(environ.get(name) for name in AWAY):
        return False
    return sys.platform in {"darwin", "win32"} or any(environ.get(name) for name in DISPLAYS)


def open_browser(url: str) -> None:
    """Open a URL, which was checked, in the browser. That it failed cannot be known on every system.

    The standard library's `webbrowser` runs in a process of its own: in this one, the programs that it starts would
    write to our stdout.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "webbrowser", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Some browsers stay in the foreground of their starter, so its end is awaited beside the log-in.
    threading.Thread(target=process.wait, daemon=True, name="browser").start()
