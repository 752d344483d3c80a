"""Examines files: the static checks, and with leave the start of every server, side by side."""

from __future__ import annotations

import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thv.clients import client_service
from thv.clients.client_file_locations import from_home
from thv.clients.command_line import own_command, summary
from thv.clients.entries import State
from thv.doctor import desktop
from thv.doctor.findings import FileFindings, Finding, ServerReport, StartResult
from thv.doctor.probe import Launch, probe
from thv.doctor.static_checks import INSTALL, check_entry, check_file, doubles
from thv.doctor.variables import UnknownValueError, fill
from thv.errors import ThvError
from thv.servers.executable_lookup import require
from thv.servers.server_environment import read_env_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thv.clients.client_file_locations import ClientFile
    from thv.clients.entries import ServerEntry

AT_ONCE = 8
"""Servers that are started side by side: `npx` and `uvx` each keep a core busy while they install."""

SLOW_S = 3.0
"""A server behind a runner that takes longer is started once more, to tell the download from the start."""

DOWNLOADERS = {"npx", "uvx", "bunx", "pnpx", "pipx", "uv", "docker", "podman"}

LOOK_S = 0.5
"""Seconds between two looks at whether all have answered: Windows tells of a Ctrl-C only between two of them."""

PATIENCE_OF_CLIENT = {"claude-code": 30.0, "codex": 10.0, "vibe": 10.0}
"""Seconds that clients wait for a server by default, as far as they say (MCP_TIMEOUT, `startup_timeout_sec`)."""

STARTUP_TIMEOUTS = {"startup_timeout_sec": 1.0, "startup_timeout_ms": 0.001}
"""Key of an entry that says how long its client waits -> its unit in seconds; Codex takes the first of them."""


def examine(files: Sequence[ClientFile]) -> list[FileFindings]:
    """Everything that can be seen without starting anything."""
    reports = client_service.survey(files)
    twice = doubles([(report.file, entry) for report in reports for entry in report.entries])
    found = []
    for report in reports:
        if report.problem is not None:
            problem = Finding(report.problem, "mend the file there; until then its client starts none of its servers")
            found.append(FileFindings(report.file, (problem,)))
            continue
        of_file = tuple(check_file(report.source)) if report.source is not None else ()
        servers = tuple(
            ServerReport(entry, tuple(_of_entry(report.file, entry, twice)), not_started=_why_not(entry))
            for entry in report.entries
        )
        found.append(FileFindings(report.file, of_file, servers))
    return found


def start_all(
    examined: Sequence[FileFindings], timeout: float, *, on_done: Callable[[ServerReport], None]
) -> list[FileFindings]:
    """Starts every server that its client would start, `AT_ONCE` at a time.

    KeyboardInterrupt is raised once the servers that run are ended, which are asked to at once; a second one does not
    wait for that.

    Args:
        examined: what `examine` found.
        timeout: seconds for each.
        on_done: called with each server's report, on another thread.
    """
    stop = threading.Event()

    def started(file: ClientFile, report: ServerReport, launch: Launch | None) -> ServerReport:
        result = report if launch is None else _start(file, report, launch, timeout, stop)
        on_done(result)
        return result

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        # All are prepared first: relative paths are read, and a start changes the working directory for a moment.
        prepared = [[(found.file, *_prepared(found.file, report)) for report in found.servers] for found in examined]
        pending = [[pool.submit(started, *each) for each in servers] for servers in prepared]
        while wait([future for futures in pending for future in futures], LOOK_S).not_done:
            pass
    except BaseException:
        stop.set()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    return [
        dataclasses.replace(found, servers=tuple(future.result() for future in futures))
        for found, futures in zip(examined, pending, strict=True)
    ]


def _of_entry(
    file: ClientFile, entry: ServerEntry, twice: Mapping[tuple[str, tuple[Any, ...]], Finding]
) -> list[Finding]:
    double = twice.get((str(file.path), entry.keys))
    try:
        found = check_entry(entry, file, _environment(file), os.environ)
    except ValueError:
        problem = "it has a path that no system can have, with a NUL or half of a surrogate pair"
        found = [Finding(problem, f"write it anew, in {file.path}, line {entry.line}")]
    return [*found, *([double] if double else [])]


def _why_not(entry: ServerEntry) -> str:
    return {
        State.REMOTE: "remote: its client only connects to it",
        State.DISABLED: "disabled",
        State.LEFT_ALONE: entry.reason,
    }.get(entry.state, "")


def _environment(file: ClientFile) -> dict[str, str]:
    """What the client has: the desktop's environment for one with a window, this shell's for one of the terminal."""
    if file.client is not None and not file.client.has_window:
        return dict(os.environ)
    return desktop.environment(os.environ)


def _prepared(file: ClientFile, report: ServerReport) -> tuple[ServerReport, Launch | None]:
    """How to start a server; without that, its report says why it cannot be started."""
    if report.not_started:
        return report, None
    try:
        return report, _launch(file, report.entry)
    except UnknownValueError as error:
        return dataclasses.replace(report, not_started=str(error)), None
    except (ThvError, ValueError) as error:  # the latter: a NUL in a path, or half a surrogate pair
        failed = StartResult(is_ready=False, seconds=0.0, problem=str(error))
        findings = report.findings or (Finding(str(error), "correct it, or install what is missing"),)
        return dataclasses.replace(report, start=failed, findings=findings), None


def _start(
    file: ClientFile, report: ServerReport, launch: Launch, timeout: float, stop: threading.Event
) -> ServerReport:
    entry = report.entry
    result = probe(launch, timeout, stop)
    if result.is_ready and result.seconds > SLOW_S and Path(own_command(entry)[0]).stem in DOWNLOADERS:
        again = probe(launch, timeout, stop)
        if again.is_ready and again.seconds < result.seconds:
            result = dataclasses.replace(result, download_seconds=result.seconds - again.seconds)
    # What was seen before explains what came.
    of_start = [] if report.findings and result.problem else _of_start(file, entry, result)
    return dataclasses.replace(report, start=result, findings=(*report.findings, *of_start))


def _launch(file: ClientFile, entry: ServerEntry) -> Launch:
    """How the client starts the server.

    Raises:
        UnknownValueError: it has a placeholder that only the client can fill in.
        ThvError: the command is not there, or a file or folder that it names.
    """
    environ = _environment(file)
    folder = str(_folder(file, entry))

    def filled(value: object) -> str:
        return fill(str(value), environ=environ, folder=folder)

    env = dict(environ)
    if isinstance(entry.fields.get("envFile"), str):
        env.update(read_env_file(filled(entry.fields["envFile"])))
    env.update({name: filled(_plain(value)) for name, value in entry.variables.items() if value is not None})
    cwd = filled(entry.fields["cwd"]) if isinstance(entry.fields.get("cwd"), str) else folder
    cwd = str(from_home(cwd))
    if not Path(cwd).is_dir():
        raise ThvError(f"its cwd {cwd} is no folder")
    words = [filled(word) for word in (entry.command, *(entry.args or ()))]
    words[0] = str(from_home(words[0])) if words[0].startswith("~") else words[0]
    is_relative = not Path(words[0]).is_absolute() and len(Path(words[0]).parts) > 1
    command = str(Path(cwd) / words[0]) if is_relative else words[0]
    return Launch(tuple(words), require(command, env), env, cwd)


def _folder(file: ClientFile, entry: ServerEntry) -> Path:
    """Where the client starts servers that name no folder: in the project, else at home."""
    if entry.scope and Path(entry.scope).is_dir():
        return Path(entry.scope)
    if file.is_project and file.client is not None:
        depth = max(
            (len(Path(path).parts) for path in file.client.project if Path(path).name == file.path.name), default=1
        )
        return file.path.absolute().parents[depth - 1]
    return Path.home()


def _plain(value: object) -> object:
    return value[1] if isinstance(value, tuple) else value


def _of_start(file: ClientFile, entry: ServerEntry, result: StartResult) -> list[Finding]:
    runner = Path(own_command(entry)[0]).stem
    by_hand = summary(entry)
    if result.problem.startswith("no answer") and runner in DOWNLOADERS:
        return [
            Finding(
                f"{result.problem}; {runner} may still have been downloading", f"start it once in a terminal: {by_hand}"
            )
        ]
    if result.problem:
        return [Finding(result.problem + _exit(result), _remedy(result, runner, by_hand))]
    found = []
    if result.stray is not None:
        found.append(
            Finding(f"it writes to stdout what is no MCP: {result.stray}", "make it log to stderr; stdout is for MCP")
        )
    patience, key = _patience(file, entry)
    if patience and result.seconds > patience:
        remedy = f"raise its {key}" if file.syntax == "toml" else "set MCP_TIMEOUT (milliseconds)"
        found.append(Finding(f"it took {result.seconds:.1f} s, and {file.title} waits {patience:g}", remedy))
    return found


def _patience(file: ClientFile, entry: ServerEntry) -> tuple[float, str]:
    """How many seconds the client waits for this server (0 if unknown), and the key that sets it."""
    for key, in_seconds in STARTUP_TIMEOUTS.items():
        own = _plain(entry.fields.get(key))
        if isinstance(own, int | float) or (isinstance(own, str) and own.isdigit()):
            return float(own) * in_seconds, key
    patience = PATIENCE_OF_CLIENT.get(file.client.id, 0.0) if file.client is not None else 0.0
    return patience, next(iter(STARTUP_TIMEOUTS))


def _exit(result: StartResult) -> str:
    if result.exit_code is None:
        return ""
    return f" (exit code {result.exit_code})" if result.exit_code >= 0 else f" (signal {-result.exit_code})"


def _remedy(result: StartResult, runner: str, by_hand: str) -> str:
    """What to do, from the server's last words."""
    words = " ".join(result.stderr)
    if "E404" in words or "not found in the package registry" in words or "No solution found" in words:
        return "correct the name or the version of the package"
    if any(sign in words for sign in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "dns error", "network")):
        return f"see whether {runner} reaches its package registry"
    if "Cannot find module" in words or "No module named" in words or "ModuleNotFoundError" in words:
        return "install the module it misses"
    if result.exit_code == 127:  # noqa: PLR2004  the shell's number
        return INSTALL.get(runner, "install the command it misses")
    return f"start it in a terminal and see what it says: {by_hand} …"
