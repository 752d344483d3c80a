"""thv is itself, whatever variables for the server's Python it was started with; and the server gets every one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

LAUNCHER = f"""#!{sys.executable}
import sys
from {entry_points(group="console_scripts")["thv"].module} import main
if __name__ == "__main__":
    sys.exit(main())
"""
"""The command as current installers write it: today's pip, and uv. (Older ones, and `python -m thv`, import more from
the foreign directories before our first line.)"""

SHADOWS = (
    "thv",
    "site",
    "codecs",
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

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the command is a script with #!")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder whose modules have the names of those that thv needs."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("raise ImportError('this is the project, not the standard library')\n")
    return tmp_path


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command."""
    path = tmp_path_factory.mktemp("bin") / "thv"
    path.write_text(LAUNCHER)
    path.chmod(0o755)
    return path


def thv(command: Path, *words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [command, *words],
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
        {"PYTHONTRACEMALLOC": "5", "PYTHONINTMAXSTRDIGITS": "640", "PYTHONASYNCIODEBUG": "1"},
        {"PYTHONUSERBASE": "{project}", "PYTHONPYCACHEPREFIX": "{project}/cache"},
    ],
)
def test_variables_for_the_server_reach_it_and_do_not_change_thv(
    project: Path, command: Path, variables: dict[str, str]
) -> None:
    variables = {name: value.format(project=project) for name, value in variables.items()}
    done = thv(command, "run", "--", sys.executable, "-IS", "-c", SERVER, cwd=project, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == variables


def test_every_command_is_itself(project: Path, command: Path) -> None:
    for words, printed in (
        (("mcp", "call", "demo", "add", "a=1", "b=2"), "3"),
        (("--help",), "Usage"),
        (("--version",), ""),
    ):
        done = thv(command, *words, cwd=project, PYTHONPATH=str(project))
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout


def test_a_package_of_the_same_name_is_not_taken_for_thv(command: Path, tmp_path: Path) -> None:
    (tmp_path / "thv").mkdir()
    (tmp_path / "thv" / "__init__.py").write_text("raise ImportError('this is the project')\n")
    done = thv(command, "run", "--", sys.executable, "-IS", "-c", SERVER, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"PYTHONPATH": str(tmp_path)}


def test_a_variable_for_the_server_alone_is_not_seen_by_thv(command: Path, tmp_path: Path) -> None:
    """The way for what ends Python, or is run by it, before thv's first line."""
    for name in ("encodings", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("print('here'); raise SystemExit(3)\n")
    given = ["-e", f"PYTHONPATH={tmp_path}", "-e", "PYTHONHOME=/nowhere"]
    done = thv(command, "run", *given, "--", sys.executable, "-IS", "-c", SERVER, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere"}


def test_the_current_directory_is_not_searched(project: Path, command: Path) -> None:
    done = thv(command, "run", "--", "true", cwd=project)
    assert (done.returncode, done.stderr) == (0, "")


def test_thv_is_found_where_only_pythonpath_leads_to_it(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As after `pip install --target`."""
    target = tmp_path_factory.mktemp("target")
    for name in ("thv", "thv_launcher.py"):
        (target / name).symlink_to(Path(__file__).parents[2] / name)
    code = "import sys; from thv_launcher import main; sys.argv = ['thv', '--version']; main()"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{project}:{target}", "DO_NOT_TRACK": "1"}
    done = subprocess.run([sys.executable, "-PS", "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
