"""The edits that put thv in front of one entry, and those that take it away again.

The command and the arguments move as they are written. Every edit that wraps is undone exactly by the one that unwraps,
from what stands in the entry alone; `thv.clients.change` checks both before anything is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.clients import mark
from thv.clients.documents.nodes import (
    TextEdit,
    indentation,
    line_break,
    line_start,
    next_line,
    quote,
    refusal,
)
from thv.clients.documents.yaml_document import YamlClientDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.clients.documents.nodes import Node, NodeMember, ParsedDocument
    from thv.clients.entries import Place, ServerEntry
    from thv.clients.mark import Mark

ARGS = "args"


def wrap(document: ParsedDocument, entry: ServerEntry, thv: str, *, analytics_off: bool) -> list[TextEdit]:
    """The edits that make an entry start thv, which starts what it started before.

    Raises:
        ConfigError: its command cannot be moved as it is written.
    """
    place = _place(entry)
    program = place.program.node
    raw, was_plain = _movable(document, place)
    value = mark.WITHOUT_ARGS if place.arguments is None and not place.is_list else mark.WITH_ARGS
    value += f",{mark.PLAIN}" if was_plain else ""
    ours = [quote(word) for word in mark.inserted_words(entry.name, value, analytics_off=analytics_off)]
    if place.is_list:
        return [_insert_items(document, program, [quote(thv), *ours])]
    edits = [TextEdit(program.start, program.end, quote(thv))]
    if place.arguments is None:
        return [*edits, _add_args(document, place.program, [*ours, raw])]
    return [*edits, _insert_items(document, place.arguments.node, [*ours, raw])]


def unwrap(document: ParsedDocument, entry: ServerEntry, found: Mark) -> list[TextEdit]:
    """The edits that make a wrapped entry start its own command again.

    Raises:
        ConfigError: it cannot be done without removing a comment.
    """
    place = _place(entry)
    program = place.program.node
    if place.is_list:
        return _cut_items(document, program, found.command + 1)
    assert place.arguments is not None  # noqa: S101  the mark is among them
    arguments = place.arguments.node
    moved = arguments.items[found.command]
    raw = document.text[moved.start : moved.end]
    if found.was_plain and place.program.on_line:  # else the client has moved the whole entry into brackets
        raw = str(moved.value)
    elif isinstance(document, YamlClientDocument) and len(raw.splitlines()) > 1:
        raw = quote(str(moved.value))  # the client has folded it, and where it goes the lines would end elsewhere
    edits = [TextEdit(program.start, program.end, raw)]
    if found.had_args or len(arguments.items) > found.command + 1:
        return [*edits, *_cut_items(document, arguments, found.command + 1)]
    whole = _cut_member(document, place.siblings, place.arguments)
    return [*edits, *(whole or _cut_items(document, arguments, found.command + 1))]


def _place(entry: ServerEntry) -> Place:
    assert entry.place is not None  # noqa: S101  only entries that are understood are changed
    return entry.place


def _movable(document: ParsedDocument, place: Place) -> tuple[str, bool]:
    """The command as it is to be written among the arguments, and whether that needed quotes it did not have."""
    program = place.program.node.items[0] if place.is_list else place.program.node
    raw = document.text[program.start : program.end]
    into_brackets = place.arguments is not None and not place.arguments.node.block
    if place.arguments is None:
        into_brackets = not place.program.on_line
    is_plain = isinstance(document, YamlClientDocument) and raw[:1] not in {"'", '"'}
    if is_plain and into_brackets and any(character in raw for character in ",[]{}"):
        if raw != program.value:
            raise refusal(document, program.start, "is written in a way that cannot move into brackets")
        return quote(raw), True
    return raw, False


def _insert_items(document: ParsedDocument, array: Node, raws: Sequence[str]) -> TextEdit:
    """Writes items before the first one."""
    if array.block and isinstance(document, YamlClientDocument):
        dash = document.dash(array.items[0], array.start)
        column = dash - line_start(document.text, dash)
        separator = line_break(document.text) + " " * column
        return TextEdit(dash, dash, "".join(f"- {raw}{separator}" for raw in raws))
    if not array.items:
        return TextEdit(array.start + 1, array.start + 1, ", ".join(raws))
    first = array.items[0].start
    own_line = indentation(document.text, first)
    gap = " " if own_line is None else line_break(document.text) + own_line
    return TextEdit(first, first, ", ".join(raws) + "," + gap)


def _add_args(document: ParsedDocument, program: NodeMember, raws: Sequence[str]) -> TextEdit:
    """Writes `args` behind the command."""
    text, end = document.text, program.node.end
    if not program.on_line:
        own_line = indentation(text, program.start)
        gap = " " if own_line is None else line_break(text) + own_line
        return TextEdit(end, end, "," + gap + document.member_text(ARGS, raws))
    at, ending = next_line(text, end)
    newline = ending or line_break(text)
    before = text[line_start(text, program.start) : program.start].lstrip("\ufeff")
    if isinstance(document, YamlClientDocument):
        column = " " * len(before)  # the dash of a list item, too, takes room
        lines = [f"{column}{ARGS}:", *(f"{column}- {raw}" for raw in raws)]
    else:
        lines = [before + program.prefix + document.member_text(ARGS, raws)]
    written = newline.join(lines)
    return TextEdit(at, at, written + newline if ending else newline + written)


def _cut_items(document: ParsedDocument, array: Node, count: int) -> list[TextEdit]:
    """Removes the first items; comments among them stay where they are."""
    items, text = array.items, document.text
    last = items[count - 1]
    if array.block:
        return [_cut_block_items(document, array, count)]
    if len(items) > count:
        start, end = items[0].start, items[count].start
    elif items[0].start > array.start + 1 and not document.blank[array.start + 1 : items[0].start].strip():
        start, end = array.start + 1, array.end - 1  # not as we wrote it: the client has laid it out anew
    else:
        start, end = items[0].start, last.end
        comma = _skip_space(document.blank, end)
        if document.blank.startswith(",", comma):
            end = comma + 1
    if text[start:end] == document.blank[start:end]:
        return [TextEdit(start, end, "")]
    edits = []
    for item in items[:count]:
        edits.append(TextEdit(item.start, item.end, ""))
        comma = _skip_space(document.blank, item.end)
        if document.blank.startswith(",", comma):
            edits.append(TextEdit(comma, comma + 1, ""))
    return edits


def _cut_block_items(document: ParsedDocument, array: Node, count: int) -> TextEdit:
    assert isinstance(document, YamlClientDocument)  # noqa: S101  TOML has lists of tables, which are no arguments
    items = array.items
    start = document.dash(items[0], array.start)
    if len(items) > count:
        end = document.dash(items[count], items[count - 1].end)
        written = ""
    else:  # a list without brackets cannot be empty, and brackets stand on the line of their key
        end, written = items[count - 1].end, " []"
        start = len(document.blank[:start].rstrip())
    if document.text[start:end] != document.blank[start:end]:
        raise refusal(document, start, "has a comment among the arguments that thv inserted; remove it first")
    return TextEdit(start, end, written)


def _cut_member(document: ParsedDocument, siblings: Sequence[NodeMember], member: NodeMember) -> list[TextEdit]:
    """Removes a whole key; nothing where that would remove a comment, or where there is no clean way."""
    index = [sibling.start for sibling in siblings].index(member.start)
    following = siblings[index + 1] if index + 1 < len(siblings) else None
    if member.on_line:
        edit = _cut_lines(document, member, following)
    elif index:
        edit = TextEdit(siblings[index - 1].node.end, member.node.end, "")
    elif following is not None:
        edit = TextEdit(member.start, following.start, "")
    else:
        edit = None
    if edit is None or document.text[edit.start : edit.end] != document.blank[edit.start : edit.end]:
        return []
    return [edit]


def _cut_lines(document: ParsedDocument, member: NodeMember, following: NodeMember | None) -> TextEdit | None:
    text = document.text
    start = line_start(text, member.start)
    if text.startswith("\ufeff", start):
        start += 1
    if text[start : member.start].strip(" \t"):  # behind the dash of a list item
        return (
            None if following is None or following.start < member.start else TextEdit(member.start, following.start, "")
        )
    end, ending = next_line(text, member.node.end)
    if not ending and start:
        start -= 2 if text[:start].endswith("\r\n") else 1
    return TextEdit(start, end, "")


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1] in {" ", "\t", "\r", "\n"}:
        position += 1
    return position
