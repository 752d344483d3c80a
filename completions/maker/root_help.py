"""The help of `thv` itself, as the full command line prints it where there is room."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from thv.cli.app import app
from thv.cli.root_help import WIDTH


def root_help() -> str:
    """The text, with its last newline, whatever the terminal is."""
    command: Any = get_command(app)
    context = command.context_class(command, info_name="thv", **command.context_settings)
    context.terminal_width = WIDTH - 2  # Typer leaves two columns free
    return f"{command.get_help(context)}\n"
