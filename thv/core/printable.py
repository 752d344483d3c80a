"""Text from a server, made safe to print: what would control a terminal is shown as an escape instead of obeyed.

Imports nothing slow: log viewers, error messages and the MCP client share it.
"""

from __future__ import annotations

import re

from thv.core.surrogates import FIRST, LAST, REPLACEMENT

KEPT = "\n\t"
"""The control characters that plain text needs."""

LAST_OF_ONE_BYTE = 0xFF
"""The last code point that two hexadecimal digits write."""

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1 (ECMA-48)
    "\u200e\u200f\u202a-\u202e\u2066-\u2069"  # reorder what stands around them (Unicode Standard Annex 9)
    "\ud800-\udfff]"  # half of a surrogate pair: no encoding has it
)


def printable(text: str) -> str:
    """The text with its newlines and tabs; any other control character is shown as an escape."""
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The text on one line, its white space collapsed, its control characters shown."""
    return printable(" ".join(text.split()))


def printable_path(path: object) -> str:
    """A path on one line, its blanks as they are, any control character shown as an escape."""
    return printable(str(path).replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t"))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in KEPT:
        return character
    if FIRST <= character <= LAST:
        return REPLACEMENT
    code = ord(character)
    return f"\\x{code:02x}" if code <= LAST_OF_ONE_BYTE else f"\\u{code:04x}"
