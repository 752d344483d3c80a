"""What each setting takes, from the command line and from the file, and how it is shown."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thv.config.setting_types import HIDDEN, age_seconds, from_node, parse, show, size_bytes
from thv.config.settings import JOURNAL, KEYS
from thv.config.yaml.key_lookup import get
from thv.config.yaml.yaml_splice import set_value
from thv.errors import ConfigError, SettingError

TAKEN: list[tuple[str, str, Any, str]] = [
    ("insecure", "TRUE", True, "true"),
    ("insecure", " off ", False, "false"),
    ("tracing-enabled", "0", False, "false"),
    ("sampling-rate", "0.1", 0.1, "0.1"),
    ("sampling-rate", "1", 1.0, "1.0"),
    ("sampling-rate", ".5", 0.5, "0.5"),
    ("sampling-rate", "0", 0.0, "0.0"),
    ("sampling-rate", "1e-5", 0.00001, "0.00001"),
    ("endpoint", "localhost:4317", "localhost:4317", "localhost:4317"),
    ("endpoint", "[::1]:4317", "[::1]:4317", "[::1]:4317"),
    ("endpoint", "https://otel.example/v1", "https://otel.example/v1", "https://otel.example/v1"),
    ("endpoint", "http://10.0.0.1:4318", "http://10.0.0.1:4318", "http://10.0.0.1:4318"),
    ("protocol", "gRPC", "grpc", "grpc"),
    ("protocol", "http/protobuf", "http/protobuf", "http/protobuf"),
    ("service-name", "my service", "my service", "my service"),
    ("env-vars", "A, B_2,A,", ["A", "B_2"], "A,B_2"),
    ("env-vars", "", [], ""),
    ("custom-attributes", "a.b=c, d=e=f,g=", {"a.b": "c", "d": "e=f", "g": ""}, "a.b=c,d=e=f,g="),
]

REFUSED = [
    *(("insecure", word) for word in ("", "maybe", "2", "nein", "true false")),
    *(("sampling-rate", text) for text in ("", "-1", "1.01", "nan", "inf", "1_0", "0x1", "10%", "one", "१", "1e9")),
    *(("endpoint", text) for text in ("", "localhost", "localhost:0", "localhost:65536", "x:y", "ftp://x", "https://")),
    *(("endpoint", text) for text in ("http://x:99999", "http://a b", "://x", "a/b:1", "http://[::1", ":4317")),
    *(("protocol", text) for text in ("", "http", "http/json", "grpcs")),
    *(("service-name", text) for text in ("", "  ", "a\nb", "a\x00b", "\udcff")),
    *(("env-vars", text) for text in ("A B", "1A", "A=B", "A;B", "Ä")),
    *(("headers", text) for text in ("a", "=b", "a=b,c", "a=1,a=2", "a=b\r\nInjected: c")),
    *(("headers", text) for text in ("x y=1", "a=1,x:y=2", "(a)=1", "größe=1", "a@b=1", "a/b=1", '"a"=1', "[a]=1")),
]


@pytest.mark.parametrize(("name", "text", "value", "shown"), TAKEN)
def test_a_value_is_taken_shown_in_one_form_and_taken_again(name: str, text: str, value: Any, shown: str) -> None:
    assert parse(KEYS[name], text) == value
    assert type(parse(KEYS[name], text)) is type(value)
    assert show(value) == shown
    assert parse(KEYS[name], shown) == value


@pytest.mark.parametrize(("name", "text"), REFUSED)
def test_a_bad_value_is_refused_with_what_would_be_good(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} cannot be ") as refused:
        parse(KEYS[name], text)
    assert "\n" not in str(refused.value)


def test_a_secret_is_named_neither_in_an_error_nor_when_shown() -> None:
    for text in ("Authorization: Bearer hunter2", "a=hunter2,hunter2", "a=hunter2,a=hunter2", "a=hunter2\x00"):
        with pytest.raises(SettingError) as refused:
            parse(KEYS["headers"], text)
        assert "hunter2" not in str(refused.value)
    for text in ("https://me:hunter2@:x", "https://host:x/?key=hunter2", "https://host:x/#hunter2"):
        with pytest.raises(SettingError) as refused:
            parse(KEYS["endpoint"], text)
        assert "hunter2" not in str(refused.value)
    assert show({"key": "hunter2", "other": ""}, reveal=False) == f"key={HIDDEN},other={HIDDEN}"
    assert [name for name, known in KEYS.items() if known.secret] == ["headers"]


@pytest.mark.parametrize(("name", "text", "value", "shown"), TAKEN)
def test_what_is_written_into_a_file_is_read_from_it(name: str, text: str, value: Any, shown: str) -> None:
    for before in ("", "otel: {}\n", f"otel:\n  {name}: # yet\n  other: 1\n"):
        written = set_value(before, ("otel", name), parse(KEYS[name], text), path="f")
        node = get(written, ("otel", name), path="f")
        assert node is not None
        assert from_node(KEYS[name], node, path="f") == value


FROM_FILE: list[tuple[str, str, Any]] = [
    ("env-vars", "[A, 'B']", ["A", "B"]),
    ("env-vars", "\n  - A\n  - B", ["A", "B"]),
    ("env-vars", "A,B", ["A", "B"]),
    ("headers", "{a: 'x,y', b: 1}", {"a": "x,y", "b": "1"}),
    ("headers", "\n  a: b # c", {"a": "b"}),
    ("headers", "a=b", {"a": "b"}),
    ("sampling-rate", "'0.5'", 0.5),
    ("endpoint", "~", None),
    ("service-name", "", None),
]


@pytest.mark.parametrize(("name", "text", "value"), FROM_FILE)
def test_people_may_write_lists_and_maps_as_yaml_or_as_text(name: str, text: str, value: Any) -> None:
    node = get(f"otel:\n {name}: {text}\n", ("otel", name), path="f")
    assert node is not None
    assert from_node(KEYS[name], node, path="f") == value


@pytest.mark.parametrize("text", ["caf\u00e9 \U0001f600", "\U0010ffff\ufeff\U00010000", "\ufeff\u1f60"])
@pytest.mark.parametrize("name", ["service-name", "custom-attributes"])
def test_the_config_file_may_be_what_a_json_library_writes(name: str, text: str) -> None:
    value = text if name == "service-name" else {text: text}
    node = get(json.dumps({"otel": {name: value}}), ("otel", name), path="f")
    assert node is not None
    assert from_node(KEYS[name], node, path="f") == value


@pytest.mark.parametrize("half", [r"\ud83d", r"a\ude00\ud83d", r"\ud83d b \ude00", r"\ud83d\\ude00"])
@pytest.mark.parametrize(
    "quoted", ['service-name: "{}"', 'custom-attributes: {{a: "{}"}}', 'custom-attributes: "a={}"']
)
def test_half_a_character_is_refused_for_what_it_is(quoted: str, half: str) -> None:
    name = quoted.partition(":")[0]
    node = get(f"otel:\n  {quoted.format(half)}\n", ("otel", name), path="f")
    assert node is not None
    with pytest.raises(ConfigError, match=r"^f:2:\d+: .*half of a character"):
        from_node(KEYS[name], node, path="f")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("env-vars", "{a: b}"),
        ("env-vars", "[A, [B]]"),
        ("env-vars", "[A B]"),
        ("headers", "[a]"),
        ("headers", "{a: [b]}"),
        ("headers", '{a: "b\\r\\nInjected: c"}'),
        ("sampling-rate", "2"),
        ("sampling-rate", "[0.1]"),
        ("insecure", ""),
        ("insecure", "[true]"),
        ("endpoint", "nowhere"),
    ],
)
def test_a_bad_value_in_the_file_is_named_with_its_position(name: str, text: str) -> None:
    node = get(f"otel:\n  {name}: {text}\n", ("otel", name), path="f")
    assert node is not None
    with pytest.raises(ConfigError, match=r"^f:2:\d+: "):
        from_node(KEYS[name], node, path="f")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(KEYS)), st.text(max_size=20))
def test_any_text_is_taken_or_refused_and_what_is_taken_survives_the_file(name: str, text: str) -> None:
    try:
        value = parse(KEYS[name], text)
    except SettingError:
        return
    written = set_value("", ("otel", name), value, path="f")
    node = get(written, ("otel", name), path="f")
    assert node is not None
    assert from_node(KEYS[name], node, path="f") == value


WRITTEN = st.text(alphabet="019eE+-._aZ[]:é१ ", max_size=8)


@settings(max_examples=1000, deadline=None)
@given(WRITTEN)
def test_what_is_taken_for_a_number_a_place_or_a_name_is_what_the_rules_say(text: str) -> None:
    def taken(name: str) -> bool:
        try:
            parse(KEYS[name], text)
        except SettingError:
            return False
        return True

    stripped = text.strip()
    number = re.fullmatch(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", stripped, re.ASCII)
    assert taken("sampling-rate") == bool(number and 0 <= float(stripped) <= 1)
    place = re.fullmatch(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})", stripped, re.ASCII)
    assert taken("endpoint") == bool(place and 1 <= int(place[1]) <= 65535)
    assert taken("env-vars") == (not stripped or bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", stripped, re.ASCII)))


@pytest.mark.parametrize("name", [name for name, known in KEYS.items() if known.default])
def test_every_default_is_a_value_of_its_own_kind(name: str) -> None:
    assert show(parse(KEYS[name], KEYS[name].default)) == KEYS[name].default


@pytest.mark.parametrize(
    ("text", "shown", "amount"),
    [
        ("64MiB", "64MiB", 64 << 20),
        ("128 mib", "128MiB", 128 << 20),
        ("2G", "2GiB", 2 << 30),
        ("2048KB", "2048KiB", 2 << 20),
    ],
)
def test_a_size_is_shown_in_one_form(text: str, shown: str, amount: int) -> None:
    known = JOURNAL.keys["max-size"]
    assert parse(known, text) == shown
    assert parse(known, shown) == shown
    assert size_bytes(shown) == amount


@pytest.mark.parametrize(
    ("text", "shown", "amount"), [("30d", "30d", 2_592_000), ("12 Hours", "12h", 43_200), ("5 m", "5m", 300)]
)
def test_an_age_is_shown_in_one_form(text: str, shown: str, amount: int) -> None:
    known = JOURNAL.keys["max-age"]
    assert parse(known, text) == shown
    assert parse(known, shown) == shown
    assert age_seconds(shown) == amount


@pytest.mark.parametrize("name", ["max-size", "max-age"])
@pytest.mark.parametrize("text", ["", "64", "0MiB", "0d", "-1d", "1.5GiB", "MiB", "d", "1e3d", "99999999d", "64x"])
def test_what_is_no_size_or_age_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} cannot be .*: write a"):
        parse(JOURNAL.keys[name], text)


def test_a_header_name_that_http_forbids_is_refused_in_the_file_with_its_place() -> None:
    node = get("otel:\n  headers: {'x y': 1}\n", ("otel", "headers"), path="f")
    assert node is not None
    with pytest.raises(ConfigError, match=r"^f:2:12: otel\.headers: 'x y' cannot be the name of an HTTP header"):
        from_node(KEYS["headers"], node, path="f")
