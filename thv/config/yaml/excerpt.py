"""The sections of a long text that are to be read, with everything else blanked out: what others wrote costs no time.

Promises: every line keeps its number, and a text of which the sections cannot surely be told apart gives None. Pure.
"""

from __future__ import annotations

import re

LONG = 64 << 10
"""Characters from which on it pays."""

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*:(?:[ \t\r]|\Z)")
_CONTINUES = re.compile(r"[ \t\r]|-(?:[ \t\r]|\Z)|#|\Z")
"""How a line begins that belongs to the entry above it: indented, an item of its list, a comment, nothing at all."""


def excerpt(text: str, names: frozenset[str]) -> str | None:
    """The text with only the named top-level sections in it; None for a text that is not plain block mappings."""
    kept: list[str] = []
    keeps = False
    for line in text.split("\n"):
        if not _CONTINUES.match(line):
            found = _KEY.match(line)
            if found is None:  # a document marker, brackets, a key in quotes
                return None
            keeps = found[1] in names
        kept.append(line if keeps else "")
    result = "\n".join(kept)
    return None if any(mark in result for mark in ("&", "*", "<<")) else result
