"""The style of help and of usage errors: plain text that fits any terminal, and one line for a wrong command line.

Error messages of the command-line library are reworded here. Knows no command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from thv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

WRONG_COMMAND_LINE = UsageError.exit_code
PLAIN_WORDS = {
    "is not a valid int range": "is not a whole number",
    "is not a valid float range": "is not a number",
    "is not a valid integer": "is not a whole number",
    "is not a valid float": "is not a number",
}
"""What the command-line library says of a number, and how people say it."""
QUOTE = "'"
"""What the command-line library puts around a command's name."""


class Group(TyperGroup):
    """A command that has commands. Without one it shows its help, on stderr, since nothing was asked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words, if there are any."""
        if not args:
            typer.echo(self.get_help(ctx), err=True)
            ctx.exit(WRONG_COMMAND_LINE)
        return super().parse_args(ctx, args)


class Command(TyperCommand):
    """A command whose usage line names what is required without braces, and whose options stand under headings."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; what is wrong with them is of this command, whose help is named."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            usage_error: Any = error
            if getattr(usage_error, "ctx", None) is None:  # the parser does not know it where a value is missing
                usage_error.ctx = ctx
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options; an option that names a panel stands under that heading, the others come last."""
        last = "Options"
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                heading = "Arguments" if parameter.param_type_name == "argument" else last
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or heading, []).append(row)
        for heading in sorted(sections, key=lambda heading: heading == last):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])


def given_options(context: typer.Context) -> list[str]:
    """The options that the command line of a command gives, by their flags."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.param_type_name == "option"
        and (source := context.get_parameter_source(str(parameter.name))) is not None
        and source.name == "COMMANDLINE"
    ]


def listed(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A paragraph of help that keeps its line breaks: what one can type, and what it means."""
    width = max(len(typed) for typed, _ in rows)
    lines = [f"  {typed:{width}}  {meaning}".rstrip() for typed, meaning in rows]
    return "\n".join(["\b", title, *lines])


def format_usage_error(error: typer.TyperException) -> str:
    """What is wrong with the command line, and where its help is, in one line."""
    context = getattr(error, "ctx", None)
    near = getattr(error, "possibilities", None)
    if near:
        return f"no such option: {getattr(error, 'option_name', '')}; did you mean {' or '.join(sorted(near))}?"
    text = error.format_message().rstrip(".")
    text = text[:1].lower() + text[1:]
    for jargon, plain in PLAIN_WORDS.items():
        text = text.replace(jargon, plain)
    text, suggested, names = text.partition(". Did you mean ")
    if suggested:
        return f"{text}; did you mean {names.rstrip('?').replace(QUOTE, '').replace(', ', ' or ')}?"
    return f"{text}; see {context.command_path if context is not None else 'thv'} --help"
