"""Commands with a table of options as commands of the full command line: their help, and the same parser underneath.

Typer would lose the ``--`` that tells a server's words from ours.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thv.cli.help_text import Command, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.cli.option_table import Option

ARGUMENTS_OF_THE_SERVER = "[-- ARGS...]"


class TableCommand(Command):
    """A command that its own table parses. Its subclass is made by `add_table_command`.

    Attributes:
        tail: what may follow ``--``: ``words`` of a server, or also a whole ``command``; empty for nothing.
    """

    parse_words: Callable[[list[str]], Any]
    run_request: Callable[[Any, bool], int]
    usages: tuple[str, ...]
    tail: str

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep what the table's parser makes of the words, or show the help."""
        ctx.obj = type(self).parse_words(args)
        return super().parse_args(ctx, ["--help"]) if ctx.obj.wants_help else []

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Each way to use the command on a line of its own."""
        first, *others = self.usages
        formatter.write_usage(ctx.command_path, first)
        for usage in others:
            formatter.write_usage(ctx.command_path, usage, prefix=" " * len("Usage: "))

    def invoke(self, ctx: Any) -> Any:
        """Run what was asked for."""
        return type(self).run_request(ctx.obj, bool(ctx.find_root().params.get("debug")))


def add_table_command(
    app: typer.Typer,
    name: str,
    *,
    arguments: Sequence[tuple[str, str]],
    options: Sequence[Option],
    parse: Callable[[list[str]], Any],
    run: Callable[[Any, bool], int],
    usages: tuple[str, ...],
    text: str,
    examples: Sequence[tuple[str, str]],
    takes_server: bool = True,
    takes_command: bool = False,
) -> None:
    """Add a command to `app`.

    Args:
        app: the group.
        name: the command's word.
        arguments: the metavar and the help of each argument; the last one may be `ARGUMENTS_OF_THE_SERVER`.
        options: its table.
        parse: reads its words.
        run: does what they ask for, given the request and whether ``thv --debug`` was typed.
        usages: what may follow the command.
        text: its help.
        examples: commands to show below it, and what they do.
        takes_server: words after ``--`` are a server's own.
        takes_command: a whole command may follow ``--`` in place of SERVER.
    """
    members = {
        "parse_words": staticmethod(parse),
        "run_request": staticmethod(run),
        "usages": usages,
        "tail": "command" if takes_command else "words" if takes_server else "",
    }
    command_class = type("TableCommand", (TableCommand,), members)

    def body(**_words: object) -> None:
        """`TableCommand.invoke` is what runs."""

    body.__signature__ = inspect.Signature(_parameters(arguments, options))  # type: ignore[attr-defined]  # what Typer reads
    app.command(name, cls=command_class, help=text, epilog=listed("Examples:", examples))(body)


def _parameters(arguments: Sequence[tuple[str, str]], options: Sequence[Option]) -> list[inspect.Parameter]:
    def parameter(name: str, default: object, annotation: object) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    found = []
    for position, (metavar, text) in enumerate(arguments):
        kind: Any = list[str] | None if metavar.endswith("...") or "..." in metavar else str | None
        found.append(
            parameter(f"argument_{position}", None, Annotated[kind, typer.Argument(metavar=metavar, help=text)])
        )
    for option in options:
        kind = str | None
        if option.multiple:
            kind = list[str] | None
        elif option.metavar is None:
            kind = bool
        elif option.choices:
            kind = Literal[option.choices] | None
        details = typer.Option(*option.flags, metavar=option.metavar, help=option.help, rich_help_panel=option.heading)
        found.append(parameter(option.name, False if option.metavar is None else None, Annotated[kind, details]))
    return found
