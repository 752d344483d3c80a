"""The nasty files, one by one: what is read from each, and the one edit that each allows, or the reason why none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from thv.config.boolean_reading import read_boolean
from thv.config.reader import read_text
from thv.config.settings import KEYS, USAGE_ANALYTICS_ENABLED
from thv.config.yaml.yaml_splice import set_value
from thv.errors import ConfigError

NASTY = Path(__file__).parent / "nasty"

TABLE: list[tuple[str, bool | str | None, tuple[str, str] | str]] = [
    ("alias_as_section", "problem", "3:7: otel is an alias (*base); changing it would change both"),
    ("alias_as_value", "problem", "3:28: otel.usage-analytics-enabled is an alias (*flag); write the value itself"),
    ("anchored_section_used_elsewhere", True, "1:7: otel is used elsewhere as *shared; change it by hand"),
    ("anchored_value_unused", True, ("  usage-analytics-enabled: &on yes", "  usage-analytics-enabled: &on false")),
    (
        "anchored_value_used_elsewhere",
        True,
        "2:28: otel.usage-analytics-enabled is used elsewhere as *on; change it by hand",
    ),
    (
        "block_scalar",
        True,
        ("  usage-analytics-enabled: | # literal\n    yes", "  usage-analytics-enabled: false # literal"),
    ),
    ("block_scalar_empty", "problem", ("  usage-analytics-enabled: |", "  usage-analytics-enabled: false")),
    ("block_scalar_keeps_lines_before", True, ("  usage-analytics-enabled: on", "  usage-analytics-enabled: false")),
    (
        "block_scalar_then_many_comments",
        False,
        ("  usage-analytics-enabled: >\n     off", "  usage-analytics-enabled: false"),
    ),
    ("bom", True, ("  usage-analytics-enabled: true", "  usage-analytics-enabled: false")),
    ("bom_only", None, ("\ufeff", "\ufeffotel:\n  usage-analytics-enabled: false\n")),
    ("broken_bracket", "problem", "2:6: is not valid YAML: expected ',' or '}', but got ':'"),
    ("carriage_returns", True, ("  usage-analytics-enabled: true", "  usage-analytics-enabled: false")),
    (
        "colon_without_space_in_brackets",
        "problem",
        "1:32: a colon in brackets needs a space behind it, or quotes around its key",
    ),
    ("comment_after_key", True, ("    true", "    false")),
    (
        "comment_only",
        None,
        ("# nothing is set here yet\n", "# nothing is set here yet\n\notel:\n  usage-analytics-enabled: false\n"),
    ),
    (
        "comment_without_newline",
        None,
        ("# nothing is set here yet", "# nothing is set here yet\n\notel:\n  usage-analytics-enabled: false"),
    ),
    ("commented_out_section", None, ("other: 1\n", "other: 1\notel:\n  usage-analytics-enabled: false\n")),
    (
        "control_character",
        "problem",
        "2:30: is not valid YAML: unacceptable character #x0007: special characters are not allowed",
    ),
    ("crlf", True, ("  usage-analytics-enabled: Yes", "  usage-analytics-enabled: false")),
    ("deep_nesting", "problem", "1:70: is nested more than 64 levels deep"),
    ("document_end_marker", None, ("other: 1\n", "other: 1\notel:\n  usage-analytics-enabled: false\n")),
    (
        "document_start_empty",
        None,
        ("# only a comment\n", "# only a comment\notel:\n  usage-analytics-enabled: false\n"),
    ),
    (
        "document_start_same_line",
        True,
        ("--- {otel: {usage-analytics-enabled: true", "--- {otel: {usage-analytics-enabled: false"),
    ),
    ("duplicate_key", "problem", "3:3: the key 'usage-analytics-enabled' is here twice; keep one"),
    ("duplicate_key_elsewhere", "problem", "2:1: the key 'a' is here twice; keep one"),
    ("duplicate_section", "problem", "4:1: the key 'otel' is here twice; keep one"),
    ("empty", None, ("", "otel:\n  usage-analytics-enabled: false\n")),
    ("empty_section", None, ("otel:\nother", "otel:\n  usage-analytics-enabled: false\nother")),
    (
        "empty_section_before_comments",
        None,
        ("  # endpoint: localhost:4317\n", "  # endpoint: localhost:4317\n  usage-analytics-enabled: false\n"),
    ),
    ("empty_section_in_brackets", None, ("otel: {", "otel: {usage-analytics-enabled: false")),
    ("empty_section_without_newline", None, ("otel:", "otel:\n  usage-analytics-enabled: false")),
    ("empty_value", "problem", ("  usage-analytics-enabled:", "  usage-analytics-enabled: false")),
    ("empty_value_before_comment", "problem", ("  usage-analytics-enabled: ", "  usage-analytics-enabled: false ")),
    ("explicit_keys", True, ("  : true", "  : false")),
    ("flow_many_lines", True, ("  usage-analytics-enabled: TRUE", "  usage-analytics-enabled: false")),
    (
        "flow_missing_key",
        None,
        ("otel: {endpoint: 'x:1', ", "otel: {endpoint: 'x:1', usage-analytics-enabled: false, "),
    ),
    ("flow_root", None, ("{other: [1, 2]", "{other: [1, 2], otel: {usage-analytics-enabled: false}")),
    ("folded_scalar", False, ("  usage-analytics-enabled: >-\n    off", "  usage-analytics-enabled: false")),
    ("four_spaces", None, ("    endpoint: x:1\n    ", "    endpoint: x:1\n    usage-analytics-enabled: false\n    ")),
    ("indentless_list", None, ("other: 1\n", "other: 1\notel:\n  usage-analytics-enabled: false\n")),
    (
        "json",
        True,
        (
            '{"otel": {"endpoint": "x:1", "usage-analytics-enabled": true',
            '{"otel": {"endpoint": "x:1", "usage-analytics-enabled": false',
        ),
    ),
    ("line_separator_in_string", True, ("  usage-analytics-enabled: true", "  usage-analytics-enabled: false")),
    ("list_root", "problem", "1:1: the file must be a section of keys and values"),
    ("list_value", "problem", "3:5: otel.usage-analytics-enabled is a list where one value belongs; remove it first"),
    ("merge_bomb", True, ("  usage-analytics-enabled: true", "  usage-analytics-enabled: false")),
    ("merge_does_not_provide_it", None, ("  insecure: true\n", "  insecure: true\n  usage-analytics-enabled: false\n")),
    ("merge_provides_it", "problem", ("  endpoint: x:1\n", "  endpoint: x:1\n  usage-analytics-enabled: false\n")),
    ("multi_documents", True, ("  usage-analytics-enabled: true", "  usage-analytics-enabled: false")),
    ("multi_documents_first_without", None, ("other: 1\n", "other: 1\notel:\n  usage-analytics-enabled: false\n")),
    (
        "nel_in_comment",
        "problem",
        "2:3: is not valid YAML: expected '<document start>', but found ('<block mapping start>',)",
    ),
    ("no_final_newline", False, ("  usage-analytics-enabled: no", "  usage-analytics-enabled: false")),
    ("non_ascii", True, ("  usage-analytics-enabled: True", "  usage-analytics-enabled: false")),
    ("not_utf8", "problem", "2:38: is not UTF-8 (byte 0xe9); save it as UTF-8"),
    (
        "nul_bytes",
        "problem",
        "1:1: is not valid YAML: unacceptable character #x0000: special characters are not allowed",
    ),
    ("null_root", None, ("null", "{otel: {usage-analytics-enabled: false}}")),
    ("null_section", None, ("otel: ~", "otel: {usage-analytics-enabled: false}")),
    ("number_as_boolean", True, ("  usage-analytics-enabled: 1", "  usage-analytics-enabled: false")),
    ("quoted_keys", True, ("  'usage-analytics-enabled': \"on\"", "  'usage-analytics-enabled': false")),
    ("quoted_value", False, ("  usage-analytics-enabled: 'false'", "  usage-analytics-enabled: false")),
    (
        "same_name_elsewhere",
        None,
        (
            "    usage-analytics-enabled: true\n",
            "    usage-analytics-enabled: true\notel:\n  usage-analytics-enabled: false\n",
        ),
    ),
    ("scalar_root", "problem", "1:1: the file must be a section of keys and values"),
    ("scalar_section", "problem", "1:7: otel must be a section of keys and values"),
    ("second_value_wrong_word", "problem", ("  usage-analytics-enabled: maybe", "  usage-analytics-enabled: false")),
    ("tab_before_comment", True, ("  usage-analytics-enabled: yes", "  usage-analytics-enabled: false")),
    ("tabs_indent", "problem", "2:1: is not valid YAML: a tab where YAML allows only spaces"),
    ("tagged_boolean", True, ("  usage-analytics-enabled: !!bool yes", "  usage-analytics-enabled: false")),
    (
        "tagged_by_an_application",
        "problem",
        ("  usage-analytics-enabled: !env ANALYTICS", "  usage-analytics-enabled: false"),
    ),
    ("tagged_string", True, ("  usage-analytics-enabled: !!str true", "  usage-analytics-enabled: false")),
    (
        "trailing_comment_of_last_section",
        None,
        ("  # port: 1\n", "  # port: 1\notel:\n  usage-analytics-enabled: false\n"),
    ),
    ("truncated_utf8", "problem", "2:35: is not UTF-8 (byte 0xe2); save it as UTF-8"),
    ("two_values", "problem", "2:32: is not valid YAML: mapping values are not allowed here"),
    ("undefined_alias", "problem", "3:13: the anchor &nowhere is not defined"),
    ("unknown_version", "problem", " is not valid YAML: version minor part can only be 2 or 1, got (1, 3)"),
    ("utf16", "problem", "1:1: is not UTF-8 (byte 0xff); save it as UTF-8"),
    ("value_on_next_line", False, ("    off", "    false")),
    (
        "wide_spacing",
        True,
        ("      usage-analytics-enabled    :      ON", "      usage-analytics-enabled    :      false"),
    ),
    ("yaml_1_1", True, ("  usage-analytics-enabled: yes", "  usage-analytics-enabled: false")),
]
"""(file, what is read or "problem", the one replacement that sets false or the refusal's position and beginning)."""

FILES = [name for name, _, _ in TABLE]
EDITED = [name for name, _, outcome in TABLE if not isinstance(outcome, str)]


def edited(name: str) -> tuple[str, str]:
    text = read_text(str(NASTY / f"{name}.yaml"))
    assert text is not None
    return text, set_value(text, ("otel", USAGE_ANALYTICS_ENABLED), False, path=f"{name}.yaml")


@pytest.mark.parametrize(("name", "reading"), [row[:2] for row in TABLE], ids=FILES)
def test_each_file_reads_as_the_table_says(name: str, reading: bool | str | None) -> None:
    path = str(NASTY / f"{name}.yaml")
    found = read_boolean(path, KEYS[USAGE_ANALYTICS_ENABLED])
    if reading == "problem":
        assert found.value is None
        assert found.problem is not None
        assert found.problem.startswith(path + ":")
        assert "\n" not in found.problem
    else:
        assert (found.value, found.problem) == (reading, None)


@pytest.mark.parametrize(("name", "outcome"), [(row[0], row[2]) for row in TABLE], ids=FILES)
def test_a_set_changes_the_one_value_or_says_where_and_why_not(name: str, outcome: tuple[str, str] | str) -> None:
    if isinstance(outcome, str):
        with pytest.raises(ConfigError) as refused:
            edited(name)
        assert str(refused.value).removeprefix(str(NASTY) + "/").startswith(f"{name}.yaml:")
        assert outcome in str(refused.value)
        return
    before, after = edited(name)
    old, new = outcome
    assert before.count(old) == 1 or not old
    assert after == before.replace(old, new, 1)


@pytest.mark.parametrize("name", [name for name in EDITED if name != "merge_bomb"])
def test_after_a_set_both_versions_of_yaml_read_the_new_value(name: str) -> None:
    _, after = edited(name)
    if name == "tab_before_comment":  # both libraries refuse this tab, which the specification allows
        after = after.replace("\t", " ")
    for document in (
        next(iter(YAML(typ="safe", pure=True).load_all(after))),
        next(iter(yaml.safe_load_all(after))),
    ):
        assert document["otel"][USAGE_ANALYTICS_ENABLED] is False


@pytest.mark.parametrize("name", EDITED)
def test_setting_the_same_again_changes_nothing(name: str) -> None:
    _, after = edited(name)
    assert set_value(after, ("otel", USAGE_ANALYTICS_ENABLED), False, path="again") == after


def test_every_nasty_file_is_in_the_table() -> None:
    assert sorted(path.stem for path in NASTY.glob("*.yaml")) == sorted(FILES)


def test_a_merge_bomb_is_answered_at_once_because_nothing_is_constructed() -> None:
    begin = time.monotonic()
    assert read_boolean(str(NASTY / "merge_bomb.yaml"), KEYS[USAGE_ANALYTICS_ENABLED]).value is True
    assert time.monotonic() - begin < 20  # constructing it takes minutes


@pytest.mark.parametrize("line", ["k{}:\n", "k{}: |\n  a\n# c\n", "k{}: &a{} 1\n", "k{}: {{}} # c\n", "# {}\n"])
def test_a_long_file_is_edited_in_time_that_grows_with_its_length_only(line: str) -> None:
    text = "".join(line.format(number, number) for number in range(10_000))
    begin = time.monotonic()
    assert len(set_value(text, ("otel", "k"), True, path="long")) > len(text)
    assert time.monotonic() - begin < 60  # a second or two; time that grows with the square was minutes


def test_a_file_that_declares_yaml_1_1_does_not_change_how_the_next_is_read() -> None:
    read_boolean(str(NASTY / "yaml_1_1.yaml"), KEYS[USAGE_ANALYTICS_ENABLED])
    assert read_boolean(str(NASTY / "quoted_keys.yaml"), KEYS[USAGE_ANALYTICS_ENABLED]).value is True
    edited("yaml_1_1")
    _, after = edited("json")
    assert '"n": 1e3' in after
