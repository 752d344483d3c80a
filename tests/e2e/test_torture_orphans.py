"""Nothing is left behind, however thv, its client or its server ended, and whatever the server's family looks like."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import SERVERS, Run, behind_thv, python, receive, scripted, until

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
SOME_FAMILIES = pytest.mark.parametrize("family", ["plain", "npx-like", "background-helper"])
"""For ends that differ from another one only in what starts them."""


@EVERY_FAMILY
def test_kill_9_of_thv_leaves_nothing_behind(tmp_path: Path, family: str) -> None:
    with Run(behind_thv(FAMILIES[family]), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        assert len(run.family()) >= 2
        os.kill(run.pid, signal.SIGKILL)
        until(run.all_gone, "the end of all")


@EVERY_FAMILY
def test_a_normal_end_leaves_nothing_behind(tmp_path: Path, family: str) -> None:
    with Run(behind_thv(FAMILIES[family]), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        run.close_stdin()
        run.wait()
        until(run.all_gone, "the end of all")


@SOME_FAMILIES
def test_sigterm_leaves_nothing_behind(tmp_path: Path, family: str) -> None:
    with Run(behind_thv(FAMILIES[family]), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        os.kill(run.pid, signal.SIGTERM)
        run.wait()
        until(run.all_gone, "the end of all")


@SOME_FAMILIES
def test_a_client_killed_9_leaves_nothing_behind(tmp_path: Path, family: str) -> None:
    client = python(
        "import os, subprocess, sys\n"
        "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "os.write(1, p.stdout.readline())\n"
        "p.wait()",
        *behind_thv(FAMILIES[family]),
    )
    with Run(client, tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        os.kill(run.pid, signal.SIGKILL)
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
        "import os, signal\n"
        "if os.fork():\n"
        "    os.wait()\n"
        "    os._exit(2)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.write(1, b'%d\\n' % os.getpid())\n"
        "signal.pause()\n"
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
            targets = [str(path.readlink()) for path in Path(f"/proc/{watchdogs()[0]}/fd").iterdir()]
            assert len([target for target in targets if target.startswith("pipe:")]) == 1
        run.close_stdin()
        assert run.wait() == 0
        until(lambda: not watchdogs(), "the end of the watchdog")
