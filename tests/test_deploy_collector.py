"""The configuration for whoever receives usage analytics speaks of what thv sends, and lets nothing else through."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from thv.analytics import constants

CONFIG: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "deploy" / "collector" / "config.yaml").read_text()
)
HTTP = CONFIG["receivers"]["otlp"]["protocols"]["http"]
PIPELINE = CONFIG["service"]["pipelines"]["metrics"]


def test_metrics_are_taken_on_the_very_path_over_tls_only() -> None:
    assert HTTP["metrics_url_path"] == urlsplit(constants.ENDPOINT).path
    assert HTTP["traces_url_path"] != HTTP["metrics_url_path"]
    assert HTTP["tls"].keys() >= {"cert_file", "key_file"}
    assert list(CONFIG["receivers"]["otlp"]["protocols"]) == ["http"]


def test_no_address_or_header_of_a_sender_is_kept() -> None:
    assert HTTP["include_metadata"] is False
    assert CONFIG["service"]["telemetry"]["logs"]["level"] == "warn"


def test_the_filter_names_the_one_metric_and_the_two_values() -> None:
    rules = CONFIG["processors"]["filter/only-tool-calls"]["metrics"]
    assert f'name != "{constants.METRIC}"' in rules["metric"]
    values, *others = rules["datapoint"]
    assert "Len(exemplars) > 0" in others
    assert "value_double != 0.0" in others
    for value in (constants.SUCCESS, constants.ERROR):
        assert f'attributes["{constants.STATUS}"] != "{value}"' in values


def test_only_the_one_attribute_is_kept() -> None:
    groups = CONFIG["processors"]["transform/nothing-else"]["metric_statements"]
    kept = {group["context"]: group["statements"] for group in groups}
    assert "keep_keys(resource.attributes, [])" in kept["resource"]
    assert "keep_keys(scope.attributes, [])" in kept["scope"]
    assert f'set(scope.name, "{constants.SCOPE}")' in kept["scope"]
    assert f'keep_keys(datapoint.attributes, ["{constants.STATUS}"])' in kept["datapoint"]


def test_every_part_that_is_configured_is_used_and_in_an_order_that_counts_right() -> None:
    assert set(PIPELINE["processors"]) == set(CONFIG["processors"])
    assert set(PIPELINE["receivers"]) == set(CONFIG["receivers"])
    assert set(PIPELINE["exporters"]) == set(CONFIG["exporters"])
    order = PIPELINE["processors"]
    assert order.index("batch") < order.index("transform/nothing-else") < order.index("deltatocumulative")


def test_running_sums_are_thinned_to_one_sample_an_interval_before_they_are_stored() -> None:
    """Remote write has milliseconds: of several reports that arrive in one, only one sample would be kept."""
    assert PIPELINE["processors"][-2:] == ["deltatocumulative", "interval"]
    assert CONFIG["processors"]["interval"]["interval"].removesuffix("s").isdigit()
