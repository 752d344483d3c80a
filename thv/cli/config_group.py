"""`thv config`: one setting of the config file at a time, by the same commands for each section.

Answers go to stdout and nothing else does; messages go to stderr. No logic: it is in `thv.config.settings_file`, and in
`thv.cli.config` for what the fast path answers too. A new section is an entry of `thv.config.settings.SECTIONS` and one
of `ABOUT` here.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thv.cli import config
from thv.cli.help_text import Command, Group, listed
from thv.cli.output import answer
from thv.config import settings_file, settings_from_environment
from thv.config.settings import JOURNAL, OTEL, SECTIONS, config_path
from thv.core.console import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.config.settings import Section

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
Key = Annotated[str, typer.Argument(metavar="KEY", help="The setting; `list` shows all.", show_default=False)]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show secrets: header values, user and query of an endpoint.")]

ABOUT = {
    OTEL.name: (
        "Read and change its `otel` settings, usage analytics among them.",
        {
            "get": ["usage-analytics-enabled", "headers --reveal"],
            "set": [
                "usage-analytics-enabled false",
                "endpoint https://otel.example:4318",
                "custom-attributes team=blue,stage=test",
                "headers --add api-key=KEY",
            ],
            "unset": ["usage-analytics-enabled"],
            "list": ["", "--format json"],
        },
    ),
    JOURNAL.name: (
        "Read and change its `journal` settings.",
        {
            "get": ["enabled"],
            "set": ["enabled false", "max-size 128MiB", "max-age 7d"],
            "unset": ["max-size"],
            "list": ["", "--format json"],
        },
    ),
}
"""Section -> the help of its command, and examples of each verb."""


class Format(StrEnum):
    """For whom `list` writes."""

    TEXT = "text"
    JSON = "json"


@app.command("path", cls=Command, epilog=listed("Example:", [("thv config path", "")]))
def path() -> None:
    """Print where the config file is, whether or not it exists."""
    config.path()


@app.command(
    "edit",
    cls=Command,
    epilog=listed("Examples:", [("thv config edit", ""), ("EDITOR='code --wait' thv config edit", "")]),
)
def edit() -> None:
    """Open the config file in your editor, and check it afterwards.

    The editor is $VISUAL, else $EDITOR, else one that the system has. A missing file is created. Each mistake in it is
    reported with line and column, and the exit code is then 1; the file stays as you wrote it.
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


def get(ctx: typer.Context, key: Key, *, reveal: Reveal = False) -> None:
    """Print the value of a setting. That is the file's, else its default, or nothing if it has none."""
    config.get(key, section=_section(ctx).name, reveal=reveal)


def set_(
    ctx: typer.Context,
    key: Key,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="true/false, a number, text, a list A,B or a map K=V,K=V.", show_default=False
        ),
    ],
    *,
    add: Annotated[
        bool, typer.Option("--add", help="Add to a list or a map, and leave its other entries as they are.")
    ] = False,
) -> None:
    """Write a setting into the config file. Every other byte of it stays as it is."""
    config.set_(key, value, section=_section(ctx).name, add=add)


def unset(ctx: typer.Context, key: Key) -> None:
    """Remove a setting from the config file. That brings its default back."""
    config.unset(key, section=_section(ctx).name)


def list_(
    ctx: typer.Context,
    *,
    output: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
    reveal: Reveal = False,
) -> None:
    """Print every setting. Beside it stand the effective value and its source."""
    where = config_path(os.environ)
    found = settings_file.listing(where, _section(ctx), os.environ, refused=config.refused, reveal=reveal)
    rows = [(shown.name, shown.effective, _origin(shown, where)) for shown in found]
    if output is Format.JSON:
        found_json = [{"key": key, "value": value or None, "origin": origin} for key, value, origin in rows]
        answer(json.dumps(found_json, indent=2))
    elif sys.stdout is not None and sys.stdout.isatty():
        _print_table(rows)
    else:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        answer("\n".join(f"{key:{widths[0]}}  {value:{widths[1]}}  {origin}" for key, value, origin in rows))
    others = settings_from_environment.without_a_key(os.environ) if _section(ctx) is OTEL else []
    if others:
        warn(f"in force besides these settings: {', '.join(others)} (docs/telemetry.md)")


VERBS: dict[str, Callable[..., Any]] = {"get": get, "set": set_, "unset": unset, "list": list_}


def _section(ctx: typer.Context) -> Section:
    """The section that the command line names: ``thv config SECTION VERB``."""
    assert ctx.parent is not None  # noqa: S101  a verb is always below its section
    return SECTIONS[str(ctx.parent.info_name)]


def _add_section(name: str) -> typer.Typer:
    """`thv config NAME` with every verb."""
    about, examples = ABOUT[name]

    def shown(*verbs: str) -> str:
        lines = [(f"thv config {name} {verb} {words}".rstrip(), "") for verb in verbs for words in examples[verb]]
        return listed("Example:" if len(lines) == 1 else "Examples:", lines)

    group = typer.Typer(cls=Group, help=about, epilog=shown("list", "get", "set"))
    for verb, function in VERBS.items():
        settings = {"ignore_unknown_options": True} if verb == "set" else None  # a value may begin with a dash
        group.command(verb, cls=Command, context_settings=settings, epilog=shown(verb))(function)
    app.add_typer(group, name=name)
    return group


GROUPS = {name: _add_section(name) for name in SECTIONS}


def _origin(shown: settings_file.Shown, where: str) -> str:
    if shown.origin is not None:
        return shown.origin
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
