"""Every variable of the OpenTelemetry specification is honoured, or has no effect for a reason that the page gives.

The table in docs/telemetry.md is made by `table`: a test that fails prints it.
"""

from __future__ import annotations

from pathlib import Path

from thv.config.otlp_variables import IGNORED, VARIABLES
from thv.config.settings import KEYS, USAGE_ANALYTICS_ENABLED

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")

HEAD = "| variables | |\n|---|---|\n"

EXPORTER = ("ENDPOINT", "INSECURE", "CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE", "HEADERS", "COMPRESSION")
ALWAYS_KEPT = {
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "thv's spans have no events",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "thv's spans have no events",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "thv's links have no attributes",
}
"""Limits that no span can exceed."""

PROCESSOR = ("SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")

SPECIFICATION = {
    # "General SDK Configuration"
    *("OTEL_SDK_DISABLED", "OTEL_ENTITIES", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME", "OTEL_LOG_LEVEL"),
    *("OTEL_PROPAGATORS", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
    # "Batch Span Processor", "Batch LogRecord Processor"
    *(f"OTEL_{kind}_{name}" for kind in ("BSP", "BLRP") for name in PROCESSOR),
    # "Attribute Limits", "Span Limits", "LogRecord Limits"
    *(
        f"OTEL_{kind}ATTRIBUTE_{name}_LIMIT"
        for kind in ("", "SPAN_", "LOGRECORD_")
        for name in ("VALUE_LENGTH", "COUNT")
    ),
    *("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
    *("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"),
    # "OpenTelemetry Protocol Exporter"
    *(
        f"OTEL_EXPORTER_OTLP_{signal}{name}"
        for signal in ("", "TRACES_", "METRICS_", "LOGS_")
        for name in (*EXPORTER, "TIMEOUT", "PROTOCOL")
    ),
    *("OTEL_EXPORTER_OTLP_SPAN_INSECURE", "OTEL_EXPORTER_OTLP_METRIC_INSECURE"),
    # "Zipkin Exporter", "Prometheus Exporter", "Exporter Selection"
    *(f"OTEL_EXPORTER_ZIPKIN_{name}" for name in ("ENDPOINT", "TIMEOUT", "PROTOCOL")),
    *("OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT"),
    *("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"),
    # "Metrics SDK Configuration", and the metrics exporter of OTLP
    *("OTEL_METRICS_EXEMPLAR_FILTER", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_METRIC_EXPORT_TIMEOUT"),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    # "Declarative configuration", under its older name and its newer one
    *("OTEL_EXPERIMENTAL_CONFIG_FILE", "OTEL_CONFIG_FILE"),
}

SDK_DISABLED = "OTEL_SDK_DISABLED"


def honoured() -> dict[str, list[str]]:
    """What a variable means -> the variables, the stronger before the weaker."""
    found = {"`true`: no telemetry at all, whatever else is set": [SDK_DISABLED]}
    seen = {SDK_DISABLED}
    for name, key in KEYS.items():
        variables = [one for one in key.env if one.startswith("OTEL_") and one not in seen]
        if name != USAGE_ANALYTICS_ENABLED and variables:
            found[f"the key `{name}`"] = variables
            seen |= set(variables)
    for known in VARIABLES:
        listed = found.setdefault(known.help, [])
        listed += [one for one in known.env if one not in listed]
    return found


def table() -> str:
    rows = [(variables, text) for text, variables in honoured().items()]
    for what, reasons in (("always kept: ", ALWAYS_KEPT), ("no effect: ", IGNORED)):
        by_reason: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            by_reason.setdefault(reason, []).append(name)
        rows += [(variables, what + reason) for reason, variables in by_reason.items()]
    return HEAD + "".join(f"| {', '.join(f'`{one}`' for one in variables)} | {text} |\n" for variables, text in rows)


def test_every_variable_of_the_specification_has_its_place_and_no_other_does() -> None:
    told = [one for variables in honoured().values() for one in variables] + list(ALWAYS_KEPT) + list(IGNORED)
    assert sorted(told) == sorted(set(told)), "none has two"
    assert set(told) == SPECIFICATION


def test_the_table_of_the_page_is_made_of_the_code() -> None:
    assert table() in PAGE, f"replace it by:\n\n{table()}"
