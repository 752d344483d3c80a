"""What the relay tells those around it, and how long it waits for what."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import until
from thv.process.main_thread_events import CLIENT_EOF, Events
from thv.process.shutdown import EOF_GRACE, REPLY_GRACE, ShutdownLadder
from thv.relay import relay as relay_module
from thv.relay import traffic_queue
from thv.relay.relay import Relay
from thv.relay.traffic_queue import LARGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.interfaces import PassedChunk

pytest.importorskip("fcntl", reason="the commands are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

HOST = str(Path(__file__).with_name("host.py"))

PATIENCE = 60.0
"""Seconds a session may take before a test fails."""

DEAF = "trap '' HUP; echo ready; while :; do sleep 1000; done"
"""A server that ignores the end of its input, not SIGTERM."""


def start(
    script: str, *, open_calls: int = 0, look: str = "quiet", graces: str = "full", stdin: Path | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, HOST, str(open_calls), look, graces, "/bin/sh", "-c", script]
    with ExitStack() as stack:
        source = subprocess.PIPE if stdin is None else stack.enter_context(stdin.open("rb"))
        return subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)


def finish(host: subprocess.Popen[bytes], data: bytes = b"") -> tuple[bytes, dict[str, Any]]:
    """End the client's input: what came out, and what the host tells."""
    out, err = host.communicate(data, timeout=PATIENCE)
    told: dict[str, Any] = json.loads(err.splitlines()[-1])
    return out, told


def test_the_client_is_said_to_be_gone_once_and_the_session_was_not_ended_by_the_server() -> None:
    out, told = finish(start("cat"), b"x\n")
    assert out == b"x\n"
    assert (told["code"], told["ended_by_server"], told["client_disconnected"]) == (0, False, 1)
    assert (told["client"], told["server"], told["activity"]) == ("x\n", "x\n", 2)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("exec >&-; read -r _; exit 4", 4), ("kill -9 $$", 137)])
def test_a_server_that_ends_first_is_said_to_have_ended_the_session(script: str, code: int) -> None:
    with start(script) as host:
        assert host.wait(PATIENCE) == 0
        assert host.stderr is not None
        told = json.loads(host.stderr.read().splitlines()[-1])
    assert (told["code"], told["ended_by_server"], told["client_disconnected"]) == (code, True, 0)


def test_a_signal_is_the_clients_end_too() -> None:
    with start(DEAF, open_calls=5) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        os.kill(host.pid, signal.SIGTERM)
        assert host.wait(PATIENCE) == 0
        assert host.stderr is not None
        told = json.loads(host.stderr.read().splitlines()[-1])
    assert (told["code"], told["ended_by_server"], told["client_disconnected"]) == (143, False, 1)


def test_a_signal_that_asks_for_no_end_is_the_servers_affair() -> None:
    """It may write its log anew, and live on; thv does not wait for its end."""
    server = (
        "import os, select, signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'noted\\n'))\n"
        "os.write(1, b'ready\\n')\n"
        "chunk = b'.'\n"
        "while chunk:\n"
        "    if select.select([0], [], [], 0.05)[0]:  # a signal that comes as Python begins to read is heard later\n"
        "        chunk = os.read(0, 100)\n"
        "        os.write(1, chunk)\n"
        "os._exit(5)\n"
    )
    with start(f"exec {shlex.join([sys.executable, '-ISc', server])}", graces="none") as host:
        assert host.stdin is not None
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        for _ in range(3):
            os.kill(host.pid, signal.SIGUSR1)
            assert host.stdout.readline() == b"noted\n"
            host.stdin.write(b"still here\n")
            assert host.stdout.readline() == b"still here\n"
        _out, told = finish(host)
    assert (told["code"], told["ended_by_server"], told["client_disconnected"]) == (5, False, 1)


class SignalledServer:
    """A server that notes its signals, and lives on."""

    stdin = stdout = -1

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.is_closed = False

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    def close_stdin(self) -> None:
        self.is_closed = True

    def reap(self) -> int:
        return 0

    def has_live_descendants(self) -> bool:
        return False


@pytest.mark.parametrize("number", [0, signal.SIGTERM], ids=["end of input", "signal"])
@pytest.mark.parametrize("is_busy", [False, True], ids=["quick", "a look takes long"])
def test_the_server_is_told_of_the_clients_end_before_anything_is_looked_at(
    number: int, is_busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic_queue, "MOMENT_S", PATIENCE)  # no other thread looks at what is quick
    server: Any = SignalledServer()
    seen: list[bool] = []  # of each: whether the server was told before
    told: list[bool] = []
    looks_long, go_on = threading.Event(), threading.Event()

    def is_told() -> bool:
        return bool(server.signals == [number] if number else server.is_closed)

    class Observer:
        def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
            for position, (is_client, _, _) in enumerate(traffic):
                if not is_client:
                    if not is_patient:
                        return position
                    looks_long.set()
                    assert go_on.wait(PATIENCE)
                seen.append(is_told())
            return len(traffic)

    events = Events()
    relay = Relay(
        server,
        events,
        requests_are_open=lambda: False,
        client_disconnected=lambda: told.append(is_told()),
    )
    relay.observe(Observer())
    if is_busy:
        relay._traffic.on_server_data(bytes(LARGE))
        assert looks_long.wait(PATIENCE)
    relay._traffic.on_client_data(b"{}\n")

    def end() -> None:
        relay._hand_on(number) if number else relay._next(0)

    if not number:
        events.put(CLIENT_EOF)
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the main thread waits for a look, and with it the next signal"
    assert told == [True]
    assert seen == ([] if is_busy else [True]), "looked at between the two"
    go_on.set()
    relay._traffic.close()
    assert len(seen) == 1 + is_busy


def test_after_the_end_of_input_any_signal_starts_the_wait_anew() -> None:
    now = 0.0
    server: Any = SignalledServer()
    relay = Relay(server, Events(), requests_are_open=lambda: False, client_disconnected=lambda: None)
    ladder = relay._ladder = ShutdownLadder(server, lambda: now)
    relay._hand_on(signal.SIGUSR1)
    assert not ladder.has_started, "it does not ask for an end"
    ladder.close_input()
    now = EOF_GRACE - 1
    relay._hand_on(signal.SIGUSR2)
    assert server.signals == [signal.SIGUSR1, signal.SIGUSR2]
    assert ladder.advance() == EOF_GRACE


class PassingTime:
    """A relay's clock and its events: nothing ever happens, and each wait takes all the time that it may."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def get(self, timeout: float) -> None:
        self.now += timeout


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> PassingTime:
    passing = PassingTime()
    monkeypatch.setattr(relay_module, "time", passing)
    for look in ("has_reader", "is_idle"):
        monkeypatch.setattr(relay_module, look, lambda _fd: True)
    return passing


def waiting(time: PassingTime) -> Relay:
    """A relay on that clock, whose server has exited."""
    server: Any = SignalledServer()
    events: Any = time
    relay = Relay(server, events, requests_are_open=lambda: False, client_disconnected=lambda: None)
    relay._exited = True
    return relay


def test_what_holds_the_pipe_of_a_server_that_has_exited_is_waited_for_longer_while_the_client_is_there(
    time: PassingTime,
) -> None:
    relay = waiting(time)
    relay._deliver_last_output()
    assert 5.0 <= time.now < 5.2
    time.now = 0.0
    relay._note_client_left()
    relay._deliver_last_output()
    assert 1.5 <= time.now < 2.0, "clients send a signal after 2 s"


def test_a_server_that_has_closed_its_output_has_a_second_to_exit(time: PassingTime) -> None:
    relay = waiting(time)
    relay._exited = False
    assert relay._stays()
    assert time.now == 1.0


def test_a_server_that_dies_of_such_a_signal_was_ended_by_it() -> None:
    with start("echo ready; read -r _") as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"ready\n"
        os.kill(host.pid, signal.SIGUSR2)
        assert host.wait(PATIENCE) == 0
        assert host.stderr is not None
        told = json.loads(host.stderr.read().splitlines()[-1])
    assert (told["code"], told["ended_by_server"], told["client_disconnected"]) == (128 + signal.SIGUSR2, False, 1)


def test_without_open_calls_a_server_that_ignores_the_end_of_input_gets_the_shorter_grace() -> None:
    _out, told = finish(start(DEAF))
    assert told["code"] == 143
    assert EOF_GRACE <= told["grace"] < REPLY_GRACE


AFTER_THE_END_OF_INPUT = """
import os, select, signal, sys, time
directory, first_words = sys.argv[1:]
os.write(1, first_words.encode())
end = select.poll()
end.register(0, 0)
end.poll()  # the writing end is closed; nothing was read yet
open(directory + "/sees-the-end", "w").close()
while not os.path.exists(directory + "/go"): time.sleep(0.01)
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # no grace is left to it once it has answered
while os.read(0, 100): os.write(1, b"answer\\n")
os._exit(5)
"""
"""A server that reads its input only once the test lets it."""


@pytest.mark.parametrize(
    ("first_words", "from_file", "reads", "is_waited_for"),
    [
        ("", False, True, True),  # it is starting
        ("ready", True, True, True),  # no client has left
        ("ready", False, True, False),
        ("", False, False, False),  # its client no longer reads
    ],
)
def test_open_requests_are_waited_for_while_the_server_may_be_at_work(
    tmp_path: Path, first_words: str, from_file: bool, reads: bool, is_waited_for: bool
) -> None:
    """No grace is left to the server but for its work."""
    request = tmp_path / "requests"
    request.write_bytes(b"request\n")
    command = shlex.join([sys.executable, "-ISc", AFTER_THE_END_OF_INPUT, str(tmp_path), first_words])
    with start(f"exec {command}", open_calls=1, graces="none", stdin=request if from_file else None) as host:
        assert host.stdout is not None
        if not reads:
            host.stdout.close()
        if host.stdin is not None:
            host.stdin.write(b"request\n")
            host.stdin.close()
        if is_waited_for:
            until((tmp_path / "sees-the-end").exists, "the end of the server's input")
            (tmp_path / "go").touch()
            assert host.stdout.read().endswith(b"answer\n")
        assert host.wait(PATIENCE) == 0
        assert host.stderr is not None
        told = json.loads(host.stderr.read().splitlines()[-1])
    assert told["code"] == (5 if is_waited_for else 143)
    assert told["unanswered"] is (reads and not is_waited_for)


def test_a_server_that_exits_is_not_waited_for_whatever_is_open() -> None:
    _out, told = finish(start("cat", open_calls=1))
    assert told["grace"] < REPLY_GRACE


def test_a_bug_in_looking_never_breaks_the_session() -> None:
    lines = b"".join(b"line %d\n" % number for number in range(1000))
    out, told = finish(start("cat", look="raising"), lines)
    assert out == lines
    assert told["code"] == 0


def test_who_looks_late_sees_the_whole_session() -> None:
    out, told = finish(start("cat", look="late"), b"one\ntwo\n")
    assert out == b"one\ntwo\n"
    assert (told["client"], told["server"]) == ("one\ntwo\n", "one\ntwo\n")
