"""A server process on POSIX systems: how it is spawned, what it is given, and that its group can be ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.processes import is_gone, is_zombie
from thv.errors import CommandNotFoundError, NotExecutableError, ThvError
from thv.process.server_process import ServerProcess, grow_pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("fcntl", reason="its twin serves Windows")
assert sys.platform != "win32"  # tells the type checker

from thv.process import watchdog  # noqa: E402 - Windows has none

PATIENCE = 60.0
"""Seconds any wait may take before a test fails."""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def open_descriptors() -> set[int]:
    found = set()
    for fd in range(256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.add(fd)
    return found


def shell(script: str, *, env: dict[str, str] | None = None, cwd: str | None = None) -> ServerProcess:
    return ServerProcess.spawn("/bin/sh", ("sh", "-c", script), dict(os.environ) if env is None else env, cwd)


def read_all(server: ServerProcess) -> bytes:
    got = b""
    while chunk := os.read(server.stdout, 65536):
        got += chunk
    return got


def release(server: ServerProcess) -> int:
    """Wait for its end and give everything back; its exit code."""
    server.wait()
    code = server.close()
    for fd in (server.stdin, server.stdout):
        os.close(fd)
    return code


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("content", "mode", "error"),
    [
        (None, 0, CommandNotFoundError),
        (b"#!/bin/sh\n", 0o644, NotExecutableError),
        (b"#!/no/such/interpreter\n", 0o755, NotExecutableError),
        (b"\x00\x01 no program", 0o755, NotExecutableError),
    ],
    ids=["missing", "no-x", "bad-interpreter", "no-format"],
)
def test_a_server_that_cannot_start_is_told_and_leaks_nothing(
    tmp_path: Path, content: bytes | None, mode: int, error: type[ThvError]
) -> None:
    path = tmp_path / "server"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(error, match="server"):
        ServerProcess.spawn(str(path), (str(path),), {}, None)


@pytest.mark.parametrize(
    "content", [b"echo $0 $1; exit 3\n", b"# a comment\necho $0 $1; exit 3", b"echo $0 $1; exit 3\n\0"]
)
def test_a_script_that_names_no_interpreter_is_run_by_a_shell(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server"
    path.write_bytes(content)
    path.chmod(0o755)
    server = ServerProcess.spawn(str(path), ("./server", "one word"), dict(os.environ), None)
    assert read_all(server).decode() == f"{path} one word\n"
    assert release(server) == 3


def test_a_directory_that_cannot_be_entered_is_told_and_leaks_nothing(tmp_path: Path) -> None:
    with pytest.raises(ThvError, match="working directory"):
        shell("exit 0", cwd=str(tmp_path / "nowhere"))


def test_the_server_runs_in_its_directory_and_we_stay_in_ours(tmp_path: Path) -> None:
    here = os.getcwd()  # noqa: PTH109  the same call on both sides
    server = shell("pwd -P", cwd=str(tmp_path))
    assert read_all(server).decode().strip() == str(tmp_path.resolve())
    assert release(server) == 0
    assert os.getcwd() == here  # noqa: PTH109  as above


def test_the_environment_is_exactly_the_one_given() -> None:
    server = ServerProcess.spawn("/usr/bin/env", ("env",), {"A": "1", "B": "é\udcff"}, None)
    assert read_all(server).splitlines() == [b"A=1", b"B=\xc3\xa9\xff"]
    assert release(server) == 0


def test_the_server_leads_a_group_of_its_own_which_terminate_reaches_whole() -> None:
    server = shell("sleep 1000 & echo $!; wait")
    child = psutil.Process(int(os.read(server.stdout, 100)))
    assert os.getpgid(server.pid) == os.getpgid(child.pid) == server.pid
    server.terminate()
    assert release(server) == 128 + signal.SIGTERM
    until(lambda: is_gone(child))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_server_that_is_stopped_ends_as_it_was_asked_to(number: signal.Signals) -> None:
    server = shell(f"trap 'echo cleaned up; exit 3' {number.name[3:]}; echo ready; kill -STOP $$; echo went on")
    assert os.read(server.stdout, 100) == b"ready\n"
    process = psutil.Process(server.pid)
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    server.send_signal(number)
    assert read_all(server) == b"cleaned up\n"
    assert release(server) == 3


def test_a_server_that_runs_gets_no_signal_but_the_one_that_was_sent() -> None:
    server = shell(
        "trap 'echo let go on' CONT; trap 'echo ended; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    )
    assert os.read(server.stdout, 100) == b"ready\n"
    server.send_signal(signal.SIGTERM)
    assert read_all(server) == b"ended\n"
    assert release(server) == 3


def test_terminate_reaches_what_is_stopped_in_the_group() -> None:
    server = shell("(trap 'echo cleaned up; exit' TERM; echo ready; sh -c 'kill -STOP $PPID'; :) & wait")
    assert os.read(server.stdout, 100) == b"ready\n"
    (child,) = psutil.Process(server.pid).children()
    until(lambda: child.status() == psutil.STATUS_STOPPED)
    server.terminate()
    assert read_all(server) == b"cleaned up\n"
    assert release(server) == 128 + signal.SIGTERM


def test_kill_reaches_what_ignores_everything_else() -> None:
    server = shell("trap '' TERM; echo ready; while :; do sleep 1000; done")
    assert os.read(server.stdout, 100) == b"ready\n"
    server.terminate()
    server.kill()
    assert release(server) == 128 + signal.SIGKILL


def test_waiting_leaves_the_server_unreaped_so_that_its_number_stays_its_own() -> None:
    server = shell("exit 3")
    server.wait()
    assert is_zombie(psutil.Process(server.pid))
    server.terminate()  # harmless then
    assert release(server) == 3


def test_closing_stdin_gives_the_server_its_end_and_may_be_done_again() -> None:
    server = shell("cat; echo end")
    os.write(server.stdin, b"x\n")
    server.close_stdin()
    server.close_stdin()
    os.write(server.stdin, b"nobody reads this\n")
    assert read_all(server) == b"x\nend\n"
    assert release(server) == 0


def test_stdin_can_be_closed_while_another_thread_writes_to_it() -> None:
    server = shell("sleep 1000")
    os.set_blocking(server.stdin, True)

    def write() -> None:
        with suppress(BrokenPipeError):  # or the bytes go nowhere, if the other thread was first
            os.write(server.stdin, bytes(1 << 20))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    server.close_stdin()
    server.kill()
    writer.join(PATIENCE)
    assert not writer.is_alive()
    assert release(server) == 128 + signal.SIGKILL


def test_the_watchdog_is_dismissed_with_the_last_of_the_group() -> None:
    server = shell("cat")
    process = psutil.Process(server._watchdog.pid)
    server.close_stdin()
    assert release(server) == 0
    assert not process.is_running()


def test_the_watchdog_ends_those_of_the_group_that_outlive_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "EOF_GRACE", 0.1)
    monkeypatch.setattr(watchdog, "TERM_GRACE", 0.1)
    server = shell("(trap '' TERM HUP; echo ready; while :; do sleep 1000; done) & read -r _; exit 4")
    assert os.read(server.stdout, 100) == b"ready\n"
    group = [process for process in psutil.process_iter() if _group(process.pid) == server.pid]
    os.write(server.stdin, b"go\n")
    assert release(server) == 4
    until(lambda: all(map(is_gone, group)))
    until(_no_watchdog_is_left)


def _no_watchdog_is_left() -> bool:
    watchdog.reap_watchdogs()
    return not watchdog._leaving


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def test_a_watchdog_that_was_killed_changes_nothing() -> None:
    server = shell("exit 5")
    os.kill(server._watchdog.pid, signal.SIGKILL)
    assert release(server) == 5


def test_without_a_shell_a_server_runs_and_ends_and_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose image holds nothing but a server."""
    from thv.process import posix

    def spawn_without_shell(path: str, *args: Any, **options: Any) -> int:
        return spawn("/no/such/shell" if path == "/bin/sh" else path, *args, **options)

    spawn = posix._posix_spawn
    monkeypatch.setattr(posix, "_posix_spawn", spawn_without_shell)
    code = "import sys; sys.stdout.write(sys.stdin.read())"
    for _ in range(3):
        server = ServerProcess.spawn(sys.executable, (sys.executable, "-c", code), dict(os.environ), None)
        assert server._watchdog.pid == -1
        os.write(server.stdin, b"hello")
        server.close_stdin()
        assert read_all(server) == b"hello"
        server.wait()
        assert server.close() == 0
        server.release()


ADOPTING = """\
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what the first process of a container always is
from thv.process.server_process import ServerProcess
server = ServerProcess.spawn("/bin/sh", ("sh", "-c", "sleep 0.2 & exit 3"), dict(os.environ), None)
server.wait()
assert server.reap() == 3
until = time.monotonic() + 60
while server.has_live_descendants() and time.monotonic() < until:
    time.sleep(0.005)
assert not server.has_live_descendants()
server.release()
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child is left")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_as_the_first_process_of_a_container_it_leaves_no_zombies_of_a_servers() -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTING], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("no child is left\n", "")


def test_anything_but_a_pipe_is_widened_to_no_effect(tmp_path: Path) -> None:
    """Fails where `grow_pipe` raises."""
    with (tmp_path / "file").open("wb") as file:
        grow_pipe(file.fileno())
    reader, writer = os.pipe()
    grow_pipe(writer)
    os.close(reader)
    os.close(writer)
    grow_pipe(writer)  # closed, even


def test_the_reading_end_of_the_servers_stdin_blocks_as_a_server_expects() -> None:
    server = ServerProcess.spawn(
        sys.executable, ("python", "-ISc", "import os; print(os.get_blocking(0), os.get_blocking(1))"), {}, None
    )
    assert read_all(server) == b"True True\n"
    assert release(server) == 0
