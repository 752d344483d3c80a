"""docs/telemetry.md says what the code does: every metric, attribute, variable and limit."""

from __future__ import annotations

import re
from pathlib import Path

import thv.telemetry
from tests.prometheus_names import prometheus_name
from thv.core import payload_redaction
from thv.telemetry import aggregates, telemetry_settings
from thv.telemetry.agent_client import CLOSE_TIMEOUT_S
from thv.telemetry.instruments import DURATION_BOUNDS, INSTRUMENTS, Kind

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())
SOURCES = Path(thv.telemetry.__file__).parent

ATTRIBUTE = r"(?:mcp|gen_ai|rpc|jsonrpc|error|network|client)\.[a-z_.]*[a-z]"
"""What an attribute of the semantic conventions looks like; the metrics of theirs, which begin so too, are left out."""


def rows(head: str) -> list[list[str]]:
    """The cells of the table that begins with `head`."""
    _, _, rest = PAGE.partition(f"| {head} |")
    table = rest.partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in table.splitlines()
        if line.startswith("| `")
    ]


def ticked(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_page_lists_every_metric_with_its_name_in_prometheus_its_kind_and_its_unit() -> None:
    told = [cells[:4] for cells in rows("metric | in Prometheus")]
    assert told == [
        [
            f"`{one.name}`",
            f"`{prometheus_name(one)}{'_total' if one.kind is Kind.COUNTER else ''}`",
            one.kind.value,
            one.unit,
        ]
        for one in INSTRUMENTS.values()
    ]


def attributes_in(*modules: str) -> set[str]:
    text = "\n".join((SOURCES / f"{module}.py").read_text(encoding="utf-8") for module in modules)
    return set(re.findall(rf'"({ATTRIBUTE})"', text)) - set(INSTRUMENTS)


def test_the_page_names_every_attribute_of_the_conventions_and_no_other() -> None:
    on_metrics = {name for cells in rows("metric | in Prometheus") for name in ticked(cells[4])}
    on_spans = {name for cells in rows("attribute | value") for name in ticked(cells[0])}
    on_spans |= set(re.findall(r"`(network\.[a-z.]+)`", PAGE))
    told = {name for name in on_metrics | on_spans if re.fullmatch(ATTRIBUTE, name)}
    assert told == attributes_in("aggregates", "agent/span_records")
    # What is only on spans is named by the records alone.
    assert {name for name in on_metrics if re.fullmatch(ATTRIBUTE, name)} <= attributes_in("aggregates")


def test_the_page_names_every_label_of_the_toolhive_metrics() -> None:
    labels = {name for cells in rows("metric | in Prometheus")[3:] for name in ticked(cells[4])}
    counted = aggregates.Aggregates("s", "streamable-http")
    counted.session_opened()
    counted.call(counted.request(("tools/call", "add", None, None, None, 200), 1), "success")
    seen = {name for point in counted.points() if point.name.startswith("toolhive_") for name in point.attributes}
    assert labels == seen


def test_the_examples_of_the_page_hold_only_names_that_it_explains() -> None:
    scrape, span = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    families = {f"{prometheus_name(one)}{'_total' if one.kind is Kind.COUNTER else ''}" for one in INSTRUMENTS.values()}
    for line in scrape.splitlines():
        name = re.split(r"[ {]", line.removeprefix("# TYPE "))[0]
        assert name == "target_info" or re.sub("_(count|sum)$", "", name) in families, line
    shown = set(re.findall(r"^  (\S+) ", span, re.MULTILINE))
    assert shown <= {name for cells in rows("attribute | value") for name in ticked(cells[0])}


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    bounds = [format(bound, "g") for bound in DURATION_BOUNDS]
    assert f"Buckets end at {', '.join(bounds[:-1])} and {bounds[-1]} seconds" in PROSE
    assert f"{telemetry_settings.TIMEOUT_S * 1000:.0f} by default" in PROSE
    assert f"{telemetry_settings.INTERVAL_S * 1000:.0f} by default" in PROSE
    assert f"in place of {telemetry_settings.PROMETHEUS_PORT}" in PROSE
    assert f"cut to {aggregates.LABEL_BYTES} bytes" in PROSE
    value, structure = payload_redaction.VALUE_SHOWN, payload_redaction.STRUCTURE_SHOWN
    cut = f"Each value is cut to {value} characters, and at most {structure} characters"
    assert cut in PROSE
    assert CLOSE_TIMEOUT_S <= 1
    assert "delayed by at most one second" in PROSE
    for word in ("token", "password", "secret", "key", "authorization"):
        assert payload_redaction.is_secret(word)
        assert f"`{word}`" in PROSE
    assert f"`{payload_redaction.REDACTED.strip(chr(34))}`" in PROSE
