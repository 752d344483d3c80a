"""Counts how often JSON texts are decoded, by any decoder of msgspec or of the standard library, on this thread."""

from __future__ import annotations

import json.decoder
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

import msgspec

if TYPE_CHECKING:
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
