"""A server behind HTTP starts, speaks and ends; nothing of it stays, not even a descriptor."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.e2e.harness import is_gone, until
from thv.errors import CommandNotFoundError
from thv.http.process_backend import ProcessBackend
from thv.servers.launch_spec import LaunchSpec

if TYPE_CHECKING:
    from collections.abc import Coroutine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups and descriptors are POSIX")

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)\nprint('bye')\nsys.exit(7)"
DEAF = "import signal, sys, time\nsignal.signal(15, signal.SIG_IGN)\nprint('here', flush=True)\ntime.sleep(1000)"


def spec(*argv: str) -> LaunchSpec:
    return LaunchSpec(name="s", executable=argv[0], argv=argv, env=dict(os.environ))


def python(code: str) -> LaunchSpec:
    return spec(sys.executable, "-ISc", code)


def play(scenario: Coroutine[Any, Any, None]) -> None:
    async def run() -> None:
        await asyncio.wait_for(scenario, 60)

    asyncio.run(run())


def test_lines_go_in_and_out_and_the_last_output_and_exit_code_arrive() -> None:
    async def scenario() -> None:
        backend = ProcessBackend(python(ECHO))
        await backend.start()
        for line in (b"one\n", b"x" * 3_000_000 + b"\n"):
            sending = asyncio.create_task(backend.send(line))
            assert await backend.receive() == line
            await sending
        closing = asyncio.create_task(backend.close())
        assert await backend.receive() == b"bye\n"
        assert await backend.receive() == b""
        assert await closing == 7
        assert await backend.close() == 7
        with pytest.raises(OSError, match="ended"):
            await backend.send(b"more\n")

    play(scenario())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_a_server_wrote_before_its_exit_arrives_however_slowly_it_is_taken() -> None:
    code = (
        "import os\n"
        "for n in range(30): os.write(1, b'%d' % (n % 10) * 100_000 + b'\\n')\n"
        "if not os.fork(): os.read(0, 1)\n"
    )

    async def scenario() -> None:
        backend = ProcessBackend(python(code))
        await backend.start()
        count = 0
        while line := await backend.receive():
            assert line == b"%d" % (count % 10) * 100_000 + b"\n"
            count += 1
            await asyncio.sleep(0.1)  # longer, all in all, than a child that holds the pipe is waited for
        assert count == 30
        assert await backend.close() == 0

    play(scenario())


def test_a_hundred_servers_leave_no_descriptor_behind() -> None:
    async def scenario() -> None:
        async def one() -> None:
            backend = ProcessBackend(spec("/bin/cat"))
            await backend.start()
            await backend.send(b"x\n")
            assert await backend.receive() == b"x\n"
            assert await backend.close() == 0

        await one()
        before = descriptors() if sys.platform == "linux" else 0
        for _ in range(10):
            await asyncio.gather(*(one() for _ in range(10)))
        assert sys.platform != "linux" or descriptors() <= before

    play(scenario())


def test_a_server_that_is_deaf_is_killed_and_a_hurry_saves_a_step() -> None:
    async def scenario() -> None:
        for hurry, steps in ((True, 1), (False, 2)):
            backend = ProcessBackend(python(DEAF))
            await backend.start()
            assert await backend.receive() == b"here\n"
            began = time.monotonic()
            assert await (backend.terminate() if hurry else backend.close()) == 128 + 9
            assert time.monotonic() - began >= steps * 1.4

    play(scenario())


def test_what_a_server_leaves_running_ends_with_it() -> None:
    async def scenario() -> None:
        backend = ProcessBackend(spec("/bin/sh", "-c", "trap '' TERM; sleep 1000 & echo $!; exec cat"))
        await backend.start()
        child = psutil.Process(int(await backend.receive()))
        assert await backend.close() == 0
        until(lambda: is_gone(child), "the end of what it started")

    play(scenario())


def test_an_exit_is_noticed_though_a_child_holds_the_pipe() -> None:
    async def scenario() -> None:
        backend = ProcessBackend(spec("/bin/sh", "-c", "sleep 1000 & echo here; exit 3"))
        await backend.start()
        assert await backend.receive() == b"here\n"
        assert await backend.receive() == b""
        assert await backend.close() == 3

    play(scenario())


def test_a_command_that_is_not_there_is_an_error() -> None:
    async def scenario() -> None:
        with pytest.raises(CommandNotFoundError):
            await ProcessBackend(spec("/no/such/command")).start()

    play(scenario())
