"""A no to usage analytics counts wherever it stands in the file, and nothing else is taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thv.config.boolean_reading import misplaced, read_consent
from thv.config.settings import KEYS

if TYPE_CHECKING:
    from pathlib import Path


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
        ("otel:\n  usage-analytics-enable: false\n", (2, 3)),
        ("otel:\n  usage-analytic-enabled: no\n", (2, 3)),
        ("otel:\n  usage-anlaytics-enalbed: off\n", (2, 3)),
        ("otel:\n  useage-analitics-enabled: 0\n", (2, 3)),
        ("otel:\n  usage-analytics-enabled-: false\n", (2, 3)),
        ("otel:\n  usage-analytics/enabled: false\n", (2, 3)),
        ("otel:\n  usage\u2013analytics\u2013enabled: false\n", (2, 3)),
        ("otel:\n  usage-analytics-disabled: true\n", (2, 3)),
        ("otel:\n  enable-usage-analytics: false\n", (2, 3)),
        ("otel:\n  TOOLHIVE_USAGE_ANALYTICS_ENABLED: false\n", (2, 3)),
        ("OTEL_SDK_DISABLED: true\n", (1, 1)),
        ("otel:\n  analytics: false\n", (2, 3)),
        ("no-analytics: true\n", (1, 1)),
        ('"\\x75sage-\\x61nalytics-enabled": false\n', (1, 1)),
        *(
            (f"{key}: {value}\n", (1, 1))
            for key, value in [
                *(
                    ("analytics-opt-out", "true"),
                    ("optOutOfUsageAnalytics", "yes"),
                    ("analytics-usage-enabled", "false"),
                ),
                *(("enabled-usage-analytics", "off"), ("no-usage-metrics", "true"), ("usage-analytics-off", "true")),
                *(("usage-analytics-on", "no"), ("send-analytics", "false"), ("allow-usage-analytics", "false")),
                *(("collect-anonymous-analytics", "no"), ("usage-analytics-not-enabled", "true"), ("dnt", "1")),
                *(("do-not-send-usage-analytics", "true"), ("usage-analitycs-enable", "false")),
                *(("metrics-usage-enabled", "false"), ("analytics", "disabled"), ("toolhive-analytics", "opt-out")),
                *(("usage-analytics", "none"), ("disable-analytics", "maybe"), ("analytics-consent", "false")),
            ]
        ),
        ("otel:\n  usage-analytics-opt-out: true\n", (2, 3)),
        ("otel:\n  analytics-usage-enabled: false\n", (2, 3)),
        ("analytics:\n  usage: false\n", (2, 3)),
        ("usage:\n  analytics: no\n", (2, 3)),
        ("usage:\n  analytics:\n    enable: off\n", (3, 5)),
        ("thv:\n  analytics: false\n", (2, 3)),
        ("analytics:\n  opt-out: true\n", (2, 3)),
        ("analytics:\n  opt:\n    out: true\n", (3, 5)),
        ("analytics:\n  disabled: true\n", (2, 3)),
        ("analytics:\n  send: false\n", (2, 3)),
        ("disable:\n  usage-analytics: true\n", (2, 3)),
        ("opt-out:\n  analytics: true\n", (2, 3)),
        ("otel:\n  sdk:\n    disabled: true\n", (3, 5)),
        ("otel:\n  sdk-enabled: false\n", (2, 3)),
        ("x: &x usage-analytics-enabled\notel:\n  *x : false\n", (3, 3)),
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
        "otel:\n  usage-analytics-enable: true\n",
        "otel:\n  analytics: true\n",
        "otel:\n  custom-attributes:\n    analytics: no\n",
        "web:\n  analytics: false\n",
        "tracing-enabled: false\notel:\n  metrics-enabled: false\n  tracing-enabled: false\n",
        "usage: false\nlanguage-analysis-enabled: false\n",
        "analytics-opt-out: false\notel:\n  usage-analytics-opt-out: no\n  analytics-usage-enabled: true\n",
        "analytics:\n  usage: true\n  opt-out: false\n  send: yes\n  not-disabled: true\n",
        "analytics:\n  usage: daily\n  report: weekly\n  anonymous: false\n  endpoint: false\n",
        "web:\n  usage:\n    analytics: full\n  analytics: disabled\n",
        "metrics:\n  usage: false\nusage:\n  metrics: false\n  enabled: false\n",
        "otel:\n  enabled: false\n  tracking-enabled: false\n  metrics: off\nsdk:\n  enabled: false\nopt-out: true\n",
        "disk-usage-metrics: false\nio-usage-metrics: true\nusage-matrix: no\ncpu:\n  usage:\n    analytics-port: 0\n",
        "x: 1\n---\notel:\n  metrics-enabled: false\n  tracing-enabled: no\n",
        f"{'no' * 500}: true\n{'otel' * 250}: true\n",
    ],
)
def test_what_is_no_no_or_stands_in_its_place_is_left_alone(text: str) -> None:
    assert misplaced(text, "config.yaml") == []


def test_no_setting_of_thv_is_taken_for_the_switch() -> None:
    sections = [
        f"{setting.section}:\n  {setting.name}: {word}\n" for setting in KEYS.values() for word in ("no", "yes")
    ]
    assert [section for section in sections if misplaced(section, "config.yaml")] == []


@pytest.mark.parametrize("levels", [1, 2])
def test_a_directory_that_is_a_link_to_nowhere_is_no_silence(tmp_path: Path, levels: int) -> None:
    link = tmp_path / "toolhive"
    path = link.joinpath(*["x"] * (levels - 1), "config.yaml")
    assert read_consent(str(path), is_named=False).problem is None
    link.symlink_to("nowhere")
    assert (
        read_consent(str(path), is_named=False).problem
        == f"{path}: {link} is a link to a directory that does not exist"
    )
