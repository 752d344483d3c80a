"""The environment a server is started with: thv's own, then ``--env-file``, then ``-e``; the later wins.

The whole of the parent's environment is passed on, so that PATH, proxies and certificates reach the server. Error
messages name the variable and the place, never the value: values are often secrets.
"""

from __future__ import annotations

import os
import sys

from thv.errors import ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Final

PROXY_TOKEN_VARIABLE: Final = "TOOLHIVE_PROXY_AUTH_TOKEN"  # noqa: S105  the name of one
"""Holds the token that thv requires from clients over HTTP: a secret of thv's, which the server does not get."""

_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
"""What a backslash and this character mean between double quotes. Any other backslash stands for itself."""


def child_environment(
    environ: Mapping[str, str], env_files: Sequence[str], assignments: Sequence[str]
) -> dict[str, str]:
    """The complete environment of the child.

    Args:
        environ: what thv was started with.
        env_files: paths given with ``--env-file``, in order.
        assignments: ``KEY=VALUE`` texts given with ``-e``, in order.

    Raises:
        ThvError: a file cannot be read, or a line or an assignment is no ``KEY=VALUE``.
    """
    child = dict(environ)
    child.pop(PROXY_TOKEN_VARIABLE, None)
    for path in env_files:
        for key, value in read_env_file(path):
            child[_spelled(key)] = value
    for assignment in assignments:
        key, value = _assignment(assignment)
        child[_spelled(key)] = value
    return child


def read_env_file(path: str) -> Iterator[tuple[str, str]]:
    r"""The variables of one file, in order.

    One ``KEY=VALUE`` a line, optionally after ``export``. Blank lines and lines that start with ``#`` are skipped.
    Between single quotes every character stands for itself; between double quotes ``\n \r \t \" \\ \$`` are escapes.
    Without quotes, blanks around the value and a comment after a blank and ``#`` are dropped. Nothing is expanded.

    Raises:
        ThvError: the file cannot be read, or a line cannot be; its number is in the message.
    """
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read()
    except OSError as error:
        raise ThvError(f"cannot read --env-file {path}: {error.strerror}") from error
    # Decoded as the environment itself is, so that any byte a shell could set arrives unchanged.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            parsed = _parse_line(os.fsdecode(line).strip())
        except ValueError as error:
            problem = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            raise ThvError(f"{path}:{number}: {problem}") from error
        if parsed is not None:
            yield parsed


def _parse_line(line: str) -> tuple[str, str] | None:
    """The key and value of one line, or None if it says nothing.

    Raises:
        ValueError: it is no assignment; the message says why.
    """
    if not line or line.startswith("#"):
        return None
    words = line.split(None, 1)
    if words[0] == "export" and len(words) > 1 and not words[1].startswith("="):
        line = words[1]
    key, equals, value = line.partition("=")
    key = key.rstrip()
    if not equals:
        raise ValueError("expected KEY=VALUE")
    _check_key(key)
    value = _parse_value(key, value.strip())
    _check_value(key, value)
    return key, value


def _parse_value(key: str, text: str) -> str:
    quote = text[:1]
    if quote == "'":
        value, end, rest = text[1:].partition("'")
        if not end:
            raise ValueError(f"the value of {key} opens a ' that the line does not close")
    elif quote == '"':
        value, rest = _parse_double_quoted(key, text)
    else:
        return _without_comment(text)
    if rest and not (rest[0].isspace() and rest.lstrip().startswith("#")):
        raise ValueError(f"there is text after the closing quote of {key}")
    return value


def _parse_double_quoted(key: str, text: str) -> tuple[str, str]:
    """The value between double quotes and what follows the closing one."""
    value = ""
    position = 1
    while position < len(text):
        character = text[position]
        if character == '"':
            return value, text[position + 1 :]
        if character == "\\" and text[position + 1 : position + 2] in _ESCAPES:
            position += 1
            character = _ESCAPES[text[position]]
        value += character
        position += 1
    raise ValueError(f'the value of {key} opens a " that the line does not close')


def _without_comment(text: str) -> str:
    if text.startswith("#"):
        return ""
    for position, character in enumerate(text):
        if character == "#" and text[position - 1].isspace():
            return text[:position].rstrip()
    return text


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ThvError(f"-e {key} has no value: write -e {key}=VALUE (the server inherits thv's own variables)")
    try:
        _check_key(key)
        _check_value(key, value)
    except ValueError as error:
        raise ThvError(f"-e {text.partition('=')[0]}: {error}") from error
    return key, value


def _check_key(key: str) -> None:
    if not key:
        raise ValueError("there is no name before the =: expected KEY=VALUE")
    if "\0" in key or any(character.isspace() or character in "\"'" for character in key):
        raise ValueError(f"{key!r} cannot name a variable: expected KEY=VALUE")


def _check_value(key: str, value: str) -> None:
    if "\0" in value:
        raise ValueError(f"the value of {key} holds a NUL byte, which no environment can")


def _spelled(key: str) -> str:
    """The key as this system spells it: names have no case on Windows, and the environment there is upper-case."""
    return key.upper() if sys.platform == "win32" else key
