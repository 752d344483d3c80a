"""`thv config`: the bare answer on stdout, words on stderr, the right exit code, and a file that stays its author's."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.commands import Command
from thv.config.settings import KEYS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("analytics_on")

KEY = "usage-analytics-enabled"


@pytest.fixture
def thv(capfd: pytest.CaptureFixture[str], home: Path) -> Command:
    return Command(capfd, home / ".toolhive" / "config.yaml")


def test_get_prints_the_default_of_an_unset_key_and_makes_no_file(thv: Command) -> None:
    assert thv("otel", "get", KEY) == (0, "true\n", "")
    assert thv("otel", "get", "sampling-rate") == (0, "0.1\n", "")
    assert thv("otel", "get", "endpoint") == (0, "", "")
    assert not thv.path.parent.exists()


@pytest.mark.parametrize("word", ["false", "no", "Off", "0", '"False"'])
def test_get_prints_true_or_false_whatever_the_word(thv: Command, word: str) -> None:
    thv.write(f"otel:\n  {KEY}: {word}\n")
    assert thv("otel", "get", KEY) == (0, "false\n", "")


def test_set_makes_a_private_file_that_explains_itself(thv: Command) -> None:
    code, out, err = thv("otel", "set", KEY, "NO")
    assert (code, out) == (0, "")
    now = "sessions that are running forget what they counted and send nothing from now on"
    assert err == f"thv: otel.{KEY} is now false in {thv.path}\nthv: {now}\n"
    text = thv.path.read_text()
    assert text.startswith("# ")
    assert text.endswith(f"\n\notel:\n  {KEY}: false\n")
    assert stat.S_IMODE(thv.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(thv.path.parent.stat().st_mode) == 0o700
    assert thv("otel", "get", KEY) == (0, "false\n", "")


def test_set_changes_the_value_and_no_other_byte(thv: Command) -> None:
    before = f"# mine\r\notel: # telemetry\r\n    {KEY} :  yes   # please\r\n\r\n# end"
    thv.write(before)
    assert thv("otel", "set", KEY, "false")[0] == 0
    assert thv.path.read_bytes() == before.replace("yes", "false").encode()


def test_another_file_can_be_named(thv: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLHIVE_CONFIG", str(tmp_path / "other.yaml"))
    assert thv("path") == (0, f"{tmp_path / 'other.yaml'}\n", "")
    assert thv("otel", "set", "sampling-rate", "1")[0] == 0
    assert yaml.safe_load((tmp_path / "other.yaml").read_text()) == {"otel": {"sampling-rate": 1.0}}
    assert not thv.path.exists()


@pytest.mark.parametrize("verb", [["get"], ["set"], ["unset"]])
def test_an_unknown_key_names_the_nearest_and_touches_nothing(thv: Command, verb: list[str]) -> None:
    thv.write("otel: {}\n")
    code, out, err = thv("otel", *verb, "usage-analytics", *(["true"] if verb == ["set"] else []))
    assert (code, out) == (1, "")
    assert err == f"thv: there is no setting 'usage-analytics'; did you mean {KEY}?\n"
    assert thv.path.read_text() == "otel: {}\n"


def test_a_key_in_capitals_is_near_its_own(thv: Command) -> None:
    code, _, err = thv("otel", "get", KEY.upper())
    assert code == 1
    assert f"did you mean {KEY}" in err


@pytest.mark.parametrize(
    ("key", "value"),
    [(KEY, "maybe"), (KEY, ""), ("sampling-rate", "-1"), ("sampling-rate", "2"), ("endpoint", "x"), ("headers", "-x")],
)
def test_a_bad_value_ends_with_1_and_touches_nothing(thv: Command, key: str, value: str) -> None:
    thv.write("a: 1\n")
    code, out, err = thv("otel", "set", key, value)
    assert (code, out) == (1, "")
    assert err.startswith(f"thv: {key} cannot be ")
    assert err.count("\n") == 1
    assert thv.path.read_text() == "a: 1\n"
    assert [path.name for path in thv.path.parent.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "text", ["otel: [\n", "otel:\n\tx: 1\n", "- list\n", "a: 1\na: 2\n", "otel: &a {b: *a}\nc: *a\n"]
)
def test_a_file_that_cannot_be_edited_is_named_with_line_and_column(thv: Command, text: str) -> None:
    thv.write(text)
    code, out, err = thv("otel", "set", KEY, "false")
    assert (code, out) == (1, "")
    assert err.startswith(f"thv: {thv.path}:")
    assert err.count("\n") == 1
    assert thv.path.read_text() == text


def test_a_word_too_few_is_a_usage_error(thv: Command) -> None:
    for words in (["otel", "get"], ["otel", "set", KEY], ["otel", "set", KEY, "true", "false"], ["otel", "nonsense"]):
        code, out, _ = thv(*words)
        assert (code, out) == (2, "")


def test_unset_brings_the_default_back(thv: Command) -> None:
    thv.write(f"otel:\n  {KEY}: false # mine\n  endpoint: x:1\n")
    assert thv("otel", "unset", KEY) == (
        0,
        "",
        f"thv: otel.{KEY} is removed from {thv.path}; its default is true\n",
    )
    assert thv.path.read_text() == "otel:\n  endpoint: x:1\n"
    assert thv("otel", "get", KEY) == (0, "true\n", "")
    assert "was not in" in thv("otel", "unset", KEY)[2]


def test_unset_makes_no_file(thv: Command) -> None:
    assert thv("otel", "unset", KEY)[0] == 0
    assert not thv.path.parent.exists()


def test_list_shows_every_key_with_its_value_and_where_it_comes_from(thv: Command) -> None:
    thv.write(f"otel:\n  {KEY}: no\n  env-vars: [A, B]\n")
    code, out, err = thv("otel", "list")
    assert (code, err) == (0, "")
    rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert [row[0] for row in rows] == list(KEYS)
    assert [KEY, "false", f"{thv.path}:2"] in rows
    assert ["env-vars", "A,B", f"{thv.path}:3"] in rows
    assert ["sampling-rate", "0.1", "default"] in rows
    found = json.loads(thv("otel", "list", "--format", "json")[1])
    assert [sorted(row) for row in found] == [["key", "origin", "value"]] * len(KEYS)
    assert {row["key"]: row["value"] for row in found}["endpoint"] is None


def test_header_values_show_only_with_reveal(thv: Command) -> None:
    assert "hunter2" not in "".join(map(str, thv("otel", "set", "headers", "x-key=hunter2,other=b")))
    assert "hunter2" in thv.path.read_text()
    for words in (["get", "headers"], ["list"], ["list", "--format", "json"]):
        assert "hunter2" not in thv("otel", *words)[1]
        assert "x-key" in thv("otel", *words)[1]
        assert "x-key=hunter2,other=b" in thv("otel", *words, "--reveal")[1]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DO_NOT_TRACK", "1", "DO_NOT_TRACK is set"),
        ("CI", "true", "CI is set"),
        ("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "no", "TOOLHIVE_USAGE_ANALYTICS_ENABLED is no"),
    ],
)
def test_it_says_when_the_environment_keeps_analytics_off(
    thv: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    words = f"thv: usage analytics stay off all the same: {reason}\n"
    assert thv("otel", "set", KEY, "true") == (0, "", f"thv: otel.{KEY} is now true in {thv.path}\n{words}")
    assert thv("otel", "get", KEY) == (0, "true\n", words)
    thv("otel", "set", KEY, "false")
    assert thv("otel", "get", KEY) == (0, "false\n", "")


def test_the_command_itself_works_from_a_shell(home: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "thv", "config", "otel", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(home)})

    assert run("set", KEY, "off").returncode == 0
    assert run("get", KEY).stdout == "false\n"
    assert run("get", "nonsense").returncode == 1
