"""A server behind HTTP starts, speaks and ends; nothing of it stays, not even a descriptor."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.clocks import play_jumping
from tests.e2e.harness import until
from tests.processes import is_gone
from thv.errors import CommandNotFoundError
from thv.http.process_backend import ProcessBackend, hand_on_to_servers
from thv.process.shutdown import EOF_GRACE, SIGNAL_GRACE, TERM_GRACE, ShutdownLadder
from thv.servers.launch_spec import LaunchSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from thv.process.server_process import ServerProcess

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


class Recorded:
    """A server's process whose end is written down: each step with its second, on a clock that the test owns."""

    def __init__(self, process: ServerProcess) -> None:
        self.now = 0.0
        self.steps: list[tuple[float, str]] = []
        self._process = process

    def send_signal(self, number: int) -> None:
        self.steps.append((self.now, f"signal {number}"))
        self._process.send_signal(number)

    def close_stdin(self) -> None:
        self.steps.append((self.now, "close stdin"))
        self._process.close_stdin()

    def terminate(self) -> None:
        self.steps.append((self.now, "SIGTERM to the group"))
        self._process.terminate()

    def kill(self) -> None:
        self.steps.append((self.now, "SIGKILL to the group"))
        self._process.kill()


def record(backend: ProcessBackend) -> Recorded:
    """From now on the end of its server is written down."""
    assert backend._process is not None
    recorded = Recorded(backend._process)
    backend._ladder = ShutdownLadder(recorded, lambda: recorded.now)

    async def pass_time(seconds: float) -> None:
        if recorded.steps[-1][1].startswith("SIGKILL"):
            await backend.exited()
        else:
            recorded.now += seconds

    backend._await_exit = pass_time  # type: ignore[method-assign]  # its clock
    return recorded


@pytest.mark.parametrize(
    ("way", "steps"),
    [
        (ProcessBackend.close, ["close stdin", "SIGTERM to the group", "SIGKILL to the group"]),
        (ProcessBackend.terminate, ["signal 15", "close stdin", "SIGTERM to the group", "SIGKILL to the group"]),
    ],
    ids=["close", "terminate"],
)
def test_a_server_that_ignores_everything_has_each_grace(
    way: Callable[[ProcessBackend], Coroutine[Any, Any, int]], steps: list[str]
) -> None:
    async def scenario() -> None:
        backend = ProcessBackend(python(DEAF))
        await backend.start()
        assert await backend.receive() == b"here\n"
        recorded = record(backend)
        assert await way(backend) == 128 + 9
        await asyncio.wait([backend._closing] if backend._closing else [])
        graces = [0, EOF_GRACE, TERM_GRACE] if way is ProcessBackend.close else [0, SIGNAL_GRACE, EOF_GRACE, TERM_GRACE]
        assert recorded.steps == list(zip(accumulate(graces), steps, strict=True))

    play(scenario())


def test_every_signal_reaches_the_server_and_starts_the_wait_anew() -> None:
    async def scenario() -> None:
        backend = ProcessBackend(python(f"import signal\nsignal.signal(2, signal.SIG_IGN)\n{DEAF}"))
        await backend.start()
        assert await backend.receive() == b"here\n"
        recorded = record(backend)
        hand_on_to_servers(2)
        recorded.now = 4.0
        hand_on_to_servers(15)
        assert recorded.steps == [(0.0, "signal 2"), (4.0, "signal 15")]
        assert await backend.close() == 128 + 9
        assert recorded.steps[2:] == [
            (4.0 + 5.0, "close stdin"),
            (9.0 + 5.0, "SIGTERM to the group"),
            (14.0 + 5.0, "SIGKILL to the group"),
        ]

    play(scenario())


@pytest.mark.slow
def test_a_server_that_ignores_everything_is_killed_in_the_end_whichever_way_it_was_asked() -> None:
    async def scenario() -> None:
        backends = [ProcessBackend(python(DEAF)) for _ in range(2)]
        for backend in backends:
            await backend.start()
            assert await backend.receive() == b"here\n"

        async def seconds(ending: Coroutine[Any, Any, int]) -> float:
            begun = time.monotonic()
            assert await ending == 128 + 9
            return time.monotonic() - begun

        closing, terminating = await asyncio.gather(seconds(backends[0].close()), seconds(backends[1].terminate()))
        assert closing >= EOF_GRACE + TERM_GRACE
        assert terminating >= SIGNAL_GRACE + EOF_GRACE + TERM_GRACE

    play(scenario())


def test_a_server_that_thv_ends_itself_gets_sigterm_and_its_clean_up_is_waited_for() -> None:
    code = (
        "import os, signal, sys, time\n"
        "def save(*_): time.sleep(0.3); os.write(1, b'saved\\n'); os._exit(5)\n"
        "signal.signal(15, save)\n"
        "print('here', flush=True)\n"
        "while True: time.sleep(0.05)"
    )

    async def scenario() -> None:
        backend = ProcessBackend(python(code))
        await backend.start()
        assert await backend.receive() == b"here\n"
        ending = asyncio.create_task(backend.terminate())
        assert await backend.receive() == b"saved\n"
        assert await ending == 5

    play(scenario())


def test_a_signal_to_thv_is_handed_on_to_every_server_as_it_came() -> None:
    code = (
        "import os, signal, time\n"
        "signal.signal(2, lambda *_: os._exit(6))\n"
        "print('here', flush=True)\n"
        "while True: time.sleep(0.05)"
    )

    async def scenario() -> None:
        backends = [ProcessBackend(python(code)) for _ in range(2)]
        for backend in backends:
            await backend.start()
            assert await backend.receive() == b"here\n"
        hand_on_to_servers(2)
        assert await asyncio.gather(*(backend.terminate() for backend in backends)) == [6, 6]
        hand_on_to_servers(2)  # to nobody

    play(scenario())


def test_what_a_server_leaves_running_ends_with_thv_at_the_latest() -> None:
    children: list[psutil.Process] = []

    async def scenario() -> None:
        for way, exit_code in ((ProcessBackend.close, 0), (ProcessBackend.terminate, 128 + 15)):
            backend = ProcessBackend(spec("/bin/sh", "-c", "sleep 1000 & echo $!; exec cat"))
            await backend.start()
            child = psutil.Process(int(await backend.receive()))
            assert await way(backend) == exit_code
            if way is ProcessBackend.terminate:
                assert is_gone(child)
            children.append(child)

    play(scenario())
    until(lambda: all(map(is_gone, children)), "the end of what they started")


def test_an_exit_is_noticed_though_a_child_holds_the_pipe() -> None:
    async def scenario() -> None:
        backend = ProcessBackend(spec("/bin/sh", "-c", "sleep 1000 & echo here; exit 3"))
        await backend.start()
        assert await backend.receive() == b"here\n"
        assert await backend.receive() == b""
        assert await backend.close() == 3

    play(scenario())


@pytest.mark.parametrize("is_client_there", [True, False], ids=["the client is there", "the client has left"])
def test_what_holds_the_pipe_of_a_server_that_has_exited_is_waited_for_less_than_two_seconds(
    is_client_there: bool,
) -> None:
    """Clients send a signal after 2 s."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        calls_are_open = None if is_client_there else lambda: False
        backend = ProcessBackend(spec("/bin/sh", "-c", "sleep 1000 & echo $!; read -r _; exit 3"), calls_are_open)
        await backend.start()
        child = int(await backend.receive())
        await backend.send(b"\n")
        await backend.exited()
        begun = loop.time()
        if is_client_there:
            assert await backend.receive() == b""
        else:
            assert await backend.close() == 3
        waited = loop.time() - begun
        os.kill(child, 9)
        assert 1.5 <= waited < 2
        assert await backend.close() == 3

    play_jumping(scenario())


def test_a_command_that_is_not_there_is_an_error() -> None:
    async def scenario() -> None:
        with pytest.raises(CommandNotFoundError):
            await ProcessBackend(spec("/no/such/command")).start()

    play(scenario())
