"""What every format has in common: nodes with their exact positions, edits, and the way a string is written.

A document is parsed twice: by a well-kept parser, which decides whether the text is valid and what it means, and by a
scanner of ours, which finds only positions in a text that is known to be valid. Offsets count characters of the text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OBJECT, ARRAY, STRING, OTHER = "object", "array", "string", "other"
"""The kinds of node; `OTHER` is a number, a boolean, a null or a date."""

ANY = "*"
"""In a pattern: every key."""

Pattern: TypeAlias = tuple[str, ...]
"""Keys from the root to where servers are; `ANY` stands for each key."""

Keys: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root to one node."""

_MUST_BE_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_BREAK = re.compile(r"\r\n|\r|\n")


class Node(Protocol):
    """One value and where it is written.

    Attributes:
        kind: one of the kinds above.
        start: the offset of its first character.
        end: the offset behind its last character. A TOML table that is spread over the file ends where it starts.
        value: what it means, as Python data.
        members: what an object holds, in order.
        items: what an array holds, in order.
        block: a YAML list without brackets.
        obstacle: why it cannot be moved or extended, or None: an alias, for example.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102  the class docstring has them all
    @property
    def start(self) -> int: ...  # noqa: D102  as above
    @property
    def end(self) -> int: ...  # noqa: D102  as above
    @property
    def value(self) -> Any: ...  # noqa: D102  as above
    @property
    def members(self) -> Sequence[NodeMember]: ...  # noqa: D102  as above
    @property
    def items(self) -> Sequence[Node]: ...  # noqa: D102  as above
    @property
    def block(self) -> bool: ...  # noqa: D102  as above
    @property
    def obstacle(self) -> str | None: ...  # noqa: D102  as above


@dataclass(frozen=True, slots=True, eq=False)
class NodeMember:
    """One key of an object and its value.

    Attributes:
        key: the key, decoded.
        start: where the key is written.
        node: the value.
        on_line: it has lines of its own: a TOML key outside inline tables, a YAML key outside brackets.
        prefix: what is written before the last part of a dotted TOML key.
    """

    key: str
    start: int
    node: Node
    on_line: bool = False
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class TextEdit:
    """One splice: the text between two offsets is replaced."""

    start: int
    end: int
    text: str


class ParsedDocument(Protocol):
    """One parsed text.

    Attributes:
        text: the text as it is, byte order mark included.
        blank: the same text with every comment replaced by spaces, so that offsets stay the same.
        path: the file, for error messages.
        quirks: offsets of what strict readers of the format refuse, with a phrase for each: ``a comment``.
    """

    @property
    def text(self) -> str: ...  # noqa: D102  as above
    @property
    def blank(self) -> str: ...  # noqa: D102  as above
    @property
    def path(self) -> str: ...  # noqa: D102  as above
    @property
    def quirks(self) -> Sequence[tuple[int, str]]: ...  # noqa: D102  as above

    def find(self, pattern: Pattern) -> Iterator[tuple[Keys, Node]]:
        """Every node that the pattern leads to.

        Raises:
            ConfigError: a key on the way is there twice.
        """

    def root_keys(self) -> Sequence[str]:
        """The keys of the root, in order; none where the root is no object."""

    def without(self, leaves: Sequence[Keys]) -> Any:
        """What the whole text means, apart from these leaves: two texts that agree in it differ only there."""

    def member_text(self, key: str, raw_items: Sequence[str]) -> str:
        """How a key with a list of written items looks within brackets of this format: ``"args": [1, 2]``."""


def quote(value: str) -> str:
    """The string in double quotes, as JSON, TOML and YAML read it alike."""
    text = json.dumps(value, ensure_ascii=False)
    return _MUST_BE_ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def apply(text: str, edits: Sequence[TextEdit]) -> str:
    """The text after the edits, which must not overlap."""
    pieces, position = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, text[position:]])


class LineIndex:
    """Where the lines of a text start: for many positions of one text, which may have a million lines."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in _BREAK.finditer(text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1; a byte order mark has no width."""
        line = bisect_right(self._starts, offset)
        return line, len(self._text[self._starts[line - 1] : offset].lstrip("\ufeff")) + 1


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of one position."""
    return LineIndex(text[:offset]).position(offset)


def refusal(document: ParsedDocument, offset: int, reason: str) -> ConfigError:
    """The error that says what is wrong at an offset of the document."""
    line, column = line_and_column(document.text, offset)
    return ConfigError(reason, path=document.path, line=line, column=column)


def line_start(text: str, offset: int) -> int:
    """The offset at which the line of `offset` starts."""
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def next_line(text: str, offset: int) -> tuple[int, str]:
    """The offset at which the next line starts and the line break before it, which is empty at the end of the text."""
    match = _BREAK.search(text, offset)
    return (match.end(), match.group()) if match else (len(text), "")


def line_break(text: str) -> str:
    """The line break that the text uses first; a line feed if it has none."""
    match = _BREAK.search(text)
    return match.group() if match else "\n"


def indentation(text: str, offset: int) -> str | None:
    """The white space before `offset` on its line; None if anything else stands there."""
    before = text[line_start(text, offset) : offset].lstrip("\ufeff")
    return before if not before.strip(" \t") else None
