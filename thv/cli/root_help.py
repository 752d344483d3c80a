"""The help of `thv` itself, printed before the command-line library is imported.

The text is a file beside this module, made by `python -m completions.maker` from the full command line; a test compares
the two. A terminal that is too narrow for it gets the full command line's.
"""

# ruff: noqa: PTH118, PTH120, PTH123  pathlib costs more than the answer

from __future__ import annotations

import os
import sys

from thv.cli.output import answer
from thv.errors import ThvError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FILE: Final = "root_help.txt"

WIDTH: Final = 80
"""Columns of a terminal from which on the text stays the same: Typer makes none that is wider."""


def show(words: list[str]) -> int:
    """Print the help that `words` ask for; returns the exit code. No word at all is a wrong command line: on stderr.

    Raises:
        ThvError: it cannot be written, or the text is not there: a broken installation.
    """
    if _columns() < WIDTH:
        from thv.cli.app import main

        return main(words)
    try:
        with open(os.path.join(os.path.dirname(__file__), FILE), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise ThvError(f"{FILE} is missing from the installation; install thv again") from error
    if words:
        answer(text.removesuffix("\n"))
        return 0
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()
    return UsageError.exit_code


def _columns() -> int:
    """The width of the terminal, as `shutil.get_terminal_size` tells it, which costs 10 ms to import."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns > 0:
        return columns
    if sys.__stdout__ is None:
        return WIDTH
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or WIDTH
    except (ValueError, OSError):
        return WIDTH
