"""thv is itself, whatever variables for the server's Python it was started with; and the server gets every one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

THV = str(Path(sys.executable).with_name("thv"))
"""The installed command. (`python -m thv` imports from the foreign directories before our first line.)"""

SHADOWS = (
    "types",
    "select",
    "re",
    "json",
    "typing",
    "enum",
    "threading",
    "asyncio",
    "msgspec",
    "sysconfig",
    "contextlib",
)

SERVER = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('PYTHON')}))"

pytestmark = pytest.mark.skipif(not Path(THV).exists(), reason="thv is not installed beside this Python")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose modules have the names of those that thv needs."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("raise ImportError('this is the project, not the standard library')\n")
    return tmp_path


def thv(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [THV, *words],
        input="",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env={**environ, "DO_NOT_TRACK": "1", **variables},
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONPATH": "{project}"},
        {"PYTHONPATH": ":/no/such/folder"},  # the empty one is the current directory
        {"PYTHONPATH": "{project}", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2", "PYTHONDEVMODE": "1"},
        {"PYTHONINSPECT": "1"},
        {"PYTHONUSERBASE": "{project}", "PYTHONPYCACHEPREFIX": "{project}/cache"},
    ],
)
def test_variables_for_the_server_reach_it_and_do_not_change_thv(project: Path, variables: dict[str, str]) -> None:
    variables = {name: value.format(project=project) for name, value in variables.items()}
    done = thv("run", "--", sys.executable, "-IS", "-c", SERVER, cwd=project, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == variables


def test_every_command_is_itself(project: Path) -> None:
    for words, printed in (
        (("mcp", "call", "demo", "add", "a=1", "b=2"), "3"),
        (("--help",), "Usage"),
        (("--version",), ""),
    ):
        done = thv(*words, cwd=project, PYTHONPATH=str(project))
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout


def test_the_current_directory_is_not_searched(project: Path) -> None:
    done = thv("run", "--", "true", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")


def test_thv_is_found_where_only_pythonpath_leads_to_it(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As after `pip install --target`."""
    target = tmp_path_factory.mktemp("target")
    (target / "thv").symlink_to(Path(__file__).parents[2] / "thv")
    code = "import sys; from thv.__main__ import main; sys.argv = ['thv', '--version']; main()"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{project}:{target}", "DO_NOT_TRACK": "1"}
    done = subprocess.run([sys.executable, "-PS", "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
