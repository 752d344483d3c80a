"""JSON, with comments and trailing commas where a client allows them (https://code.visualstudio.com/docs/languages/json).

Promises: what `json` from the standard library does not read once comments and trailing commas are out of the way is
refused with line and column; nesting costs no stack; values that are not asked for are passed over, not built.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
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
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STRING = r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"'
_COMMENT = re.compile(_STRING + r'|(?P<comment>//[^\r\n]*|/\*.*?\*/)|(?P<broken>"|/\*)', re.DOTALL)
_TRAILING_COMMA = re.compile(_STRING + r"|,(?=[ \t\r\n]*[}\]])")
_STRUCTURE = re.compile(_STRING + r"|[\[\]{}]")
_STRING_AT = re.compile(_STRING)
_SCALAR = re.compile(r"[^\s,\]}]+")
_SPACE = re.compile(r"[ \t\r\n]*")
_NOT_BREAK = re.compile(r"[^\r\n]")

_KINDS = {"{": OBJECT, "[": ARRAY, '"': STRING}

DEEPEST = 500
"""Levels of nesting that are read. The parser's own limit differs from one Python to the next, and is never lower."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written: its order and its repeated keys are kept, so that comparing misses nothing."""


class JsonNode:
    """One value, read only as far as it is asked for."""

    block = False
    obstacle = None

    def __init__(self, document: JsonDocument, start: int) -> None:
        self._document = document
        self.start = start
        self.kind = _KINDS.get(document.blank[start], OTHER)

    @cached_property
    def end(self) -> int:
        """The offset behind the value."""
        return self._document.end_of(self.start)

    @cached_property
    def value(self) -> Any:
        """The value, decoded; of a repeated key the last one counts, as everywhere."""
        return json.loads(self._document.strict[self.start : self.end], parse_int=_number, parse_float=_number)

    @cached_property
    def members(self) -> Sequence[NodeMember]:
        """The members of an object."""
        return tuple(self._document.members_of(self.start)) if self.kind == OBJECT else ()

    @cached_property
    def items(self) -> Sequence[Node]:
        """The items of an array."""
        return tuple(self._document.items_of(self.start)) if self.kind == ARRAY else ()


class JsonDocument:
    """A JSON text that is known to be valid.

    Raises:
        ConfigError: it is not valid.
    """

    def __init__(self, text: str, *, path: str) -> None:
        self.text = text
        self.path = path
        self.quirks: list[tuple[int, str]] = []
        self.blank = self._without_comments()
        self.strict = self._without_trailing_commas()
        self._data = self._parse()

    def find(self, pattern: Pattern) -> Iterator[tuple[Keys, Node]]:
        """Every node that the pattern leads to."""
        yield from self._find(self._root(), pattern, ())

    def root_keys(self) -> list[str]:
        """The keys of the root."""
        root = self._root()
        return [member.key for member in root.members]

    def without(self, leaves: Sequence[Keys]) -> Any:
        """The meaning of all the rest."""
        data = self._data
        for keys in leaves:
            data = _cut(data, keys)
        return data

    def member_text(self, key: str, raw_items: Sequence[str]) -> str:
        """``"args": [1, 2]``."""
        return f"{quote(key)}: [{', '.join(raw_items)}]"

    def end_of(self, start: int) -> int:
        """The offset behind the value that starts at `start`."""
        first = self.blank[start]
        if first == '"':
            return _end(_STRING_AT.match(self.blank, start))
        if first not in "[{":
            return _end(_SCALAR.match(self.blank, start))
        depth = 0
        for match in _STRUCTURE.finditer(self.blank, start):
            found = match.group()
            if found in "[{":
                depth += 1
            elif found in "]}":
                depth -= 1
                if depth == 0:
                    return match.end()
        raise refusal(self, start, "is not closed")  # pragma: no cover  the parser has read it

    def members_of(self, start: int) -> Iterator[NodeMember]:
        """The members of the object that starts at `start`."""
        position = self._skip(start + 1)
        while self.blank[position] == '"':
            key_end = _end(_STRING_AT.match(self.blank, position))
            value_start = self._skip(self._skip(key_end) + 1)
            node = JsonNode(self, value_start)
            yield NodeMember(json.loads(self.blank[position:key_end]), position, node)
            position = self._behind_comma(node.end)

    def items_of(self, start: int) -> Iterator[JsonNode]:
        """The items of the array that starts at `start`."""
        position = self._skip(start + 1)
        while self.blank[position] != "]":
            node = JsonNode(self, position)
            yield node
            position = self._behind_comma(node.end)

    def _find(self, node: JsonNode, pattern: Pattern, trail: Keys) -> Iterator[tuple[Keys, Node]]:
        if not pattern:
            yield trail, node
            return
        seen: set[str] = set()
        for member in node.members:
            if pattern[0] in {member.key, ANY}:
                if member.key in seen:
                    raise refusal(self, member.start, f"the key {quote(member.key)} is here twice; keep one")
                seen.add(member.key)
                yield from self._find(JsonNode(self, member.node.start), pattern[1:], (*trail, member.key))

    def _root(self) -> JsonNode:
        return JsonNode(self, self._skip(1 if self.text.startswith("\ufeff") else 0))

    def _skip(self, position: int) -> int:
        return _end(_SPACE.match(self.blank, position))

    def _behind_comma(self, position: int) -> int:
        position = self._skip(position)
        return self._skip(position + 1) if self.blank[position] == "," else position

    def _without_comments(self) -> str:
        text = self.text
        if "/" not in text:
            return text
        pieces, position = [], 0
        for match in _COMMENT.finditer(text):
            if match["broken"]:
                if match["broken"] == "/*":
                    raise refusal(self, match.start(), "is not valid JSON: the comment is not closed")
                break  # a string that is not closed: the parser says so
            if match["comment"]:
                self.quirks.append((match.start(), "a comment"))
                pieces += [text[position : match.start()], _NOT_BREAK.sub(" ", match.group())]
                position = match.end()
        return "".join([*pieces, text[position:]])

    def _without_trailing_commas(self) -> str:
        pieces, position = [], 0
        for match in _TRAILING_COMMA.finditer(self.blank):
            # One that nothing stands before is no trailing comma; the parser refuses it.
            if match.group() == "," and self._before(match.start()) not in "[{,:":
                self.quirks.append((match.start(), "a trailing comma"))
                pieces += [self.blank[position : match.start()], " "]
                position = match.end()
        return "".join([*pieces, self.blank[position:]])

    def _before(self, position: int) -> str:
        """The last character before `position` that is no white space."""
        position -= 1
        while position > 0 and self.blank[position] in " \t\r\n":
            position -= 1
        return self.blank[position]

    def _parse(self) -> Any:
        text = self.strict
        if text.startswith("\ufeff"):
            text = " " + text[1:]
        try:
            return json.loads(
                text,
                object_pairs_hook=Pairs,
                parse_int=_number,
                parse_float=_number,
                parse_constant=self._refuse_constant,
            )
        except json.JSONDecodeError as error:
            reason = error.msg[:1].lower() + error.msg[1:]
            raise refusal(self, error.pos, f"is not valid JSON: {reason.removesuffix(' at')}") from None
        except RecursionError:
            raise refusal(self, self._too_deep(), f"is nested more than {DEEPEST} levels deep") from None

    def _refuse_constant(self, word: str) -> None:
        position = next(m.start() for m in re.finditer(_STRING + f"|{word}", self.strict) if m.group() == word)
        raise refusal(self, position, f"is not valid JSON: {word} is not a JSON value")

    def _too_deep(self) -> int:
        depth = 0
        for match in _STRUCTURE.finditer(self.blank):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group(), 0)
            if depth > DEEPEST:
                return match.start()
        return 0


def _number(text: str) -> tuple[str, str]:
    """A number as it is written: no reader of ours may round it."""
    return ("number", text)


def _end(match: re.Match[str] | None) -> int:
    if match is None:  # pragma: no cover  the parser has read the text
        raise ConfigError("is not valid JSON", path="")
    return match.end()


def _cut(data: Any, keys: Keys) -> Any:
    """A copy of `data` without the node at `keys`; what is not on the way is shared, not copied."""
    if isinstance(data, Pairs):
        inner = (
            (key, _cut(value, keys[1:])) if key == keys[0] and len(keys) > 1 else (key, value) for key, value in data
        )
        return Pairs(pair for pair in inner if len(keys) > 1 or pair[0] != keys[0])
    if isinstance(data, list) and isinstance(keys[0], int) and len(keys) > 1 and keys[0] < len(data):
        return [*data[: keys[0]], _cut(data[keys[0]], keys[1:]), *data[keys[0] + 1 :]]
    return data
