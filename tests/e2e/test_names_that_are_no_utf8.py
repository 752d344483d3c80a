"""File names are bytes: a server, a home or a folder whose name is no UTF-8 works as any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")

THV = [sys.executable, "-P", "-m", "thv"]
CALLS = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}\n{"jsonrpc":"2.0","id":1,"result":{}}\n'
SERVER = os.fsdecode(b"./s\xff\xe9")
SHOWN = "s\ufffd\ufffd"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and thus a state folder and a working directory, of such a name, with a server."""
    home = tmp_path / os.fsdecode(b"h\xff")
    home.mkdir()
    server = home / SERVER
    server.write_text("#!/bin/sh\nexec cat\n")
    server.chmod(0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.chdir(home)
    return home


def thv(*words: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run([*THV, *words], input=stdin, capture_output=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("home")
def test_sessions_are_relayed_exported_and_written_down() -> None:
    exporting = ("--otel-endpoint", "http://127.0.0.1:9", "--otel-sampling-rate=1")
    for options, command in (((), SERVER), (("--restart",), SERVER), (("--name", SERVER), "cat"), (exporting, SERVER)):
        code, out, err = thv("run", *options, "--", command, stdin=CALLS)
        assert (code, out) == (0, CALLS)
        assert b"internal error" not in err
    assert thv("run", "--", f"{SERVER}-none")[0] == 127
    for view in ("log", "top", "report", "why"):
        code, out, err = thv(view)
        assert (code, err) == (0, b"")
        assert out
    code, out, _ = thv("why", "-n", "9", "--format", "json")
    servers = [session["server"] for session in json.loads(out)]
    assert servers == [f"{SHOWN}-none", SHOWN, f"./{SHOWN}", SHOWN, SHOWN]
