"""Lines out of a stream that may begin in the middle of one.

Whoever attaches to a running server does not know where in its output they come in. Promises: only whole lines come
out; a line's length is bounded. Knows of JSON only whether a text is some.
"""

from __future__ import annotations

import json

from thv.http.pipes import MAX_LINE, LineTooLongError


class Lines:
    """Joins what is read into lines.

    Args:
        longest: bytes that a line may have.
    """

    def __init__(self, longest: int = MAX_LINE) -> None:
        self._longest = longest
        self.begin()

    def begin(self) -> None:
        """A new link: what came before is torn, and what comes first may be."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, each with its newline.

        Raises:
            LineTooLongError: a line is longer than a line may be.
        """
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            lines += self._complete(end)
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            if self._size > self._longest:
                raise LineTooLongError(f"a line of more than {self._longest >> 20} MiB")
        return lines

    def finish(self) -> list[bytes]:
        """The stream ended: a last line without newline is a line for whoever reads lines."""
        return self._complete(b"") if self._pieces else []

    def _complete(self, end: bytes) -> list[bytes]:
        if self._pieces:
            end = b"".join((*self._pieces, end))
            self._pieces = []
            self._size = 0
        if self._first:
            self._first = False
            if not is_whole(end):
                return []
        return [end + b"\n"]


def is_whole(line: bytes) -> bool:
    """Whether a line that may have lost its beginning is a message all the same.

    The end of a JSON object or array is none itself: it has brackets, or a quote, too many.
    """
    if line.lstrip()[:1] not in {b"{", b"["}:
        return False
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True
