"""The environment a server is started with: thv's own, then ``--env-file``, then ``-e``; the later wins.

The whole of the parent's environment is passed on, so that PATH, proxies and certificates reach the server. Error
messages name the variable and the place, never the value: values are often secrets.
"""

from __future__ import annotations

import os
import sys
from codecs import BOM_UTF8

from thv.errors import ThvError, UsageError

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
        UsageError: an assignment is no ``KEY=VALUE``.
        ThvError: a file cannot be read, or one of its lines is no ``KEY=VALUE``.
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
    A value in quotes may have several lines, as certificates and keys do. Without quotes, blanks around the value and a
    comment after a blank and ``#`` are dropped. Nothing is expanded.

    Raises:
        ThvError: the file cannot be read, or a line cannot be; its number is in the message.
    """
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read()
    except OSError as error:
        raise ThvError(f"cannot read --env-file {path}: {error.strerror}") from error
    lines = iter(enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1))
    for number, line in lines:
        try:
            # Decoded as the environment itself is, so that any byte a shell could set arrives unchanged.
            parsed = _parse_line(os.fsdecode(line).removesuffix("\r"), (os.fsdecode(more) for _, more in lines))
        except ValueError as error:
            problem = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            raise ThvError(f"{path}:{number}: {problem}") from error
        if parsed is not None:
            yield parsed


def _parse_line(line: str, following: Iterator[str]) -> tuple[str, str] | None:
    """The key and value of one line, or None if it says nothing.

    Args:
        line: the line.
        following: the lines after it; those that its value reaches into are taken.

    Raises:
        ValueError: it is no assignment; the message says why.
    """
    line = line.lstrip()
    if not line or line.startswith("#"):
        return None
    words = line.split(None, 1)
    if words[0] == "export" and len(words) > 1 and not words[1].startswith("="):
        line = words[1]
    key, equals, value = line.partition("=")
    key = key.rstrip()
    if not equals:
        raise ValueError("expected KEY=VALUE; a value of several lines stands in quotes")
    _check_key(key)
    value = _parse_value(key, value.lstrip(), following)
    _check_value(key, value)
    return key, value


def _parse_value(key: str, text: str, following: Iterator[str]) -> str:
    quote = text[:1]
    if quote not in {"'", '"'}:
        return _without_comment(text.rstrip())
    parts = []
    line = text[1:]
    while (end := _closing_quote(line, quote)) < 0:
        parts.append(_unescape(line, quote))
        more = next(following, None)
        if more is None:
            raise ValueError(f"the value of {key} opens a {quote} that nothing closes")
        line = more.removesuffix("\r")
    parts.append(_unescape(line[:end], quote))
    rest = line[end + 1 :].rstrip()
    if rest and not (rest[0].isspace() and rest.lstrip().startswith("#")):
        raise ValueError(f"there is text after the closing quote of {key}")
    return "\n".join(parts)


def _closing_quote(line: str, quote: str) -> int:
    """Where the line closes the quote; -1 if it does not."""
    position = line.find(quote)
    while quote == '"' and position > 0 and _is_escaped(line, position):
        position = line.find(quote, position + 1)
    return position


def _is_escaped(line: str, position: int) -> bool:
    """Whether an odd number of backslashes stands before the position."""
    before = line[:position]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _unescape(text: str, quote: str) -> str:
    if quote == "'" or "\\" not in text:
        return text
    value = ""
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\" and text[position + 1 : position + 2] in _ESCAPES:
            position += 1
            character = _ESCAPES[text[position]]
        value += character
        position += 1
    return value


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
        raise UsageError(f"-e {key} has no value: write -e {key}=VALUE (the server inherits thv's own variables)")
    try:
        _check_key(key)
        _check_value(key, value)
    except ValueError as error:
        raise UsageError(f"-e {text.partition('=')[0]}: {error}") from error
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
