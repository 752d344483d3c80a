"""YAML documents as people write them, made up by hypothesis, with the place of every value known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

Keys = tuple[str, ...]

KEYS = ["otel", "usage-analytics-enabled", "a", "b.c", "with space", "größe", "quote'd", "x"]

SCALARS = [
    *("word", "two words", "1", "1.5", "true", "No", "~", "null", "a:b", "http://h:1/p#x", "2001-01-01", "ünï 𝄞", ""),
    *("'single'", "'it''s # no comment'", '"double"', '"tab\\t \\u263a \\""', '"a: b"', "''", '" #"', "!!str tagged"),
    *("&unused anchored", "&unused2 !!str both"),
]
FLOW_SCALARS = [text for text in SCALARS if text and not text.startswith(("!", "&"))]


@dataclass
class Written:
    """A text, the span of each value that one may set, and the sections that may get a new key."""

    text: str = ""
    scalars: dict[Keys, tuple[int, int]] = field(default_factory=dict)
    lists: dict[Keys, tuple[int, int]] = field(default_factory=dict)
    sections: list[Keys] = field(default_factory=list)


class _Writer:
    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.done = Written()
        self.newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
        self.in_block_scalar = False
        self.unit = draw(st.sampled_from([1, 2, 2, 4]))

    def put(self, text: str) -> None:
        self.done.text += text.replace("\n", self.newline)

    def chance(self) -> bool:
        return bool(self.draw(st.integers(0, 3)) == 0)

    def pick(self, choices: list[str]) -> str:
        return str(self.draw(st.sampled_from(choices)))

    def between(self, column: int) -> None:
        """What people put between entries."""
        if self.chance():
            # What is indented deeper than a block scalar's text is more of its text.
            deep = "" if self.in_block_scalar else " " * (column + 3) + "# deep\n"
            self.put(self.pick(["\n", "\n\n", " " * column + "# note\n", "# left\n", deep, "   \n"]))

    def key(self, key: str) -> str:
        style = self.draw(st.integers(0, 4))
        return "'" + key.replace("'", "''") + "'" if style == 0 else f'"{key}"' if style == 1 else key

    def keys(self, least: int) -> list[str]:
        return list(self.draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=least, max_size=4)))

    def section(self, path: Keys, column: int, depth: int) -> None:
        self.done.sections.append(path)
        for key in self.keys(1):
            self.between(column)
            self.put(" " * column + self.key(key) + self.pick(["", "", " "]) + ":")
            self.value((*path, key), column, depth)

    def value(self, path: Keys, column: int, depth: int) -> None:
        kind = self.draw(st.integers(0, 9))
        inner = column + self.unit
        self.in_block_scalar = False
        if kind <= 2 and depth < 3:
            self.put(self.pick(["\n", " # section\n", "  \n"]))
            self.section(path, inner, depth + 1)
            return
        if kind == 3:
            self.put(" ")
            self.flow(path, depth)
        elif kind == 4:
            self.put("\n")
            dashes = column + self.draw(st.sampled_from([0, self.unit]))
            items = [" " * dashes + "- " + self.pick(FLOW_SCALARS) for _ in range(self.draw(st.integers(1, 3)))]
            self.put(" " * dashes)
            self.span(self.done.lists, path, "\n".join(items)[dashes:])
        elif kind == 5:
            self.put(" ")
            header = self.pick(["|", ">", "|-", ">-", "|+"])
            lines = [
                " " * inner + line
                for line in self.draw(st.sampled_from([["text"], ["a", "b: c"], ["# no comment", "d"]]))
            ]
            self.span(self.done.scalars, path, header + "\n" + "\n".join(lines))
            self.put("\n")
            self.in_block_scalar = True
            return
        elif kind == 6:
            self.put(self.pick([" ", "\n" + " " * inner]))
            self.span(self.done.scalars, path, self.pick(["one\n\n" + " " * inner + "two", f'"one\n{" " * inner}two"']))
        else:
            text = self.pick(SCALARS)
            self.put(self.pick([" ", " ", "   "]) if text else "")
            self.span(self.done.scalars, path, text)
        self.put(self.pick(["\n", "\n", " # why\n", "   \n"]))

    def flow(self, path: Keys, depth: int) -> None:
        self.done.sections.append(path)
        self.put(self.pick(["{", "{ ", "{\n" + " " * 20]))
        for number, key in enumerate(self.keys(0)):
            self.put((self.pick([", ", " , ", ",\n" + " " * 20]) if number else "") + self.key(key) + ": ")
            kind = self.draw(st.integers(0, 5))
            if kind == 0 and depth < 3:
                self.flow((*path, key), depth + 1)
            elif kind == 1:
                self.span(self.done.lists, (*path, key), self.pick(["[]", "[a, 'b']", "[ 1,\n" + " " * 20 + "2 ]"]))
            else:
                self.span(self.done.scalars, (*path, key), self.pick(FLOW_SCALARS))
        self.put(self.pick(["}", " }"]))

    def span(self, where: dict[Keys, tuple[int, int]], path: Keys, text: str) -> None:
        start = len(self.done.text)
        self.put(text)
        where[path] = (start, len(self.done.text))


@st.composite
def documents(draw: Callable[[Any], Any]) -> Written:
    """A whole file."""
    writer = _Writer(draw)
    writer.put(writer.pick(["", "", "", "\ufeff", "# head\n", "---\n", "%YAML 1.2\n---\n", "--- # start\n"]))
    writer.section((), 0, 0)
    writer.put(writer.pick(["", "", "# tail\n", "...\n", "---\nother: document\n", "\n\n"]))
    # Where a block scalar ends without a line break, whatever comes behind it gives it one: such a file is refused.
    if writer.chance() and not writer.in_block_scalar and not writer.done.text.endswith("..." + writer.newline):
        ends = max(end for spans in (writer.done.scalars, writer.done.lists) for _, end in [(0, 0), *spans.values()])
        stripped = writer.done.text[: -len(writer.newline)]
        writer.done.text = stripped if len(stripped) >= ends else writer.done.text
    return writer.done
