"""What a server is started with, why it may not start, and what thv costs before and between messages."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.harness import Run, behind_thv, python, receive, until
from tests.processes import voluntary_switches

pytest.importorskip("fcntl", reason="descriptors and modes are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

THV = [sys.executable, "-P", "-m", "thv"]

WAYS = pytest.mark.parametrize("way", [list, behind_thv], ids=["direct", "thv"])

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


def refused(tmp_path: Path, *words: str) -> tuple[int, str]:
    """Exit code and what was said; nothing may be on stdout, and one line on stderr."""
    with Run([*THV, *words], tmp_path) as run:
        code, out, err = run.finish()
    assert out == b""
    assert err.startswith(b"thv: ")
    return code, err.decode()


def make(path: Path, content: bytes, mode: int) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_missing_command_ends_with_127_and_one_line(tmp_path: Path) -> None:
    for words in (["no-such-command-of-ours"], ["/no/such/file"], ["./nor-here"]):
        code, said = refused(tmp_path, "run", "--", *words)
        assert code == 127
        assert said.count("\n") == 1
        assert words[0] in said


@pytest.mark.parametrize(("server", "runner"), [("uvx://x", "uvx"), ("npx://x", "npx"), ("time", "uvx")])
def test_a_missing_runner_ends_with_127_and_how_to_get_it(
    tmp_path: Path, server: str, runner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = refused(tmp_path, "run", server)
    assert code == 127
    assert said.count("\n") == 1
    assert runner in said
    assert "https://" in said


def test_what_cannot_be_executed_ends_with_126_and_one_line(tmp_path: Path) -> None:
    for path in (
        make(tmp_path / "no-x", b"#!/bin/sh\n", 0o644),
        make(tmp_path / "bad-interpreter", b"#!/no/such/interpreter\n", 0o755),
        make(tmp_path / "no-format", b"\x00\x01\x02 no program", 0o755),
        tmp_path,
    ):
        code, said = refused(tmp_path, "run", "--", str(path))
        assert (code, said.count("\n")) == (126, 1), said
        assert str(path) in said


def test_an_unknown_name_ends_with_1_and_names_the_nearest(tmp_path: Path) -> None:
    code, said = refused(tmp_path, "run", "filesytem")
    assert (code, said.count("\n")) == (1, 1)
    assert "did you mean filesystem" in said


@pytest.mark.parametrize("words", [[], ["--no-such-option", "demo"], ["one", "two"]])
def test_a_wrong_command_line_ends_with_2(tmp_path: Path, words: list[str]) -> None:
    assert refused(tmp_path, "run", *words)[0] == 2


# Signals 32 and 33 are the C library's own; its posix_spawn leaves them ignored, which nobody can notice.
TELL = """\
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({
    "env": {k: v for k, v in os.environ.items()},
    "cwd": os.getcwd(),
    "fds": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")),
    "ignored": int(status["SigIgn"], 16) & 0x7FFFFFFF,
    "blocked": int(status["SigBlk"], 16) & 0x7FFFFFFF,
}))
"""


@LINUX
def test_a_server_is_started_as_it_would_be_without_thv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same environment, directory, descriptors and signals; but a process group of its own."""
    for name in ("HTTP_PROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "EMPTY"):
        monkeypatch.setenv(name, "" if name == "EMPTY" else f"/some/{name}\nwith é and \udcff")
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    inherited = os.open(os.devnull, os.O_RDONLY)
    told = []
    for way in (list, behind_thv):
        # The shell stands between, so that what is compared is what was inherited and not what Python made of it.
        server = ["sh", "-c", 'env -0 | sort -z | tr "\\0" "\\1"; "$@"', "sh", *python(TELL)]
        with Run(way(server), tmp_path, env={"THV_TEST_RUN": "x"}, pass_fds=[inherited]) as run:
            code, out, _err = run.finish()
        assert code == 0
        env, _, rest = out.rpartition(b"\x01")
        variables = {item for item in env.split(b"\x01") if not item.startswith((b"THV_TEST_RUN", b"_=", b"PWD="))}
        told.append((variables, json.loads(rest)))
    os.close(inherited)
    assert told[1][0] == told[0][0]
    for key in ("cwd", "fds", "ignored", "blocked"):
        assert told[1][1][key] == told[0][1][key], key


def test_a_server_has_a_group_and_a_directory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    server = python("import os\nprint(os.getpgrp(), os.getcwd())")
    with Run(behind_thv(server, "--cwd", str(tmp_path / "there")), tmp_path) as run:
        code, out, _err = run.finish()
    group, directory = out.decode().split()
    assert (code, directory) == (0, str((tmp_path / "there").resolve()))
    assert int(group) not in (os.getpgid(0), run.pid)


def test_a_broken_pipe_ends_a_server_as_it_would_without_thv(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and what is ignored is inherited."""
    with Run(behind_thv(["sh", "-c", "kill -PIPE $$; echo alive"]), tmp_path) as run:
        assert run.finish()[:2] == (141, b"")


def test_a_parent_that_ignores_its_children_changes_nothing(tmp_path: Path) -> None:
    """An ignored SIGCHLD is inherited, and children are then reaped by the system, exit codes and all."""
    ignoring = (
        "import os, signal, sys\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nos.execv(sys.argv[1], sys.argv[1:])"
    )
    with Run(python(ignoring, *behind_thv(["sh", "-c", "cat; exit 7"])), tmp_path) as run:
        began = time.monotonic()
        assert run.finish(b"x\n") == (7, b"x\n", b"")
        assert time.monotonic() - began < 30


@WAYS
@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_standard_descriptors_are_no_trap(tmp_path: Path, way: type[list[str]], closed: str) -> None:
    server = ["sh", "-c", "cat > file; echo done >> file; exit 5"]
    with Run(["sh", "-c", f'exec "$@" {closed}', "sh", *way(server)], tmp_path) as run:
        assert run.finish(b"")[0] == 5
    assert (tmp_path / "file").read_bytes() == b"done\n"


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stdout_is_refused_in_one_line_since_every_reply_would_be_lost(tmp_path: Path, closed: str) -> None:
    server = behind_thv(["sh", "-c", "touch started"])
    with Run(["sh", "-c", f'exec "$@" {closed}', "sh", *server], tmp_path) as run:
        code, out, err = run.finish(b"")
    assert (code, out) == (1, b"")
    if "2>&-" in closed:
        assert err == b""
    else:
        assert err.count(b"\n") == 1
        assert b"stdout is closed" in err
    assert list(tmp_path.iterdir()) == [tmp_path / "home"], "nothing was started, and nothing was written into a file"


@WAYS
def test_files_serve_as_stdin_and_stdout(tmp_path: Path, way: type[list[str]]) -> None:
    data = os.urandom(300_000)
    (tmp_path / "in").write_bytes(data)
    with (
        (tmp_path / "in").open("rb") as source,
        (tmp_path / "out").open("wb") as sink,
        Run(way(["cat"]), tmp_path, stdin=source, stdout=sink) as run,
    ):
        assert run.wait() == 0
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize(
    ("way", "blocking"),
    [(list, True), (behind_thv, True), (behind_thv, False)],  # cat itself fails on a non-blocking socket
)
def test_one_socket_serves_as_stdin_and_stdout_and_stays_as_it_is(
    tmp_path: Path, way: type[list[str]], blocking: bool
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(blocking)
        with Run(way(["cat"]), tmp_path, stdin=theirs, stdout=theirs) as run:
            for line in (b"one\n", b"two\n"):
                ours.sendall(line)
                assert receive(ours.fileno(), line=True) == line
            assert os.get_blocking(theirs.fileno()) == blocking
            ours.shutdown(socket.SHUT_WR)
            theirs.close()
            assert receive(ours.fileno()) == b""
            assert run.wait() == 0


def test_nothing_slow_is_imported_before_the_server_is_started() -> None:
    slow = {
        *("typing", "re", "dataclasses", "json", "threading", "subprocess", "signal", "enum", "pathlib", "contextlib"),
        *("shutil", "typer", "msgspec", "rich", "ruamel", "opentelemetry", "asyncio", "logging", "inspect"),
    }
    code = "import sys; import thv.__main__, thv.cli.run, thv.cli.run_options; print(*sys.modules)"
    seen = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not slow & set(seen.stdout.split())


@LINUX
def test_an_idle_session_wakes_nobody(tmp_path: Path) -> None:
    with Run(behind_thv(["cat"]), tmp_path) as run:
        run.send(b"x\n")
        assert receive(run.stdout, line=True) == b"x\n"

        def switches() -> dict[str, int]:
            return voluntary_switches(run.pid, *(p.pid for p in run.family() if "thv-watchdog" in p.cmdline()))

        until(lambda: len(switches()) >= 5 and _stays(switches), "quiet after the start")
        before = switches()
        time.sleep(2)
        assert switches() == before
        assert run.finish()[0] == 0


def _stays(number: object) -> bool:
    assert callable(number)
    before = number()
    time.sleep(0.5)
    return bool(number() == before)


@LINUX
def test_thv_itself_holds_few_descriptors(tmp_path: Path) -> None:
    """Its standard three, two pipes to the server, one to wake it, the watchdog's; and a name for each more."""
    with Run(behind_thv(["cat"]), tmp_path) as run:
        run.send(b"x\n")
        assert receive(run.stdout, line=True) == b"x\n"
        until(lambda: "msgspec" in Path(f"/proc/{run.pid}/maps").read_text(), "the decoder")
        until(lambda: len(os.listdir(f"/proc/{run.pid}/fd")) <= 8, "few descriptors", 10)  # noqa: PTH208  only counted
        assert run.finish()[0] == 0
