"""`thv client`: thv in front of the servers in the configuration of the user's MCP clients, and away again.

Lists and diffs go to stdout; what was done and what was left alone goes to stderr. No logic: `thv.clients` has it.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from thv.cli import config
from thv.cli.help_text import Command, Group, listed
from thv.cli.output import answer
from thv.core.console import warn
from thv.core.printable import printable_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thv.clients.client_file_locations import ClientFile
    from thv.clients.client_service import FileChange, FileReport
    from thv.clients.entries import ServerEntry

app = typer.Typer(
    cls=Group,
    help="Put thv in front of your MCP clients' servers.",
    epilog=listed(
        "Examples:",
        [
            ("thv client list", "what your clients start"),
            ("thv client wrap --dry-run", "what would change"),
            ("thv client wrap", "put thv in front of every server"),
            ("thv client unwrap", "take it away again"),
        ],
    ),
)

Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print the answer.")]
Clients = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CLIENT|FILE]...", help="Clients or their files; by default all that are found.", show_default=False
    ),
]
Servers = Annotated[
    list[str] | None,
    typer.Option("--server", metavar="SERVER_NAME", help="Only the server of this name; may be given again."),
]
Project = Annotated[
    str, typer.Option("--project", metavar="DIR", help="Where to look for the files of a project.", show_default=False)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]

HERE = "."

WIDEST_NAME = 24
"""Columns that names of servers are given before the next column; longer ones are folded."""

STATES = {
    "wrapped": "through thv",
    "by-hand": "through thv",
    "direct": "direct",
    "remote": "remote",
    "disabled": "disabled",
    "left-alone": "not supported",
}
"""The words for each state of a server."""


@app.command(
    "list",
    cls=Command,
    epilog=listed("Examples:", [("thv client list", ""), ("thv client list cursor --format json", "")]),
)
def list_(clients: Clients = None, *, project: Project = HERE, output: Format = "text") -> int:
    """List the clients that are found here, their files and their servers.

    A file that cannot be read is listed with the reason, and ends with exit code 1.
    """
    from thv.clients.client_service import survey

    reports = survey(files_of(clients, project))
    if output == "json":
        answer(json.dumps({"files": [_report_as_json(report) for report in reports]}, indent=2))
    elif not reports:
        warn("no MCP client is configured here; name a file to look at")
    elif sys.stdout.isatty():
        _print_table(reports)
    else:
        for row in _rows(reports):
            answer("\t".join(row))
    return 1 if any(report.problem for report in reports) else 0


@app.command(
    "wrap",
    cls=Command,
    epilog=listed(
        "Examples:",
        [
            ("thv client wrap --dry-run", ""),
            ("thv client wrap", ""),
            ("thv client wrap cursor --server time", ""),
            ("thv client wrap ./mcp.json", ""),
        ],
    ),
)
def wrap(
    clients: Clients = None,
    *,
    server: Servers = None,
    project: Project = HERE,
    dry_run: DryRun = False,
    output: Format = "text",
) -> int:
    """Put thv in front of servers: their client starts thv, which starts them.

    Only the command and the arguments change. Remote and disabled servers stay as they are, and so do those that go
    through thv already. Restart the client afterwards.
    """
    from thv.clients import client_service
    from thv.clients.own_program import own_program

    changes = client_service.wrap(
        files_of(clients, project),
        own_program(),
        names=server or (),
        analytics_off=config.analytics_refused(os.environ) is not None,
        dry_run=dry_run,
    )
    return _finish(changes, server or (), verb="wrapped", dry_run=dry_run, output=output)


@app.command(
    "unwrap",
    cls=Command,
    epilog=listed("Examples:", [("thv client unwrap", ""), ("thv client unwrap cursor --server time", "")]),
)
def unwrap(
    clients: Clients = None,
    *,
    server: Servers = None,
    project: Project = HERE,
    dry_run: DryRun = False,
    output: Format = "text",
) -> int:
    """Take thv away again from the servers that were wrapped.

    The file is then as it was, byte for byte, whatever else has changed in it. Restart the client afterwards.
    """
    from thv.clients import client_service

    changes = client_service.unwrap(files_of(clients, project), names=server or (), dry_run=dry_run)
    return _finish(changes, server or (), verb="unwrapped", dry_run=dry_run, output=output)


def files_of(clients: Sequence[str] | None, project: str) -> list[ClientFile]:
    """The files that the command line asks for.

    Raises:
        UsageError: a word is neither a client nor a file, or a project is named for files.
        ThvError: the project is no folder, or a client has no file.
    """
    from thv.clients.catalog import BY_NAME
    from thv.clients.client_file_locations import Machine, find, named
    from thv.errors import ThvError, UsageError

    folder = Path(project)
    if not folder.is_dir():
        raise ThvError(f"--project {project}: no such folder")
    machine = Machine.this()
    if not clients:
        return find(machine, folder)
    files = named(clients, machine, folder)
    if project != HERE and not any(word.lower() in BY_NAME for word in clients):
        raise UsageError("--project is for clients, and only files are named; leave it out")
    return files


def short(path: Path) -> str:
    """A path as people write it: from the home directory on."""
    with suppress(ValueError, RuntimeError):
        path = Path("~") / path.absolute().relative_to(Path.home())
    return printable_path(path)


def heading_of(file: ClientFile) -> str:
    """What stands before the path of a file."""
    return "File" if file.client is None else file.title


def _finish(changes: Sequence[FileChange], names: Sequence[str], *, verb: str, dry_run: bool, output: str) -> int:
    from thv.clients.client_service import unknown_names
    from thv.clients.diff import unified

    failed = False
    if output == "json":
        answer(json.dumps({"dry_run": dry_run, "files": [_change_as_json(done) for done in changes]}, indent=2))
    for done in changes:
        if output == "text":
            for line in unified(str(done.file.path), done.before, done.change.edits):
                answer(line)
    for done in changes:
        if done.problem is not None:
            failed = True
            warn(done.problem)
        elif output == "text":
            _say_what_happened(done, verb=verb, dry_run=dry_run)
    if not changes:
        warn("no MCP client is configured here; name a file")
    for name in unknown_names(names, changes):
        failed = True
        warn(f"no server is called {name!r} here; see thv client list")
    return 1 if failed else 0


def _say_what_happened(done: FileChange, *, verb: str, dry_run: bool) -> None:
    from thv.clients.client_service import THROUGH_THV

    where = short(done.file.path)
    if done.file.client is not None:
        where = f"{done.file.title}, {where}"
    changed = [entry.label for entry in done.change.changed]
    counts = [f"{'would be ' if dry_run else ''}{verb}: {', '.join(changed)}"] if changed else []
    if verb == "wrapped":
        through = [entry for entry in done.change.others if entry.state in THROUGH_THV]
        remote = [entry for entry in done.change.others if entry.state.value == "remote"]
        counts += [f"{len(through)} through thv already"] if through else []
        counts += [f"{len(remote)} remote"] if remote else []
    restart = f"; restart {done.file.title}" if changed and not dry_run else ""
    warn(f"{where}: {'; '.join(counts) or f'nothing to be {verb}'}{restart}")
    if verb == "wrapped":
        for entry in done.change.others:
            if entry.reason:
                warn(f"{done.file.path}:{entry.line}:{entry.column}: {entry.label} stays as it is: {entry.reason}")


def _rows(reports: Sequence[FileReport]) -> Iterator[tuple[str, str, str, str, str]]:
    for report in reports:
        client = report.file.client.id if report.file.client else "-"
        path = printable_path(report.file.path)
        if report.problem is not None:
            yield client, path, "-", "unreadable", report.problem
        for entry in report.entries:
            yield client, path, entry.label, STATES[entry.state], entry.reason or summary_of(entry)


def _print_table(reports: Sequence[FileReport]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Column, Table
    from rich.text import Text

    console = Console(highlight=False)
    rows = [(entry.label, STATES[entry.state]) for report in reports for entry in report.entries]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for report in reports:
        title = Text(heading_of(report.file), style="bold")
        console.print(title.append(f"  {short(report.file.path)}", style="not bold"), overflow="fold")
        if report.problem is not None:
            console.print(Padding(Text(report.problem, style="red", overflow="fold"), (0, 0, 0, 2)))
        elif not report.entries:
            console.print("  no servers")
        table = Table(
            Column("Server", overflow="fold", min_width=min(widths[0], WIDEST_NAME)),
            Column("State", no_wrap=True, min_width=widths[1]),
            Column("Starts", overflow="fold"),
            box=None,
            pad_edge=False,
            show_header=False,
            padding=(0, 2, 0, 0),
        )
        for entry in report.entries:
            table.add_row(*map(Text, (entry.label, STATES[entry.state], entry.reason or summary_of(entry))))
        if report.entries:
            console.print(Padding(table, (0, 0, 0, 2), expand=False))


def summary_of(entry: ServerEntry) -> str:
    """What an entry starts, without arguments that may hold secrets."""
    from thv.clients.command_line import summary

    return summary(entry)


def _report_as_json(report: FileReport) -> dict[str, Any]:
    return {**_file_as_json(report.file), "error": report.problem, "servers": [*map(_entry_as_json, report.entries)]}


def _change_as_json(done: FileChange) -> dict[str, Any]:
    return {
        **_file_as_json(done.file),
        "error": done.problem,
        "changed": [*map(_entry_as_json, done.change.changed)],
        "unchanged": [*map(_entry_as_json, done.change.others)],
    }


def _file_as_json(file: ClientFile) -> dict[str, Any]:
    return {
        "client": file.client.id if file.client else None,
        "title": file.title,
        "path": str(file.path.absolute()),
        "project": file.is_project,
    }


def _entry_as_json(entry: ServerEntry) -> dict[str, Any]:
    from thv.clients.client_service import THROUGH_THV

    return {
        "name": entry.name,
        "scope": entry.scope or None,
        "state": entry.state.value,
        "through_thv": entry.state in THROUGH_THV,
        "reason": entry.reason or None,
        "line": entry.line,
        "column": entry.column,
        "starts": summary_of(entry),
    }
