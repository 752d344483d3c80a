"""`thv config`: one `otel:` setting of the config file at a time.

Answers go to stdout and nothing else does; words for people go to stderr. No logic: `thv.config.otel` has it.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from thv.cli.help import Command, Group, listed
from thv.config import otel as settings_file
from thv.config.settings import KEYS, SECTION, USAGE_ANALYTICS_ENABLED, config_path
from thv.console import say

app = typer.Typer(cls=Group, help="Read and change the config file.")
otel = typer.Typer(cls=Group, help="Read and change its `otel` settings, usage analytics among them.")
app.add_typer(otel, name="otel")

_KEY_HELP = "The setting; `thv config otel list` shows all."
Key = Annotated[str, typer.Argument(metavar="KEY", help=_KEY_HELP, show_default=False)]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show header values, which are secrets.")]


class Format(StrEnum):
    """For whom `list` writes."""

    TEXT = "text"
    JSON = "json"


@app.command("path", cls=Command, epilog=listed("Example:", [("thv config path", "")]))
def path() -> None:
    """Print where the config file is, whether or not it exists."""
    typer.echo(config_path(os.environ))


@otel.command("get", cls=Command, epilog=listed("Example:", [("thv config otel get usage-analytics-enabled", "")]))
def get(key: Key, *, reveal: Reveal = False) -> None:
    """Print the value of a setting. That is the file's, else its default, or nothing if it has none."""
    shown = settings_file.get(config_path(os.environ), key, reveal=reveal)
    if shown.value:
        typer.echo(shown.value)
    _say_if_overridden(shown)


@otel.command(
    "set",
    context_settings={"ignore_unknown_options": True},
    cls=Command,
    epilog=listed("Example:", [("thv config otel set usage-analytics-enabled false", "")]),
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
    where = config_path(os.environ)
    shown = settings_file.put(where, key, value)
    say(f"{SECTION}.{shown.name} is now {shown.value or 'empty'} in {where}")
    _say_if_overridden(shown)


@otel.command("unset", cls=Command, epilog=listed("Example:", [("thv config otel unset usage-analytics-enabled", "")]))
def unset(key: Key) -> None:
    """Remove a setting from the config file. That brings its default back."""
    where = config_path(os.environ)
    removed = settings_file.unset(where, key)
    default = KEYS[key].default or "empty"
    say(f"{SECTION}.{key} {'is removed from' if removed else 'was not in'} {where}; its default is {default}")


@otel.command("list", cls=Command, epilog=listed("Example:", [("thv config otel list --format json", "")]))
def list_(
    *,
    output: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
    reveal: Reveal = False,
) -> None:
    """Print every setting. Beside it stand its value, and whether that is the file's or the default."""
    where = config_path(os.environ)
    rows = [
        (shown.name, shown.value, "default" if shown.line is None else f"{where}:{shown.line}")
        for shown in settings_file.listing(where, reveal=reveal)
    ]
    if output is Format.JSON:
        found = [{"key": key, "value": value or None, "origin": origin} for key, value, origin in rows]
        typer.echo(json.dumps(found, indent=2))
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in rows:
            typer.echo("\t".join(row))


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


def _say_if_overridden(shown: settings_file.Shown) -> None:
    """One line on stderr where the environment turns off what the file turns on."""
    if shown.name != USAGE_ANALYTICS_ENABLED or shown.value != "true":
        return
    from thv.analytics.consent import decide
    from thv.ports import BooleanReading

    consent = decide(os.environ, lambda: BooleanReading(value=True))
    if not consent.enabled:
        say(f"usage analytics stay off all the same: {consent.source}")
