"""An edit changes the one value: every other value and every other byte is as it was, for every YAML version."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tests.config.documents import Keys, Written, documents
from thv.config.yaml.key_lookup import get
from thv.config.yaml.tree import Scalar
from thv.config.yaml.yaml_splice import set_value, unset
from thv.errors import ConfigError

KEY = ("otel", "usage-analytics-enabled")

STRINGS = st.text(max_size=12) | st.sampled_from(
    ["true", "no", "1e3", "0x1f", "12:30", "~", "", "- a", "a: b", "#", "=", "<<"]
)
VALUES = st.booleans() | st.floats(0, 1) | STRINGS
NAMES = st.lists(STRINGS, min_size=1, max_size=3)


def by_ruamel(text: str) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of an anchor that is defined twice, which YAML allows
        return list(YAML(typ="safe", pure=True).load_all(text))


def by_pyyaml(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def with_value(data: Any, keys: Keys, value: Any) -> Any:
    """What the first document must hold afterwards."""
    if not keys:
        return value
    return {**(data or {}), keys[0]: with_value((data or {}).get(keys[0]), keys[1:], value)}


def agree(before: str, after: str, keys: Keys, value: Any) -> None:
    for load in (by_ruamel, by_pyyaml):
        try:
            old = load(before)
        except (YAMLError, yaml.YAMLError):
            continue  # it could not read the file before either
        first = old[0] if old else None
        assert load(after) == [with_value(first, keys, value), *old[1:]], load.__name__


@settings(max_examples=150, deadline=None)
@given(documents(), st.data())
def test_a_set_touches_no_byte_outside_the_value(written: Written, data: st.DataObject) -> None:
    assume(written.scalars)
    keys = data.draw(st.sampled_from(sorted(written.scalars)))
    value = data.draw(VALUES)
    start, end = written.scalars[keys]
    after = set_value(written.text, keys, value, path="f")
    assert after.startswith(written.text[:start])
    assert after.endswith(written.text[end:])
    agree(written.text, after, keys, value)
    assert set_value(after, keys, value, path="f") == after


@settings(max_examples=100, deadline=None)
@given(documents(), st.data())
def test_setting_a_list_touches_no_byte_outside_the_list(written: Written, data: st.DataObject) -> None:
    assume(written.lists)
    keys = data.draw(st.sampled_from(sorted(written.lists)))
    value = data.draw(NAMES)
    start, end = written.lists[keys]
    after = set_value(written.text, keys, value, path="f")
    assert after.startswith(written.text[:start])
    assert after.endswith(written.text[end:])
    agree(written.text, after, keys, value)


@settings(max_examples=150, deadline=None)
@given(documents(), st.data())
def test_a_new_key_is_added_in_one_place_and_can_be_removed_again(written: Written, data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(written.sections))
    keys = (*section, *data.draw(st.sampled_from([("new",), ("new", "inner")])))
    value = data.draw(VALUES | NAMES)
    after = set_value(written.text, keys, value, path="f")
    added = len(after) - len(written.text)
    assert any(after[:at] + after[at + added :] == written.text for at in range(len(written.text) + 1))
    agree(written.text, after, keys, value)
    assert set_value(after, keys, value, path="f") == after
    removed = unset(after, keys, path="f")
    if keys[-1] == "new" and written.text.find("{") < 0:
        assert removed == written.text


@settings(max_examples=150, deadline=None)
@given(documents(), st.data())
def test_an_unset_removes_one_stretch_and_nothing_else(written: Written, data: st.DataObject) -> None:
    places = {**written.scalars, **written.lists}
    assume(places)
    keys = data.draw(st.sampled_from(sorted(places)))
    try:
        after = unset(written.text, keys, path="f")
    except ConfigError as refused:
        assert "remove it by hand" in str(refused) or "change it by hand" in str(refused)  # noqa: PT017  no refusal is fine
        return
    gone = len(written.text) - len(after)
    assert any(written.text[:at] + written.text[at + gone :] == after for at in range(len(after) + 1))
    assert get(after, keys, path="f") is None


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(STRINGS.filter(bool), STRINGS, max_size=3))
def test_a_map_is_written_so_that_both_versions_read_it_back(value: dict[str, str]) -> None:
    """Fails in `agree`, where a reader of either version finds another value, or another key has changed."""
    after = set_value("other: 1\n", ("otel", "headers"), value, path="f")
    agree("other: 1\n", after, ("otel", "headers"), value)
    if value:
        again = set_value("otel:\n  headers:\n    a: b\n  x: 1\n", ("otel", "headers"), value, path="f")
        agree("otel:\n  headers: {}\n  x: 1\n", again, ("otel", "headers"), value)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("otel:ua \n\t\r{}[],&*!|>'\"#-?%.~<1é\x85\ufeff"), max_size=40), st.booleans())
def test_any_text_at_all_is_edited_rightly_or_refused(text: str, value: bool) -> None:
    try:
        after = set_value(text, KEY, value, path="f")
    except ConfigError as refused:
        assert refused.path == "f"  # noqa: PT017  no refusal is fine
        return
    node = get(after, KEY, path="f")
    assert isinstance(node, Scalar)
    assert node.value == ("true" if value else "false")


def test_what_was_once_got_wrong() -> None:
    assert set_value("a: |+\n  x\n---\nb: 1\n", ("a",), "y z", path="f") == 'a: "y z"\n---\nb: 1\n'
    assert set_value("a: |\n# about b\nb: 1\n", ("a",), True, path="f") == "a: true\n# about b\nb: 1\n"
    assert set_value("a: 1\n", ("a",), 2.5e-9, path="f") == "a: 0.0000000025\n"
    assert set_value("a: &x\n  &y b: 1\n", ("a", "c"), True, path="f") == "a: &x\n  &y b: 1\n  c: true\n"
    with pytest.raises(ConfigError, match="needs a space behind it"):  # PyYAML reads the key "a", ruamel "a:"
        set_value("{a:, b: 1}\n", ("a",), True, path="f")


PLACED = [
    (
        "a new key goes behind the last of its section, before the next section's comment",
        "otel:\n  endpoint: x:1  # mine\n\n# the next section\nother: 1\n",
        "otel:\n  endpoint: x:1  # mine\n  usage-analytics-enabled: true\n\n# the next section\nother: 1\n",
    ),
    (
        "a new section goes behind the last one and the comments that are indented into it",
        "server:\n    name: x\n    # port: 1\n",
        "server:\n    name: x\n    # port: 1\notel:\n    usage-analytics-enabled: true\n",
    ),
    (
        "sections with empty lines between them get one more",
        "a:\n  b: 1\n\nc:\n  d: 1\n",
        "a:\n  b: 1\n\nc:\n  d: 1\n\notel:\n  usage-analytics-enabled: true\n",
    ),
    (
        "an empty section takes the column of its commented-out keys",
        "otel:\n      # endpoint: x\nother: 1\n",
        "otel:\n      # endpoint: x\n      usage-analytics-enabled: true\nother: 1\n",
    ),
    (
        "a first document is edited, the others are not",
        "a: 1\n---\notel: {}\n",
        "a: 1\notel:\n  usage-analytics-enabled: true\n---\notel: {}\n",
    ),
    (
        "a block scalar that keeps its empty lines keeps them",
        "a: |+\n  x\n\n\n",
        "a: |+\n  x\n\n\notel:\n  usage-analytics-enabled: true\n",
    ),
]


@pytest.mark.parametrize(("before", "after"), [row[1:] for row in PLACED], ids=[row[0] for row in PLACED])
def test_a_new_key_stands_where_a_person_would_put_it(before: str, after: str) -> None:
    assert set_value(before, KEY, True, path="f") == after


OTEL = ("otel",)
JSON_EDITS: list[tuple[str, Keys, Any, str]] = [
    ('{"otel":{"rate":0.5}}', (*OTEL, "name"), "x y", '{"otel":{"rate":0.5, "name": "x y"}}'),
    ('{"otel":{"name":"a"}}', (*OTEL, "name"), "b", '{"otel":{"name":"b"}}'),
    ('{"otel":{"name":null}}', (*OTEL, "name"), "b", '{"otel":{"name":"b"}}'),
    (
        '{"otel":{"name":1}}',
        (*OTEL, "name"),
        '\x7f\x85\xa0\x01"\\',
        r'{"otel":{"name":"\u007f\u0085\u00a0\u0001\"\\"}}',
    ),
    ('{"otel":{"names":["A"]}}', (*OTEL, "names"), ["A", "B"], '{"otel":{"names":["A", "B"]}}'),
    ('{"otel":{"names":[]}}', (*OTEL, "names"), ["A"], '{"otel":{"names":["A"]}}'),
    ('{"otel":{"map":{"a":"b"}}}', (*OTEL, "map"), {"c": "d"}, '{"otel":{"map":{"c": "d"}}}'),
    ('{"otel":{}}', (*OTEL, "name"), "a", '{"otel":{"name": "a"}}'),
    ('{"otel":null}', (*OTEL, "name"), "a", '{"otel":{"name": "a"}}'),
    ('{"x":[]}', (*OTEL, "map"), {"c": "d"}, '{"x":[], "otel": {"map": {"c": "d"}}}'),
    (
        '{\n  "otel": {\n    "rate": 0.5\n  }\n}\n',
        (*OTEL, "insecure"),
        True,
        '{\n  "otel": {\n    "rate": 0.5,\n    "insecure": true\n  }\n}\n',
    ),
    (
        '{\r\n\t"a": {"b": 1}\r\n}\r\n',
        (*OTEL, "name"),
        "x",
        '{\r\n\t"a": {"b": 1},\r\n\t"otel": {"name": "x"}\r\n}\r\n',
    ),
]


@pytest.mark.parametrize(("before", "keys", "value", "after"), JSON_EDITS)
def test_what_was_json_is_json_afterwards(before: str, keys: Keys, value: Any, after: str) -> None:
    assert set_value(before, keys, value, path="f") == after
    assert json.loads(after) == with_value(json.loads(before), keys, value)


QUOTED = [
    ('name: "a"\n', ("name",), "b", 'name: "b"\n'),
    ("name: a\n", ("name",), "b", "name: b\n"),
    ("names: ['A', \"B\"]\n", ("names",), ["C"], 'names: ["C"]\n'),
    ("names: ['A', B]\n", ("names",), ["C"], "names: [C]\n"),
    ("{'a': 1, b: 2}\n", ("name",), "c", "{'a': 1, b: 2, name: c}\n"),
    ("otel: {\n  a: 1, b: 2\n}\n", ("otel", "c"), True, "otel: {\n  a: 1, b: 2, c: true\n}\n"),
    ("otel: {\n  a: 1 # why\n}\n", ("otel", "c"), True, "otel: {\n  a: 1, c: true # why\n}\n"),
    ("otel: {\n  a: 1,\n}\n", ("otel", "c"), True, "otel: {\n  a: 1,\n  c: true,\n}\n"),
]


@pytest.mark.parametrize(("before", "keys", "value", "after"), QUOTED)
def test_a_value_has_the_quotes_and_the_lines_of_those_beside_it(
    before: str, keys: Keys, value: Any, after: str
) -> None:
    assert set_value(before, keys, value, path="f") == after


REFUSED = [
    ("otel:\n  env-vars:\n    - A # why\n    - B\n", ("otel", "env-vars"), ["C"], "f:3:5"),
    ("otel:\n  env-vars: [A, # why\n    B]\n", ("otel", "env-vars"), ["C"], "f:2:13"),
    ("otel:\n  env-vars:\n    - A\n", ("otel", "env-vars"), "text", "f:3:5"),
    ("otel:\n  headers:\n    a: b\n", ("otel", "headers"), True, "f:3:5"),
    ("otel:\n  k: !!bool # why\n    true\n", ("otel", "k"), True, "f:2:6"),
    ("? otel\n", ("otel", "k"), True, "f:1:7"),
    ("otel: !!null\n", ("otel", "k"), True, "f:1:7"),
    ("base: &b\n  k: &v 1\nother: *b\n", ("base", "k"), True, "f:1:7"),
    ("list: [1]\n", ("list", "k"), True, "f:1:7"),
]


@pytest.mark.parametrize(("text", "keys", "value", "where"), REFUSED)
def test_what_would_touch_something_else_is_refused_with_its_position(
    text: str, keys: Keys, value: Any, where: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        set_value(text, keys, value, path="f")
    assert str(refused.value).startswith(where + ": ")


UNSET = [
    ("otel:\n  a: 1 # why\n  b: 2\n", ("otel", "a"), "otel:\n  b: 2\n"),
    ("otel:\n  a: 1\nother: 1\n", ("otel", "a"), "otel:\nother: 1\n"),
    ("otel: {a: 1, b: 2, c: 3}\n", ("otel", "b"), "otel: {a: 1, c: 3}\n"),
    ("otel: {a: 1, b: 2}\n", ("otel", "b"), "otel: {a: 1}\n"),
    ("otel: {a: 1}\n", ("otel", "a"), "otel: {}\n"),
    ("a: 1\notel:\n  b: 1", ("otel", "b"), "a: 1\notel:"),
    ("a: 1\n", ("otel", "b"), "a: 1\n"),
    ("", ("otel", "b"), ""),
    ("\ufeffa: 1\nb: 2\n", ("a",), "\ufeffb: 2\n"),
    ("a: |\n  x\n  y\nb: 2\n", ("a",), "b: 2\n"),
]


@pytest.mark.parametrize(("text", "keys", "after"), UNSET)
def test_an_unset_takes_the_whole_entry_with_the_comment_on_its_line(text: str, keys: Keys, after: str) -> None:
    assert unset(text, keys, path="f") == after


@pytest.mark.parametrize("text", ["a: &x 1\nb: *x\n", "- a: 1\n", "a: *x\n", "{a: 1, # why\n b: 2}\n", "a: 1\n...\n"])
def test_an_unset_that_would_take_more_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        unset(text, ("a",), path="f")
