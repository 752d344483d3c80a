"""`thv config`: one `otel:` setting of the config file at a time.

Answers go to stdout and nothing else does; words for people go to stderr. No logic: `thv.config.service` has it, and
`thv.cli.commands` what is answered before this module is imported, too.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from thv.cli import commands
from thv.cli.help_text import Command, Group, listed
from thv.cli.output import answer
from thv.config import service as settings_file
from thv.config.settings import config_path
from thv.core.console import warn

app = typer.Typer(
    cls=Group,
    help="Read and change the config file.",
    epilog=listed(
        "Examples:",
        [
            ("thv config otel list", ""),
            ("thv config otel set usage-analytics-enabled false", ""),
            ("thv config edit", ""),
        ],
    ),
)
otel = typer.Typer(
    cls=Group,
    help="Read and change its `otel` settings, usage analytics among them.",
    epilog=listed(
        "Examples:",
        [
            ("thv config otel list", ""),
            ("thv config otel get usage-analytics-enabled", ""),
            ("thv config otel set usage-analytics-enabled false", ""),
        ],
    ),
)
app.add_typer(otel, name="otel")

_KEY_HELP = "The setting; `thv config otel list` shows all."
Key = Annotated[str, typer.Argument(metavar="KEY", help=_KEY_HELP, show_default=False)]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show secrets: header values, the user in an endpoint.")]


class Format(StrEnum):
    """For whom `list` writes."""

    TEXT = "text"
    JSON = "json"


@app.command("path", cls=Command, epilog=listed("Example:", [("thv config path", "")]))
def path() -> None:
    """Print where the config file is, whether or not it exists."""
    commands.path()


@app.command(
    "edit",
    cls=Command,
    epilog=listed("Examples:", [("thv config edit", ""), ("EDITOR='code --wait' thv config edit", "")]),
)
def edit() -> None:
    """Open the config file in your editor, and check it afterwards.

    The editor is $VISUAL, else $EDITOR, else one that the system has. A file that is not there yet is made. What is
    wrong with it afterwards is said with line and column, and ends with exit code 1; the file stays as you wrote it.
    """
    from thv.cli.editor import edit as wait_for_editor

    where = config_path(os.environ)
    settings_file.create(where)
    wait_for_editor(where, os.environ)
    problems = settings_file.problems(where)
    for problem in problems:
        warn(problem)
    if problems:
        raise typer.Exit(1)
    warn(f"{where} is fine")


@otel.command(
    "get",
    cls=Command,
    epilog=listed(
        "Examples:", [("thv config otel get usage-analytics-enabled", ""), ("thv config otel get headers --reveal", "")]
    ),
)
def get(key: Key, *, reveal: Reveal = False) -> None:
    """Print the value of a setting. That is the file's, else its default, or nothing if it has none."""
    commands.get(key, reveal=reveal)


@otel.command(
    "set",
    context_settings={"ignore_unknown_options": True},
    cls=Command,
    epilog=listed(
        "Examples:",
        [
            ("thv config otel set usage-analytics-enabled false", ""),
            ("thv config otel set endpoint https://otel.example:4318", ""),
            ("thv config otel set custom-attributes team=blue,stage=test", ""),
        ],
    ),
)
def set_(
    key: Key,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="true/false, a number, text, a list A,B or a map K=V,K=V.", show_default=False
        ),
    ],
) -> None:
    """Write a setting into the config file. Every other byte of it stays as it is."""
    commands.set_(key, value)


@otel.command("unset", cls=Command, epilog=listed("Example:", [("thv config otel unset usage-analytics-enabled", "")]))
def unset(key: Key) -> None:
    """Remove a setting from the config file. That brings its default back."""
    commands.unset(key)


@otel.command(
    "list",
    cls=Command,
    epilog=listed("Examples:", [("thv config otel list", ""), ("thv config otel list --format json", "")]),
)
def list_(
    *,
    output: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
    reveal: Reveal = False,
) -> None:
    """Print every setting. Beside it stand the value that counts, and where that comes from."""
    where = config_path(os.environ)
    found = settings_file.listing(where, os.environ, refused=commands.refused, reveal=reveal)
    rows = [(shown.name, shown.effective, _origin(shown, where)) for shown in found]
    if output is Format.JSON:
        found_json = [{"key": key, "value": value or None, "origin": origin} for key, value, origin in rows]
        answer(json.dumps(found_json, indent=2))
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        for key, value, origin in rows:
            answer(f"{key:{widths[0]}}  {value:{widths[1]}}  {origin}")


def _origin(shown: settings_file.Shown, where: str) -> str:
    if shown.variable is not None:
        return f"environment {shown.variable}"
    return "default" if shown.line is None else f"{where}:{shown.line}"


def _print_table(rows: list[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    # Folded: in a narrow terminal every letter is shown, on more lines.
    columns = [Column(title, overflow="fold") for title in ("Setting", "Value", "From")]
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
