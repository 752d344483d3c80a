"""What `get` and `list` say of a setting: what is configured, the effective value, and its source."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.cli.commands import Command
from thv.config.setting_types import HIDDEN
from thv.config.settings import BOOLEAN, FRACTION, HEADERS, KEYS, MAPS, NAMES
from thv.config.yaml import tree

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("analytics_on")

URL = "https://me:hunter2@otel.example:4318/v1"
HIDDEN_URL = f"https://{HIDDEN}@otel.example:4318/v1"


@pytest.fixture
def thv(capfd: pytest.CaptureFixture[str], home: Path) -> Command:
    return Command(capfd, home / ".toolhive" / "config.yaml")


def origins(thv: Command, *words: str) -> dict[str, tuple[str | None, str]]:
    code, out, err = thv("otel", "list", "--format", "json", *words)
    assert (code, err) == (0, "")
    return {row["key"]: (row["value"], row["origin"]) for row in json.loads(out)}


def test_get_prints_what_is_configured_and_names_the_variable_that_overrides_it(
    thv: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "theirs")
    line = "thv: the environment overrides otel.service-name: OTEL_SERVICE_NAME makes it theirs\n"
    assert thv("otel", "get", "service-name") == (0, "", line)
    code, out, err = thv("otel", "set", "service-name", "mine")
    assert (code, out, err) == (0, "", f"thv: otel.service-name is now mine in {thv.path}\n{line}")
    assert thv("otel", "get", "service-name") == (0, "mine\n", line)
    thv("otel", "set", "service-name", "theirs")
    assert thv("otel", "get", "service-name") == (0, "theirs\n", "")


def test_list_says_of_each_value_whether_it_is_the_defaults_the_files_or_the_environments(
    thv: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    thv.write("otel:\n  insecure: yes\n  sampling-rate: 0.5\n")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    found = origins(thv)
    assert found["insecure"] == ("true", f"{thv.path}:2")
    assert found["sampling-rate"] == ("1.0", "environment OTEL_TRACES_SAMPLER")
    assert found["tracing-enabled"] == ("false", "environment OTEL_SDK_DISABLED")
    assert found["usage-analytics-enabled"] == ("false", "environment OTEL_SDK_DISABLED")
    assert found["endpoint"] == (None, "default")
    assert found["enable-prometheus-metrics-path"] == ("false", "environment OTEL_SDK_DISABLED")
    assert found["env-vars"] == (None, "default")


@pytest.mark.parametrize("form", ["text", "json"])
def test_list_names_the_variables_that_are_in_force_and_have_no_key(
    thv: Command, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "")
    code, out, err = thv("otel", "list", "--format", form)
    assert (code, "127.0.0.1" in out) == (0, False)
    names = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_TIMEOUT"
    assert err == f"thv: in force besides these settings: {names} (docs/telemetry.md)\n"
    assert thv("journal", "list", "--format", form)[2] == ""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert thv("otel", "list", "--format", form)[2] == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DO_NOT_TRACK", "1"), ("CI", "x"), ("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "no"), ("OTEL_SDK_DISABLED", "true")],
)
def test_list_names_the_variable_that_keeps_usage_analytics_off(
    thv: Command, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert origins(thv)["usage-analytics-enabled"] == ("false", f"environment {variable}")
    assert variable in KEYS["usage-analytics-enabled"].env


def test_no_variable_turns_on_what_the_file_turns_off(thv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    thv.write("otel:\n  usage-analytics-enabled: false\n")
    monkeypatch.setenv("TOOLHIVE_USAGE_ANALYTICS_ENABLED", "true")
    monkeypatch.setenv("CI", "false")
    assert origins(thv)["usage-analytics-enabled"] == ("false", f"{thv.path}:2")
    assert thv("otel", "get", "usage-analytics-enabled") == (0, "false\n", "")


def test_a_pipe_gets_plain_aligned_columns(thv: Command) -> None:
    thv.write("otel:\n  endpoint: x:1\n  service-name: my own name\n")
    lines = thv("otel", "list")[1].splitlines()
    assert [line.split(" ")[0] for line in lines] == list(KEYS)
    columns = {re.search(r"(?:default|/\S+)$", line).start() for line in lines}  # type: ignore[union-attr]  # or it fails
    assert len(columns) == 1
    assert not {"\x1b", "\t"} & set("".join(lines))


def test_the_user_in_an_endpoint_shows_only_with_reveal(thv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["set", "endpoint", URL], ["get", "endpoint"], ["list"], ["list", "--format", "json"]):
        said = "".join(map(str, thv("otel", *words)))
        assert "hunter2" not in said
        assert HIDDEN_URL in said
    assert thv("otel", "get", "endpoint", "--reveal") == (0, f"{URL}\n", "")
    assert origins(thv, "--reveal")["endpoint"] == (URL, f"{thv.path}:5")
    code, out, err = thv("otel", "set", "endpoint", "https://me:hunter2@:x")
    assert (code, out) == (1, "")
    assert "hunter2" not in err
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2")
    for words in (["get", "headers"], ["list"], ["set", "headers", "a=b"]):
        said = "".join(map(str, thv("otel", *words)))
        assert "hunter2" not in said
        assert f"api-key={HIDDEN}" in said
    assert "api-key=hunter2" in thv("otel", "get", "headers", "--reveal")[2]


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_a_table_and_no_colour_where_none_is_wanted(no_color: str) -> None:
    ours, theirs = os.openpty()  # type: ignore[attr-defined,unused-ignore]  # not on Windows, where this is skipped
    try:
        subprocess.run(
            [sys.executable, "-P", "-m", "thv", "config", "otel", "list"],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            env=os.environ | {"COLUMNS": "120", "TERM": "xterm-256color", "NO_COLOR": no_color},
            timeout=120,
            check=True,
        )
        shown = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.search(r"Setting +Value +From", re.sub(r"\x1b\[[0-9;]*m", "", shown))
    if no_color:
        assert not re.search(r"\x1b\[(?:[0-9]+;)*(?:3|4|9|10)[0-9]", shown)


LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
PLAIN = st.text(LETTERS, min_size=1, max_size=12).map(str.strip).filter(bool)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
PIECE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters=",="), max_size=8)
TOKEN = st.text("aZ09!#$%&'*+-.^_`|~", min_size=1, max_size=8)
HOST = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5})?", fullmatch=True)
PORT = st.integers(1, 65535)


def given_values(name: str) -> st.SearchStrategy[str]:
    """Values of a setting as `get` would print them."""
    kind = KEYS[name].kind
    if kind == BOOLEAN:
        return st.sampled_from(["true", "false"])
    if kind == FRACTION:
        return st.integers(0, 1000).map(lambda thousandth: str(thousandth / 1000))
    if kind == NAMES:
        return st.lists(NAME, unique=True, max_size=4).map(",".join)
    if kind in MAPS:
        keys = TOKEN if kind == HEADERS else PIECE.map(str.strip).filter(bool)
        pairs = st.dictionaries(keys, PIECE.map(str.strip), max_size=3)
        return pairs.map(lambda found: ",".join(f"{key}={value}" for key, value in found.items()))
    if name == "protocol":
        return st.sampled_from(["grpc", "http/protobuf"])
    if name == "endpoint":
        urls = st.builds(
            "{}://{}{}:{}/v1".format, st.sampled_from(["http", "https"]), st.sampled_from(["", "u:p@"]), HOST, PORT
        )
        return st.builds("{}:{}".format, HOST, PORT) | urls
    return PLAIN


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(KEYS)).flatmap(lambda name: st.tuples(st.just(name), given_values(name))))
@example(("service-name", "null"))
@example(("service-name", "0x10"))
@example(("service-name", "# no comment"))
@example(("headers", "a=: b # c"))
@example(("headers", "#=1,-=2"))
@example(("custom-attributes", ""))
@example(("custom-attributes", "-a=b"))
def test_get_returns_what_set_was_given(thv: Command, setting: tuple[str, str]) -> None:
    name, value = setting
    dashes = ["--"] if value.startswith("-") else []
    assert thv("otel", "set", name, *dashes, value)[0] == 0
    assert thv("otel", "get", name, "--reveal") == (0, f"{value}\n" if value else "", "")


def test_a_file_is_parsed_once_however_many_settings_are_listed(thv: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    thv.write("otel: {insecure: yes, 'env-vars': [A]}\n")
    parsed = []

    class Counted(tree._Builder):
        def __init__(self, text: str, *rest: Any) -> None:
            parsed.append(text)
            super().__init__(text, *rest)

    monkeypatch.setattr(tree, "_Builder", Counted)
    assert origins(thv)["env-vars"] == ("A", f"{thv.path}:1")
    assert len(parsed) == 1
