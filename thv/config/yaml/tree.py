"""Where everything stands in a YAML text: a tree of nodes with their exact positions, built from parser events.

Promises: never constructs what the text describes (an alias stays an alias, so a merge bomb costs nothing), never
keeps state between two texts, and reports whatever is wrong with line and column. Knows nothing of settings or files.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from time import thread_time
from typing import TYPE_CHECKING, Any, TypeAlias

from thv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_DEPTH = 64
"""Deeper than any person nests, and shallow enough that the parser's cost per level does not show."""

_TAG = "tag:yaml.org,2002:"
_BLANK = re.compile(r"(?:[ \t\r\n\x85\u2028\u2029]+|(?<!\S)#[^\r\n\x85\u2028\u2029]*)*")
_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_PROPERTY = re.compile(r"&[^\s,\[\]{}]+|!<[^>\s]*>|![^\s,\[\]{}]*")
_STRING_LIKE = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n|nan|inf)\Z)[A-Za-z_/][^\s:]*\Z", re.IGNORECASE)
"""Plain scalars that every YAML version reads as a string (YAML 1.1 types; YAML 1.2.2, 10.3.2)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """What every node has: where it starts and ends in the text (offsets in characters), and line and column from 1."""

    start: int
    end: int
    line: int
    column: int
    anchor: str | None
    tag: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Scalar(_Placed):
    """One value. `content` is where the value itself starts, after an anchor and a tag; `style` is None for plain."""

    content: int
    value: str
    style: str | None

    @property
    def is_empty(self) -> bool:
        """Nothing is written: the null that `key:` alone means."""
        return self.style is None and not self.value

    @property
    def is_null(self) -> bool:
        """Null in YAML 1.1 and 1.2 alike."""
        return (
            self.style is None and self.tag in {None, _TAG + "null"} and self.value in {"", "~", "null", "Null", "NULL"}
        )


@dataclass(frozen=True, slots=True, eq=False)
class Alias(_Placed):
    """``*name``, and the node it stands for (None while that node is still open)."""

    target: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class YamlEntry:
    """One key and its value.

    `start` is at the question mark of an `explicit` entry, else at the key. `colon` is the offset behind the colon,
    None where none is written.
    """

    start: int
    key: Node
    value: Node
    colon: int | None
    explicit: bool

    @property
    def end(self) -> int:
        """The offset behind the last character that belongs to the entry."""
        return max(self.value.end, self.colon or 0)


@dataclass(frozen=True, slots=True, eq=False)
class Mapping(_Placed):
    """A section; `content` is where it starts after an anchor and a tag."""

    content: int
    flow: bool
    entries: tuple[YamlEntry, ...]

    def find(self, key: str) -> YamlEntry | None:
        """The entry whose key is the scalar `key`, merge keys left aside."""
        return next((entry for entry in self.entries if key_text(entry.key) == key), None)


@dataclass(frozen=True, slots=True, eq=False)
class Sequence(_Placed):
    """A list; `content` is where it starts after an anchor and a tag."""

    content: int
    flow: bool
    items: tuple[Node, ...]


Node: TypeAlias = Scalar | Alias | Mapping | Sequence


@dataclass(frozen=True, slots=True, eq=False)
class YamlDocument:
    """One document of the stream: its root, where its content may stand, and the anchors that are used."""

    root: Node
    start: int
    end: int
    used_anchors: frozenset[str]


PARSE_S = 5.0
"""Seconds of CPU time that reading a text may take: a session waits for its consent. On a busy machine a sound file is
still one."""


_LAST: dict[tuple[str, str, float], tuple[YamlDocument, ...] | ConfigError] = {}
"""What was parsed last, and what came of it."""


def parse(
    text: str, path: str, *, seconds: float = PARSE_S, clock: Callable[[], float] = thread_time
) -> list[YamlDocument]:
    """Reads every document of `text`; none for a text of comments only. `path` is only named in errors.

    The last text is not parsed again: the parts of one `thv run` all ask about the same file.

    Raises:
        ConfigError: it is not valid YAML, repeats a key, uses an anchor it does not define, is nested too deep, or
            takes longer than `seconds` by `clock`. Always with line and column.
    """
    key = (text, path, seconds)
    found = _LAST.get(key)
    if found is None:
        try:
            found = tuple(_Builder(text, path, seconds, clock).documents())
        except ConfigError as error:
            found = _again(error)
        _LAST.clear()
        _LAST[key] = found
    if isinstance(found, ConfigError):
        raise _again(found)
    return list(found)


def _again(error: ConfigError) -> ConfigError:
    """The same error without its traceback, which would keep everything alive that the parser had."""
    return ConfigError(error.reason, path=error.path, line=error.line, column=error.column)


def key_text(node: Node) -> str | None:
    """The key as a string, or None for a key that is none: a list, a null, a number with a tag."""
    if not isinstance(node, Scalar) or node.is_null or node.tag not in {None, _TAG + "str"}:
        return None
    return node.value


def canonical(node: Node) -> Any:
    """What a node says, without where and how it is written: equal for two texts that mean the same to every reader."""
    about = (node.anchor, node.tag)
    if isinstance(node, Scalar):
        plain = node.style is None and not _STRING_LIKE.match(node.value)
        return ("plain" if plain else "string", about, node.value)
    if isinstance(node, Mapping):
        return ("mapping", about, [(canonical(entry.key), canonical(entry.value)) for entry in node.entries])
    if isinstance(node, Sequence):
        return ("sequence", about, [canonical(item) for item in node.items])
    return ("alias", about, None)


def anchors(node: Node) -> Iterator[str]:
    """Every anchor defined by a node and what it holds."""
    if node.anchor is not None and not isinstance(node, Alias):
        yield node.anchor
    if isinstance(node, Mapping):
        for entry in node.entries:
            yield from anchors(entry.key)
            yield from anchors(entry.value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from anchors(item)


def skip_blank(text: str, position: int) -> int:
    """The offset of the next character that is neither white space nor comment."""
    match = _BLANK.match(text, position)
    return match.end() if match else position


class _Builder:
    """Turns the events of one text into documents."""

    def __init__(self, text: str, path: str, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._text = text
        self._path = path
        self._events = self._parse()
        self._anchors: dict[str, Node | None] = {}
        self._used: set[str] = set()
        self._depth = 0
        self._lines: list[int] | None = None

    def documents(self) -> Iterator[YamlDocument]:
        for event in self._events:
            if type(event).__name__ == "DocumentStartEvent":
                self._anchors = {}
                self._used = set()
                start = event.end_mark.index if event.explicit else event.start_mark.index
                root = self._node(next(self._events), start)
                end = next(self._events)
                yield YamlDocument(root, start, end.start_mark.index, frozenset(self._used))

    def _parse(self) -> Iterator[Any]:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        from thv.config.yaml.scanner import PatienceError, limited

        # A new instance for each text: one that has met `%YAML 1.1` reads the next text by YAML 1.1 too.
        yaml = YAML(typ="safe", pure=True)
        until = self._clock() + self._seconds
        yaml.Scanner = limited(lambda: self._clock() > until)
        try:
            yield from yaml.parse(self._text)
        except ConfigError:
            raise
        except PatienceError as error:
            raise self._wrong(f"takes longer than {self._seconds:g} s to read up to here", error.problem_mark) from None
        except YAMLError as error:
            raise self._problem(error, yaml.reader) from None
        except Exception as error:  # noqa: BLE001  the parser meets some broken texts with AssertionError and the like
            raise self._problem(error, yaml.reader) from None

    def _problem(self, error: Exception, reader: Any) -> ConfigError:
        """What is wrong, at the place that the parser names, or else at the one that it had reached."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        if "\\t" in reason:
            reason = "a tab where YAML allows only spaces"
        if mark is not None:
            return self._wrong(f"is not valid YAML: {reason}", mark)
        position = getattr(error, "position", None)
        if isinstance(position, int):
            line, column = self._line_and_column(position)
            return ConfigError(f"is not valid YAML: {reason}", path=self._path, line=line, column=column)
        return ConfigError(
            f"is not valid YAML: {reason}", path=self._path, line=reader.line + 1, column=reader.column + 1
        )

    def _wrong(self, reason: str, mark: Any) -> ConfigError:
        return ConfigError(reason, path=self._path, line=mark.line + 1, column=mark.column + 1)

    def _node(self, event: Any, after: int) -> Node:
        """Builds the node that begins with `event`; `after` is the end of the text before it, for one without text."""
        kind = type(event).__name__
        anchor = event.anchor
        mark = event.start_mark
        if kind == "AliasEvent":
            if anchor not in self._anchors:
                raise self._wrong(f"the anchor &{anchor} is not defined", mark)
            self._used.add(anchor)
            target = self._anchors[anchor]
            return Alias(mark.index, event.end_mark.index, mark.line + 1, mark.column + 1, anchor, None, target)
        if anchor is not None:
            self._anchors[anchor] = None
        node = self._scalar(event, after) if kind == "ScalarEvent" else self._collection(event, kind)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _scalar(self, event: Any, after: int) -> Scalar:
        mark = event.start_mark
        tag = None if event.tag is None else str(event.tag)
        has_properties = event.anchor is not None or tag is not None
        style = event.style or None
        start, end = mark.index, event.end_mark.index
        line, column = mark.line + 1, mark.column + 1
        content = self._behind_properties(event)[0] if has_properties else start
        if style is None and not event.value:
            # Without text of its own the event carries the position of whatever comes next.
            start = start if has_properties else after
            content = end = self._behind_properties(event)[1] if has_properties else after
            line, column = self._line_and_column(start)
        elif style in {"|", ">"}:
            end = self._end_of_block_scalar(event, content)
        return Scalar(start, end, line, column, event.anchor, tag, content, event.value, style)

    def _collection(self, event: Any, kind: str) -> Mapping | Sequence:
        mark = event.start_mark
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._wrong(f"is nested more than {MAX_DEPTH} levels deep", mark)
        tag = None if event.tag is None else str(event.tag)
        start = mark.index
        content = start if event.anchor is None and tag is None else self._behind_properties(event)[0]
        end = content
        items: list[Node] = []
        entries: list[YamlEntry] = []
        for inner in self._events:
            if type(inner).__name__ in {"MappingEndEvent", "SequenceEndEvent"}:
                end = inner.end_mark.index if event.flow_style else end
                break
            if kind == "SequenceStartEvent":
                items.append(self._node(inner, self._behind_dash(end)))
                end = items[-1].end
            else:
                entries.append(self._entry(inner, end, event.flow_style))
                end = entries[-1].end
        self._depth -= 1
        where = (start, end, mark.line + 1, mark.column + 1, event.anchor, tag, content, bool(event.flow_style))
        if kind == "SequenceStartEvent":
            return Sequence(*where, tuple(items))
        self._refuse_duplicates(entries)
        return Mapping(*where, tuple(entries))

    def _entry(self, event: Any, after: int, flow: bool) -> YamlEntry:
        key = self._node(event, after)
        if flow and isinstance(key, Scalar) and key.style is None and key.value.endswith(":"):
            # Parsers disagree on `{a:}` and `{a:, b}`: one reads the key "a", another "a:".
            raise self._wrong("a colon in brackets needs a space behind it, or quotes around its key", event.end_mark)
        before = skip_blank(self._text, after)
        if flow and self._text[before : before + 1] in {"{", "[", ","}:
            before = skip_blank(self._text, before + 1)
        explicit = self._text.startswith("?", before) and key.start > before
        position = skip_blank(self._text, key.end)
        colon = position + 1 if self._text.startswith(":", position) else None
        value = self._node(next(self._events), key.end if colon is None else colon)
        return YamlEntry(before if explicit else key.start, key, value, colon, explicit)

    def _refuse_duplicates(self, entries: list[YamlEntry]) -> None:
        seen: set[tuple[bool, str]] = set()
        for entry in entries:
            key = entry.key
            if isinstance(key, Scalar) and key.value != "<<":
                identity = (key.style is not None or bool(_STRING_LIKE.match(key.value)), key.value)
                if identity in seen:
                    raise ConfigError(
                        f"the key {key.value!r} is here twice; keep one",
                        path=self._path,
                        line=key.line,
                        column=key.column,
                    )
                seen.add(identity)

    def _behind_properties(self, event: Any) -> tuple[int, int]:
        """Where the node itself starts, and where its anchor and tag end."""
        position = end = event.start_mark.index
        # Counted, because a section may begin with an anchor of its first key.
        for _ in range((event.anchor is not None) + (event.tag is not None)):
            match = _PROPERTY.match(self._text, position)
            end = match.end() if match else position
            position = skip_blank(self._text, end)
        return position, end

    def _behind_dash(self, position: int) -> int:
        position = skip_blank(self._text, position)
        return position + 1 if self._text.startswith("-", position) else position

    def _end_of_block_scalar(self, event: Any, start: int) -> int:
        """Behind the last character of the scalar's last line: the comments after it are not part of it."""
        header_end = _line_end(self._text, start)
        end: int = event.end_mark.index
        if "+" in self._text[start : start + 3]:  # "keep": the empty lines behind it are its value
            return max(header_end, end)
        if not event.value.strip():
            return header_end
        lines = _LINE.findall(self._text[header_end:end])
        content = next(_indentation(line) for line in lines if line.strip())
        while not lines[-1].strip() or (lines[-1].lstrip(" ").startswith("#") and _indentation(lines[-1]) < content):
            lines.pop()
        return header_end + len("".join(lines).rstrip())

    def _line_and_column(self, position: int) -> tuple[int, int]:
        if self._lines is None:
            self._lines = [0, *(match.end() for match in _BREAK.finditer(self._text))]
        line = bisect_right(self._lines, position)
        return line, position - self._lines[line - 1] + 1


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _line_end(text: str, position: int) -> int:
    match = _BREAK.search(text, position)
    return match.start() if match else len(text)
