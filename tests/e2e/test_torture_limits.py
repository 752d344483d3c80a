"""thv under what its surroundings refuse: closed descriptors, no more processes or threads. One line, never a crash."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import PATIENCE, behind_thv, python
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("fcntl", reason="POSIX limits and descriptors")
assert sys.platform != "win32"  # tells the type checker

SERVER = (
    "import json, sys\n"
    "for line in sys.stdin:\n"
    "    m = json.loads(line)\n"
    "    r = {'protocolVersion': '2025-11-25', 'capabilities': {}, 'serverInfo': {'name': 's', 'version': '1'}}\n"
    "    print(json.dumps({'jsonrpc': '2.0', 'id': m.get('id'), 'result': r}), flush=True)\n"
)


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"])
def test_a_front_without_its_standard_descriptors_serves(closed: str) -> None:
    port = free_port()
    command = behind_thv(python(SERVER), "--proxy-port", str(port))
    environ = {**os.environ, "DO_NOT_TRACK": "1"}
    with subprocess.Popen(["sh", "-c", f'exec "$@" {closed}', "sh", *command], env=environ) as thv:
        try:
            assert initialize(port, thv)["result"]["serverInfo"]["name"] == "s"
        finally:
            thv.send_signal(signal.SIGTERM)
        assert thv.wait(PATIENCE) == 0


def initialize(port: int, thv: subprocess.Popen[bytes]) -> dict[str, dict[str, dict[str, str]]]:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/mcp",
        json.dumps(message).encode(),
        {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
    )
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(ConnectionRefusedError, urllib.error.URLError), urllib.request.urlopen(request) as reply:
            text = reply.read().decode()
            return dict(json.loads(text[text.index("{") :]))
        assert thv.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(shutil.which("setpriv") is None or shutil.which("prlimit") is None, reason="util-linux is missing")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a user with no process but these")
@pytest.mark.parametrize("processes", range(1, 8))
def test_no_process_or_thread_left_is_one_line(tmp_path: Path, processes: int) -> None:
    """With each further one allowed, another thing fails: the watchdog, the server, one thread after the other."""
    # Root's processes are not counted; another user's Python may stand where only root can read.
    user = 60_000 + os.getpid() % 5_000
    as_user = [
        "setpriv",
        f"--reuid={user}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ]
    done = subprocess.run(
        [*as_user, "prlimit", f"--nproc={processes}:{processes}", *behind_thv(["/bin/cat"])],
        input=b"x\n",
        capture_output=True,
        env={**os.environ, "DO_NOT_TRACK": "1", "HOME": str(tmp_path)},
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode == 0:
        assert processes > 5  # thv, watchdog, server, three threads of the relay; the decoder may be missing
        assert done.stdout == b"x\n"
    else:
        assert done.returncode == 1, done.stderr
        assert re.match(b"thv: (the system refuses a thread|cannot start another process)", done.stderr)
    assert done.stderr.count(b"\n") <= 1, done.stderr
