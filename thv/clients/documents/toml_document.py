"""TOML 1.0 (https://toml.io/en/v1.0.0): headers, dotted keys, inline tables, lists of tables.

Promises: what `tomllib` does not read is refused with line and column. The scanner below finds positions in a text that
`tomllib` has read; it decides nothing.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thv.clients.documents.nodes import (
    ANY,
    ARRAY,
    OBJECT,
    OTHER,
    STRING,
    Keys,
    Node,
    NodeMember,
    Pattern,
    quote,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\r\n]|\\.)*"'
    r"|'[^'\r\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_COMMENT = re.compile(r"#[^\r\n]*")
_POSITION = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(slots=True, eq=False)
class TomlNode:
    """One value or table; a table fills up while the file is read."""

    kind: str
    start: int
    end: int
    raw: str = ""
    members: list[NodeMember] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)
    block: bool = False
    obstacle: str | None = None

    @property
    def value(self) -> Any:
        """What the value or table means."""
        if self.raw:
            return tomllib.loads(f"value = {self.raw}")["value"]
        if self.kind == ARRAY:
            return [item.value for item in self.items]
        return {member.key: member.node.value for member in self.members}

    def member(self, key: str) -> TomlNode | None:
        """The table or value at `key`."""
        found = next((member.node for member in self.members if member.key == key), None)
        return found if isinstance(found, TomlNode) else None


class TomlDocument:
    """A TOML text that is known to be valid.

    Raises:
        ConfigError: it is not valid.
    """

    def __init__(self, text: str, *, path: str) -> None:
        self.text = text
        self.path = path
        self.quirks: list[tuple[int, str]] = []
        self._data = self._parse()
        self._comments: list[tuple[int, int]] = []
        self._root = TomlNode(OBJECT, 0, 0)
        self._position = 1 if text.startswith("\ufeff") else 0
        self._read()
        self.blank = self._without_comments()

    def find(self, pattern: Pattern) -> Iterator[tuple[Keys, Node]]:
        """Every node that the pattern leads to."""
        yield from self._find(self._root, pattern, ())

    def root_keys(self) -> list[str]:
        """The keys of the root."""
        return [member.key for member in self._root.members]

    def without(self, leaves: Sequence[Keys]) -> Any:
        """The meaning of all the rest."""
        data: Any = self._data
        for keys in leaves:
            data = _cut(data, keys)
        return data

    def member_text(self, key: str, raw_items: Sequence[str]) -> str:
        """``args = [1, 2]``."""
        return f"{key if _PLAIN_KEY.match(key) else quote(key)} = [{', '.join(raw_items)}]"

    def _find(self, node: Node, pattern: Pattern, trail: Keys) -> Iterator[tuple[Keys, Node]]:
        if not pattern:
            yield trail, node
            return
        for member in node.members:
            if pattern[0] in {member.key, ANY}:
                yield from self._find(member.node, pattern[1:], (*trail, member.key))

    def _parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text.removeprefix("\ufeff"), parse_float=_float)
        except tomllib.TOMLDecodeError as error:
            reason = str(error)
            match = _POSITION.search(reason)
            reason = _POSITION.sub("", reason)
            offset = len(self.text)
            if match and match[1]:
                offset = self._offset(int(match[1]), int(match[2]))
            raise refusal(self, offset, f"is not valid TOML: {reason[:1].lower()}{reason[1:]}") from None
        except RecursionError:
            raise refusal(self, 0, "is not read: it is nested too deep") from None

    def _offset(self, line: int, column: int) -> int:
        """The offset of a position that `tomllib` names, which counts CRLF as one character."""
        start = 0
        for _ in range(line - 1):
            start = self.text.index("\n", start) + 1
        return min(start + column - 1 + (self.text.startswith("\ufeff") and line == 1), len(self.text))

    def _without_comments(self) -> str:
        pieces, position = [], 0
        for start, end in self._comments:
            pieces += [self.text[position:start], " " * (end - start)]
            position = end
        return "".join([*pieces, self.text[position:]])

    def _read(self) -> None:
        table = self._root
        while self._skip_blank() < len(self.text):
            start = self._position
            if self.text.startswith("[", start):
                table = self._header()
            else:
                self._key_and_value(table, on_line=True)

    def _header(self) -> TomlNode:
        start = self._position
        is_list = self.text.startswith("[[", start)
        self._position += 2 if is_list else 1
        keys = [key for key, _ in self._keys()]
        self._position = self._skip_space() + (2 if is_list else 1)
        table = self._root
        for key in keys[:-1]:
            table = _last(self._table(table, key, start))
        if not is_list:
            return _last(self._table(table, keys[-1], start))
        tables = table.member(keys[-1])
        if tables is None:
            tables = TomlNode(ARRAY, start, start, block=True)
            table.members.append(NodeMember(keys[-1], start, tables))
        tables.items.append(TomlNode(OBJECT, start, start))
        return _last(tables)

    def _table(self, above: TomlNode, key: str, start: int) -> TomlNode:
        found = above.member(key)
        if found is None:
            found = TomlNode(OBJECT, start, start)
            above.members.append(NodeMember(key, start, found))
        return found

    def _key_and_value(self, table: TomlNode, *, on_line: bool) -> None:
        start = self._position
        keys = self._keys()
        for key, _ in keys[:-1]:
            table = self._table(table, key, start)
        last, last_start = keys[-1]
        self._position = self._skip_space() + 1  # the equals sign
        self._skip_space()
        value = self._value()
        table.members.append(NodeMember(last, start, value, on_line, self.text[start:last_start]))

    def _keys(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, each with its offset."""
        found = []
        while True:
            start = self._skip_space()
            quoted = _STRING.match(self.text, start)
            if quoted:
                found.append((_decoded(quoted.group()), start))
                self._position = quoted.end()
            else:
                bare = _BARE_KEY.match(self.text, start)
                found.append((bare.group() if bare else "", start))
                self._position = bare.end() if bare else start
            if not self.text.startswith(".", self._skip_space()):
                return found
            self._position += 1

    def _value(self) -> TomlNode:
        start = self._position
        first = self.text[start]
        if first in "\"'":
            match = _STRING.match(self.text, start)
            self._position = match.end() if match else start + 1
            return TomlNode(STRING, start, self._position, self.text[start : self._position])
        if first == "[":
            return self._array()
        if first == "{":
            return self._inline_table()
        match = _SCALAR.match(self.text, start)
        raw = match.group().rstrip(" \t") if match else ""
        self._position = start + len(raw)
        return TomlNode(OTHER, start, self._position, raw)

    def _array(self) -> TomlNode:
        start = self._position
        self._position += 1
        items: list[Node] = []
        while not self.text.startswith("]", self._skip_blank()):
            items.append(self._value())
            if self.text.startswith(",", self._skip_blank()):
                self._position += 1
        self._position += 1
        return TomlNode(ARRAY, start, self._position, self.text[start : self._position], items=items)

    def _inline_table(self) -> TomlNode:
        start = self._position
        self._position += 1
        table = TomlNode(OBJECT, start, start)
        while not self.text.startswith("}", self._skip_blank()):
            self._key_and_value(table, on_line=False)
            if self.text.startswith(",", self._skip_blank()):
                self._position += 1
        self._position += 1
        table.end = self._position
        return table

    def _skip_space(self) -> int:
        match = _SPACE.match(self.text, self._position)
        self._position = match.end() if match else self._position
        return self._position

    def _skip_blank(self) -> int:
        match = _BLANK.match(self.text, self._position)
        end = match.end() if match else self._position
        self._comments += [comment.span() for comment in _COMMENT.finditer(self.text, self._position, end)]
        self._position = end
        return end


def _last(node: TomlNode) -> TomlNode:
    """The table itself, or the last one of a list of tables: what a header below it speaks of."""
    last = node.items[-1] if node.kind == ARRAY else node
    return last if isinstance(last, TomlNode) else node


def _decoded(raw: str) -> str:
    value: str = tomllib.loads(f"value = {raw}")["value"]
    return value


def _float(text: str) -> tuple[str, str]:
    """A number as it is written: `nan` is not even equal to itself."""
    return ("float", text)


def _cut(data: Any, keys: Keys) -> Any:
    """A copy of `data` without the node at `keys`; what is not on the way is shared."""
    key, rest = keys[0], keys[1:]
    if isinstance(data, dict) and key in data:
        if not rest:
            return {name: value for name, value in data.items() if name != key}
        return {name: _cut(value, rest) if name == key else value for name, value in data.items()}
    if isinstance(data, list) and isinstance(key, int) and rest and key < len(data):
        return [*data[:key], _cut(data[key], rest), *data[key + 1 :]]
    return data
