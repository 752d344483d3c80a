"""The agent's process gets what it needs and nothing else, wherever thv was started from."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import open_files
from thv.telemetry import agent_process
from thv.telemetry.agent_process import SESSION_NICENESS, agent_environment, catch_up, start_agent, step_back
from thv.telemetry.frames import AgentSettings, Configure, encode

PATIENCE = 60.0


def test_no_variable_of_opentelemetry_reaches_it() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=1",
        "OTEL_PYTHON_CONTEXT": "x",
        "HTTPS_PROXY": "p",
        "PATH": "/bin",
    }
    kept = agent_environment(environ)
    assert kept.keys() - {"PYTHONPATH", "MALLOC_ARENA_MAX"} == {"HTTPS_PROXY", "PATH"}


def test_it_starts_in_a_directory_full_of_namesakes_and_ends_with_its_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("thv", "msgspec", "signal", "opentelemetry"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    agent = start_agent()
    assert agent.stdin is not None
    agent.stdin.write(encode(Configure(AgentSettings())))
    agent.communicate(timeout=PATIENCE)
    assert agent.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")
def test_it_leads_a_session_of_its_own_and_holds_nothing_of_ours(tmp_path: Path) -> None:
    inherited = os.open(tmp_path / "held", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(inherited, True)
    agent = start_agent()
    try:
        _, _, _, session, *_ = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(") ")[2].split()
        assert int(session) == agent.pid
        assert "held" not in {path.name for path in open_files(agent.pid)}
    finally:
        os.close(inherited)
        agent.kill()
        agent.communicate()


def test_it_is_found_where_only_pythonpath_leads_to_it(tmp_path: Path) -> None:
    code = (
        "from thv.telemetry.agent_process import start_agent\n"
        "agent = start_agent()\n"
        "agent.communicate(timeout=60)\n"
        "raise SystemExit(agent.returncode)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, env=environ, timeout=PATIENCE, check=False)
    assert done.returncode == 0


def niceness(process: int | str) -> int | None:
    """The nice value of a process's session; None where the kernel made no group of it, as of the system's first."""
    group = Path(f"/proc/{process}/autogroup").read_text().split()
    return int(group[-1]) if group else None


needs_groups = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="the system shares no CPU between sessions"
)


@needs_groups
def test_its_session_steps_back_and_ours_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    ours = niceness("self")
    agent = start_agent()
    try:
        deadline = time.monotonic() + PATIENCE
        while not step_back(agent):  # Linux allows ten changes a second
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (niceness(agent.pid), niceness("self")) == (SESSION_NICENESS, ours)
        catch_up(agent)
        assert (niceness(agent.pid), niceness("self")) == (0, ours)
    finally:
        agent.kill()
        agent.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="such groups are Linux's")
def test_it_does_not_step_back_on_a_busy_machine_where_it_could_not_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[int] = []

    def set_niceness(_agent: object, nice: int) -> bool:
        set_to.append(nice)
        return True

    monkeypatch.setattr(agent_process, "_set_session_niceness", set_niceness)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (4.0, 0.0, 0.0))
    agent: Any = object()
    assert not step_back(agent)
    assert set_to == []
    monkeypatch.setattr(os, "getloadavg", lambda: (3.9, 9.0, 9.0))
    assert step_back(agent)
    assert set_to == [SESSION_NICENESS]


@needs_groups
def test_a_process_without_a_session_of_its_own_leaves_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    ours = niceness("self")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert step_back(process)
        assert niceness("self") == ours
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="such groups are Linux's")
def test_catching_up_is_tried_until_it_is_granted_or_nothing_is_left_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[int] = []

    def is_granted(_agent: object, nice: int) -> bool:
        tried.append(nice)
        return len(tried) > granted_after

    monkeypatch.setattr(agent_process, "_set_session_niceness", is_granted)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        granted_after = 2
        catch_up(process)
        assert tried == [0, 0, 0]
        process.kill()
        process.wait()
        tried.clear()
        catch_up(process)
        assert tried == [0]
