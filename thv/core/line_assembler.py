"""Lines of which only the messages matter: what is needed to look at them, and little of a line that is large.

The time spent is linear in the bytes seen. Nothing here knows JSON-RPC; of JSON it knows strings.
"""

from __future__ import annotations

import re

from msgspec import Raw
from msgspec.json import Decoder

from thv.core.json_repair import without_surrogates
from thv.core.lines import MAX_INSPECTED

ELIDE_AFTER = 128 << 10
"""Bytes of a line that are kept whatever they are: most lines never come near, and pay nothing for elision."""

GIANT = 32 << 10
"""Bytes a string must have before its content is dropped: no id, method or member name is that long."""

MAX_HOPS = 256
"""Quotes that are looked for one by one, at memchr's speed between them, before a pattern takes over: 40 µs."""

_ESCAPE = len(b"\\u0000")
_QUOTE = ord('"')
_BACKSLASH = ord("\\")
_OUTSIDE = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_decode_raw = Decoder(Raw).decode


class LineAssembler:
    """Joins chunks into lines that are only looked at: a giant string in a large line is kept as `""`.

    A string longer than `GIANT` in a line longer than `ELIDE_AFTER` is giant: a 64 MiB text costs two fast passes and
    128 KiB.

    Args:
        elide_after, giant, max_kept: the constants of this module; tests make them small.
    """

    def __init__(self, *, elide_after: int = ELIDE_AFTER, giant: int = GIANT, max_kept: int = MAX_INSPECTED) -> None:
        self._elide_after = elide_after
        self._giant = giant
        self._max_kept = max_kept
        self._start_line()

    def _start_line(self) -> None:
        self._kept = bytearray()
        self.pending = False
        """Whether the stream is in the middle of a line."""
        self._lexed = 0  # an offset in `_kept` known to be outside any string
        self._lex_at = self._elide_after
        self._in_giant = False
        self._escaped = False  # the next byte, inside the giant string, follows an odd backslash
        self._lost = False

    @property
    def kept_bytes(self) -> int:
        """How much is kept of the line that is not complete yet."""
        return len(self._kept)

    def feed(self, chunk: bytes) -> list[bytes | bytearray]:
        """The lines that this chunk completes, as blocks of one or more whole lines with their newlines.

        An empty block stands for a line that was given up because more than `max_kept` of it would have to be kept.
        """
        if not self.pending:
            end = chunk.rfind(b"\n") + 1
            if end < len(chunk):
                self._grow(chunk[end:])
            return [chunk[:end]] if end else []
        first = chunk.find(b"\n") + 1
        if not first:
            self._grow(chunk)
            return []
        self._grow(chunk[:first])
        blocks = [b"" if self._lost else self._kept]
        self._start_line()
        last = chunk.rfind(b"\n") + 1
        if last > first:
            blocks.append(chunk[first:last])
        if last < len(chunk):
            self._grow(chunk[last:])
        return blocks

    def _grow(self, piece: bytes) -> None:
        if not piece:
            return
        self.pending = True
        if self._lost:
            return
        if self._in_giant:
            piece = self._after_giant(piece)
        kept = self._kept
        kept += piece
        if len(kept) >= self._lex_at and not piece.endswith(b"\n") and self._may_be_inside(len(kept) - len(piece)):
            self._lex()
        if len(kept) > self._max_kept:
            self._kept = bytearray()
            self._lost = True

    def _may_be_inside(self, start: int) -> bool:
        """Whether what is kept from `start` on could lie in one string: a quote that no backslash precedes says no."""
        quote = self._kept.find(b'"', start)
        return quote < 1 or self._kept[quote - 1] == _BACKSLASH

    def _lex(self) -> None:
        kept = self._kept
        self._lexed = end = _end_of_whole_strings(kept, self._lexed)
        if len(kept) - end >= self._giant:
            self._in_giant = True
            self._escaped = _ends_in_odd_backslash(kept, end + 1)
            del kept[end + 1 :]
        self._lex_at = max(self._elide_after, end + self._giant)

    def _after_giant(self, piece: bytes) -> bytes:
        """What follows the giant string's content in the piece, from the closing quote (or the line's end) on."""
        start = 1 if self._escaped else 0
        if piece.find(b'"', start) < 0:
            # Content, all of it. A newline ends the line whatever stands before it.
            self._escaped = _ends_in_odd_backslash(piece, start)
            return b"\n" if piece.endswith(b"\n") else b""
        odd = _ends_in_odd_backslash(piece, start)
        if not piece.endswith(b"\n") and _is_string_content(piece[start : len(piece) - odd]):
            self._escaped = odd
            return b""
        match = _INSIDE.match(piece, start)
        end = match.end() if match else start
        if end < len(piece) and piece[end] == _QUOTE:
            self._in_giant = self._escaped = False
            self._lex_at = len(self._kept) + self._giant
            self._lexed = len(self._kept) - 1
            return piece[end:]
        self._escaped = end < len(piece)
        return b"\n" if piece.endswith(b"\n") else b""


def _end_of_whole_strings(text: bytearray, start: int) -> int:
    """The offset of the quote that opens a string without end, or else the length; `start` is outside any string."""
    opening = text.find(b'"', start)
    for _ in range(MAX_HOPS):
        if opening < 0:
            return len(text)
        closing = text.find(b'"', opening + 1)
        if closing < 0:
            return opening
        if text[closing - 1] == _BACKSLASH:
            break
        start = closing + 1
        opening = text.find(b'"', start)
    match = _OUTSIDE.match(text, start)
    return match.end() if match else len(text)


def _ends_in_odd_backslash(data: bytes | bytearray, start: int) -> bool:
    if not data.endswith(b"\\"):
        return False
    return (len(data) - max(start, len(data.rstrip(b"\\")))) % 2 == 1


def _is_string_content(content: bytes) -> bool:
    """Whether no quote in the content is unescaped. The decoder's own scan is ten times faster than a pattern."""
    cut = content.rfind(b"\\u", -_ESCAPE)
    if 0 <= cut > len(content) - _ESCAPE and b'"' not in content[cut:]:
        content = content[:cut]  # half an escape, whose rest comes with the next piece
    try:
        _decode_raw(b'"%b"' % content)
    except ValueError:
        try:
            _decode_raw(b'"' + without_surrogates(content) + b'"')
        except ValueError:
            return False
    return True
