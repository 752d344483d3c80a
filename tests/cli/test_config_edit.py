"""`thv config edit`: the editor of the user's choice, run without a shell, and a file that stays as it was left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import Command
from thv.cli import editor
from thv.config.settings_file import HEADER

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the editors of these tests are shell scripts")


@pytest.fixture
def thv(capfd: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    for variable in editor.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return Command(capfd, home / ".toolhive" / "config.yaml")


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def writes(path: Path, text: str) -> Path:
    """An editor that writes `text`."""
    return script(path, f"cat > \"$1\" <<'END'\n{text}END")


def test_a_missing_file_is_made_private_and_explains_itself(
    thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", str(script(tmp_path / "ed", 'printf "otel:\\n  insecure: yes\\n" >> "$1"')))
    assert thv("edit") == (0, "", f"thv: {thv.path} is fine\n")
    assert thv.path.read_text() == f"{HEADER}otel:\n  insecure: yes\n"
    assert stat.S_IMODE(thv.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(thv.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("otel: [\n", [":2:1: is not valid YAML: "]),
        ("otel:\n\tinsecure: true\n", [":2:1: is not valid YAML: a tab where YAML allows only spaces"]),
        ("- a\n", [":1:1: the file must be a section of keys and values"]),
        (
            "otel:\n  insecure: maybe\n  sampling-rate: 2\n",
            [
                ":2:13: otel.insecure is 'maybe', which is not a boolean; write true or false",
                ":3:18: sampling-rate cannot be '2': write a number from 0.0 to 1.0",
            ],
        ),
        (
            "otel:\n  usage-analytics-enabeld: false\n",
            [":2:3: there is no setting 'usage-analytics-enabeld'; did you mean usage-analytics-enabled"],
        ),
        (
            "usage-analytics-enabled: false\n",
            [":1:1: usage-analytics-enabled is a no in the wrong place; write usage-analytics-enabled: false"],
        ),
        (
            "otel:\n  insecure: maybe\n---\notel:\n  usage_analytics_enabled: no\n",
            [
                ":2:13: otel.insecure is 'maybe', which is not a boolean; write true or false",
                ":5:3: otel.usage_analytics_enabled is a no in the wrong place; write usage-analytics-enabled: false",
            ],
        ),
        (
            "otel:\n  usage_analytics_enabled: no\n",
            [":2:3: there is no setting 'usage_analytics_enabled'; did you mean usage-analytics-enabled"],
        ),
        ("otel: &a {insecure: true}\nb: {otel: *a}\n", []),
        ("other: {anything: [1, 2]}\n", []),
        ("", []),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_the_file_stays_as_written(
    thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problems: list[str]
) -> None:
    monkeypatch.setenv("EDITOR", str(writes(tmp_path / "ed", text)))
    code, out, err = thv("edit")
    assert (code, out) == (1 if problems else 0, "")
    assert thv.path.read_text() == text
    lines = err.splitlines()
    assert len(lines) == max(1, len(problems))
    for line, problem in zip(lines, problems, strict=False):
        assert line.startswith(f"thv: {thv.path}{problem}")


def test_a_broken_file_can_be_mended(thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thv.path.parent.mkdir()
    thv.path.write_bytes(b"otel:\n  service-name: \xff\n")
    monkeypatch.setenv("EDITOR", "true")
    code, _, err = thv("edit")
    assert code == 1
    assert err == f"thv: {thv.path}:2:17: is not UTF-8 (byte 0xff); save it as UTF-8\n"
    monkeypatch.setenv("EDITOR", str(writes(tmp_path / "ed", "otel: {}\n")))
    assert thv("edit")[0] == 0


def test_no_secret_of_a_broken_line_is_told(thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "otel:\n  endpoint: https://me:hunter2@:0\n  headers: [hunter2]\n"
    monkeypatch.setenv("EDITOR", str(writes(tmp_path / "ed", text)))
    code, out, err = thv("edit")
    assert (code, out, err.count("\n")) == (1, "", 2)
    assert "hunter2" not in err


def test_visual_comes_before_editor_and_both_before_the_defaults(
    thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("visual", "editor", "nano", "vi")
    for name in names:
        script(tmp_path / name, f'echo "# {name}" > "$1"')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(editor, "DEFAULTS", ("no-such-editor", "nano", "vi"))
    monkeypatch.setenv("EDITOR", "editor")
    monkeypatch.setenv("VISUAL", "visual")
    for name, unset in (("visual", "VISUAL"), ("editor", "EDITOR"), ("nano", "")):
        assert thv("edit")[0] == 0
        assert thv.path.read_text() == f"# {name}\n"
        if unset:
            monkeypatch.setenv(unset, "")


@pytest.mark.parametrize(
    "command",
    [
        "{dir}/ed --wait --title 'two words'",
        "'{dir}/ed' --wait --title two\\ words",
        '"{dir}/my own/ed" --wait --title "two words"',
    ],
)
def test_an_editor_may_have_arguments(
    thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "my own").mkdir()
    for path in (tmp_path / "ed", tmp_path / "my own" / "ed"):
        script(path, 'printf "%s\\n" "$#" "$@" > "${0%/*}/seen"')
    monkeypatch.setenv("EDITOR", command.format(dir=tmp_path))
    assert thv("edit")[0] == 0
    (seen,) = tmp_path.rglob("seen")
    assert seen.read_text().splitlines() == ["4", "--wait", "--title", "two words", str(thv.path)]


def test_a_path_with_spaces_needs_no_quotes(thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my own").mkdir()
    monkeypatch.setenv("EDITOR", str(script(tmp_path / "my own" / "ed", 'echo "# seen" > "$1"')))
    assert thv("edit")[0] == 0
    assert thv.path.read_text() == "# seen\n"


def test_no_shell_reads_the_editor_or_the_file_name(
    thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script(tmp_path / "ed", 'printf "%s\\n" "$@" > seen')
    monkeypatch.setenv("TOOLHIVE_CONFIG", "-$(touch owned).yaml")
    monkeypatch.setenv("EDITOR", "./ed ; touch owned & $(touch owned) `touch owned` > owned")
    assert thv("edit")[0] == 0
    words = [";", "touch", "owned", "&", "$(touch", "owned)", "`touch", "owned`", ">", "owned"]
    assert (tmp_path / "seen").read_text().splitlines() == [*words, f"{tmp_path}/-$(touch owned).yaml"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-editor -w", "the editor 'no-such-editor' (from EDITOR) is not found; set EDITOR to one that is"),
        ("{dir}/plain", "the editor '{dir}/plain' (from EDITOR) is not found; set EDITOR to one that is"),
        ("{dir}/empty", "the editor '{dir}/empty' (from EDITOR) cannot be started: Exec format error; set EDITOR to"),
        ("{dir}/fails", "the editor '{dir}/fails' (from EDITOR) ended with exit code 3; {file} was not checked"),
        ("{dir}/dies", "the editor '{dir}/dies' (from EDITOR) ended with signal 9; {file} was not checked"),
        ("ed 'x", "EDITOR is no command (no closing quotation): ed 'x"),
    ],
)
def test_an_editor_that_cannot_edit_is_told_in_one_line(
    thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    (tmp_path / "plain").write_text("no program\n")
    script(tmp_path / "empty", "").write_text("")
    script(tmp_path / "fails", "exit 3")
    script(tmp_path / "dies", "kill -9 $$")
    monkeypatch.setenv("EDITOR", command.format(dir=tmp_path))
    code, out, err = thv("edit")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("thv: " + words.format(dir=tmp_path, file=thv.path))


def test_without_any_editor_it_says_how_to_name_one(thv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor, "DEFAULTS", ("no-such-editor", "none-either"))
    code, _, err = thv("edit")
    assert code == 1
    assert (
        err
        == "thv: there is no editor: neither no-such-editor nor none-either is found; set EDITOR to the one you use\n"
    )


def test_what_is_no_file_is_not_edited(thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", str(script(tmp_path / "ed", f"touch {tmp_path}/started")))
    monkeypatch.setenv("TOOLHIVE_CONFIG", str(tmp_path))
    code, _, err = thv("edit")
    assert (code, err) == (1, f"thv: {tmp_path}: is not a regular file; TOOLHIVE_CONFIG can name another\n")
    assert not (tmp_path / "started").exists()


def test_ctrl_c_is_the_editors(home: Path, tmp_path: Path) -> None:
    body = """trap 'echo "# kept" > "$1"; exit 0' INT
kill -INT 0
while :; do sleep 0.05; done"""
    environ = os.environ | {"HOME": str(home), "EDITOR": str(script(tmp_path / "ed", body)), "VISUAL": ""}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "thv", "config", "edit"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        # A group of its own, as a terminal gives one to each command.
        process_group=0,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert (home / ".toolhive" / "config.yaml").read_text() == "# kept\n"
