"""Reads the command lines that people and programs use all day, before the command-line library is imported.

It understands the commands of `COMMANDS` with exactly their arguments and no option, and declines everything else: the
full command line answers that. What a command does, and how it ends, is the same code for both.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = {
    ("--version",): ("version", 0),
    ("config", "path"): ("path", 0),
    ("config", "otel", "get"): ("get", 1),
    ("config", "otel", "set"): ("set_", 2),
    ("config", "otel", "unset"): ("unset", 1),
}
"""The words of each command, its function in `thv.cli.verbs`, and how many arguments it takes."""

LONGEST = max(map(len, COMMANDS))


def command(words: Sequence[str]) -> Callable[[], None] | None:
    """What these words ask for, or None if that is for the full command line to find out. Does nothing yet."""
    for length in range(1, LONGEST + 1):
        known = COMMANDS.get(tuple(words[:length]))
        if known is not None:
            name, count = known
            arguments = words[length:]
            # What begins with a dash may be an option; what is empty may be missing.
            if len(arguments) != count or not all(arguments) or any(word[0] == "-" for word in arguments):
                return None
            from thv.cli import verbs

            return lambda: getattr(verbs, name)(*arguments)
    return None
