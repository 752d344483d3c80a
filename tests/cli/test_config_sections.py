"""Every section of the config file has the same commands; and one entry can be added to a map or a list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import Command
from thv.config.settings import SECTIONS
from thv.config.settings_file import HEADER

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("analytics_on")


@pytest.fixture
def thv(capfd: pytest.CaptureFixture[str], home: Path) -> Command:
    return Command(capfd, home / ".toolhive" / "config.yaml")


@pytest.mark.parametrize("section", list(SECTIONS))
def test_each_section_lists_its_own_keys_and_no_others(thv: Command, section: str) -> None:
    code, out, err = thv(section, "list", "--format", "json")
    assert (code, err) == (0, "")
    assert [row["key"] for row in json.loads(out)] == list(SECTIONS[section].keys)


def test_a_setting_of_another_section_is_written_read_and_removed(thv: Command) -> None:
    thv.write("otel:\n  insecure: true # mine\n")
    assert thv("journal", "get", "max-size") == (0, "64MiB\n", "")
    assert thv("journal", "set", "max-size", "128 MB") == (
        0,
        "",
        f"thv: journal.max-size is now 128MiB in {thv.path}\n",
    )
    assert thv.path.read_text() == "otel:\n  insecure: true # mine\njournal:\n  max-size: 128MiB\n"
    assert thv("journal", "get", "max-size") == (0, "128MiB\n", "")
    assert thv("journal", "unset", "max-size") == (
        0,
        "",
        f"thv: journal.max-size is removed from {thv.path}; its default is 64MiB\n",
    )


def test_a_key_of_one_section_is_none_of_another(thv: Command) -> None:
    code, out, err = thv("journal", "get", "endpoint")
    assert (code, out) == (1, "")
    assert "the keys are enabled, max-size, max-age" in err
    assert thv("otel", "get", "max-size")[0] == 1


def test_the_variable_that_turns_the_journal_off_is_named(thv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLHIVE_JOURNAL", "off")
    assert thv("journal", "get", "enabled") == (
        0,
        "true\n",
        "thv: journal.enabled stays off all the same: TOOLHIVE_JOURNAL is off\n",
    )
    rows = json.loads(thv("journal", "list", "--format", "json")[1])
    assert rows[0] == {"key": "enabled", "value": "false", "origin": "environment TOOLHIVE_JOURNAL"}


def test_values_are_those_of_the_file_else_the_defaults(thv: Command) -> None:
    thv.write("journal:\n  enabled: no\n  max-age: 7 days\n")
    rows = json.loads(thv("journal", "list", "--format", "json")[1])
    assert {row["key"]: row["value"] for row in rows} == {"enabled": "false", "max-size": "64MiB", "max-age": "7d"}
    assert thv("otel", "get", "use-legacy-attributes") == (0, "true\n", "")


def test_a_mistake_in_any_section_is_named(thv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    thv.write("journal:\n  max-size: big\n  max-sise: 1\notel: {}\n")
    monkeypatch.setenv("EDITOR", "true")
    code, _, err = thv("edit")
    assert code == 1
    assert f"{thv.path}:2:13: max-size cannot be 'big': write a size from 1MiB to 1024GiB" in err
    assert f"{thv.path}:3:3: there is no setting 'max-sise'; did you mean max-size" in err


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "otel:\n  headers: # keep\n    one: '1' # this\n  insecure: no\n",
            "otel:\n  headers: # keep\n    one: '1' # this\n    two: \"2\"\n  insecure: no\n",
        ),
        ("otel:\n  headers: {one: 'a,b'}\n", "otel:\n  headers: {one: 'a,b', two: \"2\"}\n"),
        ("otel:\n  headers: {two: old, one: x} # c\n", 'otel:\n  headers: {two: "2", one: x} # c\n'),
        ("otel:\n  headers: one=1\n", 'otel:\n  headers: {one: "1", two: "2"}\n'),
        ("otel:\n  headers: {}\n", 'otel:\n  headers: {two: "2"}\n'),
        ("otel:\n  headers:\n", 'otel:\n  headers: {two: "2"}\n'),
        ("otel:\n  insecure: no\n", 'otel:\n  insecure: no\n  headers: {two: "2"}\n'),
        ("", 'otel:\n  headers: {two: "2"}\n'),
    ],
)
def test_one_header_is_added_and_the_others_stay_byte_for_byte(thv: Command, before: str, after: str) -> None:
    thv.write(before)
    code, out, err = thv("otel", "set", "headers", "--add", "two=2")
    assert (code, out) == (0, "")
    assert "otel.headers is now " in err
    assert "2" not in err.replace(str(thv.path), "")
    assert thv.path.read_text() == after


def test_adding_makes_a_missing_file(thv: Command) -> None:
    assert thv("otel", "set", "--add", "custom-attributes", "team=blue")[0] == 0
    assert thv.path.read_text() == f"{HEADER}otel:\n  custom-attributes: {{team: blue}}\n"


def test_a_name_is_added_to_a_list_once(thv: Command) -> None:
    thv.write("otel:\n  env-vars: [A, B]\n")
    thv("otel", "set", "--add", "env-vars", "B,C")
    assert thv.path.read_text() == "otel:\n  env-vars: [A, B, C]\n"


def test_adding_to_what_is_no_list_and_no_map_is_refused(thv: Command) -> None:
    thv.write("otel:\n  insecure: no\n")
    assert thv("otel", "set", "--add", "insecure", "true") == (
        1,
        "",
        "thv: insecure is no list and no map; leave --add out\n",
    )
    assert thv.path.read_text() == "otel:\n  insecure: no\n"


def test_adding_to_a_map_that_is_shared_is_refused_with_its_place(thv: Command) -> None:
    text = "base: &b {one: '1'}\notel:\n  headers: *b\n"
    thv.write(text)
    code, _, err = thv("otel", "set", "--add", "headers", "two=2")
    assert code == 1
    assert err.startswith(f"thv: {thv.path}:3:12: ")
    assert thv.path.read_text() == text


def test_a_header_name_that_http_forbids_is_refused_and_the_file_untouched(thv: Command) -> None:
    thv.write("otel: {}\n")
    for words in (["set", "headers", "x y=1"], ["set", "--add", "headers", "a=1,x:y=2"]):
        code, out, err = thv("otel", *words)
        assert (code, out) == (1, "")
        assert "cannot be the name of an HTTP header" in err
        assert thv.path.read_text() == "otel: {}\n"
