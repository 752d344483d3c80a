"""Counts how often JSON texts are decoded, by any decoder of msgspec or of the standard library, on this thread."""

from __future__ import annotations

import json.decoder
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from thv.core import json_repair

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from types import FrameType

_SCALARS = {int, float, str, bool, type(None)}


class DecodeCount:
    """How many whole texts were decoded: `lines`. Values of their own (an id, a name) are not texts."""

    def __init__(self) -> None:
        self.lines = 0

    def see(self, frame: FrameType, event: str, argument: Any) -> None:
        """A profile function: `sys.setprofile`."""
        if event == "c_call":
            decoder = getattr(argument, "__self__", None)
            if argument is msgspec.json.decode:
                self.lines += 1
            elif isinstance(decoder, msgspec.json.Decoder) and argument.__name__ in {"decode", "decode_lines"}:
                self.lines += not set(get_args(decoder.type) or [decoder.type]) <= _SCALARS
        elif event == "call" and frame.f_code is json.decoder.JSONDecoder.raw_decode.__code__:
            self.lines += 1


@contextmanager
def counted_decodes() -> Iterator[DecodeCount]:
    """Count what this thread decodes in the meantime. An asyncio program that starts no threads is counted whole."""
    count = DecodeCount()
    before = sys.getprofile()
    sys.setprofile(count.see)
    try:
        yield count
    finally:
        sys.setprofile(before)


class TokenCount:
    """How many tokens were looked at to flatten a text: `looked`. In place of the pattern that finds them."""

    def __init__(self) -> None:
        self.looked = 0
        self._pattern = json_repair._TOKEN

    def search(self, text: bytes | bytearray, start: int) -> re.Match[bytes] | None:
        self.looked += 1
        return self._pattern.search(text, start)


@contextmanager
def counted_tokens() -> Iterator[TokenCount]:
    """Count the steps of what costs the most for a text that nests too deep."""
    count = TokenCount()
    json_repair._TOKEN = count  # type: ignore[assignment,misc]  # it has what is called of a pattern
    try:
        yield count
    finally:
        json_repair._TOKEN = count._pattern  # type: ignore[misc]  # as before
