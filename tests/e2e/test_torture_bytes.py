"""Every byte through `thv run` arrives as it would without: nasty bytes, huge lines, slow readers, noisy servers."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.harness import Run, behind_thv, python, receive, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("fcntl", reason="the commands are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

MIB = 1024 * 1024

ENOUGH = 48 * MIB
"""What thv may use here: 16 MiB for interpreter and decoder, and some buffers. To keep what flows takes hundreds."""

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}'


def background(task: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=task, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n\r\n\n",
        b"\xff\xfe\x00\x80 no UTF-8\n" * 3,
        b'{"id":1}\r\n{"id":2}\r\n',
        b"INFO: a log line on stdout\n[1,2\n}{\nNaN\n",
        b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"result":{}}\n',
        CALL + b"\n" + CALL,
        b"[" * 100_000 + b"\n",
        b"x" * (3 * MIB) + b"\n",
        bytes(range(256)) * 5000,
    ],
    ids=["nothing", "blank", "no-utf8", "crlf", "logs", "bom", "no-last-newline", "deep", "long", "all-bytes"],
)
def test_bytes_go_through_a_session_unchanged_both_ways(tmp_path: Path, data: bytes) -> None:
    with Run(behind_thv(["cat"]), tmp_path) as run:
        code, out, _err = run.finish(data)
    assert (code, out) == (0, data)


@given(pieces=st.lists(st.binary(max_size=2000) | st.sampled_from([b"\n", CALL + b"\n", b"\r\n"]), max_size=20))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_go_through_a_session_unchanged_however_they_are_cut(tmp_path: Path, pieces: list[bytes]) -> None:
    with Run(behind_thv(["cat"]), tmp_path) as run:
        for piece in pieces:
            run.send(piece)
        assert run.finish() == (0, b"".join(pieces), b"")


def test_a_64_mib_line_goes_through_both_ways(tmp_path: Path) -> None:
    piece = os.urandom(MIB).replace(b"\n", b" ")
    with Run(behind_thv(["cat"]), tmp_path) as run:

        def send() -> None:
            for _ in range(64):
                run.send(piece)
            run.close_stdin()

        sender = background(send)
        for _ in range(64):
            assert receive(run.stdout, count=MIB) == piece
        assert receive(run.stdout) == b""
        sender.join()
        assert run.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has written")
def test_a_slow_client_slows_the_server_and_memory_stays_flat(tmp_path: Path) -> None:
    """256 MiB want to flow to a client that does not read; then all of it arrives."""
    server = python(
        "import os\n"
        "piece = memoryview(bytes(range(256)) * 4096)\n"
        "for n in range(256):\n"
        "    rest = piece\n"
        "    while rest: rest = rest[os.write(1, rest):]\n"
        "    os.write(2, b'%d\\n' % n)\n"
    )
    piece = bytes(range(256)) * 4096
    with Run(behind_thv(server), tmp_path) as run:
        thv = psutil.Process(run.pid)
        peak = 0
        written = receive(run.stderr, line=True) + receive(run.stderr, line=True)  # it flows
        settled = _until_still(lambda: _bytes_written(run))
        assert written == b"0\n1\n"
        assert settled < 24 * MIB  # the rest is held back: the server waits
        for _ in range(256):
            assert receive(run.stdout, count=MIB) == piece
            peak = max(peak, thv.memory_info().rss)
        assert receive(run.stdout) == b""
        assert run.wait() == 0
    assert peak < ENOUGH


def test_a_server_that_does_not_read_slows_the_client_and_memory_stays_flat(tmp_path: Path) -> None:
    server = python(
        "import os, sys, time\n"
        "while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "while data := os.read(0, 1 << 20): os.write(1, b'%d\\n' % len(data))\n",
        str(tmp_path / "go"),
    )
    sent = 0
    with Run(behind_thv(server), tmp_path) as run:

        def send() -> None:
            nonlocal sent
            for _ in range(256):
                run.send(bytes(MIB))
                sent += MIB
            run.close_stdin()

        sender = background(send)
        until(lambda: sent > 0, "the first MiB")
        assert _until_still(lambda: sent) < 24 * MIB
        rss = psutil.Process(run.pid).memory_info().rss
        (tmp_path / "go").touch()
        counts = receive(run.stdout)
        sender.join()
        assert sum(map(int, counts.split())) == 256 * MIB
        assert run.wait() == 0
    assert rss < ENOUGH


def _bytes_written(run: Run) -> int:
    """What the busiest process of a run has written so far."""
    counters = [Path(f"/proc/{process.pid}/io").read_text() for process in run.family()]
    return max(int(text.split("wchar:")[1].split()[0]) for text in counters)


def _until_still(number: Callable[[], int]) -> int:
    """Wait until a growing number stays the same for a while."""
    history = [-1] * 40

    def is_still() -> bool:
        history.append(number())
        return len(set(history[-40:])) == 1

    until(is_still, "a standstill")
    return history[-1]


def test_a_server_that_floods_stderr_never_blocks_and_stderr_is_byte_exact(tmp_path: Path) -> None:
    noise = bytes(range(256)) * 8192  # 2 MiB, which no pipe holds
    server = python(
        "import os\n"
        "rest = memoryview(bytes(range(256)) * 8192)\n"
        "while rest: rest = rest[os.write(2, rest):]\n"
        "os.write(1, os.read(0, 100))\n"
    )
    with Run(behind_thv(server), tmp_path) as run:
        run.send(b"still there?\n")
        assert receive(run.stderr, count=len(noise)) == noise
        assert receive(run.stdout, line=True) == b"still there?\n"
        assert run.wait() == 0


def test_stderr_is_ours_and_nobody_has_to_drain_it(tmp_path: Path) -> None:
    """The server's stderr is the very file thv was given, not a pipe that somebody copies."""
    server = python("import os\ns = os.fstat(2)\nprint(s.st_dev, s.st_ino)")
    with (tmp_path / "log").open("wb") as log, Run(behind_thv(server), tmp_path, stderr=log) as run:
        code, out, _err = run.finish()
    stat = (tmp_path / "log").stat()
    assert (code, out) == (0, f"{stat.st_dev} {stat.st_ino}\n".encode())


def test_both_directions_flow_at_once_without_a_deadlock(tmp_path: Path) -> None:
    data = os.urandom(16 * MIB)
    with Run(behind_thv(["cat"]), tmp_path) as run:
        assert run.finish(data) == (0, data, b"")


def test_a_client_killed_while_much_flows_ends_everything(tmp_path: Path) -> None:
    """The client is a process of its own, killed -9: nobody closes anything for it."""
    server = python("import os\nwhile True: os.write(1, bytes(65536))")
    client = python(
        "import os, subprocess, sys\n"
        "p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "os.read(p.stdout.fileno(), 65536)\n"
        "os.write(1, b'flowing\\n')\n"
        "p.wait()",
        *behind_thv(server),
    )
    with Run(client, tmp_path) as run:
        assert receive(run.stdout, line=True) == b"flowing\n"
        os.kill(run.pid, signal.SIGKILL)
        until(run.all_gone, "the end of all")
