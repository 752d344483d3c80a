"""A signal that thv was started to ignore: what it means is the server's affair, as it is without thv."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import Run, behind_thv, python, receive

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no program of Windows inherits what it is to ignore")

IGNORING = (
    "import os, signal, sys\n"
    "signal.signal(int(sys.argv[1]), signal.SIG_IGN)\n"
    "os.execv(sys.argv[2], sys.argv[2:])"
)  # fmt: skip
"""As nohup, or a script that starts a program in the background."""

HANDLES = (
    "import os, select, signal, sys\n"
    "def end(*_):\n"
    "    os.write(1, b'cleaned up\\n')\n"
    "    os._exit(7)\n"
    "signal.signal(int(sys.argv[1]), end)\n"
    "os.write(1, b'ready\\n')\n"
    "while not (select.select([0], [], [], 0.05)[0] and os.read(0, 1) == b''): pass"
)

TELLS = (
    "import signal, sys\n"
    "print('ignored' if signal.getsignal(int(sys.argv[1])) == signal.SIG_IGN else 'not ignored', flush=True)\n"
    "for line in sys.stdin: print(line, end='', flush=True)"
)

MODES: tuple[list[str], ...] = ([], ["--restart"], ["--call-timeout", "60"])
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1")


def started(mode: list[str] | None, server: list[str], number: int) -> list[str]:
    return python(IGNORING, str(number), *(server if mode is None else behind_thv(server, *mode)))


@pytest.mark.parametrize("mode", [None, *MODES], ids=["direct", "plain", "restart", "call-timeout"])
@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_handles_it_gets_it(tmp_path: Path, mode: list[str] | None, name: str) -> None:
    number = getattr(signal, name)
    with Run(started(mode, python(HANDLES, str(number)), number), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ready\n"
        run.process.send_signal(number)
        assert receive(run.stdout, line=True) == b"cleaned up\n"
        if mode != ["--restart"]:  # which starts it again
            assert run.wait() == 7


@pytest.mark.parametrize("mode", [None, *MODES], ids=["direct", "plain", "restart", "call-timeout"])
@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_does_not_handle_it_ignores_it_and_so_does_thv(
    tmp_path: Path, mode: list[str] | None, name: str
) -> None:
    number = getattr(signal, name)
    with Run(started(mode, python(TELLS, str(number)), number), tmp_path) as run:
        assert receive(run.stdout, line=True) == b"ignored\n"
        run.process.send_signal(number)
        run.send(b"{}\n")
        assert receive(run.stdout, line=True) == b"{}\n"
        assert run.finish() == (0, b"", b"")
