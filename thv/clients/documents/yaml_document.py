"""YAML, as Goose and Continue read it: the tree of `thv.config`, seen as nodes.

Promises: what the tree refuses (tabs, repeated keys, undefined anchors) is refused here, with line and column. A value
that an alias shares, that has a tag, or that is written over several lines is shown with the obstacle.
"""

from __future__ import annotations

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
    line_and_column,
    quote,
    refusal,
)
from thv.config.yaml import tree
from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_COMMENT = re.compile(r"(?<!\S)#[^\r\n\x85\u2028\u2029]*")
_NOT_A_STRING = re.compile(
    r"(?:~|null|true|false|yes|no|on|off|y|n|[-+]?\.inf|\.nan"
    r"|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:e[-+]?[0-9]+)?|[-+]?\.[0-9]+(?:e[-+]?[0-9]+)?"
    r"|0x[0-9a-f_]+|0o?[0-7_]+|0b[01_]+|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|)\Z",
    re.IGNORECASE,
)
"""Plain scalars that some version of YAML does not read as a string (YAML 1.1 types; YAML 1.2.2, 10.3.2)."""
_TRUE, _FALSE, _NULL = {"true", "yes", "on"}, {"false", "no", "off"}, {"", "~", "null"}


class YamlNode:
    """One node of the tree."""

    def __init__(self, document: YamlClientDocument, node: tree.Node) -> None:
        self._document = document
        self._node = node
        self.start: int = node.start if isinstance(node, tree.Alias) else node.content
        self.end: int = node.end
        self.block = isinstance(node, tree.Sequence) and not node.flow

    @property
    def kind(self) -> str:
        """Which kind of node it is."""
        if isinstance(self._node, tree.Mapping):
            return OBJECT
        if isinstance(self._node, tree.Sequence):
            return ARRAY
        if isinstance(self._node, tree.Scalar) and (self._node.style or not _NOT_A_STRING.match(self._node.value)):
            return STRING
        return OTHER

    @property
    def obstacle(self) -> str | None:
        """Why the node cannot be moved or extended."""
        node = self._node
        if isinstance(node, tree.Alias):
            return "is an alias"
        if node.tag is not None:
            return "has a tag"
        if node.anchor is not None:
            return "has an anchor"
        if isinstance(node, tree.Scalar) and re.search(r"[\r\n]", self._document.text[node.content : node.end]):
            return "is written over several lines"
        return None

    @property
    def value(self) -> Any:
        """What it means: an alias and what is not understood as text."""
        node = self._node
        if isinstance(node, tree.Mapping):
            return {member.key: member.node.value for member in self.members}
        if isinstance(node, tree.Sequence):
            return [item.value for item in self.items]
        if isinstance(node, tree.Alias):
            return f"*{node.anchor}"
        if node.style is None:
            word = node.value.lower()
            if word in _NULL:
                return None
            if word in _TRUE | _FALSE:
                return word in _TRUE
        return node.value

    @cached_property
    def members(self) -> Sequence[NodeMember]:
        """The members of a mapping; keys that are no strings are left out."""
        node = self._node
        if not isinstance(node, tree.Mapping):
            return ()
        return tuple(
            NodeMember(key, entry.key.start, YamlNode(self._document, entry.value), on_line=not node.flow)
            for entry in node.entries
            if (key := tree.key_text(entry.key)) is not None
        )

    @cached_property
    def items(self) -> Sequence[Node]:
        """The items of a list."""
        node = self._node
        return tuple(YamlNode(self._document, item) for item in node.items) if isinstance(node, tree.Sequence) else ()

    @property
    def is_shared(self) -> bool:
        """Whether an alias elsewhere stands for this node or one in it."""
        return bool(self._document.used_anchors.intersection(tree.anchors(self._node)))


class YamlClientDocument:
    """A YAML text of one document that is known to be valid.

    Raises:
        ConfigError: it is not valid, or holds several documents.
    """

    def __init__(self, text: str, *, path: str) -> None:
        self.text = text
        self.path = path
        self.quirks: list[tuple[int, str]] = []
        documents = tree.parse(text, path)
        if len(documents) > 1:
            raise refusal(self, documents[1].start, "holds a second YAML document, which no client reads")
        self._root = documents[0].root if documents else None
        self.used_anchors = documents[0].used_anchors if documents else frozenset()

    @cached_property
    def blank(self) -> str:
        """The text without comments."""
        pieces, position = [], 0
        for start, end in [*sorted(_leaves(self.text, self._root)), (len(self.text), len(self.text))]:
            gap = self.text[position : max(start, position)]
            # Looked for with the character before: a number sign is a comment only behind white space.
            if position and not self.text[position - 1].isspace():
                gap = _COMMENT.sub(lambda match: " " * len(match.group()), f"x{gap}")[1:]
            else:
                gap = _COMMENT.sub(lambda match: " " * len(match.group()), gap)
            pieces += [gap, self.text[max(start, position) : end]]
            position = max(end, position)
        return "".join(pieces)

    def find(self, pattern: Pattern) -> Iterator[tuple[Keys, Node]]:
        """Every node that the pattern leads to."""
        if self._root is not None:
            yield from self._find(YamlNode(self, self._root), pattern, ())

    def root_keys(self) -> list[str]:
        """The keys of the root."""
        return [] if self._root is None else [member.key for member in YamlNode(self, self._root).members]

    def without(self, leaves: Sequence[Keys]) -> Any:
        """The meaning of all the rest."""
        data = None if self._root is None else tree.canonical(self._root)
        for keys in leaves:
            data = _cut(data, keys)
        return data

    def member_text(self, key: str, raw_items: Sequence[str]) -> str:
        """``args: [1, 2]``."""
        written = key if re.match(r"[A-Za-z_]+\Z", key) else quote(key)
        return f"{written}: [{', '.join(raw_items)}]"

    def dash(self, item: Node, before: int) -> int:
        """The offset of the dash of a block list's item; `before` is the end of what comes before it.

        Raises:
            ConfigError: there is none where one should be.
        """
        position = tree.skip_blank(self.text, before)
        if not self.text.startswith("-", position):
            line, column = line_and_column(self.text, item.start)
            raise ConfigError("is written in a way that thv does not change", path=self.path, line=line, column=column)
        return position

    def _find(self, node: YamlNode, pattern: Pattern, trail: Keys) -> Iterator[tuple[Keys, Node]]:
        if not pattern:
            yield trail, node
            return
        for member in node.members:
            if pattern[0] in {member.key, ANY} and isinstance(member.node, YamlNode):
                yield from self._find(member.node, pattern[1:], (*trail, member.key))


def _leaves(text: str, node: tree.Node | None) -> Iterator[tuple[int, int]]:
    if isinstance(node, tree.Mapping):
        for entry in node.entries:
            yield from _leaves(text, entry.key)
            yield from _leaves(text, entry.value)
    elif isinstance(node, tree.Sequence):
        for item in node.items:
            yield from _leaves(text, item)
    elif node is not None:
        yield node.start, node.end


def _cut(data: Any, keys: Keys) -> Any:
    """A copy of a meaning (`tree.canonical`) without the node at `keys`."""
    if data is None:
        return None
    kind, about, content = data
    key, rest = keys[0], keys[1:]
    if kind == "mapping":
        pairs = [
            (name, _cut(value, rest) if rest and name[2] == key else value)
            for name, value in content
            if rest or name[2] != key
        ]
        return (kind, about, pairs)
    if kind == "sequence" and isinstance(key, int) and rest:
        return (kind, about, [_cut(item, rest) if index == key else item for index, item in enumerate(content)])
    return data
