"""What `thv run` accepts: one table, from which both its parser and its help are made.

The parser is the only one there is: the full command line asks it, too, so the two cannot disagree. It is read before
the server is started, and imports next to nothing.
"""

from __future__ import annotations

from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Option:
    """One option of `thv run`.

    Attributes:
        flags: its spellings, the long one first.
        help: one line for ``--help``.
        metavar: the name of its value, or None for a switch.
        multiple: may be given several times.
        heading: what it stands under in ``--help``, or None for the heading of all the rest.
    """

    __slots__ = ("flags", "heading", "help", "metavar", "multiple")

    def __init__(
        self, *flags: str, text: str, metavar: str | None = None, multiple: bool = False, heading: str | None = None
    ) -> None:
        self.flags = flags
        self.help = text
        self.metavar = metavar
        self.multiple = multiple
        self.heading = heading

    @property
    def name(self) -> str:
        """The parameter it fills: ``--env-file`` fills ``env_file``."""
        return self.flags[0].lstrip("-").replace("-", "_")


THE_SERVER = "The server"

OPTIONS = (
    Option(
        "--env",
        "-e",
        metavar="KEY=VALUE",
        multiple=True,
        heading=THE_SERVER,
        text="Set a variable in the server's environment.",
    ),
    Option(
        "--env-file",
        metavar="FILE",
        multiple=True,
        heading=THE_SERVER,
        text="Read KEY=VALUE lines into the server's environment.",
    ),
    Option(
        "--name",
        metavar="NAME",
        heading=THE_SERVER,
        text="Call the server NAME; by default its registry or package name.",
    ),
    Option("--cwd", metavar="DIR", heading=THE_SERVER, text="Start the server in DIR."),
    Option("--debug", text="Say on stderr what thv does, and show each usage analytics payload."),
)

BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}

HELP_FLAGS = ("-h", "--help")

SEE_HELP = "; see thv run --help"


class RunRequest:
    """What the command line asked for.

    Attributes:
        server: SERVER, or None when a whole command was given after ``--``.
        args: what came after ``--``: the server's arguments, or the command and its arguments.
        wants_help: ``-h`` or ``--help`` was given; nothing else counts then.
        env, env_file, name, cwd, debug: the options of the table.
    """

    def __init__(self) -> None:
        self.server: str | None = None
        self.args: tuple[str, ...] = ()
        self.wants_help = False
        self.env: list[str] = []
        self.env_file: list[str] = []
        self.name: str | None = None
        self.cwd: str | None = None
        self.debug = False

    def words(self) -> list[str]:
        """The words that `parse` makes this request of; without ``run``."""
        words = []
        for option in OPTIONS:
            value = getattr(self, option.name)
            if option.metavar is None:
                words += [option.flags[0]] if value else []
            elif option.multiple:
                words += [f"{option.flags[0]}={each}" for each in value]
            elif value is not None:
                words.append(f"{option.flags[0]}={value}")
        words += [self.server] if self.server is not None else []
        return [*words, "--", *self.args] if self.args else words


def parse(words: Sequence[str]) -> RunRequest:
    """Read the words after ``run``. Options may stand on either side of SERVER, up to ``--``.

    Raises:
        UsageError: the words make no sense.
    """
    request = RunRequest()
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            request.args = tuple(words[position:])
            break
        if word in HELP_FLAGS:
            request.wants_help = True
            return request
        if word.startswith("-") and word != "-":
            position = _take_option(request, words, position)
        elif request.server is None:
            request.server = word
        else:
            raise UsageError(f"unexpected argument {word!r}; put the server's own arguments after --{SEE_HELP}")
    if request.server is None and not request.args:
        raise UsageError(f"no server; give a SERVER, or -- and a command. `thv run demo` is one to try{SEE_HELP}")
    return request


def _take_option(request: RunRequest, words: Sequence[str], position: int) -> int:
    """Read the option before `position`; the position after its value."""
    word = words[position - 1]
    flag, given, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
    option = BY_FLAG.get(flag)
    if option is None:
        raise UsageError(f"no such option: {flag}{_nearest(flag)} put the server's own options after --{SEE_HELP}")
    if option.metavar is None:
        if given:
            raise UsageError(f"option {flag} takes no value")
        setattr(request, option.name, True)
        return position
    if not given:
        if position == len(words) or words[position] == "--":
            raise UsageError(f"option {flag} needs a value: {flag} {option.metavar}")
        value = words[position]
        position += 1
    if option.multiple:
        getattr(request, option.name).append(value)
    else:
        setattr(request, option.name, value)
    return position


def _nearest(flag: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(flag, BY_FLAG, n=1)
    return f"; did you mean {near[0]}? If not," if near else ";"
