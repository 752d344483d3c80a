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
    "    os.write(1, b'late\\n')\n"
    "    os._exit(0)\n"
    "sys.stdin.read()\n"
    "os.write(1, b'first\\n')\n"
    "os._exit(3)"
)


@pytest.mark.parametrize("seconds", ["0", "0.3"])
@pytest.mark.parametrize("way", [list, behind_thv], ids=["direct", "thv"])
def test_what_the_servers_group_writes_soon_after_its_exit_is_delivered(
    tmp_path: Path, way: type[list[str]], seconds: str
) -> None:
    with Run(way(python(LATE, seconds)), tmp_path) as run:
        assert run.finish(b"x\n") == (3, b"first\nlate\n", b"")


def test_what_a_shells_filter_still_holds_is_delivered(tmp_path: Path) -> None:
    server = ["bash", "-c", 'exec > >(while read -r line; do held+=$line; done; sleep 0.3; echo "$held"); exec cat']
    with Run(behind_thv(server), tmp_path) as run:
        assert run.finish(b"a\nb\n") == (0, b"ab\n", b"")
