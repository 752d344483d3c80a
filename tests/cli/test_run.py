"""`thv run` at a terminal: the configuration it prints works when copied, wherever thv and the server are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from thv.servers.resolve import DEMO_FILE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals are POSIX's")

PATIENCE = 120
THV = str(Path(sys.executable).with_name("thv"))
HERE_ALONE = {"PATH": "/usr/bin:/bin"}


@pytest.fixture(autouse=True)
def analytics_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


def told(*words: str, cwd: Path, **env: str) -> tuple[list[str], str]:
    """The command of the client's configuration, and the one to try by hand, that `thv run` names on a terminal."""
    assert sys.platform != "win32"
    import pty

    master, terminal = pty.openpty()
    try:
        os.write(master, b"\x04")
        done = subprocess.run(
            [THV, "run", *words],
            stdin=terminal,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=os.environ | env,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(master)
        os.close(terminal)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (server,) = json.loads(done.stderr[done.stderr.index("{") : done.stderr.rindex("}") + 1])["mcpServers"].values()
    return [server["command"], *server["args"]], done.stderr.splitlines()[-1].removeprefix("To try it by hand: ")


@pytest.mark.parametrize(
    "words",
    [["demo"], ["./a-server"], ["-e", "A=b c", "demo"], ["--", sys.executable, DEMO_FILE], ["--", "./a-server", "-x"]],
)
def test_what_a_person_is_told_to_type_works(words: list[str], tmp_path: Path) -> None:
    script = tmp_path / "a-server"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {DEMO_FILE}\n", encoding="utf-8")
    script.chmod(0o755)
    _, by_hand = told(*words, cwd=tmp_path, **HERE_ALONE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    tried = subprocess.run(
        ["/bin/sh", "-c", by_hand],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env=os.environ | HERE_ALONE,
        timeout=PATIENCE,
        check=False,
    )
    assert tried.stdout.startswith("add "), tried.stderr


def test_the_clients_configuration_names_thv_and_the_server_so_that_any_program_finds_them(tmp_path: Path) -> None:
    shutil.copy("/bin/true", tmp_path / "a-server")
    (tmp_path / "a-server").chmod(0o755)
    here = str(tmp_path / "a-server")
    assert told("./a-server", cwd=tmp_path, **HERE_ALONE)[0] == [THV, "run", here]
    assert told("demo", cwd=tmp_path, PATH=f"{Path(THV).parent}:/bin")[0] == ["thv", "run", "demo"]
