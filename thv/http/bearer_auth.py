"""A bearer token that clients of an HTTP endpoint of ours have to present (RFC 6750)."""

from __future__ import annotations

import os
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thv.errors import UsageError
from thv.servers.server_environment import PROXY_TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="thv"')

_SCHEME: Final = b"bearer "


class BearerAuth:
    """Checks the token of each request.

    Args:
        token: the token.
        file: where it comes from, if it comes from a file: that is read again when a token does not match and the file
            has changed, so a token may be renewed while thv runs.
    """

    def __init__(self, token: str, file: Path | None = None) -> None:
        self._token = token.encode()
        self._file = file
        self._modified = 0 if file is None else _modified(file)

    def allows(self, authorization: bytes | None) -> bool:
        """Whether an `Authorization` header carries the token. Takes the same time wherever it differs."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        given = authorization[len(_SCHEME) :].strip()
        return compare_digest(given, self._token) or (self._was_renewed() and compare_digest(given, self._token))

    def _was_renewed(self) -> bool:
        if self._file is None or _modified(self._file) == self._modified:
            return False
        try:
            self._token = read_token_file(self._file).encode()
        except UsageError:
            return False  # half written: the token so far goes on
        self._modified = _modified(self._file)
        return True


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


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
