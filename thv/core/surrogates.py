"""Text that Python read of bytes which are no UTF-8, made into text that can be stored and sent.

Imports nothing: the journal of each session needs it, and patterns for it would cost a third of a MiB.
"""

from __future__ import annotations

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What stands for text that was not valid Unicode."""

FIRST, LAST = "\ud800", "\udfff"


def replace_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(REPLACEMENT if FIRST <= character <= LAST else character for character in text)
    return text
