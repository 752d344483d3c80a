"""How a session ends: exit codes, replies in flight, signals, servers that do not want to go, clients that vanish."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.harness import Run, behind_thv, python, receive, scripted, until
from tests.processes import is_gone
from thv.process.shutdown import EOF_GRACE, REPLY_GRACE, TERM_GRACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pty = pytest.importorskip("pty", reason="signals and shells are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

CALL = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"t"}}\n'
ANSWER = b'{"jsonrpc": "2.0", "id": %d, "result": {"content": []}}\n'

WAYS = pytest.mark.parametrize("way", [list, behind_thv], ids=["direct", "thv"])
"""Without thv first, to show that what is expected is what a client is used to."""


@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 255])
def test_the_exit_code_of_the_server_is_ours(tmp_path: Path, code: int) -> None:
    with Run(behind_thv(["sh", "-c", f"exit {code}"]), tmp_path) as run:
        assert run.wait() == code  # while the client is there: its stdin is still open


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "ABRT", "HUP", "PIPE"])
def test_a_server_that_died_of_a_signal_gives_128_and_its_number(tmp_path: Path, name: str) -> None:
    with Run(behind_thv(["sh", "-c", f"kill -{name} $$"]), tmp_path) as run:
        assert run.wait() == 128 + getattr(signal, f"SIG{name}")


@WAYS
def test_replies_in_flight_at_the_end_of_input_are_delivered(tmp_path: Path, way: type[list[str]]) -> None:
    """The server answers 6 s after the client closed its stdin, later than an idle server is given."""
    with Run(way(scripted("answers.py", "--after", "6")), tmp_path) as run:
        code, out, _err = run.finish(CALL % 1)
    assert (code, out) == (0, ANSWER % 1)


@WAYS
def test_what_waits_in_the_pipe_for_a_slow_start_is_answered(tmp_path: Path, way: type[list[str]]) -> None:
    """Whatever it is. The server starts later than any server is given that has begun to read."""
    request = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n'
    with Run(way(scripted("answers.py", "--starts-after", "16")), tmp_path) as run:
        code, out, err = run.finish(request)
    assert (code, out, err) == (0, ANSWER % 1, b"")


def test_a_server_that_is_ended_before_it_answered_everything_is_named(tmp_path: Path) -> None:
    with Run(behind_thv(scripted("stubborn.py", "--mortal"), "--name", "slow"), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        code, _out, err = run.finish(CALL % 1)
    assert code == 128 + signal.SIGTERM
    assert err.decode().count("slow was ended before it answered everything") == 1


def test_a_server_that_ignores_the_end_of_input_and_sigterm_is_killed_after_both_graces(tmp_path: Path) -> None:
    server = python(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'no\\n'))\n"
        "os.write(1, b'ready\\n')\n"
        "while True: time.sleep(0.05)\n"
    )
    with Run(behind_thv(server), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        began = time.monotonic()
        run.close_stdin()
        assert receive(run.stdout, line=True) == b"no\n"
        assert time.monotonic() - began >= EOF_GRACE
        assert run.wait() == 128 + signal.SIGKILL
        assert time.monotonic() - began >= EOF_GRACE + TERM_GRACE


def test_an_answered_call_leaves_nothing_to_wait_for(tmp_path: Path) -> None:
    """The grace for open calls is not given once they are answered."""
    with Run(behind_thv(scripted("answers.py", "--deaf")), tmp_path) as run:
        run.send(CALL % 1)
        assert receive(run.stdout, line=True) == ANSWER % 1
        began = time.monotonic()
        run.close_stdin()
        assert run.wait() == 128 + signal.SIGTERM
        assert EOF_GRACE <= time.monotonic() - began < REPLY_GRACE


def test_a_call_that_is_never_answered_is_waited_for_longer(tmp_path: Path) -> None:
    with Run(behind_thv(scripted("stubborn.py", "--mortal")), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        run.send(CALL % 1)
        began = time.monotonic()
        run.close_stdin()
        assert run.wait() == 128 + signal.SIGTERM
        assert time.monotonic() - began >= REPLY_GRACE


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_thv_reaches_the_server_as_it_came_and_nobody_else(tmp_path: Path, name: str) -> None:
    server = python(
        "import os, signal, time\n"
        "ended = os.pipe()\n"
        "def report(who, parent):\n"
        "    for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
        "        signal.signal(n, lambda n, _: (os.write(1, b'%s got %d\\n' % (who, n)), parent and os._exit(5)))\n"
        "report(b'parent', True)\n"
        "if not os.fork():\n"
        "    report(b'child', False)\n"
        "    os.close(ended[1])\n"
        "    os.write(1, b'ready\\n')\n"
        "    os.read(ended[0], 1)\n"
        "    os._exit(0)\n"
        "while True: time.sleep(0.05)\n"
    )
    number = getattr(signal, name)
    with Run(behind_thv(server), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        os.kill(run.pid, number)
        assert receive(run.stdout) == b"parent got %d\n" % number
        assert run.wait() == 5


def test_every_further_signal_is_handed_on_too_and_kills_nobody(tmp_path: Path) -> None:
    server = python(
        "import os, signal, time\n"
        "for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
        "    signal.signal(n, lambda n, _: os.write(1, b'got %d\\n' % n))\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os._exit(3))\n"
        "os.write(1, b'%d\\n' % os.getpid())\n"
        "while True: time.sleep(0.05)\n"
    )
    with Run(behind_thv(server), tmp_path) as run:
        pid = int(receive(run.stdout, line=True))
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(run.pid, number)
            assert receive(run.stdout, line=True) == b"got %d\n" % number
        os.kill(pid, signal.SIGUSR1)
        assert run.wait() == 3


def test_a_server_whose_wrapper_died_of_the_signal_has_its_time_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Without thv a client sees the wrapper exit at once, closes the pipes, and the server behind it saves its work."""
    server = (
        "import os, sys, time\n"
        "os.write(1, b'ready\\n')\n"
        "os.read(0, 1)\n"  # the end of input
        "while not os.path.exists(sys.argv[1] + '/go'): time.sleep(0.01)\n"
        "print('x' * 200_000)\n"
        "open(sys.argv[1] + '/saved', 'w').close()\n"
    )
    with Run(behind_thv(["sh", "-c", '"$@"; true', "sh", *python(server, str(tmp_path))]), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait() == 128 + signal.SIGTERM
        (tmp_path / "go").touch()
        until((tmp_path / "saved").exists, "the end of the clean-up")


def test_a_stopped_server_is_ended_all_the_same(tmp_path: Path) -> None:
    with Run(behind_thv(scripted("stubborn.py", "--mortal")), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        for process in run.family():
            if "stubborn.py" in " ".join(process.cmdline()) and process.pid != run.pid:
                process.suspend()
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait() in (128 + signal.SIGKILL, 128 + signal.SIGTERM)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which signals a process handles")
def test_a_hangup_ignored_by_nohup_stays_ignored(tmp_path: Path) -> None:
    with Run(["nohup", *behind_thv(["cat"])], tmp_path) as run:
        run.send(b"one\n")
        assert receive(run.stdout, line=True) == b"one\n"
        until(lambda: _catches(run.pid, signal.SIGTERM), "the handlers")
        os.kill(run.pid, signal.SIGHUP)
        run.send(b"two\n")
        assert receive(run.stdout, line=True) == b"two\n"
        assert run.finish()[0] == 0


def _catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123  no path of ours
        caught = re.search(r"SigCgt:\s*(\w+)", status.read())
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.03, 0.04, 0.06])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_at_any_moment_of_the_start_leaves_nothing_behind(tmp_path: Path, number: int, delay: float) -> None:
    with Run(behind_thv(["cat"]), tmp_path) as run:
        time.sleep(delay)
        os.kill(run.pid, number)
        if number == signal.SIGINT:
            # CPython may lose a Ctrl-C while it starts, before any line of ours; a person presses again.
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(5)
            if run.process.returncode is None:
                os.kill(run.pid, number)
        assert run.wait() != 0
        until(run.all_gone, "the end of all")


def test_ctrl_c_in_a_terminal_reaches_the_server_once_as_sigint(tmp_path: Path) -> None:
    """The terminal's signal goes to the foreground group, which the server is not in: it gets SIGINT from thv."""
    server = python(
        "import os, signal, time\n"
        "for n in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(n, lambda n, _: (os.write(2, b'got %d\\n' % n), os._exit(9)))\n"
        "os.write(2, b'ready\\n')\n"
        "while True: time.sleep(0.05)\n"
    )
    with on_a_terminal(behind_thv(server)) as (pid, master, seen):
        os.write(master, b"\x03")
        seen.extend(receive(master))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert seen.count(b"got 2\r") == 1
    assert b"got 15" not in seen
    assert b'"mcpServers"' in seen  # and a person at a terminal was told what thv waits for


def test_the_second_ctrl_c_of_a_person_kills_at_once(tmp_path: Path) -> None:
    server = python(
        "import os, signal, time\n"
        "for n in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(n, lambda n, _: os.write(2, b'got %d\\n' % n))\n"
        "os.write(2, b'ready\\n')\n"
        "while True: time.sleep(0.05)\n"
    )
    with on_a_terminal(behind_thv(server)) as (pid, master, seen):
        os.write(master, b"\x03")
        while b"got 2\r\n" not in seen:
            seen.extend(receive(master, line=True))
        os.write(master, b"\x03")
        seen.extend(receive(master))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGKILL
    assert seen.count(b"got 2\r\n") == 1


@contextmanager
def on_a_terminal(command: list[str]) -> Iterator[tuple[int, int, bytearray]]:
    """Run thv on a terminal of its own, until its server says "ready": its pid, our end, what was seen so far."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["DO_NOT_TRACK"] = "1"
        os.execv(sys.executable, command)
    seen = bytearray()
    try:
        while b"ready\r\n" not in seen:
            seen += receive(master, line=True)
        family = psutil.Process(pid).children(recursive=True)
        yield pid, master, seen
    finally:
        os.close(master)
    until(lambda: all(map(is_gone, family)), "the end of all")


def test_a_terminal_that_hangs_up_ends_the_session(tmp_path: Path) -> None:
    server = python(
        "import os, signal, time\n"
        "signal.signal(signal.SIGHUP, lambda *_: os._exit(7))\n"
        "os.write(2, b'ready\\n')\n"
        "while True: time.sleep(0.05)\n"
    )
    with on_a_terminal(behind_thv(server)) as (pid, master, _):
        hang_up(master)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def hang_up(master: int) -> None:
    """Close our end of a terminal; the number stays open."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, master)
    os.close(nothing)


@pytest.mark.slow
def test_a_terminal_that_hangs_up_ends_a_stubborn_server_after_its_graces(tmp_path: Path) -> None:
    server = python(
        "import os, signal, time\n"
        "for n in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):\n"
        "    signal.signal(n, lambda *_: None)\n"
        "os.write(2, b'ready\\n')\n"
        "while True: time.sleep(0.05)\n"
    )
    with on_a_terminal(behind_thv(server)) as (pid, master, _):
        begun = time.monotonic()
        hang_up(master)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 128 + signal.SIGKILL
        assert time.monotonic() - begun >= EOF_GRACE + TERM_GRACE


@pytest.mark.parametrize("die", ["exit", "kill"])
def test_what_a_server_wrote_before_it_died_mid_line_is_delivered(tmp_path: Path, die: str) -> None:
    last = "os._exit(3)" if die == "exit" else "os.kill(os.getpid(), 9)"
    server = python(
        "import os\n"
        "os.read(0, 1000)\n"
        'rest = memoryview(b\'x\' * 300000 + b\'\\n{"jsonrpc":"2.0","id":1,"resu\')\n'
        "while rest: rest = rest[os.write(1, rest):]\n" + last
    )
    with Run(behind_thv(server, "--debug"), tmp_path) as run:
        run.send(CALL % 1)
        out = receive(run.stdout)
        assert run.wait() == (3 if die == "exit" else 137)
        err = receive(run.stderr)
    assert out == b"x" * 300000 + b'\n{"jsonrpc":"2.0","id":1,"resu'
    assert b"thv: tool calls: 0 success, 1 error\n" in err


def test_a_dead_server_leaves_its_open_calls_counted_as_errors(tmp_path: Path) -> None:
    with Run(behind_thv(scripted("answers.py", "--die", "7"), "--debug"), tmp_path) as run:
        run.send(CALL % 1 + CALL % 2)
        assert run.wait() == 7
        assert b"thv: tool calls: 0 success, 2 errors\n" in receive(run.stderr)


def test_calls_open_when_the_client_leaves_are_not_counted_but_late_replies_are(tmp_path: Path) -> None:
    with Run(behind_thv(scripted("answers.py", "--after", "1"), "--debug"), tmp_path) as run:
        code, out, err = run.finish(CALL % 1)
    assert (code, out) == (0, ANSWER % 1)
    assert b"thv: tool calls: 1 success, 0 errors\n" in err
    with Run(behind_thv(scripted("stubborn.py", "--mortal"), "--debug"), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        run.send(CALL % 1)
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait() == 128 + signal.SIGTERM
        assert b"thv: tool calls: 0 success, 0 errors\n" in receive(run.stderr)


@WAYS
def test_a_server_that_closes_stdout_ends_the_clients_input(tmp_path: Path, way: type[list[str]]) -> None:
    server = python("import os\nos.write(1, b'bye\\n')\nos.close(1)\nwhile os.read(0, 100): pass\nos._exit(4)")
    with Run(way(server), tmp_path) as run:
        assert receive(run.stdout) == b"bye\n"  # up to the end of file
        run.close_stdin()
        assert run.wait() == 4


def test_a_server_that_closes_its_output_and_stays_is_said_to_have_been_ended(tmp_path: Path) -> None:
    server = python("import os, time\nos.close(1)\nwhile True: time.sleep(60)")
    with Run(behind_thv(server, "--name", "mute"), tmp_path) as run:
        assert run.wait() == 128 + signal.SIGTERM
        err = receive(run.stderr)
    assert err == b"thv: mute closed its stdout and did not exit, so thv ended it\n"


@WAYS
def test_a_server_that_closes_stdin_makes_the_clients_writes_fail(tmp_path: Path, way: type[list[str]]) -> None:
    server = python(
        "import os, sys, time\n"
        "os.close(0)\n"
        "os.write(1, b'closed\\n')\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "os.write(1, b'still here\\n')\n",
        str(tmp_path / "go"),
    )
    with Run(way(server), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"closed\n"

        def write_fails() -> bool:
            try:
                os.write(run.stdin, b"x\n")
            except BrokenPipeError:
                return True
            return False

        until(write_fails, "EPIPE")
        (tmp_path / "go").touch()
        assert receive(run.stdout) == b"still here\n"
        assert run.wait() == 0


def test_the_last_output_waits_for_a_slow_client(tmp_path: Path) -> None:
    """Longer than any grace of the shutdown: a dead server's output is the client's as long as the client is there."""
    server = python(
        "import os\nrest = memoryview(bytes(4 << 20))\nwhile rest: rest = rest[os.write(1, rest):]\nos._exit(6)"
    )
    with Run(behind_thv(server), tmp_path) as run:
        assert receive(run.stdout, count=1 << 20) == bytes(1 << 20)
        time.sleep(4)
        assert receive(run.stdout) == bytes(3 << 20)
        assert run.wait() == 6


def test_a_client_that_closes_only_its_reading_end_ends_the_session(tmp_path: Path) -> None:
    server = python("import os\nwhile True: os.write(1, bytes(1000))")
    with Run(behind_thv(server), tmp_path) as run:
        receive(run.stdout, count=100_000)
        assert run.process.stdout is not None
        run.process.stdout.close()
        assert run.wait() in (128 + signal.SIGTERM, 128 + signal.SIGPIPE)
