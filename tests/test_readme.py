"""What the README says is what the program does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from thv.cli.app import app
from thv.cli.editor import VARIABLES
from thv.cli.run_options import all_options
from thv.config.settings import KEYS
from thv.servers.registry import entries

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
MAIN_JOB, DEVELOP = COMMANDS[0], COMMANDS[-1]
BIN = Path(sys.executable).parent


def run(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def after_the_install(command: str) -> str:
    return command.split("&&", 2)[2].replace(".venv/bin/", "").strip()


def test_the_first_command_does_what_the_readme_says(analytics_on: None) -> None:
    done = run(after_the_install(MAIN_JOB))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5\n")
    assert done.stdout.count('"jsonrpc"') == 3
    assert "1 success, 1 error" in done.stderr
    assert "POST https://analytics.toolhive.stacklok.dev/v1/traces" in done.stderr


def test_it_does_so_with_analytics_turned_off() -> None:
    done = run(after_the_install(MAIN_JOB), DO_NOT_TRACK="1")
    assert (done.returncode, done.stdout.count('"jsonrpc"')) == (0, 3)
    assert "1 success, 1 error" in done.stderr
    assert "a real server's calls would not be sent either" in done.stderr
    assert "POST" not in done.stderr
    assert "Unless you have turned analytics off, it also shows the exact request" in " ".join(README.split())


def test_the_second_command_installs_and_runs_what_ci_does() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    install = re.search(r"pip install --quiet (\S+ \S+)", DEVELOP)
    assert install is not None
    assert install[1] in ci
    assert after_the_install(DEVELOP) == "pytest"
    assert [line.strip() for line in ci.splitlines() if "pytest" in line] == ['PATH="$work/venv/bin:$PATH" pytest']


def test_every_option_and_every_registry_name_is_told() -> None:
    for option in all_options():
        for flag in option.flags:
            assert f"`{flag}" in README, flag
    for name in entries():
        assert f"`{name}`" in README, name


def test_every_key_and_every_variable_is_told() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|(?: (.*?))? \|(?: (.*))? \|$", README, re.MULTILINE)
    told = {key: (default, re.findall(r"`([A-Z_]+)`", variables)) for key, default, variables in rows}
    assert list(told) == list(KEYS)
    for name, known in KEYS.items():
        default, variables = told[name]
        assert not known.default or default == f"`{known.default}`", name
        assert tuple(variables) == known.env, name
    for variable in (*VARIABLES, "TOOLHIVE_CONFIG", "NO_COLOR"):
        assert f"`{variable}`" in README, variable


def test_every_command_is_told() -> None:
    todo: list[tuple[str, Any]] = [("thv", typer.main.get_command(app))]
    while todo:
        name, command = todo.pop()
        inner = getattr(command, "commands", {})
        todo += [(f"{name} {word}", below) for word, below in inner.items()]
        assert inner or command.hidden or name in README, name


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("thv config otel get usage-analytics-enabled", "true\n"),
        ("thv config otel set usage-analytics-enabled false && thv config otel get usage-analytics-enabled", "false\n"),
    ],
)
def test_the_settings_commands_work_as_shown(command: str, printed: str) -> None:
    assert command.split(" && ", maxsplit=1)[0] in README
    done = run(command)
    assert (done.returncode, done.stdout) == (0, printed)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(((?!https?:|#)[^)]+)\)", README))))
def test_no_link_leads_nowhere(target: str) -> None:
    page, _, heading = target.partition("#")
    assert (ROOT / page).exists()
    if heading:
        titles = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
        assert heading in {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
