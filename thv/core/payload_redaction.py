"""Arguments and results as a span or the journal may show them: without secrets, each value cut, and the whole cut.

Promises: what stands under a key that sounds secret is never shown, at any depth, in JSON inside a string, too; nor
what follows such a name in the forms in which keys are written otherwise: `--name VALUE` and `["name", VALUE]`,
`{"name": NAME, "value": VALUE}`, `name=VALUE` and `name: VALUE` in a text, and the user of a URL. At most `SHOWN`
characters come out; the work is bounded, because only the first `READ` bytes are read. Never raises. What is not JSON,
or is cut off, is shown as far as it goes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from math import inf
from typing import TYPE_CHECKING, Any, Final

from thv.core.surrogates import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable

READ: Final = 16 << 10
"""Bytes of raw JSON that are read: 200 characters of output seldom need more than a few hundred."""

VALUE_SHOWN: Final = 100
"""Characters of one value that are shown."""

SHOWN: Final = 200
"""Characters shown in all."""

STRUCTURE_SHOWN: Final = 4096
"""Characters of keys and values in a structure."""

DEEPEST: Final = 16
"""Levels of a structure: OTLP needs three of protobuf's for each, and decoders stop at a hundred."""

REDACTED: Final = '"[redacted]"'
ELLIPSIS: Final = "…"

NESTED: Final = 3
"""How deep JSON in strings in JSON is read; beyond, such a string is redacted whole."""

_PARTS: Final = (
    "token|passw|pwd|passphrase|secret|key|auth|credential|cookie|bearer|signature|private|session|jwt|otp|pincode"
    "|connectionstring|mnemonic|csrf|xsrf|certificate"
)
_SECRET: Final = re.compile(_PARTS)
"""Parts of keys, letters only and in lower case, whose values are secret. Too many are better than too few."""

_SECRET_WORDS: Final = frozenset(
    ("cred", "creds", "cvc", "cvv", "dsn", "mfa", "pass", "pat", "pem", "pin", "pw", "sas", "seed", "sid", "ssn", "tok")
)
"""Whole words of keys: as parts they would be found in too many others."""

_NOT_A_LETTER: Final = re.compile("[^a-z]+")
_WORD: Final = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_NAME: Final = re.compile(r"\S{1,64}")
"""What may be a name among values."""

_NAMED: Final = re.compile(
    rf"""(?:{_PARTS})[\w.\-]{{0,64}}["'\\]{{0,8}}\s{{0,8}}[:=]|\b(?:{"|".join(sorted(_SECRET_WORDS))})\s{{0,8}}[:=]|\bbearer\s""",
    re.IGNORECASE,
)
"""A name and what parts it from its value, inside a text."""

_USER: Final = re.compile(r"(://)[^/\s@]{1,512}@")
"""The user of a URL, and the password."""

_TEXT_READ: Final = 1024
"""Characters of one text that are looked through for what has no key: more than is shown, for what begins before."""

_OPENING: Final = frozenset("{[")
_CLOSING: Final = frozenset("}]")
_PIECE: Final = re.compile(r'"(?:[^"\\]++|\\.?)*+"?|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
_LONGEST_ESCAPE: Final = 6
"""Characters of `\\u0000`."""

_BLANK: Final = " \t\r\n\ufeff"
"""What may stand before JSON."""


def show(raw: bytes) -> str:
    """The raw JSON as a span may show it. Only its first `READ` bytes need to be handed in."""
    return _cut(_Reading(raw[:READ].decode("utf-8", "replace"), nested=0).redacted(), SHOWN)


def redact_structure(raw: bytes) -> Any:
    """The raw JSON as a value of the same structure, at most `STRUCTURE_SHOWN` characters of keys and values in all.

    What has no room, or was cut off, is left out at the end. Only the first `READ` bytes need to be handed in.
    """
    return _Structure(raw[:READ].decode("utf-8", "replace"), nested=0).value()


def redact_text(text: str) -> str:
    """A text, such as an error message, without the user of a URL and what follows a name that sounds secret."""
    return _without_named(text)


def is_secret(key: str) -> bool:
    """Whether what stands under the key is not to be shown."""
    key = unicodedata.normalize("NFKC", key)
    if _SECRET.search(_NOT_A_LETTER.sub("", key.lower())) is not None:
        return True
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(key))


class _EnoughError(Exception):
    """As much was read as can be shown."""


class _Reading:
    """One pass over one JSON text. It goes no deeper than what it shows is long."""

    def __init__(self, text: str, *, nested: int) -> None:
        self._pieces = (match[0] for match in _PIECE.finditer(text))
        self._nested = nested
        self._shown: list[str] = []
        self._room = SHOWN

    def redacted(self) -> str:
        try:
            for piece in self._pieces:
                self._element(piece, secret=False)
        except _EnoughError:
            pass
        return "".join(self._shown)

    def _show(self, piece: str) -> None:
        self._shown.append(piece)
        self._room -= len(piece)
        if self._room < 0:
            raise _EnoughError

    def _element(self, piece: str, *, secret: bool) -> None:
        if secret:
            if piece in _OPENING:
                self._skip()
            self._show(REDACTED)
        elif piece in _OPENING:
            self._show(piece)
            self._members(in_object=piece == "{")
        else:
            self._show(self._value(piece))

    def _members(self, *, in_object: bool) -> None:
        is_key, secret = in_object, False
        named = False  # a value before this one was a name that sounds secret
        for piece in self._pieces:
            if piece in _CLOSING:
                self._show(piece)
                return
            if piece == ",":
                is_key, secret = in_object, False
                self._show(piece)
            elif piece == ":":
                self._show(piece)
            elif is_key:
                key = _text(piece)
                is_key, secret = False, is_secret(key)
                self._show(_quoted(key))
            else:
                self._element(piece, secret=secret or named)
                named = _is_secret_name(piece) or (named and in_object)

    def _skip(self) -> None:
        depth = 1
        for piece in self._pieces:
            depth += (piece in _OPENING) - (piece in _CLOSING)
            if not depth:
                return

    def _value(self, piece: str) -> str:
        if not piece.startswith('"'):
            return _cut(_without_named(piece), VALUE_SHOWN)
        text = _text(piece)
        json_text = text.lstrip(_BLANK)
        if json_text[:1] not in _OPENING or (_is_whole(piece) and not _is_json(json_text)):
            return _quoted(_without_named(text))
        if self._nested >= NESTED:
            return REDACTED
        shown = _Reading(json_text, nested=self._nested + 1).redacted()
        return _quoted(shown if _is_whole(piece) else _without_named(shown))


class _Structure(_Reading):
    """The same pass, whose result is a value."""

    def __init__(self, text: str, *, nested: int) -> None:
        super().__init__(text, nested=nested)
        self._room = STRUCTURE_SHOWN

    def value(self) -> Any:
        found: list[Any] = []
        try:
            for piece in self._pieces:
                self._put(piece, found.append, depth=0, secret=False)
                break
        except _EnoughError:
            pass
        return found[0] if found else None

    def _put(self, piece: str, put: Callable[[Any], None], *, depth: int, secret: bool) -> None:
        """Hands one value to `put`, a container before its members: what there is room for stays."""
        if piece in _OPENING and (secret or depth == DEEPEST):
            self._skip()
        if secret:
            self._spend(put, json.loads(REDACTED))
        elif piece not in _OPENING:
            self._spend(put, self._leaf(piece))
        elif depth == DEEPEST:
            self._spend(put, ELLIPSIS)
        elif piece == "{":
            members: dict[str, Any] = {}
            self._spend(put, members)
            self._fill(lambda key, value: members.__setitem__(key or "", value), depth=depth + 1, in_object=True)
        else:
            items: list[Any] = []
            self._spend(put, items)
            self._fill(lambda _, value: items.append(value), depth=depth + 1, in_object=False)

    def _fill(self, add: Callable[[str | None, Any], None], *, depth: int, in_object: bool) -> None:
        key: str | None = None
        secret = named = False  # the second: a value before this one was a name that sounds secret
        for piece in self._pieces:
            if piece in _CLOSING:
                return
            if piece == ",":
                key, secret = None, False
            elif piece == ":":
                continue
            elif in_object and key is None:
                text = _text(piece)
                secret = is_secret(text)
                key = _cut(text, VALUE_SHOWN)
                self._room -= len(key)
            else:
                self._put(piece, lambda value, key=key: add(key, value), depth=depth, secret=secret or named)  # type: ignore[misc]  # a default
                named = _is_secret_name(piece) or (named and in_object)

    def _spend(self, put: Callable[[Any], None], value: Any) -> None:
        self._room -= len(str(value))
        if self._room < 0:
            raise _EnoughError
        put(value)

    def _leaf(self, piece: str) -> Any:
        shown = self._value(piece)
        try:
            value = json.loads(shown, parse_constant=str)
        except ValueError:
            return shown  # no JSON, or too long a number
        is_wide = isinstance(value, int) and not -(1 << 63) <= value < 1 << 63
        return shown if is_wide or value in {inf, -inf} else value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return False
    return True


def _is_secret_name(piece: str) -> bool:
    if not piece.startswith('"'):
        return False
    text = _text(piece[:_TEXT_READ])
    return _NAME.fullmatch(text) is not None and is_secret(text)


def _without_named(text: str) -> str:
    """The text without the user of a URL, and without what follows a name that sounds secret."""
    text = _USER.sub(r"\1[redacted]@", text[:_TEXT_READ])
    found = _NAMED.search(text)
    return text if found is None else f"{text[: found.end()]}[redacted]"


def _is_whole(piece: str) -> bool:
    """Whether a string has its closing quote."""
    return len(piece) > 1 and piece.endswith('"') and (len(piece) - len(piece[:-1].rstrip("\\"))) % 2 == 1


def _text(piece: str) -> str:
    """The text of a string, or of as much of it as was read."""
    if not piece.startswith('"'):
        return piece
    if _is_whole(piece):
        piece = piece[:-1]
    for ending in range(_LONGEST_ESCAPE):
        # A string that was cut off, perhaps in the middle of an escape.
        try:
            return replace_surrogates(str(json.loads(f'{piece[: len(piece) - ending]}"', strict=False)))
        except ValueError:
            continue
    return "[unreadable]"


def _quoted(text: str) -> str:
    return json.dumps(_cut(text, VALUE_SHOWN), ensure_ascii=False)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS
