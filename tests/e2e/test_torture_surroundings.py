"""Hostile surroundings: few descriptors, no directory, a full stderr, a signal before thv is awake."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import Run, behind_thv, python, receive, until

if TYPE_CHECKING:
    from pathlib import Path

resource = pytest.importorskip("resource", reason="limits are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}\n'
REPLY = b'{"jsonrpc":"2.0","id":1,"result":{}}\n'


def under(shell: str, command: list[str]) -> list[str]:
    """The command, after what `shell` does to its surroundings."""
    return ["/bin/sh", "-c", f'{shell}; exec "$@"', "sh", *command]


@pytest.mark.parametrize("descriptors", range(5, 14))
def test_too_few_descriptors_are_one_line_or_no_matter(tmp_path: Path, descriptors: int) -> None:
    # Below 5 the interpreter itself can hardly import.
    with Run(under(f"ulimit -n {descriptors}", behind_thv(["cat"])), tmp_path) as run:
        code, out, err = run.finish(CALL)
    lines = err.splitlines(keepends=True)
    assert [line for line in lines if not (line.startswith(b"thv: ") and line.endswith(b"\n"))] == []
    assert len(lines) <= 1
    if code == 0:
        assert out == CALL
    else:
        assert (code, len(lines)) == (1, 1)
        assert CALL.startswith(out)


def test_a_relative_directory_below_one_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = under('rmdir "$PWD"', behind_thv(["cat"], "--cwd", "below"))
    with Run(command, gone) as run:
        code, out, err = run.finish()
    assert (code, out) == (1, b"")
    assert (err[:5], err.count(b"\n")) == (b"thv: ", 1)
    assert b"below" in err


def test_a_directory_that_is_gone_is_no_matter(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with Run(under('rmdir "$PWD"', behind_thv(["cat"])), gone) as run:
        assert run.finish(CALL) == (0, CALL, b"")


@pytest.mark.parametrize("options", [(), ("--debug",)], ids=["quiet", "debug"])
def test_a_full_stderr_that_nobody_reads_does_not_hold_the_session(tmp_path: Path, options: tuple[str, ...]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("otel: [\n")  # thv has something to say about it
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        os.set_blocking(write, True)
    surroundings = {"TOOLHIVE_CONFIG": str(config), "DO_NOT_TRACK": "", "CI": ""}
    with Run(behind_thv(["cat"], *options), tmp_path, env=surroundings, stderr=write) as run:
        os.close(write)
        run.send(CALL)
        assert receive(run.stdout, line=True) == CALL
        run.close_stdin()
        assert run.wait() == 0
    os.close(read)


def test_a_client_that_leaves_a_server_without_stdin_is_noticed(tmp_path: Path) -> None:
    server = python(
        "import os, time\n"
        "os.close(0)\n"
        "os.write(1, b'deaf\\n')\n"
        "time.sleep(600)\n"
    )  # fmt: skip
    with Run(behind_thv(server), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"deaf\n"
        until(lambda: _refused(run.stdin), "the refusal of what the client writes")
        run.close_stdin()
        assert run.process.stdout is not None
        run.process.stdout.close()
        assert run.wait() == 128 + signal.SIGTERM


def test_a_last_request_without_a_newline_is_answered_before_the_end(tmp_path: Path) -> None:
    # `printf '{...}' | thv run ...`: what reads lines takes the last one at the end of file for a whole one.
    server = python(
        "import sys, time\n"
        "sys.stdin.readline()\n"
        "time.sleep(3)\n"  # longer than a server may take to end
        f"sys.stdout.write({REPLY.decode()!r})\n"
    )
    with Run(behind_thv(server, "--debug"), tmp_path) as run:
        code, out, err = run.finish(CALL.rstrip())
    assert (code, out) == (0, REPLY)
    assert b"tool calls: 1 success, 0 errors" in err


@pytest.mark.parametrize("module", ["thv.core.console", "thv.servers.resolve", "thv.stdio_session", "thv.relay.relay"])
def test_ctrl_c_while_thv_is_being_imported_is_no_traceback(tmp_path: Path, module: str) -> None:
    # The module's import stops half-way and waits there for the signal.
    script = (
        "import sys, time\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            print('importing', flush=True)\n"
        "            time.sleep(600)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from thv.__main__ import main\n"
        "sys.exit(main(['run', '--', 'cat']))\n"
    )
    with Run([sys.executable, "-P", "-c", script], tmp_path) as run:
        assert receive(run.stdout, line=True) == b"importing\n"
        time.sleep(0.01)  # into the sleep; earlier is as good
        run.process.send_signal(signal.SIGINT)
        assert run.finish() == (-signal.SIGINT, b"", b"")


def _refused(fd: int) -> bool:
    try:
        os.write(fd, b"\n")
    except BrokenPipeError:
        return True
    return False


@pytest.mark.parametrize(
    ("reply", "tally"),
    [(REPLY.rstrip(), b"1 success, 0 errors"), (REPLY.rstrip()[:-1], b"0 success, 1 error")],
    ids=["whole", "half"],
)
def test_a_last_reply_without_a_newline_is_counted_if_it_is_whole(tmp_path: Path, reply: bytes, tally: bytes) -> None:
    # Clients that read lines take it for a reply: those of the Go, Rust, Java and C# SDKs do.
    server = python(f"import sys\nsys.stdin.readline()\nsys.stdout.write({reply.decode()!r})\n")
    with Run(behind_thv(server, "--debug"), tmp_path) as run:
        run.send(CALL)
        assert receive(run.stdout) == reply
        assert run.wait() == 0
        err = receive(run.stderr)
    assert b"thv: tool calls: " + tally + b"\n" in err
