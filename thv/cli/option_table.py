"""A command line as a table of options, and the one parser of such tables: that of `thv run` and `thv mcp`.

It is read before the server is started, and imports next to nothing; the command-line library takes 100 ms. The help is
made from the same tables.
"""

from __future__ import annotations

from thv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HELP_FLAGS = ("-h", "--help")

OTEL = "--otel-"
"""What the options of the user's telemetry begin with. They are made of its settings, and only when one is needed."""


class Option:
    """One option of a command.

    Attributes:
        flags: its spellings, the long one first.
        help: one line for ``--help``.
        metavar: the name of its value, or None for a switch.
        choices: the values it can have; empty if any.
        bare: what it means without a value, which then only ``=`` can give; None if it needs one.
        multiple: may be given several times.
        heading: what it stands under in ``--help``, or None for the heading of all the rest.
        setting: the setting of the user's telemetry that it gives for this run, or None.
        ways: the ways to run a server in which it has an effect, of `thv.cli.run_options`; None for those of its
            heading.
    """

    __slots__ = ("bare", "choices", "flags", "heading", "help", "metavar", "multiple", "setting", "ways")

    def __init__(
        self,
        *flags: str,
        text: str,
        metavar: str | None = None,
        multiple: bool = False,
        heading: str | None = None,
        setting: str | None = None,
        choices: tuple[str, ...] = (),
        bare: str | None = None,
        ways: tuple[str, ...] | None = None,
    ) -> None:
        self.bare = bare
        self.choices = choices
        self.setting = setting
        self.flags = flags
        self.help = text
        self.metavar = metavar
        self.multiple = multiple
        self.heading = heading
        self.ways = ways

    @property
    def name(self) -> str:
        """The parameter it fills: ``--env-file`` fills ``env_file``."""
        return self.flags[0].lstrip("-").replace("-", "_")


class ParsedWords:
    """What a command line says, before it is interpreted.

    Attributes:
        values: the value of each option given, by its name: True, a text, or a list of texts.
        settings: the text given for each setting of the user's telemetry.
        places: the words that are no option.
        rest: the words after ``--``; None if there was none.
        wants_help: ``-h`` or ``--help`` was given; nothing after it was read.
    """

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.settings: dict[str, str] = {}
        self.places: list[str] = []
        self.rest: tuple[str, ...] | None = None
        self.wants_help = False


class WordParser:
    """Reads the words after a command. Options may stand anywhere, up to ``--``.

    Args:
        command: its words, as ``thv run``.
        find: the option of a flag, or None.
        options: every option, to name the nearest; called only for that.
    """

    def __init__(
        self, command: str, find: Callable[[str], Option | None], options: Callable[[], Sequence[Option]]
    ) -> None:
        self._find = find
        self._options = options
        self.see_help = f"; see {command} --help"

    def parse(self, words: Sequence[str]) -> ParsedWords:
        """What the words say.

        Raises:
            UsageError: there is no such option, or its value is missing, or cannot be.
        """
        parsed = ParsedWords()
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            if word == "--":
                parsed.rest = tuple(words[position:])
                break
            if word in HELP_FLAGS:
                parsed.wants_help = True
                break
            if word.startswith("-") and word != "-":
                position = self._take(parsed, words, position)
            else:
                parsed.places.append(word)
        return parsed

    def _take(self, parsed: ParsedWords, words: Sequence[str], position: int) -> int:
        """Read the option before `position`; returns the position after its value."""
        word = words[position - 1]
        flag, given, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        option = self._find(flag)
        if option is None:
            near = self._nearest(flag)
            raise UsageError(f"no such option: {flag}{near} put the server's own options after --{self.see_help}")
        if option.metavar is None:
            if option.setting is not None:
                parsed.settings[option.setting] = value if given else "true"
            elif given:
                raise UsageError(f"option {flag} takes no value")
            else:
                parsed.values[option.name] = True
            return position
        if not given and option.bare is not None:
            value = option.bare
        elif not given:
            if position == len(words) or words[position] == "--":
                raise UsageError(f"option {flag} needs a value: {flag} {option.metavar}")
            value = words[position]
            position += 1
        self._check(option, flag, value)
        if option.setting is not None:
            before = parsed.settings.get(option.setting) if option.multiple else None
            parsed.settings[option.setting] = value if before is None else f"{before},{value}"
        elif option.multiple:
            values = parsed.values.setdefault(option.name, [])
            assert isinstance(values, list)  # noqa: S101  tells the type checker
            values.append(value)
        else:
            parsed.values[option.name] = value
        return position

    def _check(self, option: Option, flag: str, value: str) -> None:
        """Raise `UsageError` if the option cannot have this value, as far as its row says."""
        if option.choices and value not in option.choices:
            raise UsageError(f"{flag} cannot be {value!r}: write {_either(option.choices)}{self.see_help}")
        if not value and not option.multiple and option.setting is None and option.bare is None:
            raise UsageError(f"the value of {flag} is empty: write {flag} {option.metavar}{self.see_help}")

    def _nearest(self, flag: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(flag, [flag for option in self._options() for flag in option.flags], n=1)
        return f"; did you mean {near[0]}? If not," if near else ";"


def _either(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def option_finder(by_flag: Mapping[str, Option]) -> Callable[[str], Option | None]:
    """Finds the option of a flag, one of the user's telemetry too; those are made only if one is looked for."""

    def find(flag: str) -> Option | None:
        if not flag.startswith(OTEL):
            return by_flag.get(flag)
        return next((option for option in otel_options() if flag in option.flags), None)

    return find


def otel_options() -> list[Option]:
    """The options of the user's telemetry: one for each of its settings."""
    from thv.cli.otel_options import YOUR_TELEMETRY, rows

    return [
        Option(OTEL + name, text=text, metavar=metavar, multiple=multiple, heading=YOUR_TELEMETRY, setting=name)
        for name, text, metavar, multiple in rows()
    ]


def check_settings(otel: Mapping[str, str], see_help: str) -> None:
    """Check what the options give settings of the user's telemetry.

    Raises:
        UsageError: a setting cannot be that.
    """
    if not otel:
        return
    from thv.config.effective_settings import parse_flags
    from thv.errors import SettingError

    try:
        parse_flags(otel)
    except SettingError as error:
        raise UsageError(f"{OTEL}{error}{see_help}") from None
