"""Where things stand on the lines of a YAML text: columns, line ends, comments, and the way its author indents.

Promises: only looks. What it says about a text that a person would lay out otherwise may be unwise, never harmful: each
edit that follows from it is checked by `thv.config.yaml.yaml_splice`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thv.config.yaml.scalar_writer import Value, flow_text
from thv.config.yaml.tree import Alias, Mapping, Node, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thv.config.yaml.tree import YamlEntry

INDENT = 2
"""What most people indent by, for a file that does not show otherwise."""

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_COMMENT = re.compile(r"(?<!\S)#")


def newline(text: str) -> str:
    """The line break that the text uses first; a line feed if it has none."""
    match = re.search(r"\r\n|\r|\n", text)
    return match.group() if match else "\n"


def ends_line(text: str) -> bool:
    """Whether the last line of the text is ended."""
    return text.endswith(("\n", "\r", "\x85", "\u2028", "\u2029"))


def ends_in_comment(text: str) -> bool:
    """Whether the last line of the text, ended or not, is a comment."""
    last = text.removesuffix("\n").removesuffix("\r")
    return last[line_start(last, len(last)) :].lstrip("\ufeff \t").startswith("#")


def line_end(text: str, position: int) -> int:
    """The offset of the next line break, or of the end of the text."""
    match = _BREAK.search(text, position)
    return match.start() if match else len(text)


def next_line(text: str, position: int) -> int:
    """The offset at which the next line starts, or the end of the text."""
    match = _BREAK.search(text, position)
    return match.end() if match else len(text)


def line_start(text: str, position: int) -> int:
    """The offset at which the line of `position` starts."""
    return max((text.rfind(mark, 0, position) for mark in "\n\r\x85\u2028\u2029"), default=-1) + 1


def before_break(text: str, position: int) -> int:
    """The offset before the line break that ends at `position`; `position` if there is none."""
    if text[:position].endswith("\r\n"):
        return position - 2
    return position - 1 if ends_line(text[:position]) else position


def column(text: str, position: int) -> int:
    """How many characters stand before `position` on its line; a byte order mark is none."""
    return len(text[line_start(text, position) : position].lstrip("\ufeff"))


def behind_entry(text: str, end: int, column: int) -> int:
    """The start of the line on which a new entry at `column` goes, behind an entry that ends at `end`.

    Comments that are indented deeper belong to the entry they follow, and stay with it.
    """
    if end and ends_line(text[:end]):  # a block scalar that keeps its empty lines
        return end
    return behind_comments(text, end, column)[0]


def behind_comments(text: str, end: int, column: int) -> tuple[int, int | None]:
    """The start of the line behind the comments that follow `end` deeper than `column`, and their column, if any."""
    best = position = next_line(text, end)
    deeper: int | None = None
    while position < len(text):
        line = text[position : line_end(text, position)]
        body = line.lstrip(" ")
        indented = len(line) - len(body)
        if body.strip() and not (body.startswith("#") and indented > column):
            break
        position = next_line(text, position)
        if body.strip():
            best = position
            deeper = indented if deeper is None else deeper
    return best, deeper


def indent(text: str, root: Node) -> int:
    """By how many columns the text indents a section: as its first nested one, else `INDENT`."""
    if not isinstance(root, Mapping) or root.flow:
        return INDENT
    own = column(text, root.content)
    for entry in root.entries:
        if isinstance(entry.value, Mapping) and not entry.value.flow and entry.value.entries:
            return max(column(text, entry.value.content) - own, 1)
    return INDENT


def spaced(text: str, section: Mapping) -> bool:
    """Whether the author leaves an empty line between the entries of a section."""
    pairs = zip(section.entries, section.entries[1:], strict=False)
    return any(re.search(r"(?:\r\n|\r|\n)[ \t]*(?:\r|\n)", text[one.end : two.key.start]) for one, two in pairs)


def nested_lines(keys: tuple[str, ...], value: Value, column: int, unit: int) -> list[str]:
    """The lines that give `value` to `keys`, the first key at `column`, each further one `unit` deeper."""
    lines = [" " * (column + unit * depth) + flow_text(key) + ":" for depth, key in enumerate(keys)]
    lines[-1] += " " + flow_text(value)
    return lines


def nested_flow(keys: tuple[str, ...], value: Value, *, quoted: bool) -> str:
    """The mapping in brackets that gives `value` to `keys`; the value alone where there are none."""
    written = flow_text(value, quoted=quoted)
    for key in reversed(keys):
        written = f"{{{flow_text(key, quoted=quoted)}: {written}}}"
    return written


def separator(text: str, last: YamlEntry) -> str:
    """What stands between a new entry in brackets and the last one: a line break if that one has its own line."""
    comma = " ," if isinstance(last.value, Scalar) and last.value.is_empty and last.colon is not None else ","
    before = text[line_start(text, last.start) : last.start]
    rest = text[last.end : line_end(text, last.end)].strip(" \t,")
    if before.strip(" \t") or rest:  # what follows on its line, a comment perhaps, stays on its line
        return comma + " "
    return comma + newline(text) + before


def has_quotes(nodes: Iterable[Node]) -> bool:
    """Whether all are strings in quotes, as in JSON; what is added beside them is quoted, too."""
    return all(isinstance(node, Scalar) and node.style in {'"', "'"} for node in nodes)


def has_comment(text: str, start: int, end: int, *nodes: Node) -> bool:
    """Whether a comment stands between two offsets, outside the scalars of `nodes`."""
    position = start
    for leaf_start, leaf_end in [*sorted(_leaves(text, nodes)), (end, end)]:
        if _COMMENT.search(text, position, max(position, min(leaf_start, end))):
            return True
        position = max(position, leaf_end)
    return False


def _leaves(text: str, nodes: tuple[Node, ...]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for node in nodes:
        if isinstance(node, Scalar | Alias):
            is_block = isinstance(node, Scalar) and node.style in {"|", ">"}
            # A comment may stand behind the header of a block scalar, and is not part of it.
            found.append((line_end(text, node.start) if is_block else node.start, node.end))
        elif isinstance(node, Mapping):
            found += _leaves(text, tuple(part for entry in node.entries for part in (entry.key, entry.value)))
        else:
            found += _leaves(text, node.items)
    return found
