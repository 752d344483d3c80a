"""The options of the front, and its errors where it cannot start."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from tests.clocks import play_jumping
from thv.errors import UsageError
from thv.http.front import front_lifecycle
from thv.http.front.front_lifecycle import FrontOptions


@pytest.mark.parametrize("port", ["", "x", "-1", "65536", "8080.0", "²", " 80"])
def test_a_port_is_a_number_that_a_port_can_have(port: str) -> None:
    with pytest.raises(UsageError, match="--proxy-port"):
        FrontOptions(port)


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5", ""])
def test_there_is_room_for_one_session_at_least(count: str) -> None:
    with pytest.raises(UsageError, match="--max-sessions"):
        FrontOptions("0", max_sessions=count)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1h", ""])
def test_a_session_lives_for_some_seconds(seconds: str) -> None:
    with pytest.raises(UsageError, match="--session-ttl"):
        FrontOptions("0", session_ttl=seconds)


def test_the_defaults_are_the_documented_ones() -> None:
    options = FrontOptions("8080")
    assert (options.host, options.port, options.limits.shared) == ("127.0.0.1", 8080, False)
    assert (options.limits.max_sessions, options.limits.session_ttl) == (256, 1800)


@pytest.mark.parametrize(
    ("given", "listened_on"), [("[::1]", "::1"), ("::1", "::1"), ("localhost", "localhost"), ("[127.0.0.1]", None)]
)
def test_an_address_of_ipv6_may_be_written_as_in_a_url(given: str, listened_on: str | None) -> None:
    if listened_on is None:
        with pytest.raises(UsageError, match="can be reached from other machines"):
            FrontOptions("0", host=given)
    else:
        assert FrontOptions("0", host=given).host == listened_on


class Busy:
    """A listener with a request that never ends, and the sessions that it belongs to."""

    has_open_post = True
    drain_state = ""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def end_all(self, _reason: str) -> None:
        self.ended.set()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGUSR1")
def test_a_front_that_drains_waits_five_seconds_for_what_is_open() -> None:
    async def scenario() -> None:
        front: Any = Busy()
        undo = front_lifecycle._drain_when_asked(front, front, front)
        assert undo is not None
        begun = asyncio.get_running_loop().time()
        signal.raise_signal(signal.SIGUSR1)
        await front.ended.wait()
        assert asyncio.get_running_loop().time() - begun == 5.0
        assert front.drain_state == "drained"
        undo()

    play_jumping(scenario())


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "thv", "run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo", "--proxy-port", str(port))
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", [["--shared"], ["--host", "127.0.0.1"], ["--max-sessions", "3"]])
def test_an_option_for_http_without_http_is_refused(option: list[str]) -> None:
    done = run("demo", *option)
    assert done.returncode == 2
    assert "--proxy-port" in done.stderr


def test_a_command_that_is_not_there_is_said_at_once() -> None:
    done = run("--proxy-port", "0", "--", "no-such-command-anywhere")
    assert done.returncode == 127
    assert done.stdout == ""
