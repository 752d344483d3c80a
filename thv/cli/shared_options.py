"""Options that several commands share, each described once.

Those that `thv run` has, too, take their help from its table.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from thv.cli.run_options import BY_FLAG, THE_SERVER

Server = Annotated[str, typer.Argument(metavar="SERVER", help="What to run, as for `thv run`.")]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="KEY=VALUE", help=BY_FLAG["--env"].help, rich_help_panel=THE_SERVER),
]
EnvFile = Annotated[
    list[str] | None,
    typer.Option("--env-file", metavar="FILE", help=BY_FLAG["--env-file"].help, rich_help_panel=THE_SERVER),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help=BY_FLAG["--name"].help, rich_help_panel=THE_SERVER)
]
Cwd = Annotated[
    str | None, typer.Option("--cwd", metavar="DIR", help=BY_FLAG["--cwd"].help, rich_help_panel=THE_SERVER)
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Listen on ADDRESS.")]
AllowedOrigins = Annotated[
    list[str] | None,
    typer.Option("--allowed-origins", metavar="ORIGIN", help=BY_FLAG["--allowed-origins"].help),
]
Debug = Annotated[bool, typer.Option("--debug", help=BY_FLAG["--debug"].help)]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the answer.")]
