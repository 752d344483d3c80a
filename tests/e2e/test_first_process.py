"""thv as the first process of a container whose image has no shell: what a wrapped MCPServer is on Kubernetes.

Namespaces of the kernel make such a container here; where they may not be made, there is nothing to test.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.harness import until
from tests.processes import is_gone, is_zombie

if TYPE_CHECKING:
    from pathlib import Path

CONTAINER = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def can_contain() -> bool:
    if platform.system() != "Linux" or shutil.which("unshare") is None:
        return False
    hide = 'mount --bind /dev/null "$(readlink -f /bin/sh)"'
    return subprocess.run([*CONTAINER, "/bin/sh", "-c", hide], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_contain(), reason="no namespaces may be made here")

WITHOUT_SHELL = 'mount --bind /dev/null "$(readlink -f /bin/sh)" && exec "$0" "$@"'

SERVER = """\
import os, subprocess, sys
if sys.argv[1:]:
    open(sys.argv[1], "w").write("here")
    # Somebody who ignores the end of input.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL)
try:
    open("/bin/sh", "rb").close(); os.execv("/bin/sh", ["sh"])
except PermissionError:
    print('{"method":"notifications/no-shell","jsonrpc":"2.0"}', flush=True)
for line in sys.stdin:
    print(line, end="", flush=True)
"""


def start(*words: str) -> subprocess.Popen[bytes]:
    thv = [sys.executable, "-I", "-m", "thv", "run", "--", sys.executable, "-c", SERVER, *words]
    command = [*CONTAINER, "/bin/sh", "-c", WITHOUT_SHELL, *thv]
    environ = {**os.environ, "DO_NOT_TRACK": "1"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)


def test_a_session_starts_works_and_ends_without_a_shell() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}}
    out, err = start().communicate(json.dumps(call).encode() + b"\n", 60)
    assert [json.loads(line).get("method") for line in out.splitlines()] == ["notifications/no-shell", "tools/call"]
    assert err == b""


def test_a_killed_thv_leaves_nothing_behind(tmp_path: Path) -> None:
    mark = f"{tmp_path}/started"
    outer = start(mark)
    try:
        assert outer.stdout is not None
        assert b"no-shell" in outer.stdout.readline()
        (thv,) = psutil.Process(outer.pid).children()
        those = thv.children(recursive=True)
        assert len(those) == 2
        thv.kill()
        outer.wait(60)
        until(lambda: all(is_gone(each) for each in those))
    finally:
        outer.kill()
        outer.communicate()


LEAVING = """\
import signal, subprocess, sys
stubborn = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'1'); time.sleep(600)"
left = subprocess.Popen([sys.executable, "-c", stubborn], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
left.stdout.read(1)
subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
"""


SERVING = """\
import asyncio, os, sys
from thv.http.process_backend import ProcessBackend
from thv.servers.launch_spec import LaunchSpec

async def serve():
    argv = (sys.executable, "-c", sys.argv[1])
    backend = ProcessBackend(LaunchSpec(executable=sys.executable, argv=argv, env=dict(os.environ), name="x"))
    await backend.start()
    assert await backend.receive() == b""
    await backend.terminate()

async def main():
    await asyncio.gather(serve(), serve())
    assert os.getpid() == 1
    try:
        print(os.waitpid(-1, os.WNOHANG))
    except ChildProcessError:
        print("no child is left")

asyncio.run(main())
"""


def test_servers_that_come_and_go_leave_no_zombies() -> None:
    command = [*CONTAINER, "/bin/sh", "-c", WITHOUT_SHELL, sys.executable, "-c", SERVING, LEAVING]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("no child is left\n", "")


INHERITED = """\
for n in 1 2 3; do (sleep 1 &); done
setsid sh -c '(sleep 1 &)' &
exec cat
"""
"""Leaves four orphans, one of them outside its process group, that end in their time."""

ORPHANS_AND_OURS = 6
"""What thv has at least had as its children then: watchdog and server, too."""


@pytest.mark.parametrize("options", [[], ["--proxy-port", "0"]], ids=["stdio", "http"])
def test_what_thv_inherits_is_reaped_while_it_runs(options: list[str]) -> None:
    thv = [sys.executable, "-I", "-m", "thv", "run", *options, "--", "sh", "-c", INHERITED]
    environ = {**os.environ, "DO_NOT_TRACK": "1"}
    with subprocess.Popen([*CONTAINER, *thv], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as outer:
        try:
            assert outer.stdin is not None
            assert outer.stderr is not None
            if options:
                assert b"served" in outer.stderr.readline()  # and a server is tried for its health
            namespace = psutil.Process(outer.pid)
            until(lambda: bool(namespace.children()), "thv")
            thv_itself = namespace.children()[0]
            seen: set[psutil.Process] = set()

            def see() -> int:
                seen.update(thv_itself.children())
                return len(seen)

            until(lambda: see() >= ORPHANS_AND_OURS, "the orphans")
            until(lambda: not any(map(is_zombie, thv_itself.children())), "the end of the zombies")
        finally:
            outer.kill()
