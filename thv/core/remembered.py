"""Remembers a no that was seen in the environment, because MCP clients do not pass the user's variables on.

Clients built with the official SDKs give a server HOME, LOGNAME, PATH, SHELL, TERM and USER only, so a variable in
the user's shell never reaches the `thv run` that they start. Any thv command that does see it leaves a mark in the
state directory, and the no holds until the config file says yes. Knows nothing of what is refused: usage analytics and
the journal use it alike. Imports nothing slow: every command asks.
"""

# ruff: noqa: PTH103, PTH108, PTH118, PTH123  pathlib costs milliseconds that fast commands do not have

from __future__ import annotations

import os

from thv.core.state_dir import user_state_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REASON = 200
"""Bytes of a mark that are read: a variable's name and a few words."""


class RememberedNo:
    """One mark: a file whose existence is the no, and whose text says where the no came from.

    Args:
        name: the file's name, such as ``usage-analytics-off``.
        state_dir: returns the directory of the file.
    """

    def __init__(self, name: str, state_dir: Callable[[], str] = user_state_dir) -> None:
        self._name = name
        self._state_dir = state_dir

    def path(self) -> str | None:
        """Where the mark is, or would be; None if the system does not say."""
        try:
            return os.path.join(self._state_dir(), self._name)
        except (OSError, RuntimeError):
            return None

    def holds(self) -> bool:
        """Whether a no is remembered. A directory that may not be looked into could hold one, so it counts as one."""
        path = self.path()
        if path is None:
            return False
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError):
            return True
        return True

    def reason(self) -> str:
        """Where the remembered no came from, such as ``DO_NOT_TRACK is set``; empty if the mark does not say."""
        try:
            # Without O_NONBLOCK, opening a named pipe waits for a writer that may never come.
            descriptor = os.open(self.path() or "", os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            try:
                text = os.read(descriptor, MAX_REASON).decode("utf-8", "replace").strip()
            finally:
                os.close(descriptor)
        except OSError:
            return ""
        return text if text.isprintable() else ""

    def remember(self, reason: str) -> None:
        """Leave the mark. Where it cannot be written, the no is silently not remembered."""
        path = self.path()
        if path is None or self.holds():
            return
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120  as above
            with open(path, "x", encoding="utf-8") as file:
                file.write(f"{reason}\n")
        except OSError:
            return

    def forget(self) -> None:
        """Remove the mark, if there is one."""
        path = self.path()
        try:
            os.unlink(path or "")
        except OSError:
            return

    def settle(self, *, refused: str | None, in_file: bool | None) -> bool:
        """Bring the mark up to date with what was seen just now; returns whether a remembered no holds.

        Args:
            refused: how the environment said no, or None if it did not.
            in_file: what the config file says; None where it is silent. A yes there ends the remembered no.
        """
        if in_file is True:
            if self.holds():
                self.forget()
            return False
        if in_file is None and refused is not None:
            self.remember(refused)
        return self.holds()
