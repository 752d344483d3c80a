"""Answers for the plain subset of YAML that nearly every config file is written in, without loading a YAML library.

Promises: either says exactly what `thv.config.yaml.tree` would say, or declines the whole file by returning None. It
understands nested mappings of plain one-line scalars and comments, in ASCII, and nothing else.
On the path of `thv run`: imports nothing at all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Entries: TypeAlias = list[tuple[tuple[str, ...], str, int]]
    """(path of keys, value or "" for none, 1-based line), in the order of the file."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset("0123456789")
_KEY = _LETTERS | _DIGITS | frozenset("-_.")
_VALUE = _KEY | frozenset("/+@:, ")
_FIRST = _LETTERS | _DIGITS | frozenset("/")
_ASCII_LINE = frozenset(map(chr, range(0x20, 0x7F)))
_KEY_LIMIT = 128
"""Well under the 1024 characters after which YAML no longer takes a word for a key."""
_DEPTH_LIMIT = 16
"""Deeper files are for the real parser, which has a limit of its own."""


def entries(text: str) -> Entries | None:
    """Every entry of the file, or None for a file that uses anything beyond the subset."""
    found: Entries = []
    open_keys: list[tuple[int, str]] = []  # (column, key) of the entry being read and of those it is nested in
    seen: set[tuple[str, ...]] = set()
    may_nest = False
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if not _ASCII_LINE.issuperset(line):
            return None
        body = line.lstrip(" ")
        if not body or body[0] == "#":
            continue
        column = len(line) - len(body)
        entry = _split(body)
        if entry is None:
            return None
        key, value = entry
        if not _close(open_keys, column, may_nest=may_nest):
            return None
        open_keys.append((column, key))
        if len(open_keys) > _DEPTH_LIMIT:
            return None
        path = tuple(name for _, name in open_keys)
        if path in seen:
            return None
        seen.add(path)
        found.append((path, value, number))
        may_nest = not value
    return found


def _close(open_keys: list[tuple[int, str]], column: int, *, may_nest: bool) -> bool:
    """Leaves the keys that an entry at `column` is nested in; False if it stands where no entry may."""
    if not open_keys:
        return column == 0
    if column > open_keys[-1][0]:
        return may_nest
    while open_keys and open_keys[-1][0] > column:
        open_keys.pop()
    if not open_keys or open_keys[-1][0] != column:
        return False
    open_keys.pop()
    return True


def _split(body: str) -> tuple[str, str] | None:
    key, colon, rest = body.partition(":")
    if not colon or not key or len(key) > _KEY_LIMIT or key[0] not in _LETTERS or not _KEY.issuperset(key):
        return None
    if rest and rest[0] != " ":
        return None
    # A "#" begins a comment only after a space; anything else that holds one is left to the real parser.
    value, hash_, _ = rest.partition(" #")
    value = value.strip(" ")
    if "#" in value or (hash_ and not rest.startswith(" ")):
        return None
    if value and (value[0] not in _FIRST or not _VALUE.issuperset(value) or ": " in value or value[-1] == ":"):
        return None
    return key, value
