"""A bearer token that clients of an HTTP endpoint of ours have to present (RFC 6750)."""

from __future__ import annotations

import os
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thv.core.console import warn
from thv.errors import UsageError
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="thv"')

_SCHEME: Final = b"bearer "


class BearerAuth:
    """Checks the token of each request.

    Args:
        token: the token.
        file: where it comes from, if it comes from a file: the token that it holds at the time of a request is the one
            that counts. While it is gone, cannot be read or holds no token, every request is refused. What can be read
            only once, such as a pipe, is not read again.
        warn: called with a line for the user when that begins.
    """

    def __init__(self, token: str, file: Path | None = None, *, warn: Callable[[str], None] = warn) -> None:
        self._token: bytes | None = token.encode()
        self._file = file if file is not None and file.is_file() else None
        self._state: tuple[int, ...] | None = None
        self._warn = warn

    def allows(self, authorization: bytes | None) -> bool:
        """Whether an `Authorization` header carries the token. Takes the same time wherever it differs."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        if self._file is not None:
            self._follow(self._file)
        return self._token is not None and compare_digest(authorization[len(_SCHEME) :].strip(), self._token)

    def _follow(self, file: Path) -> None:
        """Read the file again if it has changed."""
        state = _state(file)  # before it is read, so that a change in between is seen the next time
        if state is not None and state == self._state:
            return
        try:
            self._token = read_token_file(file).encode()
            self._state = state
        except UsageError as error:
            if self._token is not None:
                self._warn(f"{error}; every request is refused until the file holds a token again")
            self._token = self._state = None


def bearer_auth(token_file: str | None, environ: Mapping[str, str]) -> BearerAuth | None:
    """The check that the command line or the environment asks for, if either does.

    Raises:
        UsageError: the file cannot be read, or the token cannot be one.
    """
    if token_file is not None:
        path = Path(token_file)
        return BearerAuth(read_token_file(path), path)
    token = environ.get(PROXY_TOKEN_VARIABLE)
    return None if not token else BearerAuth(_checked(token, PROXY_TOKEN_VARIABLE))


def read_token_file(path: Path) -> str:
    """The token in a file.

    Raises:
        UsageError: it cannot be read, or does not hold a token.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it is not text"
        raise UsageError(f"--auth-token-file {path}: {reason}") from None
    return _checked(text, f"--auth-token-file {path}")


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not token or not token.isascii() or any(not "!" <= character <= "~" for character in token):
        raise UsageError(f"{source}: a token is one word of visible ASCII characters")
    return token


def _state(path: Path) -> tuple[int, ...] | None:
    """Numbers that change with a file or its permissions; None if it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
