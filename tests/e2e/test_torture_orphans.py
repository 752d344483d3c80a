"""Nothing is left behind, however thv, its client or its server ended, and whatever the server's family looks like."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import SERVERS, Run, behind_thv, python, receive, scripted, until
from tests.processes import open_files

pytest.importorskip("fcntl", reason="process groups are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

STUBBORN = str(SERVERS / "stubborn.py")

WRAPPER = """\
import os, subprocess, sys
os.write(2, b"wrapped\\n")
sys.exit(subprocess.run([sys.executable, "-IS", *sys.argv[1:]]).returncode)
"""
"""What npx and uvx do: start the real server as a child, pass their stdin on, and wait."""

FAMILIES = {
    "plain": ["sh", "-c", "echo ready; exec cat"],
    "ignores-eof": scripted("stubborn.py", "--mortal"),
    "ignores-eof-and-term": scripted("stubborn.py"),
    "sh-wrapper": ["sh", "-c", f"{sys.executable} -IS {STUBBORN}; true"],
    "npx-like": python(WRAPPER, STUBBORN),
    "npx-like-mortal": python(WRAPPER, STUBBORN, "--mortal"),
    "grandchildren": scripted("stubborn.py", "--family", "3"),
    "background-helper": ["sh", "-c", f"{sys.executable} -IS {STUBBORN} >&2 & echo ready; exec cat"],
}

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES)
SOME_FAMILIES = ["plain", "npx-like", "background-helper"]
"""For ends that differ from another one only in what starts them."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's children")
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003, 0.01])
def test_kill_9_of_thv_within_milliseconds_of_the_servers_birth_leaves_nothing_behind(
    tmp_path: Path, delay: float
) -> None:
    """Fails where a process is left: `until` raises. `benchmarks/orphans.py` does the same a few hundred times."""
    for _ in range(5):
        with Run(behind_thv(["sleep", "86399"]), tmp_path) as run:
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
            until(lambda: b"sleep\x0086399\0" in map(command_line, children.read_text().split()), "the server")  # noqa: B023  called at once
            time.sleep(delay)
            run.process.kill()
            until(run.all_gone, "the end of all")


def command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@EVERY_FAMILY
def test_kill_9_of_thv_leaves_nothing_behind(tmp_path: Path, family: str) -> None:
    with Run(behind_thv(FAMILIES[family]), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        assert len(run.family()) >= 2
        os.kill(run.pid, signal.SIGKILL)
        until(run.all_gone, "the end of all")


@pytest.mark.slow
def test_an_orderly_end_leaves_nothing_behind(tmp_path: Path) -> None:
    """All at once, since what ignores everything takes its time: the end of input for each, SIGTERM for some."""
    with ExitStack() as runs:
        ends = [(family, "end of input") for family in FAMILIES] + [(family, "SIGTERM") for family in SOME_FAMILIES]
        started = [(runs.enter_context(Run(behind_thv(FAMILIES[family]), tmp_path)), how) for family, how in ends]
        for run, how in started:
            assert receive(run.stdout, line=True) == b"ready\n"
            if how == "SIGTERM":
                os.kill(run.pid, signal.SIGTERM)
            else:
                run.close_stdin()
        for run, _ in started:
            run.wait()
            until(run.all_gone, "the end of all")


FILLS_THE_PIPE = """\
import time
os.set_blocking(p.stdin.fileno(), False)
still = 0
while still < 50:
    try: os.write(p.stdin.fileno(), bytes(65536)); still = 0
    except BlockingIOError: still += 1; time.sleep(0.01)
"""
"""Then a full pipe stands between the client's end and what could notice it."""


@pytest.mark.slow
def test_a_client_killed_9_leaves_nothing_behind(tmp_path: Path) -> None:
    """All at once, since what ignores everything takes its time; one of them while its server does not read."""
    with ExitStack() as runs:
        started = []
        for family, before in [(family, "") for family in SOME_FAMILIES] + [("ignores-eof-and-term", FILLS_THE_PIPE)]:
            client = python(
                "import os, subprocess, sys\n"
                "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
                f"line = p.stdout.readline()\n{before}"
                "os.write(1, line)\n"
                "p.wait()",
                *behind_thv(FAMILIES[family]),
            )
            started.append(runs.enter_context(Run(client, tmp_path)))
        for run in started:
            assert receive(run.stdout, line=True) == b"ready\n"
            run.family()  # now, for the watchdog is known by having been seen
            os.kill(run.pid, signal.SIGKILL)
        for run in started:
            until(run.all_gone, "the end of all")


def test_a_helper_that_outlives_the_server_and_holds_stdout_is_ended_and_the_code_kept(tmp_path: Path) -> None:
    server = ["sh", "-c", f"{sys.executable} -IS {STUBBORN} & read -r _; exit 3"]
    with Run(behind_thv(server), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        run.send(b"go\n")
        assert run.wait() == 3
        until(run.all_gone, "the end of all")


def test_a_server_that_left_its_group_does_not_keep_thv(tmp_path: Path) -> None:
    """A daemon that made a session of its own is meant to stay; thv does not wait for it for ever."""
    server = python(
        "import os, time\n"
        "if os.fork():\n"
        "    os.wait()\n"
        "    os._exit(2)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.write(1, b'%d\\n' % os.getpid())\n"
        "while True: time.sleep(0.05)\n"
    )
    with Run(behind_thv(server), tmp_path) as run:
        daemon = int(receive(run.stdout, line=True))
        assert run.wait() == 2
        os.kill(daemon, signal.SIGKILL)


def test_the_watchdog_holds_nothing_that_thv_inherited(tmp_path: Path) -> None:
    """Somebody may wait for the end of a pipe that thv was given; the server has it anyway, the watchdog must not."""
    with Run(behind_thv(["cat"]), tmp_path) as run:
        run.send(b"x\n")
        assert receive(run.stdout, line=True) == b"x\n"

        def watchdogs() -> list[str]:
            return [str(p.pid) for p in run.family() if "thv-watchdog" in p.cmdline()]

        until(lambda: len(watchdogs()) == 1, "the watchdog")
        if sys.platform == "linux":
            targets = [str(path) for path in open_files(int(watchdogs()[0]))]
            assert len([target for target in targets if target.startswith("pipe:")]) == 2  # of thv and the server
        run.close_stdin()
        assert run.wait() == 0
        until(lambda: not watchdogs(), "the end of the watchdog")
