"""A pod that is about to end finishes what is open, begins nothing new, and sends its clients elsewhere."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.harness import until
from tests.http.fronts import FrontRun, call, initialize
from tests.sink import PATIENCE
from thv.operator import drain

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pods run Linux")

SLOW = """
import json, sys, time, pathlib
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    if message["method"] == "tools/call":
        pathlib.Path("called").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        result = {"content": []}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


def test_an_open_call_is_answered_new_ones_are_not_and_sessions_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FrontRun(["--", sys.executable, "-u", "-c", SLOW], tmp_path) as front:
        session = front.begin()
        replies: list[int] = []
        calling = threading.Thread(
            target=lambda: replies.append(front.post(call(1, "t", {}), Mcp_Session_Id=session).status)
        )
        calling.start()
        until((tmp_path / "called").exists, "the call")
        monkeypatch.setattr(drain, "THV_PID", front.process.pid)
        draining = threading.Thread(target=drain.main, args=([str(front.port)],))
        draining.start()
        until(lambda: front.request("GET", path="/health").json() == {"status": "draining"}, "the drain")
        assert front.post(call(2, "t", {}), Mcp_Session_Id=session).status == 404
        assert front.post(initialize()).status == 503
        assert draining.is_alive()
        (tmp_path / "go").touch()
        calling.join(PATIENCE)
        draining.join(PATIENCE)
        assert replies == [200]
        assert not draining.is_alive()
        assert front.request("GET", path="/health").json() == {"status": "drained"}
        assert front.process.poll() is None  # the kubelet ends it
        front.stop()


def test_in_a_pod_a_server_that_ends_before_it_answered_ends_the_container_with_its_code(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "thv", "run", "--proxy-port", "0", "--exit-with-server"]
    done = subprocess.run(
        [*command, "--", sys.executable, "-c", "import sys; sys.exit('no licence')"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ended with exit code 1 before it answered" in done.stderr
    assert "no licence" in done.stderr


def test_a_server_that_answered_once_may_fail_later(tmp_path: Path) -> None:
    with FrontRun(["--", sys.executable, "-u", "-c", SLOW], tmp_path, "--exit-with-server") as front:
        until(lambda: front.request("GET", path="/health").status == 200, "the first answer")
        session = front.begin()
        with psutil.Process(front.process.pid).oneshot():
            servers = psutil.Process(front.process.pid).children(recursive=True)
        for process in servers:
            if "sys.stdin" in " ".join(process.cmdline()):
                process.kill()
        until(lambda: front.post(call(1, "t", {}), Mcp_Session_Id=session).status == 404, "the end of the session")
        assert front.process.poll() is None
        front.stop()


def test_a_container_that_is_not_ours_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
        monkeypatch.setattr(drain, "THV_PID", gone.pid)
        assert drain.main(["8080"]) == 1
    assert capsys.readouterr().err == "thv: cannot be asked to drain: No such process\n"
