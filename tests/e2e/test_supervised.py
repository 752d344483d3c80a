"""A server that dies is started again under its client, and a call without progress ends: nothing else is added."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any, Self

import pytest

from tests.e2e.harness import PATIENCE, behind_thv, scripted, until

if TYPE_CHECKING:
    from pathlib import Path

INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
LIST_CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


def call(id_: int, name: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": name}}


class Client:
    """A client on stdio of `thv run` with a mortal server behind it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.lives = directory / "lives"
        argv = behind_thv(scripted("mortal.py", str(self.lives)), "--name=mortal", *options)
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.stdin, self.stdout, self.stderr = (self._pipe(name) for name in ("stdin", "stdout", "stderr"))

    def _pipe(self, name: str) -> IO[bytes]:
        pipe = getattr(self._process, name)
        assert pipe is not None
        return pipe  # type: ignore[no-any-return]  # one of three pipes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.close()

    def send(self, *messages: dict[str, Any]) -> None:
        self.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        self.stdin.flush()

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout.readline())
        return found

    def leave(self) -> tuple[int, bytes]:
        """Close stdin; returns the exit code and what was left on stdout."""
        self.stdin.close()
        return self._process.wait(PATIENCE), self.stdout.read()

    def end(self) -> int:
        """Wait for its end with the client there."""
        return self._process.wait(PATIENCE)

    def received(self, life: int) -> list[dict[str, Any]]:
        """What the server read in one of its lives."""
        lines = self.lives.with_name("lives.log").read_text().splitlines()
        return [json.loads(line.partition(" ")[2]) for line in lines if line.startswith(f"{life} ")]


def test_a_server_that_dies_is_started_again_under_its_client(tmp_path: Path) -> None:
    with Client(tmp_path, "--restart") as client:
        client.send(INITIALIZE, INITIALIZED, call(1, "x"))
        assert [client.read()["id"], client.read()["id"]] == [0, 1]
        client.send(call(2, "hang"), call(3, "die"))
        errors = [client.read(), client.read()]
        assert [error["id"] for error in errors] == [2, 3]
        assert {error["error"]["code"] for error in errors} == {-32000}
        assert "exit code 3" in errors[0]["error"]["message"]
        assert client.read() == LIST_CHANGED
        client.send(call(4, "x"))
        assert client.read() == {"jsonrpc": "2.0", "id": 4, "result": {"content": [], "life": 1}}
        assert client.leave() == (0, b"")
        assert client.received(1) == [INITIALIZE, INITIALIZED, call(4, "x")]


def test_a_client_that_never_initializes_gets_a_server_that_was_just_started(tmp_path: Path) -> None:
    with Client(tmp_path, "--restart") as client:
        client.send(call(1, "die"))
        assert client.read()["error"]["code"] == -32000
        client.send(call(2, "x"))
        assert client.read()["result"]["life"] == 1
        assert client.leave() == (0, b"")
        assert client.received(1) == [call(2, "x")]


def test_it_is_given_up_after_so_many_restarts(tmp_path: Path) -> None:
    with Client(tmp_path, "--restart=2") as client:
        for number in range(3):
            client.send(call(number, "die"))
            error = client.read()["error"]
            assert error["code"] == -32000
        assert "not started again" in error["message"]
        assert client.end() == 3
        assert client.lives.stat().st_size == 3
        assert b"thv why mortal" in client.stderr.read()


def test_what_passes_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    echo = [sys.executable, "-ISc", "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"]
    lines = [
        b'{ "id" : 1,  "x":"\\u00e9" }\r\n',
        b"\xff\xfe\n",
        b"\n",
        b"log line\n",
        b"x" * 300_000 + b"\n",
    ]
    done = subprocess.run(
        behind_thv(echo, "--restart", "--call-timeout=60"), input=b"".join(lines), capture_output=True, check=True
    )
    assert done.stdout == b"".join(lines)


def test_a_call_without_progress_ends_as_an_error_and_its_late_reply_is_dropped(tmp_path: Path) -> None:
    with Client(tmp_path, "--call-timeout=1") as client:
        client.send(call(1, "late"))
        error = client.read()
        assert (error["id"], error["error"]["code"]) == (1, -32001)
        client.send({"jsonrpc": "2.0", "id": 2, "method": "ping"})  # for which there is no limit
        assert client.read()["id"] == 2  # after the late one, which the server gave first
        assert client.leave() == (0, b"")
        (cancelled,) = [each for each in client.received(0) if each["method"] == "notifications/cancelled"]
        assert cancelled["params"]["requestId"] == 1
    words = [sys.executable, "-m", "thv", "log", "mortal", "--format", "json"]
    logged = subprocess.run(words, capture_output=True, check=True).stdout.splitlines()
    found = [(each["tool"], each["outcome"], each["error_code"]) for each in map(json.loads, logged)]
    assert found == [("late", "timed_out", -32001)]


def test_a_server_that_dies_without_restart_ends_the_session_with_its_exit_code(tmp_path: Path) -> None:
    with Client(tmp_path, "--call-timeout=60") as client:
        client.send(call(1, "die"))
        assert client.end() == 3
        assert client.stdout.read() == b""


def test_the_journal_counts_restarts_and_their_errors(tmp_path: Path) -> None:
    with Client(tmp_path, "--restart") as client:
        client.send(call(1, "die"))
        client.read()
        client.send(call(2, "x"))
        client.read()
        client.leave()

    def why() -> Any:
        words = [sys.executable, "-m", "thv", "why", "mortal", "--format", "json"]
        return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)

    until(lambda: bool(why()), "the session")
    (session,) = why()
    assert (session["restarts"], session["calls"], session["errors"]) == (1, 2, 1)


@pytest.mark.parametrize(
    "words",
    [
        ["--restart=0", "demo"],
        ["--restart=x", "demo"],
        ["--call-timeout=0", "demo"],
        ["--call-timeout=nan", "demo"],
        ["--restart", "--proxy-port=0", "demo"],
    ],
)
def test_numbers_that_make_no_sense_are_refused(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thv", "run", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
