"""The watchdog ends the server's group whatever became of thv, at whichever moment thv died."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.harness import python, receive, until
from tests.processes import has_ended, is_gone
from thv.process.shutdown import EOF_GRACE, TERM_GRACE

if TYPE_CHECKING:
    from pathlib import Path

    from thv.process.posix import ServerProcess

pytest.importorskip("fcntl", reason="on Windows a job object does this")
assert sys.platform != "win32"  # tells the type checker

DIES_UNNAMED = """\
import os, sys
from thv.process import posix, watchdog
def die(self, group):
    print(self.pid, flush=True)
    os.kill(os.getpid(), 9)
watchdog.Watchdog.watch = die
posix.ServerProcess.spawn(sys.argv[1], sys.argv[1:], dict(os.environ), None)
"""
"""Dies after the system call that made the server, before the watchdog could be told of it."""

DIES_LATER = """\
import os, sys, time
from thv.process.posix import ServerProcess
server = ServerProcess.spawn(sys.argv[1], sys.argv[1:], dict(os.environ), None)
print(server._watchdog.pid, flush=True)
while sum(name.startswith("born") for name in os.listdir()) < 2: time.sleep(0.005)
os.kill(os.getpid(), 9)
"""

CANNOT_START = """\
import os
from thv.errors import CommandNotFoundError
from thv.process.posix import ServerProcess
try:
    ServerProcess.spawn("/no/such/file", ["file"], {}, None)
except CommandNotFoundError:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child is left")
"""

SERVER = "import os, time\nopen('born-%d' % os.getpid(), 'w').close()\nwhile True: time.sleep(1000)"
"""Ignores the end of its input."""

WITH_A_CHILD = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "os.fork()\n"
    "open('born-%d' % os.getpid(), 'w').close()\n"
    "while True: time.sleep(1000)"
)


def born(directory: Path) -> list[psutil.Process]:
    found = []
    for path in directory.glob("born-*"):
        pid = int(path.name.removeprefix("born-"))
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def spawn_and_die(directory: Path, program: str, server: str) -> int:
    """Run the program, which is killed; the pid of its watchdog."""
    command = [sys.executable, "-c", program, *python(server)]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE) as thv:
        assert thv.stdout is not None
        watchdog = int(thv.stdout.readline())
        assert thv.wait(60) == -9
    return watchdog


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows which process holds a pipe")
def test_a_server_is_ended_even_if_thv_dies_before_it_could_name_it(tmp_path: Path) -> None:
    """Fails where a server lives on: `until` raises."""
    for _ in range(5):
        watchdog = spawn_and_die(tmp_path, DIES_UNNAMED, SERVER)
        until(lambda: has_ended(watchdog), "the end of the watchdog")  # noqa: B023  called at once
    until(lambda: all(map(is_gone, born(tmp_path))), "the end of every server")  # which the system brings about


def test_when_thv_is_killed_the_whole_group_is_at_once(tmp_path: Path) -> None:
    watchdog = spawn_and_die(tmp_path, DIES_LATER, WITH_A_CHILD)
    until(lambda: has_ended(watchdog), "the end of the watchdog")
    assert len(list(tmp_path.glob("born-*"))) == 2
    until(lambda: all(map(is_gone, born(tmp_path))), "the end of the group")


def test_a_command_that_cannot_be_started_leaves_no_watchdog() -> None:
    done = subprocess.run([sys.executable, "-c", CANNOT_START], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"no child is left\n", b"")


def test_it_waits_before_it_reads_what_to_do_then_which_would_take_memory_for_each_session() -> None:
    from thv.process.watchdog import SCRIPT

    assert SCRIPT.index("\nread ") < SCRIPT.index("() {")


CONTAINER_TOOL = """\
#!/bin/sh
echo "$@" >>"$LOG"
case $1 in run) echo ID >"$3"; exec "$PYTHON" -ISc "$SERVER" ;; esac
"""
"""A `podman` whose container is one process: `run --cidfile FILE image`."""

NO_TIME = """\
#!/bin/sh
echo "$1 s" >>"$LOG"
"""
"""A `sleep` that takes none: the clock of the watchdog, and what it was at is in the log."""

STUBBORN = (
    "import os, signal, time\n"
    "log = os.open(os.environ['LOG'], os.O_WRONLY | os.O_APPEND)\n"
    "signal.signal(signal.SIGTERM, lambda *_: os.write(log, b'SIGTERM\\n'))\n"
    "os.write(1, b'ready\\n')\n"
    "while True: time.sleep(0.05)"
)


def started(directory: Path, server: str) -> ServerProcess:
    """A container that runs this code, on a clock that the test owns; once it is ready."""
    from thv.process.posix import ServerProcess

    for name, script in (("podman", CONTAINER_TOOL), ("sleep", NO_TIME)):
        (directory / name).write_text(script)
        (directory / name).chmod(0o755)
    path = f"{directory}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "LOG": str(directory / "log"), "PYTHON": sys.executable, "SERVER": server}
    process = ServerProcess.spawn(str(directory / "podman"), ["podman", "run", "--rm", "image"], env, None)
    assert receive(process.stdout, line=True) == b"ready\n"
    return process


def ended(process: ServerProcess, directory: Path) -> list[str]:
    """What happened until the watchdog was done, without the first command."""
    watchdog = process._watchdog.pid
    process.release()
    until(lambda: has_ended(watchdog), "the end of the watchdog")
    return (directory / "log").read_text().splitlines()[1:]


def tenths(seconds: float) -> list[str]:
    return ["0.1 s"] * round(10 * seconds)


def test_a_container_that_ignores_everything_has_both_graces_and_is_killed_then(tmp_path: Path) -> None:
    process = started(tmp_path, STUBBORN)
    log = ended(process, tmp_path)
    assert log.index("SIGTERM") >= len(tenths(EOF_GRACE))
    log.remove("SIGTERM")
    assert log == [*tenths(EOF_GRACE + TERM_GRACE), "kill ID", "rm -f ID"]
    assert process.reap() == 128 + 9


def test_a_container_whose_thv_was_killed_is_ended_at_once_and_its_tool_a_second_later(tmp_path: Path) -> None:
    """The runtime does nothing here, so the tool stays."""
    process = started(tmp_path, STUBBORN)
    watchdog = process._watchdog.pid
    process._watchdog._let_go()  # as the system does when thv is killed: no word came before
    until(lambda: has_ended(watchdog), "the end of the watchdog")
    killed = ["kill ID", "rm -f ID"]
    assert (tmp_path / "log").read_text().splitlines()[1:] == [*killed, *10 * ["0.1 s"], *killed]
    process.wait()
    assert process.reap() == 128 + 9
    process.release()


def test_a_container_that_was_sent_sigterm_has_the_rest_of_its_grace(tmp_path: Path) -> None:
    process = started(tmp_path, STUBBORN)
    process.terminate()
    until(lambda: "SIGTERM" in (tmp_path / "log").read_text(), "SIGTERM")
    assert ended(process, tmp_path) == ["SIGTERM", *tenths(TERM_GRACE), "kill ID", "rm -f ID"]
    assert process.reap() == 128 + 9


def test_a_container_whose_tool_has_ended_is_stopped_with_the_same_grace(tmp_path: Path) -> None:
    process = started(tmp_path, "print('ready')")
    process.wait()
    assert process.reap() == 0
    assert ended(process, tmp_path) == [f"stop -t {TERM_GRACE:.0f} ID", "rm -f ID"]
