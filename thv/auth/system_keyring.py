"""The system's keyring, where the package `keyring` is installed and finds one.

Promises: loaded only when a log-in is read or written; never waits longer than `CALL_TIMEOUT_S`, although a locked
keyring asks the user; never raises.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

T = TypeVar("T")

SERVICE: Final = "thv"
"""The name under which the keyring's own window shows the log-ins."""

CALL_TIMEOUT_S: Final = 30.0
"""Seconds for one call: as long as a user needs to unlock the keyring."""

BUS: Final = "DBUS_SESSION_BUS_ADDRESS"
"""MCP clients do not hand this variable on, and Secret Service is reached by it."""


def system_keyring() -> SystemKeyring | None:
    """The keyring; None if the package is not installed."""
    return None if find_spec("keyring") is None else SystemKeyring()


class SystemKeyring:
    """Texts by name, in the system's keyring."""

    def __init__(self) -> None:
        self._is_usable = True
        self._keyring: ModuleType | None = None

    def set(self, name: str, text: str) -> bool:
        """Keep a text; whether it can be read again: some keyrings drop what is too long, and one keeps nothing."""

        def write(keyring: ModuleType) -> bool:
            keyring.set_password(SERVICE, name, text)
            return bool(keyring.get_password(SERVICE, name) == text)

        return self._call(write) or False

    def get(self, name: str) -> str | None:
        """The text of that name."""
        text = self._call(lambda keyring: keyring.get_password(SERVICE, name))
        return text if isinstance(text, str) else None

    def delete(self, name: str) -> None:
        """Forget the text of that name."""
        self._call(lambda keyring: keyring.delete_password(SERVICE, name))

    def _call(self, work: Callable[[ModuleType], T]) -> T | None:
        """The result; None if it failed or took too long, after which the keyring is not asked again."""
        if not self._is_usable:
            return None
        found: list[T] = []

        def run() -> None:
            try:
                found.append(work(self._load()))
            except Exception:  # noqa: BLE001  each backend has errors of its own, and all mean the same here
                return

        thread = threading.Thread(target=run, daemon=True, name="keyring")
        thread.start()
        thread.join(CALL_TIMEOUT_S)
        self._is_usable = not thread.is_alive()
        return found[0] if found else None

    def _load(self) -> ModuleType:
        if self._keyring is None:
            if sys.platform == "linux" and not os.environ.get(BUS):
                socket = f"/run/user/{os.getuid()}/bus"  # where systemd has it
                if os.path.exists(socket):  # noqa: PTH110  a socket, not a file of ours
                    os.environ[BUS] = f"unix:path={socket}"
            import keyring

            self._keyring = keyring
        return self._keyring
