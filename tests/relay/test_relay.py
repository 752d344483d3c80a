"""What the relay tells those around it, and how long it waits for what."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thv.process.shutdown import EOF_GRACE, REPLY_GRACE

pytest.importorskip("fcntl", reason="the commands are POSIX ones")
assert sys.platform != "win32"  # tells the type checker

HOST = str(Path(__file__).with_name("host.py"))

PATIENCE = 60.0
"""Seconds a session may take before a test fails."""

DEAF = "trap '' HUP; echo ready; while :; do sleep 1000; done"
"""A server that ignores the end of its input, not SIGTERM."""


def start(script: str, *, open_calls: int = 0, look: str = "quiet") -> subprocess.Popen[bytes]:
    command = [sys.executable, HOST, str(open_calls), look, "/bin/sh", "-c", script]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)


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


def test_without_open_calls_a_server_that_ignores_the_end_of_input_gets_the_shorter_grace() -> None:
    _out, told = finish(start(DEAF))
    assert told["code"] == 143
    assert EOF_GRACE <= told["grace"] < REPLY_GRACE


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
