"""`thv doctor`: what is wrong with the servers of the user's MCP clients, and what to do about each thing.

The findings go to stdout, as text or as JSON; progress goes to stderr. No logic: `thv.doctor` has it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from thv.cli.client import WIDEST_NAME, files_of, heading_of, short, summary_of
from thv.cli.output import answer
from thv.core.console import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thv.doctor.findings import FileFindings, Finding, ServerReport

START_TIMEOUT_S = 60.0
"""Seconds that a server has to start unless --timeout says otherwise."""


def doctor(clients: Sequence[str] | None, *, project: str, start: bool, timeout: float | None, output: str) -> int:
    """Examine, show, and return the exit code: 1 if anything is wrong, 128 + N if signal N ended the servers' start.

    Args:
        clients: clients or their files; None for all that are found.
        project: the folder of a project.
        start: start each server, too.
        timeout: seconds for each start; None for `START_TIMEOUT_S`.
        output: ``text`` or ``json``.

    Raises:
        UsageError: the timeout is no time, or nothing is started.
        ThvError: what is to be examined is not there.
    """
    from thv.doctor.examination import examine
    from thv.errors import UsageError

    if timeout is not None and not start:
        raise UsageError("--timeout is for --start; see thv doctor --help")
    timeout = START_TIMEOUT_S if timeout is None else timeout
    if not 0 < timeout < float("inf"):
        raise UsageError("--timeout must be a number of seconds above 0; see thv doctor --help")
    files = files_of(clients, project)
    found = examine(files)
    if start:
        from thv.cli.ending_signals import EndingSignals

        signals = EndingSignals()
        try:
            with signals:
                found = _start(found, timeout)
        except KeyboardInterrupt:
            if len(signals.received) > 1:
                os._exit(signals.exit_code)  # what still runs is ended by its watchdog
            return signals.exit_code
    problems = sum(one.problems for one in found)
    if output == "json":
        answer(json.dumps({"problems": problems, "files": [_file_as_json(one) for one in found]}, indent=2))
    elif not found:
        warn("no MCP client is configured here; name a file to examine")
    else:
        _print(found)
        servers = sum(len(one.servers) for one in found)
        warn(
            f"{_count(servers, 'server')}, {_count(problems, 'problem')}{'' if start else '; --start starts them, too'}"
        )
    return 1 if problems else 0


def _start(found: list[FileFindings], timeout: float) -> list[FileFindings]:
    from thv.doctor.examination import start_all

    reports = [report for one in found for report in one.servers if not report.not_started]
    if not reports or not sys.stderr.isatty():
        return start_all(found, timeout, on_done=lambda _: None)
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {
            id(report.entry): progress.add_task(Text(report.entry.label).markup, total=1, state="starting")
            for report in reports
        }

        def done(report: ServerReport) -> None:
            task = tasks.get(id(report.entry))
            if task is not None:
                progress.update(task, completed=1, state=_outcome(report))

        return start_all(found, timeout, on_done=done)


def _print(found: Sequence[FileFindings]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    show = _shower(console)
    width = min(max((len(report.entry.label) for one in found for report in one.servers), default=0), WIDEST_NAME)
    for one in found:
        title = Text(heading_of(one.file), style="bold").append(f"  {short(one.file.path)}", style="not bold")
        show(title, 0)
        for finding in one.findings:
            _show_finding(show, finding, 2)
        if not one.servers and not one.findings:
            show(Text("no servers"), 2)
        for report in one.servers:
            word, style = _verdict(report)
            line = Text(f"{word:6}", style=style).append(f"{report.entry.label:{width}}", style="not bold default")
            line.append(f"  {_outcome(report)}", style="not bold dim").rstrip()
            show(line, 2)
            for finding in report.findings:
                _show_finding(show, finding, 8)
            if report.start is not None and report.start.problem:
                for text in report.start.stderr:
                    show(Text(f"stderr: {text}", style="dim"), 8)
                if report.start.stray is not None:
                    show(Text(f"stdout: {report.start.stray}", style="dim"), 8)


def _shower(console: Any) -> Callable[[Any, int], None]:
    from rich.padding import Padding

    def show(text: Any, indent: int) -> None:
        text.overflow = "fold"
        if console.soft_wrap:
            answer(" " * indent + text.plain)
        else:
            console.print(Padding(text, (0, 0, 0, indent)))

    return show


def _show_finding(show: Callable[[Any, int], None], finding: Finding, indent: int) -> None:
    from rich.text import Text

    show(Text(finding.problem, style="red"), indent)
    show(Text(f"→ {finding.remedy}"), indent)


def _verdict(report: ServerReport) -> tuple[str, str]:
    if report.findings:
        return "wrong", "bold red"
    if report.not_started:
        return "-", "dim"
    return "ok", "bold green"


def _outcome(report: ServerReport) -> str:
    start = report.start
    if report.not_started and not report.findings:
        return report.not_started
    if start is None:
        return summary_of(report.entry)
    if not start.is_ready:
        return f"failed after {start.seconds:.1f} s" if start.seconds else "not started"
    download = "" if start.download_seconds is None else f", {start.download_seconds:.1f} s of it for the download"
    return f"{_count(start.tools or 0, 'tool')} in {start.seconds:.1f} s{download}"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _file_as_json(one: FileFindings) -> dict[str, Any]:
    return {
        "client": one.file.client.id if one.file.client else None,
        "title": one.file.title,
        "path": str(one.file.path.absolute()),
        "project": one.file.is_project,
        "findings": [_finding_as_json(finding) for finding in one.findings],
        "servers": [_report_as_json(report) for report in one.servers],
    }


def _report_as_json(report: ServerReport) -> dict[str, Any]:
    start = report.start
    return {
        "name": report.entry.name,
        "scope": report.entry.scope or None,
        "state": report.entry.state.value,
        "line": report.entry.line,
        "column": report.entry.column,
        "starts": summary_of(report.entry),
        "findings": [_finding_as_json(finding) for finding in report.findings],
        "not_started": report.not_started or None,
        "start": None
        if start is None
        else {
            "ok": start.is_ready,
            "seconds": round(start.seconds, 3),
            "tools": start.tools,
            "problem": start.problem or None,
            "exit_code": start.exit_code,
            "stderr": list(start.stderr),
            "stray_stdout": start.stray,
            "download_seconds": start.download_seconds,
        },
    }


def _finding_as_json(finding: Finding) -> dict[str, str]:
    return {"problem": finding.problem, "remedy": finding.remedy}
