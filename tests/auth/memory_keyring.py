"""Backends for the package `keyring`: one whose secrets are in a file of the test, and some that fail as real ones do.

Named by `PYTHON_KEYRING_BACKEND`, as a user would name another keyring.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError, PasswordSetError

WINDOWS_LIMIT = 1280
"""Characters that Windows' Credential Manager takes."""


class InFile(KeyringBackend):
    """Keeps secrets in the file that `THV_TEST_KEYRING` names."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the package's own

    @property
    def _path(self) -> Path:
        return Path(os.environ["THV_TEST_KEYRING"])

    def _all(self) -> dict[str, str]:
        read: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return read

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path.write_text(json.dumps({**self._all(), f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        kept = self._all()
        if kept.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError
        self._path.write_text(json.dumps(kept))


class Small(InFile):
    """Takes no long secret."""

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password) > WINDOWS_LIMIT:
            raise PasswordSetError
        super().set_password(service, username, password)


class Forgetful(InFile):
    """Takes everything and keeps nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return


class Locked(InFile):
    """Never answers, like one that asks a user who is not there."""

    def get_password(self, service: str, username: str) -> str | None:
        import time

        time.sleep(3600)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.get_password(service, username)
