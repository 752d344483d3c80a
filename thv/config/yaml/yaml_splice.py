"""Changes one value of a YAML text and no other byte: finds its place, splices, reads the result again and compares.

Promises: after `set_value` or `unset`, every other value, every comment and every other byte is as it was; what cannot
be done so is refused with line, column and reason. Knows nothing of settings or files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from thv.config.yaml import layout
from thv.config.yaml.key_lookup import name, refusal
from thv.config.yaml.scalar_writer import Value, block_lines, flow_text
from thv.config.yaml.tree import (
    Alias,
    Mapping,
    Node,
    Scalar,
    Sequence,
    YamlDocument,
    YamlEntry,
    anchors,
    canonical,
    parse,
    skip_blank,
)
from thv.errors import ConfigError

EDIT_S = 60.0
"""Seconds that reading a text may take where a person waits for an edit, and nothing else does."""

_NOTHING = ("plain", (None, None), "")
"""The canonical form of a value that is not written."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """One splice: the text between two offsets is replaced."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """How far the keys lead: `node` is what `keys[:depth]` name, `entry` holds it, `parents` are the sections above."""

    keys: tuple[str, ...]
    document: YamlDocument
    node: Node
    entry: YamlEntry | None
    parents: tuple[Mapping, ...]
    depth: int

    def refusal(self, reason: str, path: str) -> ConfigError:
        """The error that says why not, naming the keys."""
        return refusal(f"{name(self.keys)} {reason}", self.node, path)

    @property
    def flow(self) -> bool:
        """Whether the node stands in brackets."""
        return any(parent.flow for parent in self.parents)

    @property
    def quoted(self) -> bool:
        """Whether strings beside the node have quotes: it is in brackets, and all keys of the nearest ones have."""
        sections = (*self.parents, self.node) if self.depth < len(self.keys) else self.parents
        around = next((one for one in reversed(sections) if isinstance(one, Mapping) and one.entries), None)
        return around is not None and around.flow and layout.has_quotes(entry.key for entry in around.entries)


def set_value(text: str, keys: tuple[str, ...], value: Value, *, path: str) -> str:
    """Returns `text` with `value` at `keys`; sections and keys that are missing are written where a person would.

    Raises:
        ConfigError: the text is no YAML, or it cannot be done without changing anything else.
    """
    documents = parse(text, path, seconds=EDIT_S)
    if not documents:
        lines = layout.nested_lines(keys, value, 0, layout.INDENT)
        edit = _append(text, len(text), lines, blank_line_before=layout.ends_in_comment(text))
        return _checked(text, edit, [_put(_NOTHING, keys, _canonical_value(value))], path, None)
    place = _walk(documents[0], keys, path)
    if place.depth == len(keys):
        edit = _replace(text, place, value, path)
    elif isinstance(place.node, Mapping):
        edit = _insert(text, place, value)
    else:
        edit = _fill(text, place, value, path)
    expected = [canonical(document.root) for document in documents]
    expected[0] = _put(expected[0], keys, _canonical_value(value))
    return _checked(text, edit, expected, path, place.node)


def unset(text: str, keys: tuple[str, ...], *, path: str) -> str:
    """Returns `text` without the entry at `keys` and the comment on its line; unchanged if there is no such entry.

    Raises:
        ConfigError: the text is no YAML, or it cannot be done without changing anything else.
    """
    documents = parse(text, path, seconds=EDIT_S)
    if not documents:
        return text
    place = _walk(documents[0], keys, path)
    if place.depth < len(keys) or place.entry is None:
        return text
    _refuse_shared(place, path)
    edit = _cut_flow(text, place, path) if place.parents[-1].flow else _cut_lines(text, place, path)
    expected = [canonical(document.root) for document in documents]
    expected[0] = _drop(expected[0], keys, flow=place.parents[-1].flow)
    return _checked(text, edit, expected, path, place.node)


def is_section(text: str, keys: tuple[str, ...], *, path: str) -> bool:
    """Whether a section of keys and values, which `set_value` can extend, stands at `keys`.

    Raises:
        ConfigError: the text is no YAML, or `keys` lead through what may not be changed.
    """
    documents = parse(text, path, seconds=EDIT_S)
    if not documents:
        return False
    place = _walk(documents[0], keys, path)
    return place.depth == len(keys) and isinstance(place.node, Mapping)


def _walk(document: YamlDocument, keys: tuple[str, ...], path: str) -> _Place:
    node, entry = document.root, None
    parents: tuple[Mapping, ...] = ()
    for depth, key in enumerate(keys):
        if isinstance(node, Alias):
            raise refusal(
                f"{name(keys[:depth])} is an alias (*{node.anchor}); changing it would change both", node, path
            )
        if node.anchor in document.used_anchors:
            raise refusal(f"{name(keys[:depth])} is used elsewhere as *{node.anchor}; change it by hand", node, path)
        if isinstance(node, Scalar) and node.is_null:
            return _Place(keys, document, node, entry, parents, depth)
        if not isinstance(node, Mapping):
            raise refusal(f"{name(keys[:depth])} must be a section of keys and values", node, path)
        found = node.find(key)
        if found is None:
            return _Place(keys, document, node, entry, parents, depth)
        parents = (*parents, node)
        node, entry = found.value, found
    return _Place(keys, document, node, entry, parents, len(keys))


def _refuse_shared(place: _Place, path: str) -> None:
    shared = sorted(place.document.used_anchors.intersection(anchors(place.node)))
    if shared:
        raise place.refusal(f"is used elsewhere as *{shared[0]}; change it by hand", path)


def _replace(text: str, place: _Place, value: Value, path: str) -> _Edit:
    node = place.node
    _refuse_shared(place, path)
    if isinstance(node, Alias):
        raise place.refusal(f"is an alias (*{node.anchor}); write the value itself", path)
    if isinstance(node, Mapping | Sequence):
        if not isinstance(value, dict if isinstance(node, Mapping) else list):
            kind = "a section" if isinstance(node, Mapping) else "a list"
            raise place.refusal(f"is {kind} where one value belongs; remove it first", path)
        return _replace_collection(text, place, node, value, path)
    if node.is_empty:
        return _fill_empty(place, flow_text(value, quoted=place.quoted), path)
    quoted = place.quoted or layout.has_quotes([node])
    if node.tag is not None:
        # A tag says what the old value is; the new one says so itself.
        if "#" in text[node.start : node.content]:
            raise place.refusal("has a comment between its tag and its value", path)
        anchor = "" if node.anchor is None else f"&{node.anchor} "
        return _Edit(node.start, node.end, anchor + flow_text(value, quoted=quoted))
    comment, end = "", node.end
    if node.style in {"|", ">"}:
        end = len(text[:end].rstrip())  # the line break, and empty lines that were its value, stay empty lines
        found = re.search(r"[ \t]+#.*", text[node.content : layout.line_end(text, node.content)])
        comment = found.group() if found else ""
    return _Edit(node.content, end, flow_text(value, quoted=quoted) + comment)


def _replace_collection(text: str, place: _Place, node: Mapping | Sequence, value: Value, path: str) -> _Edit:
    if layout.has_comment(text, node.content, node.end, node):
        raise place.refusal("holds comments, which a new value would remove; change it by hand", path)
    if node.flow or not isinstance(value, list | dict):
        inner = node.items if isinstance(node, Sequence) else tuple(entry.key for entry in node.entries)
        quoted = layout.has_quotes(inner) if inner else place.quoted
        return _Edit(node.content, node.end, flow_text(value, quoted=quoted))
    if value:
        column = layout.column(text, node.content)
        return _Edit(node.content, node.end, (layout.newline(text) + " " * column).join(block_lines(value)))
    colon = place.entry.colon if place.entry else None
    if colon is None or node.content != node.start or "#" in text[colon : node.content]:
        raise place.refusal("cannot be emptied here without removing a comment; change it by hand", path)
    return _Edit(colon, node.end, " " + flow_text(value))


def _fill_empty(place: _Place, written: str, path: str) -> _Edit:
    """Writes behind the colon of a key that has no value yet."""
    node, entry = place.node, place.entry
    if node.tag is not None or entry is None or (entry.explicit and entry.colon is None):
        raise place.refusal("has no place for a value; write one by hand", path)
    if entry.colon is None:
        return _Edit(entry.key.end, entry.key.end, ": " + written)
    at = max(entry.colon, node.end)
    return _Edit(at, at, " " + written)


def _insert(text: str, place: _Place, value: Value) -> _Edit:
    """Writes the missing keys behind the last entry of the section that should have them."""
    section = place.node
    assert isinstance(section, Mapping)  # noqa: S101  the caller's case distinction
    missing = place.keys[place.depth :]
    if section.flow:
        written = layout.nested_flow(missing, value, quoted=place.quoted)[1:-1]
        if not section.entries:
            return _Edit(section.content + 1, section.content + 1, written)
        last = section.entries[-1]
        return _Edit(last.end, last.end, layout.separator(text, last) + written)
    column = layout.column(text, section.content)
    lines = layout.nested_lines(missing, value, column, layout.indent(text, place.document.root))
    end = section.entries[-1].end
    at = layout.behind_entry(text, end, column)
    # Behind a block scalar that keeps its empty lines, one more would be one more of them.
    blank_line_before = len(missing) > 1 and layout.spaced(text, section) and not layout.ends_line(text[:end])
    return _append(text, at, lines, blank_line_before=blank_line_before)


def _fill(text: str, place: _Place, value: Value, path: str) -> _Edit:
    """Writes the missing keys into a section that is there and empty."""
    node, missing = place.node, place.keys[place.depth :]
    assert isinstance(node, Scalar)  # noqa: S101  the caller's case distinction
    if node.tag is not None:
        raise place.refusal("has a tag and no value; write the section by hand", path)
    if not node.is_empty:
        return _Edit(node.content, node.end, layout.nested_flow(missing, value, quoted=place.quoted))
    unit = layout.indent(text, place.document.root)
    if place.entry is None:
        if node.anchor is not None:
            raise place.refusal("has no place for a value; write one by hand", path)
        return _append(text, place.document.end, layout.nested_lines(missing, value, 0, unit), blank_line_before=False)
    if place.flow or place.entry.colon is None or place.entry.explicit:
        return _fill_empty(place, layout.nested_flow(missing, value, quoted=place.quoted), path)
    own = layout.column(text, place.parents[-1].content)
    at, comments = layout.behind_comments(text, place.entry.end, own)
    column = own + unit if comments is None else comments
    return _append(text, at, layout.nested_lines(missing, value, column, unit), blank_line_before=False)


def _append(text: str, at: int, lines: list[str], *, blank_line_before: bool) -> _Edit:
    """Puts whole lines at the start of a line, or at the end of a text whose last line is not ended."""
    newline = layout.newline(text)
    written = newline.join(([""] if blank_line_before else []) + lines)
    if at == len(text) and text.strip("\ufeff") and not layout.ends_line(text):
        return _Edit(at, at, newline + written)
    return _Edit(at, at, written + newline)


def _cut_lines(text: str, place: _Place, path: str) -> _Edit:
    entry, section = place.entry, place.parents[-1]
    assert entry is not None  # noqa: S101  the caller has looked
    start = layout.line_start(text, entry.start)
    if text[start : entry.start].strip(" \ufeff"):
        raise place.refusal("shares its line with something else; remove it by hand", path)
    if len(section.entries) == 1 and section.tag is not None:
        raise place.refusal("is the only key of a tagged section; remove it by hand", path)
    if text.startswith("\ufeff", start):
        start += 1
    end = layout.next_line(text, entry.end)
    if end == len(text) and not layout.ends_line(text):
        start = layout.before_break(text, start)
    return _Edit(start, end, "")


def _cut_flow(text: str, place: _Place, path: str) -> _Edit:
    entry, section = place.entry, place.parents[-1]
    assert entry is not None  # noqa: S101  the caller has looked
    start, end = entry.start, entry.end
    index = section.entries.index(entry)
    comma = skip_blank(text, end)
    if text.startswith(",", comma):
        end = skip_blank(text, comma + 1)
    elif index:
        start = section.entries[index - 1].end
    if layout.has_comment(text, start, end, entry.key, entry.value):
        raise place.refusal("stands beside a comment; remove it by hand", path)
    return _Edit(start, end, "")


def _put(tree: Any, keys: tuple[str, ...], value: Any) -> Any:
    """The canonical form that a document must have after the edit, worked out without looking at the text."""
    kind, about, content = tree
    if not keys:
        return (value[0], (about[0], None if kind in {"plain", "string"} else about[1]), value[2])
    entries = content if kind == "mapping" else []
    key = ("string", (None, None), keys[0])
    for index, (old_key, old) in enumerate(entries):
        if (
            old_key[0] in {"plain", "string"}
            and old_key[2] == keys[0]
            and old_key[1][1] in {None, "tag:yaml.org,2002:str"}
        ):
            return (kind, about, [*entries[:index], (old_key, _put(old, keys[1:], value)), *entries[index + 1 :]])
    return ("mapping", about, [*entries, (key, _put(_NOTHING, keys[1:], value))])


def _drop(tree: Any, keys: tuple[str, ...], *, flow: bool) -> Any:
    kind, about, entries = tree
    index = next(i for i, (key, _) in enumerate(entries) if key[2] == keys[0] and key[0] in {"plain", "string"})
    if len(keys) > 1:
        inner = (entries[index][0], _drop(entries[index][1], keys[1:], flow=flow))
        return (kind, about, [*entries[:index], inner, *entries[index + 1 :]])
    left = [*entries[:index], *entries[index + 1 :]]
    return (kind, about, left) if left or flow else ("plain", about, "")


def _canonical_value(value: Value) -> Any:
    return canonical(parse(flow_text(value), "")[0].root)


def _checked(text: str, edit: _Edit, expected: list[Any], path: str, node: Node | None) -> str:
    """The edited text, if it means what it must mean."""
    result = text[: edit.start] + edit.text + text[edit.end :]
    try:
        found = [canonical(document.root) for document in parse(result, path, seconds=EDIT_S)]
    except ConfigError:
        found = None
    if found == [] and expected == [_NOTHING]:
        return result
    if found != expected:
        reason = "cannot be changed without changing something else; change it by hand"
        if node is None:  # a file of comments, which has no node
            line = len(re.findall(r"\r\n|[\r\n]", text[: edit.start])) + 1
            raise ConfigError(reason, path=path, line=line, column=layout.column(text, edit.start) + 1)
        raise refusal(reason, node, path)
    return result
