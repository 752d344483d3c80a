"""Makes JSON-like text readable that msgspec refuses: NaN and Infinity, half a surrogate pair, nesting without end.

`json.dumps` and `JSON.stringify` write the first two; a repaired text is only ever looked at, never forwarded. Cost: at
most one copy of the text and about 2 ms a MiB for each kind of fault, whatever stands in it. A repair keeps the length,
so that an offset in the repaired text is one in the original. Knows nothing of JSON-RPC.
"""

from __future__ import annotations

import re
import sys
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

MAX_REPAIRS: Final = 6
"""Readings of one text before it is given up: for each kind of fault, for what a pattern left, and for depth."""

EXACT_UP_TO: Final = 16 << 10
"""Bytes of a text that patterns repair, which change nothing but the faults; they cost 10 ms a MiB, and 30 times the
text in memory. A larger one is repaired wherever a mark stands, inside strings, too: names in it may be changed."""

FLATTEN_UP_TO: Final = 1 << 20
"""Bytes of a text that is flattened if it nests deeper than the decoder goes: 1 ms if it is nesting and little else. A
larger one is given up."""

MAX_TOKENS: Final = 10_000
"""Strings and runs of brackets that are looked at to flatten a text: some 10 ms; with more it is given up."""

KEEP_DEPTH: Final = 6
"""Nesting that flattening keeps. A batch, its message, the result, the task's result and one more need five."""

DEEPER: Final = 5_000
"""Levels that CPython 3.11 is allowed while it decodes, in place of its 1000: later ones count C levels apart and allow
1500 to 10000. A level takes 40 bytes of stack, and the smallest thread (macOS) has 512 KiB."""

_BYTE: Final = re.compile(r"\(byte (\d+)\)")
"""Where msgspec's messages say that the fault is."""

_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_LOW: Final = re.compile(rb"\\u[dD][c-fC-F]..(?<!\\u[dD][89abAB]..\\u....)", re.DOTALL)

_HALF_A_PAIR: Final = ("surrogate", "hex escape", "truncated")
"""What msgspec says of one, depending on what follows it."""

_NUMBERS: Final = {
    b"NaN": (re.compile(rb"NaN(?<=[\[:,\s]NaN)(?=[\],}\s])"), b"0.0"),
    b"Infinity": (re.compile(rb"Infinity(?<=[\[:,\s-]Infinity)(?=[\],}\s])"), b"0.000000"),
}
"""What is no number in JSON -> a pattern that finds it outside strings, nearly always, and a number as long as it."""

_TOKEN: Final = re.compile(
    rb'(?:[\[{]\s*+(?:"[^"\\\[\]{}]*+"\s*+:\s*+)?+){1,8}+'  # brackets that open one after the other, with their keys
    rb"|[\]}]"
    rb'|"(?:[^"\\]++|\\.)*+"',
    re.DOTALL,
)
_CLOSING: Final = b"]} \t\r\n"
_UNITS: Final = 4096
"""Bytes of repeated nesting that are compared in one step."""

_STRIDE: Final = 64 << 10
"""Bytes that are replaced or stripped in one step."""

_BRACKET: Final = re.compile(rb"[\[\]{}]")


_PAIR: Final = len(b"\\ud83d\\ude00") + 2
"""Bytes before the reported fault within which the pair begins that is none."""

_SURROGATE_MARKS: Final = (b"\\ud", b"\\uD")


class JsonRepair:
    """A text that is repaired, fault by fault, as the decoder meets them.

    Args:
        text: what could not be decoded; it stays as it is.

    Attributes:
        text: what to decode instead, as long as the original, whatever was repaired so far.
    """

    def __init__(self, text: bytes | bytearray) -> None:
        self.text = text
        self._copy: bytearray | None = None

    def repair(self, problem: str) -> bool:
        """Remove the kind of fault that the decoder met; False if nothing can be done.

        Args:
            problem: what msgspec said of `text`.
        """
        where = _BYTE.search(problem)
        position = int(where[1]) if where else len(self.text)
        for mark, (pattern, number) in _NUMBERS.items():
            if self.text.startswith(mark, position):
                return (
                    self._replace_exactly(pattern, number) if self._is_small else self._replace(mark, number, position)
                )
        if not any(word in problem for word in _HALF_A_PAIR):
            return False
        if self._is_small:
            high = self._replace_exactly(_HIGH, rb"\\ufffd")
            return self._replace_exactly(_LOW, rb"\\ufffd") or high
        start = max(0, position - _PAIR)
        for mark in _SURROGATE_MARKS:
            if self.text.find(mark, start, position) >= 0:
                # In bulk, `\ud83d\ude00` becomes `\uc83d\uce00`: other characters, but whole ones.
                return self._replace(mark, b"\\uc", start)
        return False

    @property
    def _is_small(self) -> bool:
        return len(self.text) <= EXACT_UP_TO

    def _replace_exactly(self, pattern: re.Pattern[bytes], by: bytes) -> bool:
        before, self.text = self.text, pattern.sub(by, self.text)
        return self.text != before

    def _replace(self, mark: bytes, by: bytes, position: int) -> bool:
        """Replace in the one copy, piece by piece: a second copy would be the third text of that size in memory.

        What stands before `position` was decoded, so there is nothing to repair.
        """
        if self._copy is None:
            self._copy = self.text = bytearray(self.text)
        for start in range(position, len(self._copy), _STRIDE):
            end = start + _STRIDE + len(mark) - 1  # one that begins in this piece may end in the next
            self._copy[start:end] = self._copy[start:end].replace(mark, by)
        return True


def without_surrogates(text: bytes | bytearray) -> bytes | bytearray:
    """JSON, or a part of a string in it, whose escaped surrogates, paired or not, became other characters."""
    for mark in _SURROGATE_MARKS:
        text = text.replace(mark, b"\\uc")
    return text


def decode_deep(decode: Callable[[bytes | bytearray], T], text: bytes | bytearray) -> T:
    """Decode a text that nests deeper than the interpreter's limit, as far as that can be raised.

    Raises:
        RecursionError: it is too deep all the same.
        ValueError: what `decode` raises.
    """
    if sys.version_info >= (3, 12):
        raise RecursionError
    with _deepening:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, DEEPER))
        try:
            return decode(text)
        finally:
            sys.setrecursionlimit(limit)


_deepening = Lock()


def flatten(text: bytes | bytearray) -> bytes:
    """The same JSON with everything deeper than `KEEP_DEPTH` left out; empty if there is too much of it."""
    if len(text) > FLATTEN_UP_TO:
        return b""
    kept = bytearray()
    depth = start = position = 0
    for _ in range(MAX_TOKENS):
        token = _TOKEN.search(text, position)
        if token is None:
            break
        first, position = token.span()
        if text[first] in b"[{":
            position = _end_of_repeats(text, first, position)
            count = text.count(b"[", first, position) + text.count(b"{", first, position)
            if depth < KEEP_DEPTH <= depth + count:
                kept += text[start : _bracket(text, first, KEEP_DEPTH - depth) + 1]
            depth += count
        elif text[first] in b"]}":
            position = _end_of_closing(text, first)
            count = text.count(b"]", first, position) + text.count(b"}", first, position)
            if depth - count < KEEP_DEPTH <= depth:
                number = depth - KEEP_DEPTH + 1
                is_solid = position - first == count  # without white space
                start = first + number - 1 if is_solid else _bracket(text, first, number)
            depth -= count
    else:
        return b""
    if depth < KEEP_DEPTH:
        kept += text[start:]
    return bytes(kept)


def _end_of_repeats(text: bytes | bytearray, start: int, end: int) -> int:
    """Where the last repetition ends of what stands from `start` to `end`: deep nesting is made by a program."""
    unit = bytes(text[start:end])
    if text.startswith(unit, end):
        stride = unit * (_UNITS // len(unit) + 1)
        while text.startswith(stride, end):
            end += len(stride)
        while text.startswith(unit, end):
            end += len(unit)
    return end


def _end_of_closing(text: bytes | bytearray, start: int) -> int:
    """Where brackets that close one after the other end."""
    while piece := text[start : start + _STRIDE]:
        left = len(piece.lstrip(_CLOSING))
        start += len(piece) - left
        if left:
            break
    return start


def _bracket(text: bytes | bytearray, start: int, number: int) -> int:
    """Where the bracket of this number stands, counted from `start` on."""
    return next(islice(_BRACKET.finditer(text, start), number - 1, None)).start()
