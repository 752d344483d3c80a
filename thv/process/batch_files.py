"""Command lines for batch files, which `npx` and its like are on Windows (`npx.cmd`).

`cmd.exe` reads the line before the program does, by rules of its own: `&`, `|`, `<`, `>` and `^` act outside double
quotes, `%NAME%` is replaced inside them, too, and a backslash escapes nothing. So every argument is quoted for both
readers; one that cannot be is refused. Pure, and so tested everywhere.
"""

from __future__ import annotations

import re

from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = re.compile(r"[A-Za-z0-9#$*+\-./:?@_][A-Za-z0-9#$*+\-./:?@\\_]*(?<!\\)")
"""What needs no quotes: neither `cmd.exe` nor a program's own parser of its command line gives it a meaning."""

LITERAL_PERCENT = "%%cd:~,%"
"""A percent sign for `cmd /c`, which knows no escape for one. `%cd:~,%` is an empty slice of a variable that always
exists, so no name that an argument holds is looked up; the sign before it stays."""

OPTIONS = "/e:ON /v:OFF /d /s /c"
"""Command extensions on (for the slice above), delayed expansion of `!NAME!` off, no AutoRun, and only the outermost
quotes are taken away."""


def is_batch_file(path: str) -> bool:
    """Whether Windows runs this file by `cmd.exe`."""
    return path.lower().endswith((".cmd", ".bat"))


def batch_command_line(interpreter: str, path: str, args: Sequence[str]) -> str:
    """The line that runs a batch file with exactly these arguments.

    Args:
        interpreter: the path of `cmd.exe`.
        path: the batch file.
        args: its arguments.

    Raises:
        UsageError: an argument holds a line break or NUL, for which there is no quoting.
    """
    words = " ".join([_quoted(path), *map(_argument, args)])
    return f'"{interpreter}" {OPTIONS} "{words}"'


def _argument(text: str) -> str:
    if any(character in text for character in "\r\n\0"):
        raise UsageError(f"{text!r}: a line break cannot be passed to a .cmd file on Windows; run its program directly")
    return text if PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    # For the program behind: a quote is doubled, and backslashes before a quote, the closing one included, are, too.
    text = re.sub(r'(\\*)"', r'\1\1""', text)
    text = re.sub(r"(\\+)$", r"\1\1", text)
    return '"' + text.replace("%", LITERAL_PERCENT) + '"'
