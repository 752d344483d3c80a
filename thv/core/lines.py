"""Lines in a stream of chunks cut anywhere, and the one table of how long a message may be.

A message is one line ended by a newline (MCP, "stdio"). `LineSplitter` gives whole lines, to pass them on; where they
are only looked at, `line_assembler` keeps less of them. Imports nothing.
"""

from __future__ import annotations

MAX_MESSAGE = 256 << 20
"""Bytes of one message that thv has to hold whole to pass it on: a line of a server behind HTTP, an event, a body."""

MAX_INSPECTED = 128 << 20
"""Bytes kept of one line only to look at it, after elision; beyond, it passes uncounted. Memory is not the peer's to
spend."""

MAX_REWRITTEN = 1 << 20
"""Bytes of a line up to which trace context is written into it; a longer one would be delayed, and passes."""


class LineSplitter:
    """Splits a stream of chunks into whole lines.

    Args:
        limit: bytes that a line may have, without its newline.

    Attributes:
        limit: bytes that a line may have.
        pending: bytes of the line that has not ended yet, and are kept.
        is_too_long: whether the line that has not ended yet is over the limit; what comes of it is dropped.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self.limit = limit
        self._pieces: list[bytes] = []
        self.pending = 0
        self.is_too_long = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, each with its newline; an empty one stands for one that was too long."""
        end = chunk.find(b"\n") + 1
        if not end:
            self._keep(chunk)
            return []
        lines = [self._complete(chunk[:end])]
        while end < len(chunk):
            start, end = end, chunk.find(b"\n", end) + 1
            if not end:
                self._keep(chunk[start:])
                break
            lines.append(self._complete(chunk[start:end]))
        return lines

    def finish(self) -> bytes | None:
        """The stream ended: its last line, without newline; None if it ended with one."""
        if not self._pieces and not self.is_too_long:
            return None
        line = b"" if self.is_too_long else b"".join(self._pieces)
        self._forget()
        return line

    def _complete(self, end: bytes) -> bytes:
        if self._pieces or self.is_too_long:
            end = b"" if self.is_too_long else b"".join((*self._pieces, end))
            self._forget()
        return end if len(end) <= self.limit + 1 else b""

    def _keep(self, piece: bytes) -> None:
        if self.is_too_long or not piece:
            return
        self._pieces.append(piece)
        self.pending += len(piece)
        if self.pending > self.limit:
            self._forget()
            self.is_too_long = True

    def _forget(self) -> None:
        self._pieces.clear()
        self.pending = 0
        self.is_too_long = False
