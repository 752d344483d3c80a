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


def thv(*words: str | bytes, cwd: str, env: dict[str, str], stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [*THV, *words], input=stdin, capture_output=True, cwd=cwd, env=os.environ | env, timeout=PATIENCE, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_a_session_is_relayed_exported_and_written_down(tmp_path: Path) -> None:
    home = os.fsdecode(os.fsencode(tmp_path) + b"/h\xff")
    os.mkdir(home)
    server = b"./s\xff\xe9"
    with open(os.path.join(os.fsencode(home), server), "wb") as script:
        script.write(b"#!/bin/sh\nexec cat\n")
        os.fchmod(script.fileno(), 0o700)
    env = {"HOME": home, "XDG_STATE_HOME": f"{home}/state", "DO_NOT_TRACK": "1"}
    export = ("--otel-endpoint", "http://127.0.0.1:9", "--otel-sampling-rate=1")
    for words in (("--", server), ("--restart", "--", server), ("--name", server, "--", "cat"), (*export, "--", server)):
        code, out, err = thv("run", *words, cwd=home, env=env, stdin=CALLS)
        assert (code, out) == (0, CALLS)
        assert b"internal error" not in err
    assert thv("run", "--", b"./none\xff", cwd=home, env=env)[0] == 127
    for view in ("log", "top", "report", "why"):
        code, out, err = thv(view, "--format", "json", cwd=home, env=env)
        assert (code, err) == (0, b"")
        assert json.loads(out.splitlines()[0] if view == "log" else out) or view == "top"
    code, out, _ = thv("why", "-n", "9", "--format", "json", cwd=home, env=env)
    assert [session["server"] for session in json.loads(out)] == ["none\ufffd", *["s\ufffd\ufffd", "./s\ufffd\ufffd"], *["s\ufffd\ufffd"] * 2]
