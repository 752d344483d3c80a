"""What a program behind the server still writes when the server has exited at the end of its input."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import Run, behind_thv, python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a group of processes is POSIX's")

LATE = (
    "import os, sys, time\n"
    "server = os.getpid()\n"
    "if os.fork() == 0:\n"
    "    while os.getppid() == server: time.sleep(0.005)\n"
    "    time.sleep(float(sys.argv[1]))\n"
    "    os.write(1, sys.argv[-1].encode() + b'\\n')\n"
    "    os._exit(0)\n"
    "sys.stdin.read()\n"
    "os.write(1, b'first\\n')\n"
    "os._exit(3)"
)

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}\n'
REPLY = b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}\n'

WAYS = pytest.mark.parametrize(
    "options", [None, [], ["--restart"], ["--call-timeout", "60"]], ids=["direct", "plain", "restart", "call-timeout"]
)


def run_by(options: list[str] | None, server: list[str]) -> list[str]:
    return server if options is None else behind_thv(server, *options)


@pytest.mark.parametrize("seconds", ["0", "0.3"])
@WAYS
def test_what_the_servers_group_writes_soon_after_its_exit_is_delivered(
    tmp_path: Path, options: list[str] | None, seconds: str
) -> None:
    with Run(run_by(options, python(LATE, seconds, "late")), tmp_path) as run:
        assert run.finish(b"x\n") == (3, b"first\nlate\n", b"")


@WAYS
def test_a_reply_that_comes_after_the_exit_of_a_wrapper_is_delivered(tmp_path: Path, options: list[str] | None) -> None:
    """However long it takes, up to the time that open requests have; longer than a filter has."""
    server = python(LATE, "2.5", REPLY.decode().rstrip())
    with Run(run_by(options, server), tmp_path) as run:
        assert run.finish(CALL) == (3, b"first\n" + REPLY, b"")


@WAYS
def test_what_a_shells_filter_still_holds_is_delivered(tmp_path: Path, options: list[str] | None) -> None:
    server = ["bash", "-c", 'exec > >(while read -r line; do held+=$line; done; sleep 0.3; echo "$held"); exec cat']
    with Run(run_by(options, server), tmp_path) as run:
        assert run.finish(b"a\nb\n") == (0, b"ab\n", b"")
