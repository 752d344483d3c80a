"""Holds the policy page to the code: whoever changes what is sent has to change what is promised."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from thv.analytics import constants
from thv.analytics.consent import decide
from thv.analytics.history import BEGUN, HISTORY, Export, append
from thv.analytics.notice import MARKER
from thv.analytics.pipeline import EXIT_BUDGET
from thv.analytics.preview import request_for
from thv.cli.resolve_telemetry import usage_analytics
from thv.cli.run_options import parse
from thv.core.booleans import BOOLEANS
from thv.core.interfaces import BooleanReading

PAGE = (Path(__file__).parents[1] / "docs" / "usage-analytics.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())

EXAMPLE = request_for(12, 3, now_ns=1_790_000_040_000_000_000)
"""The report the page shows."""


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(text)


def section(title: str) -> str:
    [text] = re.findall(rf"\n## {re.escape(title)}\n(.*?)(?=\n## |\Z)", PAGE, flags=re.DOTALL)
    return str(text)


def test_the_example_is_what_the_code_would_send() -> None:
    head = EXAMPLE.to_bytes().partition(b"\r\n\r\n")[0].decode()
    assert block("http").rstrip("\n") == head.replace("\r\n", "\n")
    assert block("json").rstrip("\n") == EXAMPLE.readable_body()


def test_the_table_names_the_metric_the_attribute_and_its_values() -> None:
    cells = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", section("What is reported"), flags=re.MULTILINE))
    assert cells["name"] == f"`{constants.METRIC}`"
    assert cells["attribute"] == f"`{constants.STATUS}`, and no other"
    assert cells["its values"] == f"`{constants.SUCCESS}`, `{constants.ERROR}`"


def test_where_and_when_are_those_of_the_code() -> None:
    assert re.findall(r"https://analytics\S+?(?=`)", PAGE) == [constants.ENDPOINT]
    assert f"every {constants.INTERVAL:.0f} seconds" in PROSE
    assert f"at most {EXIT_BUDGET} seconds" in PROSE
    assert f"`{MARKER}`" in PAGE


def test_the_history_on_the_page_is_what_the_code_would_keep(tmp_path: Path) -> None:
    lines = block("text")
    for result in (BEGUN, "taken"):
        append(Export("2026-11-22T16:23Z", 12, 3, result), lambda: tmp_path / "state")
    assert (tmp_path / "state" / f"{HISTORY}.1").read_text() == lines
    assert f"`{HISTORY}.1`" in PAGE


def test_every_header_on_the_page_and_every_header_sent_are_the_same() -> None:
    assert f"`{constants.SCOPE}`" in PAGE
    shown = {line.partition(":")[0] for line in block("http").splitlines()[1:]}
    assert shown == {name for name, _ in EXAMPLE.headers}


def test_the_key_is_that_of_the_code() -> None:
    assert yaml.safe_load(block("yaml")) == {"otel": {constants.SETTING: False}}
    assert f"thv config otel set {constants.SETTING} false" in block("sh")
    assert f"thv config otel get {constants.SETTING}" in PROSE


SWITCHES = re.findall(
    r"^\| environment \| `(\w+)(?:=(\w+))?`(.*)\|$", section("How to turn it off"), flags=re.MULTILINE
)


def test_every_switch_of_the_code_is_on_the_page() -> None:
    named = {name for name, _, _ in SWITCHES}
    assert named == {constants.DO_NOT_TRACK, constants.CI, *constants.SWITCHES, constants.SDK_DISABLED}


@pytest.mark.parametrize(("name", "value", "rest"), SWITCHES, ids=[name for name, _, _ in SWITCHES])
def test_each_switch_works_as_the_page_says(name: str, value: str, rest: str) -> None:
    def enabled(setting: str) -> bool:
        return decide({name: setting}, lambda: BooleanReading(value=True)).enabled

    assert enabled("")
    if value:
        assert not enabled(value)
        return
    exceptions = re.findall(r"`(\w+)`", rest)
    assert set(exceptions) == {word for word, meaning in BOOLEANS.items() if not meaning}
    assert all(enabled(word) for word in exceptions)
    assert not enabled("anything")


def test_the_option_on_the_page_turns_it_off() -> None:
    words = re.findall(r"`thv (run --otel\S+)`", section("How to turn it off"))
    assert words == [f"run {constants.FLAG}=false"]
    request = parse([*words[0].split()[1:], "demo"])
    assert usage_analytics(request.otel) is False
    assert not decide({}, lambda: BooleanReading(value=True), flag=usage_analytics(request.otel)).enabled


def test_what_must_be_said_is_said() -> None:
    for words in ("2 years", "IP address", "GDPR", "CCPA", "SOC 2", "toolhive-support@stacklok.com", "third party"):
        assert words in PROSE, words


def test_the_counts_of_the_example_are_those_of_the_text() -> None:
    points = json.loads(block("json"))["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    success, error = (point["asInt"] for point in points)
    assert f"{success} calls that succeeded and {error} that failed" in PROSE
