"""Every command remembers a no that it sees, and the first one on a terminal shows the notice once more."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thv.__main__ import main
from thv.analytics import constants, notice
from thv.analytics.history import Export, append
from thv.cli import after_command
from thv.core.state_dir import user_state_dir
from thv.journal import journal_notice
from thv.journal.journal_settings import journal_path

if TYPE_CHECKING:
    from collections.abc import Mapping

THV = [sys.executable, "-P", "-m", "thv"]
PATIENCE = 60.0

pytestmark = pytest.mark.usefixtures("analytics_on")


def mark() -> Path:
    return Path(user_state_dir()) / constants.OFF_MARK


def run(words: list[str], environ: Mapping[str, str]) -> None:
    """One command of any outcome, with nothing on its stdin."""
    subprocess.run(
        [*THV, *words],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, **environ},
    )


COMMANDS = [
    ["--version"],
    ["--help"],
    ["config", "path"],
    ["config", "otel", "get", "insecure"],
    ["config", "otel", "list"],
    ["config", "otel", "set", "insecure", "maybe"],
    ["analytics", "status"],
    ["completion", "bash"],
    ["run", "no-such-server"],
    ["run", "--no-such-option"],
    ["run", "--help"],
    ["run", "demo"],
    ["run", "--", sys.executable, "-c", ""],
    ["mcp", "list", "no-such-server"],
    ["mcp", "list", "demo"],
    ["no-such-command"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_any_command_remembers_a_no_whatever_becomes_of_it(words: list[str]) -> None:
    run(words, {"DO_NOT_TRACK": "1"})
    assert mark().read_text() == "DO_NOT_TRACK is set\n"


LONG_COMMANDS = [["log", "-f"], ["doctor", "--start", "clients.json"], ["config", "edit"]]


@pytest.mark.parametrize("words", LONG_COMMANDS, ids=" ".join)
def test_a_command_that_runs_until_it_is_ended_remembers_a_no_before(words: list[str], tmp_path: Path) -> None:
    waiting = tmp_path / "wait.py"
    waiting.write_text("import sys; sys.stdin.read()\n")
    server = {"command": sys.executable, "args": [str(waiting)]}
    (tmp_path / "clients.json").write_text(json.dumps({"mcpServers": {"silent": server}}))
    editor = shlex.join([sys.executable, str(waiting)]) if os.name == "posix" else f'"{sys.executable}" "{waiting}"'
    env = {**os.environ, "DO_NOT_TRACK": "1", "EDITOR": editor, "VISUAL": ""}
    deadline = time.monotonic() + PATIENCE
    with subprocess.Popen(
        [*THV, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env=env,
    ) as process:
        while not mark().exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.01)
        is_running, is_remembered = process.poll() is None, mark().exists()
        process.kill()
    assert is_running
    assert is_remembered


def test_a_no_is_remembered_before_a_command_of_the_full_command_line_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thv.cli.app.main", lambda _: 0 if mark().exists() else 1)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    assert main(["top"]) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "false"),
        ("TOOLHIVE_USAGE_METRICS_ENABLED", "0"),
    ],
)
def test_each_variable_of_the_users_own_is_remembered(name: str, value: str) -> None:
    run(["config", "path"], {name: value})
    assert mark().read_text().startswith(f"{name} is ")


@pytest.mark.parametrize(
    "environ", [{}, {"CI": "true"}, {"DO_NOT_TRACK": "0"}, {"TOOLHIVE_USAGE_ANALYTICS_ENABLED": "1"}]
)
@pytest.mark.parametrize("words", [["config", "path"], ["run", "demo"]], ids=" ".join)
def test_nothing_is_remembered_of_what_is_no_no_of_the_users(words: list[str], environ: dict[str, str]) -> None:
    run(words, environ)
    assert not mark().exists()


@pytest.mark.parametrize("value", ["true", "false"])
def test_where_the_file_has_an_answer_nothing_is_remembered(value: str, home: Path) -> None:
    (home / ".toolhive").mkdir()
    (home / ".toolhive" / "config.yaml").write_text(f"otel:\n  {constants.SETTING}: {value}\n")
    run(["config", "path"], {"DO_NOT_TRACK": "1"})
    assert not mark().exists()


def test_the_names_kept_for_a_quick_look_are_those_that_decide() -> None:
    deciding = {constants.DO_NOT_TRACK, constants.SDK_DISABLED, *constants.SWITCHES}
    assert set(after_command.NOES) == deciding


def test_the_names_of_files_kept_for_a_quick_look_are_those_of_their_parts() -> None:
    state_dir = user_state_dir()
    assert after_command.OFF_MARK == constants.OFF_MARK
    assert after_command.NOTICE_MARK == notice.MARKER
    assert after_command.TERMINAL_NOTICE_MARK == notice.TERMINAL_MARKER
    assert str(Path(state_dir) / after_command.JOURNAL) == journal_path()
    shown_mark = Path(journal_path()).with_name(journal_notice.MARK)
    assert Path(state_dir) / after_command.JOURNAL_NOTICE_MARK == shown_mark


def on_a_terminal(words: list[str], environ: Mapping[str, str]) -> str:
    """What a command writes to a stderr that is a terminal."""
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, **environ}
    with subprocess.Popen([*THV, *words], stdout=subprocess.DEVNULL, stderr=theirs, env=env) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # Linux ends a terminal so
            pass
        process.wait(PATIENCE)
    os.close(ours)
    return seen.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("words", [["config", "path"], ["analytics", "status"]], ids=" ".join)
def test_the_first_command_on_a_terminal_shows_the_notice_once_more(words: list[str]) -> None:
    assert "Anonymous" not in on_a_terminal(words, {})  # there was nothing to report yet, so it was never shown
    assert notice.shown(lambda _: None)  # in a client's log
    run(words, {})
    assert "Anonymous usage analytics are on." in on_a_terminal(words, {})
    assert on_a_terminal(words, {}) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_the_notice_is_not_shown_where_analytics_are_off() -> None:
    assert notice.shown(lambda _: None)
    append(Export("2026-11-22T16:23Z", 1, 0, "taken"))
    assert on_a_terminal(["config", "path"], {"CI": "true"}) == ""
    assert "Anonymous" not in on_a_terminal(["config", "otel", "set", constants.SETTING, "false"], {})
    assert on_a_terminal(["config", "path"], {}) == ""
