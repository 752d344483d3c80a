"""`thv mcp` on the full command line: its help. What the commands do is `thv.cli.mcp`, reached without Typer, too."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from thv.cli.help_text import Group, listed
from thv.cli.mcp_options import CALL_OPTIONS, LIST_OPTIONS, parse_call, parse_list
from thv.cli.run_options import all_options
from thv.cli.table_command import add_table_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.cli.mcp_options import McpRequest

SERVER = ("SERVER", "What to run, as for `thv run`.")

CALL_HELP = """\
Call one tool of a server.

Each VALUE is read as the type the tool wants there: `a=2` is a number for a tool that takes numbers, and a text for one
that takes texts. Lists and objects are written as JSON. A call that fails ends with exit code 1.
"""


def _run(name: str, request: McpRequest, debug: bool) -> int:
    from thv.cli import mcp

    command: Callable[[McpRequest], int] = getattr(mcp, name)
    return command(request.replace(run=request.run.replace(debug=True)) if debug else request)


app = typer.Typer(
    cls=Group,
    help="Try an MCP server by hand, through the same relay as a client.",
    epilog=listed("Examples:", [("thv mcp list demo", "its tools"), ("thv mcp call demo add a=2 b=3", "one of them")]),
)
add_table_command(
    app,
    "list",
    arguments=[SERVER],
    options=all_options(LIST_OPTIONS),
    parse=parse_list,
    run=partial(_run, "list_tools"),
    usages=("[OPTIONS] SERVER [-- ARGS...]",),
    text="List the tools of a server.",
    examples=[
        ("thv mcp list demo", ""),
        ("thv mcp list filesystem -- ~/notes", ""),
        ("thv mcp list time --format json", ""),
    ],
)
add_table_command(
    app,
    "call",
    arguments=[SERVER, ("TOOL", "The tool's name."), ("[KEY=VALUE]...", "Its arguments.")],
    options=all_options(CALL_OPTIONS),
    parse=parse_call,
    run=partial(_run, "call_tool"),
    usages=("[OPTIONS] SERVER TOOL [KEY=VALUE]... [-- ARGS...]",),
    text=CALL_HELP,
    examples=[
        ("thv mcp call demo add a=2 b=3", ""),
        ('thv mcp call demo add --args-json \'{"a": 2, "b": 3}\'', ""),
        ("thv mcp call time get_current_time timezone=UTC", ""),
    ],
)
