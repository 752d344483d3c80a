"""ruamel's scanner with three additions: tabs wherever YAML 1.2 allows them, JSON's escapes, and an end to patience.

YAML allows tabs between tokens, before comments, on blank lines, at the end of a line and inside plain scalars, and
forbids them as indentation only (YAML 1.2.2, 6.1 and 6.2). ruamel refuses them nearly everywhere. A text that takes too
long is refused with the place that was reached: no session may wait for a config file without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scanner import Scanner, ScannerError

if TYPE_CHECKING:
    from collections.abc import Callable

BREAKS = "\0\r\n\x85\u2028\u2029"
"""What ends a line, or the text."""


class PatienceError(MarkedYAMLError):
    """The text takes longer to read than it may."""


class TabScanner(Scanner):
    """Use `limited` to make one."""

    is_late: Callable[[], bool]

    def fetch_more_tokens(self) -> Any:
        """Read on, if there is time left."""
        if self.is_late():
            raise PatienceError(problem="takes too long to read", problem_mark=self.reader.get_mark())
        return super().fetch_more_tokens()

    def scan_to_next_token(self) -> Any:
        """Skip white space and comments; a tab that would be indentation stays, and is then refused."""
        while True:
            super().scan_to_next_token()
            if self.reader.peek() != "\t" or self.flow_level or not self._skip_blanks():
                return

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        """White space inside a plain scalar, which may be tabs (ns-plain-multi-line, s-white)."""
        blanks = self._blanks()
        following = self.reader.peek(len(blanks))
        if "\t" in blanks:
            if following in "#\0":
                return []
            self.reader.forward(len(blanks))
            if following not in BREAKS:
                return [blanks]
        chunks = super().scan_plain_spaces(indent, start_mark)
        while chunks and self.reader.peek() == "\t":  # a line that goes on behind its indentation, or a blank one
            if not self.flow_level and self.reader.column < indent and self._text_follows():
                return chunks  # the tab would be indentation
            self.reader.forward(len(self._blanks()))
            if self.reader.peek() in BREAKS and self.reader.peek() != "\0":
                super().scan_plain_spaces(indent, start_mark)
                chunks = [chunk for chunk in chunks if chunk != " "] + ["\n"]
        return chunks

    def scan_flow_scalar_breaks(self, *details: Any) -> Any:
        """The ends of lines in a quoted scalar, and the white space behind them; a tab may not be its indentation."""
        chunks = super().scan_flow_scalar_breaks(*details)
        reader = self.reader
        white = reader.buffer[reader.pointer - reader.column : reader.pointer]
        spaces = len(white) - len(white.lstrip(" "))
        if "\t" in white and not self.flow_level and spaces <= self.indent:
            mark = reader.get_mark()
            mark.index -= reader.column - spaces
            mark.column = spaces
            raise ScannerError(problem="found character '\\t' as indentation", problem_mark=mark)
        return chunks

    def scan_flow_scalar(self, style: Any) -> Any:
        """A quoted scalar: two escapes that are the halves of one character, as JSON has it, are that character."""
        token = super().scan_flow_scalar(style)
        # Text that was read has no halves, so whatever is joined here was escaped.
        token.value = token.value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return token

    def scan_block_scalar(self, *details: Any) -> Any:
        """A ``|`` or ``>``: a tab may stand behind it, before a comment or the end of the line."""
        self._expand_tabs(behind_a_word=True)
        return super().scan_block_scalar(*details)

    def scan_tag(self) -> Any:
        """A tag: a tab may stand between it and its value."""
        self._expand_tabs(behind_a_word=True)
        return super().scan_tag()

    def scan_directive(self) -> Any:
        """A ``%YAML`` line: a tab may stand between its words."""
        self._expand_tabs(behind_a_word=False)
        return super().scan_directive()

    def _skip_blanks(self) -> bool:
        """Skip the tabs and spaces from here; False if they indent something."""
        reader = self.reader
        before = reader.buffer[reader.pointer - reader.column : reader.pointer]
        blanks = self._blanks()
        if self._text_follows():
            if not before.strip(" \ufeff"):
                return False
            self.allow_simple_key = False  # behind a tab no section and no list may begin: it would be indentation
        reader.forward(len(blanks))
        return True

    def _text_follows(self) -> bool:
        """Whether anything but a comment stands behind the tabs and spaces from here."""
        return self.reader.peek(len(self._blanks())) not in BREAKS + "#"

    def _expand_tabs(self, *, behind_a_word: bool) -> None:
        """Turn the tabs of this line into spaces, as many: all of them, or those behind the word that begins here."""
        reader = self.reader
        start = 0
        while behind_a_word and reader.peek(start) not in BREAKS + " \t":
            start += 1
        end = start
        while reader.peek(end) in " \t" or (not behind_a_word and reader.peek(end) not in BREAKS):
            end += 1
        start, end = reader.pointer + start, reader.pointer + end
        reader.buffer = reader.buffer[:start] + reader.buffer[start:end].replace("\t", " ") + reader.buffer[end:]

    def _blanks(self) -> str:
        """The tabs and spaces from here."""
        length = 0
        while self.reader.peek(length) in " \t":
            length += 1
        text: str = self.reader.prefix(length)
        return text


def limited(is_late: Callable[[], bool]) -> type[TabScanner]:
    """A scanner class that gives up once `is_late` is true; it is asked before each token."""
    return type("LimitedScanner", (TabScanner,), {"is_late": staticmethod(is_late)})
