"""The environment that a program has which was started from the desktop, not from a shell.

It lacks what shells add to PATH: nvm, pyenv, Homebrew, ``~/.local/bin``. Asks the system where it can tell, and falls
back on what systems are delivered with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INHERITED = ("HOME", "LOGNAME", "SHELL", "TERM", "USER")
"""What the official SDKs hand on to a server, besides PATH (`DEFAULT_INHERITED_ENV_VARS`)."""

OF_THE_SESSION = ("LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "XDG_RUNTIME_DIR", "DO_NOT_TRACK")
"""What a desktop session has, too; and the user's no to tracking, which must not be lost on the way."""

MACOS_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""What launchd gives (launchd.plist(5) has no other default)."""

LINUX_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What systemd gives to user sessions (systemd.exec(5), `$PATH`)."""

_SYSTEM = str(sys.platform)
"""As text, so that a type checker for one system reads the lines for the others, too."""

ASKING_S = 2.0
"""Seconds for the session manager to answer; it is local."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server whose client was started from the desktop."""
    if _SYSTEM == "win32":  # there, a shell adds nothing
        return dict(environ)
    kept = {name: environ[name] for name in (*INHERITED, *OF_THE_SESSION) if name in environ}
    return {**kept, "PATH": path()}


@cache
def path() -> str:
    """The PATH of the desktop session."""
    if _SYSTEM == "win32":
        return os.environ.get("PATH", "")
    if _SYSTEM == "darwin":
        return _output(["launchctl", "getenv", "PATH"]).strip() or MACOS_PATH
    for line in _output(["systemctl", "--user", "show-environment"]).splitlines():
        if line.startswith("PATH="):
            return line.removeprefix("PATH=")
    return _of_pam() or LINUX_PATH


def _of_pam() -> str:
    """PATH from /etc/environment, which pam_env reads at log-in."""
    try:
        lines = Path("/etc/environment").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = [line.partition("=")[2].strip().strip("\"'") for line in lines if line.startswith("PATH=")]
    return found[-1] if found else ""


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASKING_S, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""
