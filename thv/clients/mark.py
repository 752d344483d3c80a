"""The mark by which thv knows entries that it has wrapped, and what it remembers of how they were.

A wrapped entry starts ``thv run --name NAME --wrapped-by-thv-client=ARGS -- COMMAND ARGS...``. The mark is an option
of `thv run` that does nothing; its value says whether the entry had arguments at all, which the arguments cannot tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTION: Final = "--wrapped-by-thv-client"
"""The hidden option of `thv run`."""

WITH_ARGS, WITHOUT_ARGS = "args", "no-args"
"""The entry had `args`, perhaps an empty list; it had none."""

PLAIN = "plain"
"""Added after a comma where YAML's command was written without quotes and had to be quoted to move into brackets."""

ANALYTICS_OFF: Final = "--otel-usage-analytics-enabled=false"

_PROGRAM = re.compile(r"(?:^|[/\\])thv(?:\.exe|\.cmd)?$", re.IGNORECASE)
_PACKAGE = re.compile(r"thv(?:\[[^\]]*\])?(?:[@=<>~!].*)?$", re.IGNORECASE)
_IN_A_SHELL = re.compile(
    r"(?:^|[\s/\\\"';&|])thv(?:\.exe|\.cmd)?[\"']?\s+(?:--debug\s+)?(?:run|proxy)\s", re.IGNORECASE
)
_VERBS = ("run", "proxy", "mcp")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a mark says.

    Attributes:
        command: the index, among the arguments, of the command that was moved there.
        had_args: the entry had `args`.
        was_plain: the command was written without quotes.
    """

    command: int
    had_args: bool
    was_plain: bool


def inserted_words(name: str, value: str, *, analytics_off: bool) -> list[str]:
    """The arguments that stand before the entry's own command."""
    words = ["run"]
    if _can_be_passed(name):
        words += [f"--name={name}"] if name == "--" else ["--name", name]
    words.append(f"{OPTION}={value}")
    return [*words, *([ANALYTICS_OFF] if analytics_off else []), "--"]


def find_mark(args: Sequence[str]) -> Mark | None:
    """The mark among the arguments of an entry, if it is there and a command follows it."""
    if not args or args[0] != "run" or "--" not in args:
        return None
    end = _end_of_options(args)
    values = [word.removeprefix(f"{OPTION}=") for word in args[1:end] if word.startswith(f"{OPTION}=")]
    if not values or end + 1 >= len(args):
        return None
    said = values[-1].split(",")
    return Mark(end + 1, had_args=WITHOUT_ARGS not in said, was_plain=PLAIN in said)


def is_thv(command: str) -> bool:
    """Whether a command is a program called thv."""
    return bool(_PROGRAM.search(command))


def runs_thv(words: Sequence[str]) -> bool:
    """Whether a command line starts a server through thv, in whatever way: ``uvx thv run …``, ``sh -c 'thv run …'``."""
    for index, word in enumerate(words):
        following = next((other for other in words[index + 1 :] if not other.startswith("-")), "")
        names_thv = is_thv(word) or (index > 0 and bool(_PACKAGE.match(word)))
        if names_thv and following in _VERBS:
            return True
        if word == "--":
            return False
        if index > 0 and _IN_A_SHELL.search(word):
            return True
    return False


def _end_of_options(args: Sequence[str]) -> int:
    """The index of the ``--`` before the command; ``--name --`` is never written by us."""
    return list(args).index("--")


def _can_be_passed(name: str) -> bool:
    """Whether a name reaches thv as it is: clients fill in ``${X}`` and ``{env:X}``, and no argument holds a NUL."""
    return bool(name) and name.isprintable() and not any(character in name for character in "${}%")
