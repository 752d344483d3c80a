"""Nothing that would have run to its end without thv is cut short by thv: each way to end a server, with and without.

The durations are those of real clients and servers. No outcome depends on the machine's speed: where a server ends
within a client's wait, the wait is as long as it takes; where it does not, its clean-up has no end.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest

from tests.e2e.harness import PATIENCE, SERVERS, behind_thv, scripted, until
from tests.processes import has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("fcntl", reason="signals and shells are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL
EOF = None
FOR_EVER = float("inf")

SEQUENCES: dict[str, tuple[tuple[signal.Signals | None, float], ...]] = {
    "EOF": ((EOF, FOR_EVER),),
    "INT": ((INT, FOR_EVER),),
    "TERM": ((TERM, FOR_EVER),),
    "HUP": ((HUP, FOR_EVER),),
    "INT, TERM, KILL": ((INT, 0.1), (TERM, 0.4), (KILL, FOR_EVER)),  # the TypeScript inspector and others
    "EOF, TERM, KILL": ((EOF, 2.0), (TERM, 2.0), (KILL, FOR_EVER)),  # the official SDKs
    "HUP, TERM": ((HUP, 1.0), (TERM, FOR_EVER)),
}
"""What a client does, and how many seconds it waits after each step."""

NOT_HANDED_ON = {
    *("KILL", "STOP"),  # no program can
    *("SEGV", "BUS", "FPE", "ILL"),  # an error of thv itself
    *("PIPE", "XFSZ", "CHLD", "CLD"),  # what thv itself did or started
    *("TSTP", "TTIN", "TTOU", "CONT"),  # thv stops, and its server waits
}

OTHER_SEQUENCES = {
    number.name.removeprefix("SIG"): ((number, FOR_EVER),)
    for number in signal.Signals
    if number.name.removeprefix("SIG") not in {*SEQUENCES, *NOT_HANDED_ON}
}
"""Every other signal that a client could send to its server."""

NO_END_BY_DEFAULT = {"WINCH", "URG", "INFO"}

CLEAN_UPS = (0.0, 0.25, 1.8, 4.0)
"""Seconds that a server needs to save its work."""

DISPOSITIONS = ("handler", "default", "ignores")

AT_ONCE = 24
"""Cells that are played at the same time: they mostly sleep."""


Step = tuple[signal.Signals | None, bool]
"""What a client does, and whether what it started ends before its next step."""


def cause_of(action: signal.Signals | None) -> str:
    """What a server calls it."""
    return "EOF" if action is None else action.name


class Cell(NamedTuple):
    """One cell of the table."""

    sequence: str
    seconds: float
    disposition: str

    @property
    def waits(self) -> list[float]:
        """Seconds after each step."""
        return [wait for _, wait in self.actions]

    @property
    def actions(self) -> tuple[tuple[signal.Signals | None, float], ...]:
        """What the client does, and how many seconds it waits after each step, unless the server ends before."""
        return {**SEQUENCES, **OTHER_SEQUENCES}[self.sequence]

    def file_name(self, suffix: str) -> str:
        """What to call the log of one try."""
        return re.sub(r"\W+", "-", f"{self.sequence} {self.seconds} {self.disposition} {suffix}")

    def server(self, log: Path, steps: list[Step]) -> list[str]:
        """The command of the server."""
        cut_short = [cause_of(action) for action, ends in steps if not ends]
        return scripted("saver.py", str(log), str(self.seconds), self.disposition, *cut_short)

    def steps(self, *, behind_a_shell: bool = False) -> list[Step]:
        """What the client comes to do, until the process it started ends; empty if that would not end at all.

        A shell that waits for its command dies of SIGTERM and SIGHUP at once, and not of SIGINT (POSIX.1-2024, Shell,
        2.11, leaves that to the command, which got it from the terminal, too).
        """
        steps: list[Step] = []
        now, ends = 0.0, FOR_EVER
        for action, wait in self.actions:
            if action is EOF:
                ends = now + self.seconds
            elif action is KILL or (self.disposition == "default" and not behind_a_shell):
                ends = FOR_EVER if self.sequence in NO_END_BY_DEFAULT else now
            elif behind_a_shell:
                ends = ends if action is INT else now
            elif self.disposition == "handler":  # each cause begins another clean-up, inside the first
                ends = now + self.seconds
            steps.append((action, ends < now + wait))
            if ends < now + wait:
                return steps
            now += wait
        return []


class Outcome(NamedTuple):
    """What became of a server."""

    exit_code: int
    log: list[str]


TABLE = [
    cell
    for sequence in SEQUENCES
    for seconds in CLEAN_UPS
    for disposition in DISPOSITIONS
    if (cell := Cell(sequence, seconds, disposition)).steps()
]
"""Every cell that ends without thv: a signal alone does not end a server that ignores it."""


def play(command: list[str], log: Path, steps: list[tuple[signal.Signals | None, bool]], waits: list[float]) -> Outcome:
    """Start a server, end it as a client does, and close its pipes once it has exited, as clients do."""
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for (action, ends), wait in zip(steps, waits, strict=False):
            if action is EOF:
                process.stdin.close()
            else:
                process.send_signal(action)
            if ends:
                process.wait(PATIENCE)
            else:
                let_begin(log, action, wait)
    causes = {cause_of(action) for action, _ in steps}
    # A server that is killed with thv sees the end of its input some moments before the watchdog's SIGKILL.
    is_killed = "SIGKILL" in causes and "EOF" not in causes
    lines = [line for line in final(log) if not (is_killed and line.startswith("EOF"))]
    return Outcome(as_in_a_shell(process.returncode), lines)


@contextmanager
def started(command: list[str], **popen: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is not waited for, but killed, when a test fails."""
    with subprocess.Popen(command, **popen) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


BEHIND_A_SHELL = "behind-a-shell"
"""The directory of the logs of such servers."""


def let_begin(log: Path, action: signal.Signals | None, wait: float) -> None:
    """Wait as a client does, but on a slow machine at least until the server's clean-up has begun, if one is to."""
    is_behind_a_shell = log.parent.name == BEHIND_A_SHELL  # which keeps signals to itself
    if action is EOF or ("handler" in log.name and not is_behind_a_shell):
        until(lambda: f"{cause_of(action)} begins" in log.read_text(), "the clean-up")
    time.sleep(wait)


def as_in_a_shell(code: int) -> int:
    return 128 - code if code < 0 else code


def final(log: Path) -> list[str]:
    """What the server wrote down, once it is gone."""
    pid = int(log.read_text().split()[0])
    until(lambda: has_ended(pid), "the end of the server")
    return notes(log)[str(pid)]


def notes(log: Path) -> dict[str, list[str]]:
    """What each server wrote down, by its pid, but that it was born."""
    found: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        pid, _, note = line.partition(" ")
        found.setdefault(pid, []).append(note)
    return {pid: lines[1:] for pid, lines in found.items()}


def compare(cells: list[Cell], directory: Path, wrapper: list[str]) -> None:
    """Play each cell without thv and through it, and require the same exit code and clean-up."""

    def outcomes(cell: Cell) -> tuple[Outcome, Outcome]:
        steps = cell.steps(behind_a_shell=bool(wrapper))
        both = []
        for way in (list, behind_thv):
            log = directory / cell.file_name(way.__name__)
            server = cell.server(log, [] if wrapper else steps)  # what is behind a shell is not signalled
            both.append(play(way([*wrapper, *server]), log, steps, cell.waits))
        return both[0], both[1]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(cells, pool.map(outcomes, cells), strict=True))
    assert {cell: through for cell, (_, through) in results.items()} == {
        cell: direct for cell, (direct, _) in results.items()
    }
    assert any(line.endswith("done") for direct, _ in results.values() for line in direct.log)


def test_a_server_ends_as_it_does_without_thv(tmp_path: Path) -> None:
    """Fails in `compare`, which names each cell whose end differs."""
    compare(TABLE, tmp_path, [])


def test_any_other_signal_ends_a_server_as_it_does_without_thv(tmp_path: Path) -> None:
    """Fails in `compare`. 6 s are more than thv waits after a signal that asks to end."""
    cells = [
        Cell(sequence, seconds, disposition)
        for sequence in OTHER_SEQUENCES
        for seconds, disposition in ((0.0, "default"), (0.0, "handler"), (6.0, "handler"))
    ]
    compare([cell for cell in cells if cell.steps()], tmp_path, [])


def test_a_server_behind_a_shell_ends_as_it_does_without_thv(tmp_path: Path) -> None:
    """Fails in `compare`, which names each cell whose end differs."""
    cells = [Cell(sequence, seconds, "handler") for sequence in SEQUENCES for seconds in CLEAN_UPS]
    directory = tmp_path / BEHIND_A_SHELL
    directory.mkdir()
    compare([cell for cell in cells if cell.steps(behind_a_shell=True)], directory, ["sh", "-c", '"$@"; exit', "sh"])


@pytest.mark.skipif(shutil.which("npx") is None, reason="npx is not installed")
def test_a_server_behind_npx_ends_as_it_does_without_thv(tmp_path: Path) -> None:
    """npx hands some signals on by itself, to a shell that does not: SIGINT alone ends nothing there."""
    project = tmp_path / "project"
    (project / "node_modules/.bin").mkdir(parents=True)
    (project / "package.json").write_text('{"name": "p", "version": "1.0.0"}')
    command = project / "node_modules/.bin/saver"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {SERVERS / "saver.py"} "$@"\n')
    command.chmod(0o755)
    npx = ["npx", "--offline", "--no", "--no-update-notifier", "--prefix", str(project), "saver"]
    cells = [Cell(sequence, 0.25, "handler") for sequence in ("EOF", "TERM", "HUP")]

    def outcomes(cell: Cell) -> tuple[Outcome, Outcome]:
        both = []
        for way in (list, behind_thv):
            log = tmp_path / cell.file_name(way.__name__)
            command = way([*npx, str(log), str(cell.seconds), cell.disposition])
            both.append(play(command, log, cell.steps(), cell.waits))
        return both[0], both[1]

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(outcomes, cells))
    assert [through for _, through in results] == [direct for direct, _ in results]


GREETED = "greeted by table"

BY_SIGNAL = [cell for cell in TABLE if "EOF" not in cell.sequence and cell.disposition == "handler"] + [
    Cell(sequence, 0.25, "handler") for sequence in OTHER_SEQUENCES if sequence not in {"USR1", *NO_END_BY_DEFAULT}
]
"""What can happen to a server behind HTTP, whose client has no pipe to close. SIGUSR1 lets a front end its sessions."""


def without_a_namespace() -> str | None:
    """Why thv cannot be the first process of a namespace here, as it is of a container; None if it can."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return "only Linux has namespaces"
    done = subprocess.run([*AS_FIRST_PROCESS, "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else f"no namespace can be made: {done.stderr.decode().strip()}"


AS_FIRST_PROCESS = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]


@pytest.mark.parametrize(
    ("prefix", "clean_ups"), [([], {0.25, 4.0}), (AS_FIRST_PROCESS, {1.8})], ids=["the front", "the operator's wrap"]
)
def test_a_server_behind_http_ends_as_it_does_without_thv(
    tmp_path: Path, prefix: list[str], clean_ups: set[float]
) -> None:
    """The operator starts the front as the first process of the server's container."""
    if prefix and (reason := without_a_namespace()):
        pytest.skip(reason)

    def logs(cell: Cell) -> tuple[list[str], list[str]]:
        direct, served = (tmp_path / cell.file_name(way) for way in ("direct", "http"))
        steps = cell.steps()
        return (
            play(cell.server(direct, steps), direct, steps, cell.waits).log,
            play_over_http([*prefix, *behind_thv(cell.server(served, steps), "--proxy-port", "0")], served, cell),
        )

    with ThreadPoolExecutor(AT_ONCE // 2) as pool:
        cells = [cell for cell in BY_SIGNAL if cell.seconds in clean_ups and (not prefix or cell.sequence in SEQUENCES)]
        results = dict(zip(cells, pool.map(logs, cells), strict=True))
    assert {cell: served for cell, (_, served) in results.items()} == {
        cell: direct for cell, (direct, _) in results.items()
    }


def play_over_http(command: list[str], log: Path, cell: Cell) -> list[str]:
    """Start a front and a session, end the front as the client would have ended the server; the server's log."""
    with started(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the front has ended"
            found = re.search(r"http://\S+/mcp", line.decode())
        open_session(found[0])
        (thv,) = psutil.Process(process.pid).children() if command[0] == "unshare" else [psutil.Process(process.pid)]
        until(log.exists, "the server")
        for (action, ends), wait in zip(cell.steps(), cell.waits, strict=False):
            assert action is not None
            thv.send_signal(action)
            if ends:
                process.wait(PATIENCE)
            else:
                let_begin(log, action, wait)
    (lines,) = (lines for lines in notes(log).values() if GREETED in lines)  # thv asks one of its own for its health
    lines.remove(GREETED)
    return [line for line in lines if not line.startswith("EOF")] if cell.sequence.endswith("KILL") else lines


def open_session(url: str) -> None:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "table", "version": "1"},
        },
    }
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        assert b"saver" in reply.read()
