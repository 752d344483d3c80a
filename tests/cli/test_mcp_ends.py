"""How `thv mcp` ends: in time whatever the server does, and the server's own clean-up runs to its end first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.harness import PATIENCE, until
from tests.processes import is_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it is about POSIX's signals")

SERVER = """\
import json, os, select, signal, sys, time
log, mode = open(sys.argv[1], "a", buffering=1), sys.argv[2]
def end(number, _):
    log.write(f"{signal.Signals(number).name}\\n")
    if mode != "stubborn":
        log.write("cleaned up\\n")
        sys.exit(0)
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(each, end)
def lines():
    while True:
        if select.select([0], [], [], 0.05)[0]:
            if not (line := sys.stdin.buffer.raw.readline()):
                return
            yield line
for line in lines():
    message = json.loads(line)
    reply = {"error": {"code": -32601, "message": "x"}}
    if message["method"] == "initialize":
        info = {"name": "x", "version": "1"}
        reply = {"result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}}
    elif message["method"] == "tools/call":
        log.write("called\\n")
        if mode == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        while mode != "done":
            time.sleep(0.05)
        reply = {"result": {"content": []}}
    if "id" in message:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}) + "\\n")
        sys.stdout.flush()
log.write("end of input\\n")
while True:
    time.sleep(0.05)
"""


class Called:
    """`thv mcp call` with a server that is being called."""

    def __init__(self, directory: Path, mode: str, *words: str) -> None:
        self._log = directory / "log"
        (directory / "server.py").write_text(SERVER)
        command = directory / "server"
        command.write_text(f"#!/bin/sh\nexec '{sys.executable}' -ISP '{directory}/server.py' '{self._log}' {mode}\n")
        command.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "thv", "mcp", "call", *words, str(command), "x"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "DO_NOT_TRACK": "1"},
            text=True,
        )

    def log(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def server(self) -> psutil.Process:
        """The process of the server, which has been called."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return next(one for one in family if any(word.endswith("server.py") for word in one.cmdline()))

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it wrote to stderr."""
        stderr = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, stderr


@pytest.mark.parametrize("mode", ["hanging", "stopped"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_the_server_first(tmp_path: Path, mode: str, name: str) -> None:
    called = Called(tmp_path, mode)
    until(lambda: called.log() == ["called"], "the call")
    number = getattr(signal, name)
    called.process.send_signal(number)
    assert called.end() == (128 + number, "")
    assert called.log() == ["called", "SIGTERM", "cleaned up"]


def test_a_signal_while_the_server_is_ended_hurries_it(tmp_path: Path) -> None:
    called = Called(tmp_path, "done")
    until(lambda: called.log() == ["called", "end of input"], "the end of the session")
    called.process.send_signal(signal.SIGTERM)
    assert called.end() == (128 + signal.SIGTERM, "")
    assert called.log() == ["called", "end of input", "SIGTERM", "cleaned up"]


@pytest.mark.parametrize("mode", ["hanging", "stopped"])
def test_a_server_that_does_not_answer_in_time_ends_as_it_likes(tmp_path: Path, mode: str) -> None:
    called = Called(tmp_path, mode, "--timeout", "2")
    assert called.end() == (1, "thv: the server did not answer within 2 seconds\n")
    assert called.log() == ["called", "SIGTERM", "cleaned up"]


def test_a_server_that_does_not_answer_and_ignores_sigterm_is_asked_once(tmp_path: Path) -> None:
    called = Called(tmp_path, "stubborn")
    until(lambda: called.log() == ["called"], "the call")
    called.process.send_signal(signal.SIGTERM)
    assert called.end() == (128 + signal.SIGTERM, "")
    assert called.log() == ["called", "SIGTERM"]


def test_a_server_is_asked_once_however_late_thv_mcp_comes_to_kill_it(tmp_path: Path) -> None:
    called = Called(tmp_path, "stubborn")
    until(lambda: called.log() == ["called"], "the call")
    server = called.server()
    called.process.send_signal(signal.SIGTERM)
    until(lambda: called.log() == ["called", "SIGTERM"], "the server's signal")
    called.process.send_signal(signal.SIGSTOP)
    until(lambda: is_gone(server), "the server's end")
    called.process.send_signal(signal.SIGCONT)
    assert called.end() == (128 + signal.SIGTERM, "")
    assert called.log() == ["called", "SIGTERM"]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    called = Called(tmp_path, "stubborn")
    until(lambda: called.log() == ["called"], "the call")
    called.process.send_signal(signal.SIGINT)
    until(lambda: called.log() == ["called", "SIGTERM"], "the server's signal")
    called.process.send_signal(signal.SIGINT)
    assert called.end() == (128 + signal.SIGINT, "")
    assert called.log() == ["called", "SIGTERM"]
