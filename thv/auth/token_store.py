"""The log-ins of the user at remote servers: one store for all processes of thv, keyed by issuer and resource.

Promises: secrets are in the system's keyring where there is one, else in a file that only the user can read (0600 in a
folder 0700); a reader never sees half an entry. Entries are changed under `locked`, by one process at a time. A file
that cannot be read is no log-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.json import Decoder, encode
from msgspec.json import format as indented
from msgspec.structs import replace

from thv.core.file_lock import LockWait, try_lock
from thv.core.state_dir import user_state_dir
from thv.core.write_beside import sync, write_beside
from thv.errors import LoginError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Protocol

    class Keyring(Protocol):
        """Keeps texts by name; False and None where it cannot."""

        def set(self, name: str, text: str) -> bool:
            """Keep a text; whether it can be read again."""

        def get(self, name: str) -> str | None:
            """The text of that name."""

        def delete(self, name: str) -> None:
            """Forget the text of that name."""


FOLDER: Final = "auth"
"""Below the state directory."""

PRIVATE_FOLDER: Final = 0o700

LOCK_TIMEOUT_S: Final = 90.0
"""Seconds to wait for another process that holds a lock: it makes a few requests to the issuer, of 20 seconds each at
most. Who lets the user log in meanwhile holds one for as long as that may take."""

LOCK_POLL_S: Final = 0.05
"""Seconds between two attempts to take a lock: waiting in a thread could not be cancelled."""


class ClientRegistration(Struct, frozen=True, omit_defaults=True):
    """How thv is known to an authorization server.

    Attributes:
        id: the client id; the URL of a client metadata document is one.
        auth_method: how the token endpoint is shown the secret; `none` for a public client.
        redirect_port: the port of the redirect URI that was registered; None if any may be used.
        expires_at: when the secret ends; Unix time.
        is_given: the user gave the id.
        is_doubtful: it did not work when it was used last, so the next log-in registers anew.
    """

    id: str
    auth_method: str = "none"
    redirect_port: int | None = None
    expires_at: float | None = None
    is_given: bool = False
    is_doubtful: bool = False

    @property
    def doubted(self) -> ClientRegistration:
        """The same, to be replaced at the next log-in; an id that the user gave stays."""
        return self if self.is_given else replace(self, is_doubtful=True)


class Secrets(Struct, frozen=True, omit_defaults=True):
    """What is never shown."""

    access_token: str
    refresh_token: str | None = None
    client_secret: str | None = None

    def __repr__(self) -> str:
        return "Secrets(…)"


class Login(Struct, frozen=True, omit_defaults=True):
    """One log-in.

    Attributes:
        issuer, resource: what it is known by.
        server_urls: the MCP servers that it is used for.
        token_endpoint, revocation_endpoint: of the issuer, as they were checked when the user logged in.
        client: how thv is registered there.
        logged_in_at, refresh_at, expires_at: Unix times; the latter two None if the token does not end.
        scope: what was granted.
        in_keyring: the secrets are in the system's keyring.
        is_refreshable: there is a refresh token.
        secrets: None in the file then.
    """

    issuer: str
    resource: str
    server_urls: tuple[str, ...]
    token_endpoint: str
    client: ClientRegistration
    logged_in_at: float
    revocation_endpoint: str | None = None
    refresh_at: float | None = None
    expires_at: float | None = None
    scope: str | None = None
    in_keyring: bool = False
    is_refreshable: bool = False
    secrets: Secrets | None = None
    version: int = 1

    @property
    def key(self) -> str:
        """The name of its file, and in the keyring."""
        return key_of(self.issuer, self.resource)


_LOGIN: Final = Decoder(Login)
_SECRETS: Final = Decoder(Secrets)


def key_of(*parts: str) -> str:
    """A file name for texts of any length; a JSON list tells `a, b` from `ab`."""
    return hashlib.sha256(encode(parts)).hexdigest()[:40]


class TokenStore:
    """The store in a folder.

    Args:
        folder: None for the one in the user's state directory.
        keyring: the system's; None to keep secrets in the files.
    """

    def __init__(self, folder: Path | None = None, keyring: Keyring | None = None) -> None:
        self._folder = Path(user_state_dir()) / FOLDER if folder is None else folder
        self._keyring = keyring

    def all(self) -> list[Login]:
        """Every log-in, without its secrets unless they are in the file; sorted by server."""
        try:
            paths = sorted(self._folder.glob("*.json"))
        except OSError:
            return []
        found = [login for path in paths if (login := self._read(path)) is not None]
        return sorted(found, key=lambda login: (login.server_urls, login.issuer))

    def unreadable(self) -> list[str]:
        """What may hold log-ins but cannot be read, the folder or files in it, each with the reason."""
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return []
        except OSError as error:
            return [f"{self._folder}: {error.strerror}"]
        found = []
        for path in paths:
            if self._read(path) is None:
                reason: str | None = "it holds no log-in as thv writes them"
                try:
                    path.read_bytes()
                except OSError as error:
                    reason = error.strerror
                found.append(f"{path}: {reason}")
        return found

    def find(self, server_url: str) -> Login | None:
        """The newest log-in for a server, with its secrets."""
        found = [login for login in self.all() if server_url in login.server_urls]
        return self._with_secrets(max(found, key=lambda login: login.logged_in_at)) if found else None

    def get(self, issuer: str, resource: str) -> Login | None:
        """The log-in of that key, with its secrets."""
        login = self._read(self._path(key_of(issuer, resource)))
        return None if login is None else self._with_secrets(login)

    def put(self, login: Login) -> None:
        """Keep a log-in in place of the one with its key. To be called under its lock.

        Raises:
            LoginError: it cannot be written.
        """
        path = self._path(login.key)
        old = self._read(path)
        in_keyring = False
        if self._keyring is not None and login.secrets is not None:
            in_keyring = self._keyring.set(login.key, encode(login.secrets).decode())
            if not in_keyring and old is not None and old.in_keyring:
                self._keyring.delete(login.key)
        kept = replace(
            login,
            in_keyring=in_keyring,
            is_refreshable=login.secrets is not None and login.secrets.refresh_token is not None,
            secrets=None if in_keyring else login.secrets,
        )
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            self._make_folder()
            self._remove_unfinished(path)
            try:
                write_beside(temporary, indented(encode(kept)), path, None)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            sync(self._folder)
        except OSError as error:
            raise LoginError(f"the log-in cannot be kept in {self._folder}: {error.strerror}") from error

    def delete(self, login: Login) -> None:
        """Forget a log-in. To be called under its lock.

        Raises:
            LoginError: its file cannot be removed.
        """
        if login.in_keyring and self._keyring is not None:
            self._keyring.delete(login.key)
        try:
            path = self._path(login.key)
            self._remove_unfinished(path)
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LoginError(f"the log-in cannot be removed from {self._folder}: {error.strerror}") from error

    @asynccontextmanager
    async def locked(self, name: str, timeout_s: float = LOCK_TIMEOUT_S) -> AsyncIterator[None]:
        """Holds the lock of that name, among all processes of the user. Cancelling ends the wait.

        Raises:
            LoginError: there can be no lock file, or another process held the lock for so many seconds.
        """
        path = self._folder / f"{name}.lock"
        try:
            self._make_folder()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LoginError(f"the log-in cannot be locked in {self._folder}: {error.strerror}") from error
        try:
            wait = LockWait(path, timeout_s)
            while not try_lock(descriptor):
                if not wait.goes_on():
                    raise LoginError(f"the log-in is locked: another process holds {path}; end it and try again")
                await asyncio.sleep(LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)

    def _remove_unfinished(self, path: Path) -> None:
        """Remove the versions of a log-in that killed processes left behind, with tokens in them."""
        for unfinished in self._folder.glob(f".{path.name}.*"):
            unfinished.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _read(self, path: Path) -> Login | None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            login = _LOGIN.decode(path.read_bytes())
            return login if login.key == path.stem else None
        return None

    def _with_secrets(self, login: Login) -> Login | None:
        if login.secrets is not None:
            return login
        text = None if self._keyring is None else self._keyring.get(login.key)
        if text is None:
            return None
        try:
            return replace(login, secrets=_SECRETS.decode(text))
        except (ValueError, RecursionError):
            return None
