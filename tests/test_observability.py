"""examples/observability: what is there is valid, and asks for nothing that thv does not send."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.prometheus_names import prometheus_name
from thv.telemetry.aggregates import Aggregates
from thv.telemetry.instruments import INSTRUMENTS, Kind
from thv.telemetry.telemetry_settings import PROMETHEUS_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / "examples" / "observability"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))

SUFFIXES = {
    Kind.HISTOGRAM: ("_bucket", "_count", "_sum"),
    Kind.COUNTER: ("_total",),
    Kind.UP_DOWN_COUNTER: ("",),
}
NAMES = {f"{prometheus_name(one)}{suffix}" for one in INSTRUMENTS.values() for suffix in SUFFIXES[one.kind]}

VARIABLES = {"$__rate_interval": "5m", "$__interval": "15s", "$__range": "1h", "$server": ".*"}
"""What Grafana would put in."""

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def words(query: str) -> set[str]:
    """The names of metrics in a query: what stands before a brace or a bracket, or alone in a function."""
    bare = re.sub(r"\b(?:by|on) \([^)]*\)", "", re.sub(r'"[^"]*"', '""', query))
    return set(re.findall(r"\b((?:mcp|toolhive)_\w+)(?=[{\[)])", bare))


def labels() -> set[str]:
    """Every label a series has: those of thv in Prometheus' spelling, and what tells sessions apart."""
    seen = {"le", "instance", "service_instance_id"}
    for transport in ("stdio", "streamable-http"):
        counted = Aggregates("s", transport)
        counted.session_opened()
        for error in (None, "-32601"):
            called = counted.request(("tools/call", "add", "2025-11-25", error, error, 200), 1)
            counted.request(("prompts/get", "p", "2025-11-25", error, error, 200), 1)
        counted.call(called, "success")
        counted.session_closed("2025-11-25", None, 1)
        seen |= {re.sub(r"\W", "_", name) for point in counted.points() for name in point.attributes}
    return seen


def test_every_query_of_the_dashboard_asks_for_metrics_and_labels_that_thv_sends() -> None:
    asked = list(queries())
    assert len(asked) > 10
    for query in asked:
        assert words(query), query
        assert words(query) <= NAMES, query
        named = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query))
        assert "$server" in query, "the choice of a server concerns every panel"
        for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
            named |= {name.strip() for name in grouped.split(",")}
        assert named <= labels(), query


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for query in queries() for name in words(query)}
    for one in INSTRUMENTS.values():
        assert any(f"{prometheus_name(one)}{suffix}" in shown for suffix in SUFFIXES[one.kind]), one.name


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(set(cells)) == len(cells), "two panels overlap"
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r"\$\{?(\w+)", text)) <= variables | {"__rate_interval", "__interval", "__range", "__all"}
    (server,) = (one for one in DASHBOARD["templating"]["list"] if one["name"] == "server")
    assert words(server["definition"].replace(",", ")", 1)) <= NAMES


@needs_promtool
def test_prometheus_takes_every_query_and_its_configuration(tmp_path: Path) -> None:
    rules: list[dict[str, Any]] = []
    for number, query in enumerate(queries()):
        filled = query
        for variable, value in VARIABLES.items():
            filled = filled.replace(variable, value)
        rules.append({"record": f"query_{number}", "expr": filled})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    for command in (["check", "rules", str(path)], ["check", "config", str(FOLDER / "prometheus.yml")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_looks_where_the_collector_and_thv_offer_metrics() -> None:
    collector = yaml.safe_load((FOLDER / "collector.yaml").read_text(encoding="utf-8"))
    prometheus = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in prometheus["scrape_configs"]}
    assert jobs["collector"] == [collector["exporters"]["prometheus"]["endpoint"]]
    assert jobs["thv"][0] == f"127.0.0.1:{PROMETHEUS_PORT}"
    receivers = collector["receivers"]["otlp"]["protocols"]
    assert (receivers["grpc"]["endpoint"], receivers["http"]["endpoint"]) == ("127.0.0.1:4317", "127.0.0.1:4318")
    for pipeline in collector["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= set(collector[part])


def test_every_file_is_explained_and_no_link_leads_nowhere() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.iterdir():
        assert path.name == "README.md" or f"[`{path.name}`]({path.name})" in text
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", text):
        assert (FOLDER / target).exists(), target
