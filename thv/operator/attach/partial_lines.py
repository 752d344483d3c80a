"""Lines out of a stream that may begin in the middle of one.

Attaching to a running server may begin in the middle of a line. Promises: only whole lines come
out; a line's length is bounded. Knows of JSON only whether a text is some.
"""

from __future__ import annotations

from thv.core.lines import MAX_MESSAGE, LineSplitter
from thv.core.message import read_line, split_batch
from thv.http.pipes import LineTooLongError


class PartialLines:
    """Joins what is read into lines.

    Args:
        longest: bytes that a line may have.
    """

    def __init__(self, longest: int = MAX_MESSAGE) -> None:
        self._longest = longest
        self.begin()

    def begin(self) -> None:
        """A new link: what came before is torn, and what comes first may be."""
        self._splitter = LineSplitter(self._longest)
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, each with its newline.

        Raises:
            LineTooLongError: a line is longer than a line may be.
        """
        lines = self._splitter.feed(chunk)
        if self._splitter.is_too_long or b"" in lines:
            raise LineTooLongError(f"a line of more than {self._longest >> 20} MiB")
        return self._without_torn(lines)

    def finish(self) -> list[bytes]:
        """The stream ended: a last line without newline is one for a reader of lines."""
        rest = self._splitter.finish()
        return self._without_torn([rest + b"\n"]) if rest else []

    def _without_torn(self, lines: list[bytes]) -> list[bytes]:
        if lines and self._first:
            self._first = False
            if not is_whole(lines[0]):
                return lines[1:]
        return lines


def is_whole(line: bytes) -> bool:
    """Whether a line that may have lost its beginning is a message all the same.

    The end of a JSON object or array is none itself: it has brackets, or a quote, too many.
    """
    return bool(read_line(line)) or split_batch(line) is not None
