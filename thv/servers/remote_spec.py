"""What an ``http://`` or ``https://`` SERVER means: its URL, and the headers of every request.

It is a value, built once and never changed. Its `repr`, and every message made here, names headers and files and never
shows a value: a header is often a secret, and so are the user and the query of a URL. Nothing is contacted here.
`thv run` loads it before the server is started if SERVER holds ``://``, so it imports next to nothing.
"""

from __future__ import annotations

import os

from thv.core.frozen import Frozen
from thv.core.net.http_headers import is_header_name
from thv.core.net.loopback import is_loopback
from thv.core.net.url_redaction import redact_url
from thv.errors import ThvError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final
    from urllib.parse import SplitResult

SCHEMES: Final = ("http", "https")

TOKEN_VARIABLE: Final = "TOOLHIVE_REMOTE_AUTH_BEARER_TOKEN"  # noqa: S105  the name of a variable, as ToolHive has it
"""The variable that holds a bearer token, for those who do not want a file."""

OURS: Final = frozenset(
    {
        "accept",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that a request cannot have two of, and that thv has to set itself."""


class RemoteSpec(Frozen):
    """How to reach one remote server.

    Args:
        name: what people call it: its host, unless they gave a name.
        url: where it is, as it was typed.
        headers: what to send with every request, in order.
        token_file: the file whose content is the bearer token; read anew when the server refuses the token.
        ca_file: certificates of authorities to trust on top of the system's.
        client_id: how thv is known where the user logs in, if they said so.
    """

    name: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    token_file: str | None = None
    ca_file: str | None = None
    client_id: str | None = None

    @property
    def place(self) -> str:
        """The URL without what may be secret in it."""
        return redact_url(self.url)

    @property
    def has_authorization(self) -> bool:
        """Whether requests carry credentials."""
        return self.token_file is not None or any(name.lower() == "authorization" for name, _ in self.headers)

    def __repr__(self) -> str:
        names = [name for name, _ in self.headers]
        return f"RemoteSpec(name={self.name!r}, url={self.place!r}, headers={names}, token_file={self.token_file!r})"


def is_remote(server: str | None) -> bool:
    """Whether SERVER is the URL of a remote server."""
    return server is not None and server.partition("://")[0].lower() in SCHEMES and "://" in server


def resolve_remote(
    server: str,
    *,
    environ: Mapping[str, str],
    header: Sequence[str] = (),
    header_file: Sequence[str] = (),
    bearer_token_file: str | None = None,
    ca_file: str | None = None,
    client_id: str | None = None,
    name: str | None = None,
) -> RemoteSpec:
    """What the user typed, as a value. Files are read here once, so that a mistake is reported before a client waits.

    Args:
        server: the URL.
        environ: where a token may be, under `TOKEN_VARIABLE`.
        header: each ``--header``: ``NAME=VALUE`` or ``NAME: VALUE``.
        header_file: each ``--header-file``, a file of such lines. ``--header`` wins.
        bearer_token_file: ``--bearer-token-file``.
        ca_file: ``--ca-file``.
        client_id: ``--client-id``.
        name: ``--name``.

    Raises:
        UsageError: it is no URL, a ``--header`` is none, there are two tokens, or ``--client-id`` has no log-in to be
            for.
        ThvError: a file cannot be read, or holds something else.
    """
    parts = _split(server)
    headers: dict[str, tuple[str, str]] = {}
    for path in header_file:
        for number, line in enumerate(_lines(path, "--header-file"), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                _add(headers, line.strip(), f"{path}:{number}", ThvError)
    for text in header:
        _add(headers, text, "--header", UsageError)
    token_file = None if bearer_token_file is None else os.path.abspath(os.path.expanduser(bearer_token_file))
    if token_file is not None:
        if "authorization" in headers:
            raise UsageError("there are two credentials: give --bearer-token-file or an Authorization header, not both")
        read_token(token_file)
    elif "authorization" not in headers and parts.username is None and environ.get(TOKEN_VARIABLE):
        headers["authorization"] = ("Authorization", _bearer(environ[TOKEN_VARIABLE], TOKEN_VARIABLE))
    if ca_file is not None:
        ca_file = os.path.abspath(os.path.expanduser(ca_file))
        _lines(ca_file, "--ca-file")
    spec = RemoteSpec(
        name=name or str(parts.hostname),
        url=server,
        headers=tuple(headers.values()),
        token_file=token_file,
        ca_file=ca_file,
        client_id=client_id,
    )
    if client_id is not None and not may_log_in(spec):
        given = has_credentials(spec)
        reason = "credentials are given: give one of the two" if given else f"{spec.place} is not encrypted"
        raise UsageError(f"--client-id is for logging in, and {reason}")
    return spec


def has_credentials(spec: RemoteSpec) -> bool:
    """Whether requests carry credentials, be it in the URL."""
    return spec.has_authorization or _split(spec.url).username is not None


def may_log_in(spec: RemoteSpec) -> bool:
    """Whether tokens of a log-in may be sent: no credentials are given, and the connection is encrypted or local."""
    parts = _split(spec.url)
    return not has_credentials(spec) and (parts.scheme == "https" or is_loopback(parts.hostname))


def read_token(path: str) -> str:
    """The value of `Authorization` that the file's token makes.

    Raises:
        ThvError: the file cannot be read, or holds no token.
    """
    return f"Bearer {read_secret(path, '--bearer-token-file')}"


def warning(spec: RemoteSpec) -> str | None:
    """What the user should know of before the first request, or None."""
    parts = _split(spec.url)
    if has_credentials(spec) and parts.scheme == "http" and not is_loopback(parts.hostname):
        return f"the credentials for {spec.place} are sent in the clear: use https://"
    return None


def _split(server: str) -> SplitResult:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(server)
        port_is_fine = parts.port != 0  # reading it checks it
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    host = parts.hostname or ""
    if not host or not port_is_fine or any(character.isspace() or ord(character) < ord(" ") for character in server):
        raise UsageError(f"{redact_url(server)}: not a URL of a server: write https://HOST[:PORT]/PATH")
    return parts


def _lines(path: str, flag: str) -> list[str]:
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig") as file:
            return file.read().splitlines()
    except OSError as error:
        raise ThvError(f"cannot read {flag} {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ThvError(f"cannot read {flag} {path}: it is not UTF-8") from None


def _add(headers: dict[str, tuple[str, str]], text: str, where: str, error: type[ThvError]) -> None:
    """Take one header; the later wins. Raises `error` if it is none."""
    end = next((position for position, character in enumerate(text) if character in ":="), 0)
    name, value = text[:end].strip(), text[end + 1 :].strip()
    if not is_header_name(name):
        raise error(f"{where}: expected NAME=VALUE or NAME: VALUE, where NAME is a header's name")
    if name.lower() in OURS:
        raise error(f"{where}: {name} is a header that thv sets itself")
    _check(value, f"{where}: the value of {name}", error)
    headers[name.lower()] = (name, value)


def read_secret(path: str, flag: str) -> str:
    """The one line of a file that the user named.

    Raises:
        ThvError: the file cannot be read, or holds nothing that a header can carry.
    """
    return _secret("\n".join(_lines(path, flag)), f"{flag} {path}")


def _bearer(text: str, where: str) -> str:
    return f"Bearer {_secret(text, where)}"


def _secret(text: str, where: str) -> str:
    secret = text.strip()
    if not secret:
        raise ThvError(f"{where} holds no token")
    _check(secret, f"{where}: the token", ThvError)
    return secret


def _check(value: str, what: str, error: type[ThvError]) -> None:
    if not all(character == "\t" or " " <= character <= "~" for character in value):
        raise error(f"{what} holds a character that no header can")
