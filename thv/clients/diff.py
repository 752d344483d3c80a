"""Shows a change as a unified diff without context: the lines that change, and no others.

The lines around an entry often hold keys and tokens, which do not belong on a screen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thv.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thv.clients.documents.nodes import TextEdit

LONGEST = 500
"""Characters of one line that are shown. A file that its client writes without line breaks is one line."""

BEFORE = 60
"""Characters shown before the first difference of a longer line."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def unified(path: str, before: str, edits: Sequence[TextEdit]) -> list[str]:
    """The lines of the diff, without line breaks; none where nothing changes."""
    hunks = list(_hunks(before, sorted(edits, key=lambda edit: (edit.start, edit.end))))
    return [f"--- {path}", f"+++ {path}", *hunks] if hunks else []


def _hunks(before: str, edits: Sequence[TextEdit]) -> Iterator[str]:
    shift = counted = line = 0
    for start, end, group in _groups(before, edits):
        line += len(_LINE.findall(before[counted:start]))
        counted = start
        old, new = before[start:end], _applied(before, start, end, group)
        old_lines, new_lines = _LINE.findall(old), _LINE.findall(new)
        same = _agreeing(old_lines, new_lines)
        old_lines, new_lines = old_lines[same:], new_lines[same:]
        while old_lines and new_lines and old_lines[-1] == new_lines[-1]:
            old_lines.pop()
            new_lines.pop()
        first = line + same
        yield f"@@ -{_range(first, len(old_lines))} +{_range(first + shift, len(new_lines))} @@"
        shift += len(new_lines) - len(old_lines)
        start_at = _agreeing("".join(old_lines), "".join(new_lines))
        yield from (f"-{_shown(text, start_at)}" for text in old_lines)
        yield from (f"+{_shown(text, start_at)}" for text in new_lines)


def _groups(before: str, edits: Sequence[TextEdit]) -> Iterator[tuple[int, int, list[TextEdit]]]:
    """Edits that touch the same lines, with the range of these lines."""
    group: list[TextEdit] = []
    start = end = -1
    for edit in edits:
        first = max(before.rfind("\n", 0, edit.start), before.rfind("\r", 0, edit.start)) + 1
        match = re.compile(r"\r\n|\r|\n").search(before, edit.end)
        last = match.end() if match else len(before)
        if group and first <= end:
            end = max(end, last)
            group.append(edit)
            continue
        if group:
            yield start, end, group
        start, end, group = first, last, [edit]
    if group:
        yield start, end, group


def _applied(before: str, start: int, end: int, edits: Sequence[TextEdit]) -> str:
    pieces, position = [], start
    for edit in edits:
        pieces += [before[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, before[position:end]])


def _range(first: int, count: int) -> str:
    """As `diff -u` writes it: of nothing, the line before is named."""
    start = first + 1 if count else first
    return f"{start}" if count == 1 else f"{start},{count}"


def _agreeing(old: Sequence[str], new: Sequence[str]) -> int:
    """How many items, or characters, the two have in common at the beginning."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(old), len(new)))


def _shown(line: str, start: int) -> str:
    text = line.rstrip("\r\n")
    if len(text) <= LONGEST:
        return printable(text)
    begin = max(0, start - BEFORE)
    piece = printable(text[begin : begin + LONGEST])
    return f"{'…' if begin else ''}{piece}{'…' if begin + LONGEST < len(text) else ''}"
