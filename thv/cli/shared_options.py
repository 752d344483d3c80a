"""Options that several commands of the full command line share, each described once.

Those that `thv run` has, too, take their help from its table. `thv run` and `thv mcp` have tables of their own.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from thv.cli.run_options import BY_FLAG

Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Listen on ADDRESS.")]
AllowedOrigins = Annotated[
    list[str] | None,
    typer.Option("--allowed-origins", metavar="ORIGIN", help=BY_FLAG["--allowed-origins"].help),
]
Debug = Annotated[bool, typer.Option("--debug", help=BY_FLAG["--debug"].help)]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the answer.")]
