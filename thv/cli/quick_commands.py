"""The commands that need nothing but themselves: the version, completion scripts, and the names that these ask for.

Shared by the fast path and the Typer app, so the two cannot answer differently. Imports nothing slow.
"""

from __future__ import annotations

from thv import __version__
from thv.cli.output import answer


def version() -> None:
    """`thv --version`."""
    answer(f"thv {__version__}")


def completion(shell: str) -> None:
    """`thv completion`: the script that completes thv's words in a shell.

    Raises:
        UsageError: thv has none for `shell`.
    """
    from thv.cli.completion_script import script

    answer(script(shell).removesuffix("\n"))


def client_servers() -> None:
    """`thv __complete client-servers`: the names of the servers of all clients, for the completion scripts.

    A name that a shell would have to quote is left out; so is a file that cannot be read.
    """
    import re
    from pathlib import Path

    from thv.clients.client_file_locations import Machine, find
    from thv.clients.client_service import survey

    names = {entry.name for report in survey(find(Machine.this(), Path())) for entry in report.entries}
    for name in sorted(names):
        if re.fullmatch(r"[\w.@/+-]+", name):
            answer(name)
