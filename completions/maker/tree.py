"""What can be typed after `thv`, as plain data: read from the command line itself and from the tables it is made of.

Promises: whatever the commands, their options, the settings and the registry say is here, in their order, and nothing
is written down twice. Knows no shell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typer.main import get_command

from thv.cli.app import app
from thv.cli.completion_script import FILES
from thv.cli.run_options import all_options
from thv.cli.table_command import ARGUMENTS_OF_THE_SERVER, TableCommand
from thv.clients.catalog import CLIENTS
from thv.config.setting_types import PROTOCOLS
from thv.config.settings import BOOLEAN, OTEL, PROTOCOL, SECTIONS
from thv.servers.registry import entries

NOTHING = "nothing"
"""The kind of a value that only the user knows."""

SERVER, CLIENT, CLIENT_SERVER, KEY, VALUE = "server", "client", "client-server", "key", "value"
SHELL, FILE, DIRECTORY, VERB = "shell", "file", "directory", "verb"
"""Kinds with a meaning in the templates; a choice is a kind by its own words, such as ``text/json``."""

AFTER_EQUALS = "?"
"""Begins the kind of a value that an option takes only after ``=``."""

TRUE_OR_FALSE = "true/false"

SETTING_SWITCHES = {
    option.flags[0] for option in all_options() if option.setting is not None and option.metavar is None
}
"""Switches that are settings: ``=false`` turns them off."""

KIND_OF = {
    "SERVER": SERVER,
    "[CLIENT|FILE]...": CLIENT,
    "SERVER_NAME": CLIENT_SERVER,
    "VALUE": VALUE,
    "SHELL": SHELL,
    "FILE": FILE,
    "DIR": DIRECTORY,
    "KEY=VALUE": NOTHING,
    "NAME=VALUE": NOTHING,
    "[KEY=VALUE]...": NOTHING,
    "JSON": NOTHING,
    "[COMMAND]...": VERB,
    "NAME": NOTHING,
    "TOOL": NOTHING,
    "NETWORK": NOTHING,
    "VOLUME": FILE,
    "ADDRESS": NOTHING,
    "PORT": NOTHING,
    "NAMESPACE": NOTHING,
    "IMAGE": NOTHING,
    "URL": NOTHING,
    "ID": NOTHING,
    "SCOPES": NOTHING,
    "ORIGIN": NOTHING,
    "HOST": NOTHING,
    "N": NOTHING,
    "SECONDS": NOTHING,
    "URI": NOTHING,
    "RATE": NOTHING,
    "TIME": NOTHING,
    "[=N]": AFTER_EQUALS + NOTHING,
    "PROTOCOL": PROTOCOL,
}
"""What a metavar in the help stands for. A new one needs an entry here."""

PREFIXES = (
    ("uvx://", "a PyPI package"),
    ("npx://", "an npm package"),
    ("docker://", "a container image"),
    ("https://", "a remote server"),
)
"""What a SERVER may begin with; what follows cannot be known, so no blank is put behind them."""


@dataclass(frozen=True, slots=True)
class Word:
    """Something to type, and what it means."""

    text: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its spellings, the kind of its value (None for a switch), and whether it may be given again.

    A kind that begins with `AFTER_EQUALS` is that of a switch with a value that only ``=`` gives.
    """

    flags: tuple[str, ...]
    help: str
    kind: str | None
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Command:
    """What may follow one command.

    Attributes:
        path: its words, such as ``config otel get``; empty for thv itself.
        verbs: the commands below it.
        options: those it takes itself.
        places: the kinds of its arguments; the last one repeats if `repeats`.
        tail: what may follow ``--``: ``""`` nothing, ``words`` a server's, ``command`` also a whole command.
    """

    path: str
    verbs: tuple[Word, ...]
    options: tuple[Option, ...]
    places: tuple[str, ...]
    repeats: bool
    tail: str


@dataclass(frozen=True, slots=True)
class Tree:
    """Every command, and the words of each kind that has some; a value's kind is ``value KEY``."""

    commands: tuple[Command, ...]
    words: dict[str, tuple[Word, ...]]


def build() -> Tree:
    """The tree of this version.

    Raises:
        ValueError: a command takes a value that `KIND_OF` does not know.
    """
    words: dict[str, tuple[Word, ...]] = {
        SERVER: (
            *(Word(entry.name, entry.description) for entry in entries().values()),
            *(Word(text, meaning) for text, meaning in PREFIXES),
        ),
        **{
            _key_kind(section.name): tuple(Word(known.name, _line(known.help)) for known in section.keys.values())
            for section in SECTIONS.values()
        },
        CLIENT: tuple(Word(client.id, client.title) for client in CLIENTS),
        SHELL: tuple(map(Word, FILES)),
        PROTOCOL: tuple(map(Word, PROTOCOLS)),
        TRUE_OR_FALSE: tuple(map(Word, TRUE_OR_FALSE.split("/"))),
    }
    for setting in (known for section in SECTIONS.values() for known in section.keys.values()):
        values = {BOOLEAN: ("true", "false"), PROTOCOL: PROTOCOLS}.get(setting.kind)
        if values:
            words[f"{VALUE} {setting.name}"] = tuple(map(Word, values))
    found: list[Command] = []
    _walk(get_command(app), None, "", found, words)
    words[VERB] = found[0].verbs
    return Tree(tuple(found), words)


def _walk(command: Any, above: Any, path: str, found: list[Command], words: dict[str, tuple[Word, ...]]) -> None:
    context = command.context_class(command, info_name=command.name, parent=above, **command.context_settings)
    options, places, repeats = [], [], False
    for parameter in command.get_params(context):
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "option":
            flags = tuple(sorted(parameter.opts, key=len, reverse=True))
            if parameter.is_flag:
                kind = f"{AFTER_EQUALS}{TRUE_OR_FALSE}" if flags[0] in SETTING_SWITCHES else None
            else:
                kind = _kind(parameter, path, words)
            options.append(Option(flags, _line(parameter.help), kind, parameter.multiple))
        elif parameter.metavar != ARGUMENTS_OF_THE_SERVER:
            places.append(_kind(parameter, path, words))
            repeats = parameter.nargs == -1
    verbs = (
        {}
        if not hasattr(command, "list_commands")
        else {name: command.get_command(context, name) for name in command.list_commands(context)}
    )
    verbs = {name: verb for name, verb in verbs.items() if not verb.hidden}
    tail = command.tail if isinstance(command, TableCommand) else ""
    shown = tuple(Word(name, _line(verb.get_short_help_str(200))) for name, verb in verbs.items())
    found.append(Command(path, shown, tuple(options), tuple(places), repeats, tail))
    for name, verb in verbs.items():
        _walk(verb, context, f"{path} {name}".strip(), found, words)


def _kind(parameter: Any, path: str, words: dict[str, tuple[Word, ...]]) -> str:
    choices = getattr(parameter.type, "choices", None)
    if choices:
        texts = [str(getattr(choice, "value", choice)) for choice in choices]
        kind = "/".join(texts)
        words[kind] = tuple(map(Word, texts))
        return kind
    if parameter.metavar == "KEY":
        return _key_kind(path.split()[1])
    try:
        return KIND_OF[parameter.metavar]
    except KeyError:
        where = f"thv {path}".strip()
        raise ValueError(
            f"{where}: how does {parameter.metavar or parameter.name} complete? Say so in KIND_OF"
        ) from None


def _key_kind(section: str) -> str:
    """The kind of a KEY of `thv config SECTION`."""
    return KEY if section == OTEL.name else f"{section}-{KEY}"


def _line(text: str | None) -> str:
    return " ".join((text or "").split()).removesuffix(".")
