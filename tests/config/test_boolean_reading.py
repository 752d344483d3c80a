"""A no to usage analytics counts wherever it stands in the file, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from thv.config.boolean_reading import misplaced


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("analytics:\n  enabled: false\n", (2, 3)),
        ("thv: {analytics: {enabled: no}}\n", (1, 19)),
        ("DO_NOT_TRACK: 1\n", (1, 1)),
        ("otel:\n  do-not-track: true\n", (2, 3)),
        ("disable-analytics: true\n", (1, 1)),
        ("usageAnalyticsEnabled: off\n", (1, 1)),
        ("- otel:\n    usage_metrics_enabled: false\n", (2, 5)),
    ],
)
def test_a_no_is_found_where_people_put_it(text: str, place: tuple[int, int]) -> None:
    ((_, _, line, column),) = misplaced(text, "config.yaml")
    assert (line, column) == place


@pytest.mark.parametrize(
    "text",
    [
        "analytics:\n  enabled: true\n",
        "DO_NOT_TRACK: 0\n",
        "other:\n  enabled: false\n",
        "otel:\n  usage-analytics-enabled: false\n",
        "otel:\n  env-vars: [DO_NOT_TRACK]\n",
    ],
)
def test_what_is_no_no_or_stands_in_its_place_is_left_alone(text: str) -> None:
    assert misplaced(text, "config.yaml") == []
