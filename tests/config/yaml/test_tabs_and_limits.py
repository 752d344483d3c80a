"""Tabs are read wherever YAML allows them and kept by every edit; refusals have a place; reading has an end."""

from __future__ import annotations

import inspect
import itertools
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thv.config import settings_file
from thv.config.settings import OTEL
from thv.config.yaml.excerpt import LONG, excerpt
from thv.config.yaml.key_lookup import get_scalar
from thv.config.yaml.tree import canonical, parse
from thv.config.yaml.yaml_splice import set_value, unset
from thv.errors import ConfigError

KEYS = ("otel", "sampling-rate")

ALLOWED = {
    "after the colon": "otel:\n  sampling-rate:\t0.5\n",
    "before the colon": "otel:\n  sampling-rate\t: 0.5\n",
    "before a comment": "x: 1\t# c\notel:\t# d\n  sampling-rate: 0.5\t# c\n",
    "on a blank line": "otel:\n\t\n  sampling-rate: 0.5\n \t \n  insecure: true\n",
    "at the end of a line": "otel:\t\n  sampling-rate: 0.5\t\n",
    "at the end of the text": "otel:\n  sampling-rate: 0.5\t",
    "in brackets": "x: [1,\t2,\n\t3]\notel: {\tsampling-rate:\t0.5\t}\n",
    "before a comment line": "\t# c\notel:\n\t# d\n  sampling-rate: 0.5\n",
    "after a dash": "x:\n-\ta\n- \tb\notel:\n  sampling-rate: 0.5\n",
    "in a plain scalar": "x: a\tb\notel:\n  sampling-rate: 0.5\n",
    "in a plain scalar of two lines": "x: a\t\n  \tb\notel:\n  sampling-rate: 0.5\n",
    "in quotes": "x: \"a\tb\"\ny: 'a\tb'\t# c\notel:\n  sampling-rate: '0.5'\t\n",
    "in a plain scalar behind its indentation": "x: a\n \t\n \tb\n\t\n \t# c\notel:\n  sampling-rate: 0.5\n",
    "in quotes behind the indentation": "x: \"a\n \tb\n\t\n \t\"\ny:\n  z: 'a\n   \tb'\notel:\n  sampling-rate: 0.5\n",
    "in quotes that are the whole value of an item": "x:\n- 'a\n \tb'\notel:\n  sampling-rate: 0.5\n",
    "in a block scalar": "x: |\t# c\n  a\tb\n  \tc\notel:\n  sampling-rate: 0.5\n",
    "after a tag and an anchor": "x: !!str\ta\ny: &y\tb\notel:\n  sampling-rate: 0.5\n",
    "after a document marker": "%YAML\t1.2\t# c\n---\t# d\notel:\n  sampling-rate: 0.5\n",
    "after an explicit key": "? x\n:\ty\notel:\n  sampling-rate: 0.5\n",
}


@pytest.mark.parametrize("text", list(ALLOWED.values()), ids=list(ALLOWED))
def test_tabs_where_yaml_allows_them_are_read_and_kept(text: str) -> None:
    found = get_scalar(text, KEYS, path="f")
    assert found is not None
    assert found.value == "0.5"
    changed = set_value(text, KEYS, 0.7, path="f")
    assert changed == re.sub(r"'?0\.5'?", "0.7", text)
    assert get_scalar(set_value(text, ("otel", "endpoint"), "x:1", path="f"), KEYS, path="f")
    assert unset(text, KEYS, path="f").count("\t") >= text.count("\t") - 3


@pytest.mark.parametrize("text", list(ALLOWED.values()), ids=list(ALLOWED))
def test_a_tab_means_what_a_space_would(text: str) -> None:
    """Outside of scalars, whose content a tab is."""
    spaces = [canonical(document.root) for document in parse(text.replace("\t", " "), "f")]
    tabs = [canonical(document.root) for document in parse(text, "f")]
    assert str(tabs).replace("\\t", " ") == str(spaces)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("\ta: 1\n", "1:1"),
        ("a:\n\tb: 1\n", "2:1"),
        ("a:\n  \tb: 1\n", "2:3"),
        ("a:\n  b: 1\n\tc: 2\n", "3:1"),
        ("-\ta: 1\n", "1:4"),
        ("- \t- a\n", "1:4"),
        ("a:\t- b\n", "1:4"),
        ("? \ta: 1\n", "1:5"),
        ("a:\n  b: 1\n \tc: 2\n", "3:2"),
        ("a:\n  b: 1\n\t c: 2\n", "3:1"),
        ("a:\n  b: 1\n\n\t c: 2\n", "4:1"),
        ("a:\n  b: 1\t\n\t\n \tc: 2\n", "4:2"),
        ("a:\n  - b\n \t- c\n", "3:2"),
        ("a: b\n\tc\n", "2:1"),
        ("a:\n  b: c\n  \td\n", "3:3"),
        ('a: "b\n\tc"\n', "2:1"),
        ("a:\n  b: 'c\n\n  \t d'\n", "4:3"),
        ('a: "b\n\t"\n', "2:1"),
    ],
)
def test_a_tab_that_would_be_indentation_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(ConfigError, match=rf"^f:{place}: is not valid YAML: "):
        parse(text, "f")


PIECES = st.sampled_from(
    [*"\t\n :-#[]{},&*!|>'\"%@`?x1", "a: ", "\r\n", "- ", "---\n", "...\n", "<<: ", "\ufeff", "\x00", "\x85", "é", "  "]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_whatever_is_refused_is_refused_with_line_and_column(text: str) -> None:
    actions: list[Any] = [
        lambda: parse(text, "f"),
        lambda: set_value(text, KEYS, 0.7, path="f"),
        lambda: unset(text, KEYS, path="f"),
        lambda: get_scalar(text, KEYS, path="f"),
    ]
    for act in actions:
        try:
            act()
        except ConfigError as error:
            assert error.line is not None  # noqa: PT017  whether it is raised is another test's
            assert error.column is not None  # noqa: PT017  as above
            assert 1 <= error.line <= len(re.findall(r"\r\n|[\r\n\x85\u2028\u2029]", text)) + 1  # noqa: PT017  as above


def test_reading_ends_when_its_time_is_up_and_names_the_place_it_had_reached() -> None:
    ticks = itertools.count()
    text = "".join(f"key{number}: [a, b]\n" for number in range(1000))
    with pytest.raises(ConfigError, match=r"^f:\d+:\d+: takes longer than 100 s to read up to here$") as refused:
        parse(text, "f", seconds=100, clock=lambda: next(ticks))
    assert refused.value.line is not None
    assert 2 < refused.value.line < 100


def test_time_in_which_others_have_the_cpu_does_not_count() -> None:
    assert inspect.signature(parse).parameters["clock"].default is time.thread_time


def test_a_clock_that_stands_still_ends_nothing() -> None:
    assert len(parse("a: 1\n" + "# c\n" * 1000, "f", seconds=0, clock=lambda: 5.0)) == 1


ITEMS = "".join(f"- {{a: {number}, 'b': [1, 2]}}\n" for number in range(4000))
OTHERS = f"# mine\nbig:\n{ITEMS}more:\n  x: |\n    otel:\n"
OURS = "otel:\n  endpoint: 'x:1' # here\n\n  # why\n  insecure: yes\n"


def test_what_others_keep_in_a_long_file_is_not_parsed() -> None:
    text = OTHERS + OURS + "last:\n  y: 1\n"
    short = excerpt(text, frozenset({"otel"}))
    assert short is not None
    assert len(text) > LONG
    assert short.strip("\n") == OURS.rstrip("\n")
    ours = get_scalar(short, ("otel", "endpoint"), path="f")
    assert ours is not None
    assert ours.line == text[: text.index("endpoint")].count("\n") + 1


@pytest.mark.parametrize(
    "text",
    [
        "--- \notel: {}\n",
        "{otel: {}}\n",
        "'otel': {}\n",
        "a: 1\n---\notel: {}\n",
        "\ufeffotel: {}\n",
        "otel: *a\n",
        "otel:\n  <<: {a: 1}\n",
        "otel:\n  x: &a 1\n",
        "?  otel\n: 1\n",
        "a: 'x\ny'\notel: {}\n",
    ],
)
def test_a_text_whose_sections_cannot_surely_be_told_apart_is_read_whole(text: str) -> None:
    assert excerpt(text, frozenset({"otel"})) is None


def test_a_long_file_is_no_reason_to_lose_a_setting() -> None:
    read = settings_file.value_reader(OTHERS + OURS, "f")
    assert read(OTEL.keys["endpoint"]) == ("x:1", OTHERS.count("\n") + 2)
    assert read(OTEL.keys["insecure"])[0] is True
