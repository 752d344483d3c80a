"""Variables of the OpenTelemetry specification that have no key: those of one signal, limits, and those without effect.

Promises: a variable of one signal comes before the general one ("OpenTelemetry Protocol Exporter"). Tables, of which
`thv.config.settings_from_environment` reads the values, and docs/telemetry.md is made.
"""

from __future__ import annotations

from thv.config.settings import (
    BOOLEAN,
    COMPRESSION,
    COUNT,
    KEYS,
    MILLISECONDS,
    PORT,
    POSITIVE,
    TEMPORALITY,
    TEXT,
    Setting,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

SIGNALS: Final = ("traces", "metrics")

PREFIX: Final = "OTEL_EXPORTER_OTLP_"

KEYED: Final = ("endpoint", "protocol", "headers", "insecure")
"""Options of an exporter that have a key in the file, and so a flag."""

_UNKEYED: Final = {
    "timeout": (MILLISECONDS, "milliseconds for one export; 10000 by default, and 0 is no limit"),
    "compression": (COMPRESSION, "`gzip` or `none`"),
    "certificate": (TEXT, "file of the authorities to trust, in PEM form, in place of the system's"),
    "client-key": (TEXT, "file of your own key"),
    "client-certificate": (TEXT, "file of your own certificate"),
}

_OBSOLETE: Final = {"traces": "SPAN_INSECURE", "metrics": "METRIC_INSECURE"}
"""Older names of two variables, which exporters are to keep."""

NO_LOGS: Final = "thv sends no logs"

IGNORED: Final = {
    "OTEL_LOG_LEVEL": "`--debug` is thv's own switch",
    "OTEL_ENTITIES": "name resources in `OTEL_RESOURCE_ATTRIBUTES`",
    "OTEL_CONFIG_FILE": "thv has a file of its own",
    "OTEL_EXPERIMENTAL_CONFIG_FILE": "thv has a file of its own",
    "OTEL_METRICS_EXEMPLAR_FILTER": "thv's metrics have no exemplars, as with `always_off`",
    f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "thv's are of the kind `explicit_bucket_histogram`",
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT": "thv does not speak Zipkin",
    "OTEL_EXPORTER_ZIPKIN_TIMEOUT": "thv does not speak Zipkin",
    "OTEL_EXPORTER_ZIPKIN_PROTOCOL": "thv does not speak Zipkin",
    "OTEL_LOGS_EXPORTER": NO_LOGS,
    **{f"OTEL_BLRP_{name}": NO_LOGS for name in ("SCHEDULE_DELAY", "EXPORT_TIMEOUT", "MAX_QUEUE_SIZE")},
    "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": NO_LOGS,
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": NO_LOGS,
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": NO_LOGS,
    **{f"{PREFIX}LOGS_{option.replace('-', '_').upper()}": NO_LOGS for option in (*KEYED, *_UNKEYED)},
}
"""Variables of the specification that have no effect on thv, and why."""

ASKS_FOR_NOTHING: Final = {
    "OTEL_METRICS_EXEMPLAR_FILTER": "always_off",
    f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "explicit_bucket_histogram",
    "OTEL_LOGS_EXPORTER": "none",
}
"""The values with which some of them ask for what thv does anyway."""


def ignored(environ: Mapping[str, str]) -> list[str]:
    """One line that names the variables which have no effect; none if there are none."""
    names = [
        name
        for name in IGNORED
        if (value := environ.get(name, "").strip()) and value.lower() != ASKS_FOR_NOTHING.get(name)
    ]
    if not names:
        return []
    return [f"no effect on thv: {', '.join(names)}; its table of OTEL_ variables says why (docs/telemetry.md)"]


def of_signal(signal: str, option: str) -> str:
    """What the value of one signal's option is called: ``traces.endpoint``."""
    return f"{signal}.{option}"


def _variable(*words: str) -> str:
    return PREFIX + "_".join(words).replace("-", "_").upper()


def _of_exporters() -> list[Setting]:
    made = []
    for signal in SIGNALS:
        for option in KEYED:
            key = KEYS[option]
            names = [_variable(signal, option)]
            if option == "insecure":
                names.append(PREFIX + _OBSOLETE[signal])
            text = f"`{option}`, for {signal} alone"
            made.append(Setting(of_signal(signal, option), key.kind, "", text, secret=key.secret, env=tuple(names)))
        for option, (kind, text) in _UNKEYED.items():
            both = (_variable(signal, option), _variable(option))
            made.append(Setting(of_signal(signal, option), kind, "", text, env=both))
    return made


def _unkeyed(name: str, kind: str, text: str, *variables: str) -> Setting:
    return Setting(name, kind, "", text, env=variables)


VARIABLES: Final = (
    *_of_exporters(),
    _unkeyed("queue-size", POSITIVE, "spans that wait; 2048 by default", "OTEL_BSP_MAX_QUEUE_SIZE"),
    _unkeyed("batch-size", POSITIVE, "spans of one export; 512 by default", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
    _unkeyed(
        "schedule-delay",
        MILLISECONDS,
        "milliseconds between two exports of spans; 5000 by default",
        "OTEL_BSP_SCHEDULE_DELAY",
    ),
    _unkeyed(
        "traces-timeout",
        MILLISECONDS,
        "milliseconds for one export of spans, if less than the exporter's",
        "OTEL_BSP_EXPORT_TIMEOUT",
    ),
    _unkeyed(
        "metric-export-interval",
        MILLISECONDS,
        "milliseconds between two exports of metrics; 60000 by default",
        "OTEL_METRIC_EXPORT_INTERVAL",
    ),
    _unkeyed(
        "metrics-timeout",
        MILLISECONDS,
        "milliseconds for one export of metrics, if less than the exporter's",
        "OTEL_METRIC_EXPORT_TIMEOUT",
    ),
    _unkeyed(
        "attribute-count-limit",
        COUNT,
        "attributes of a span",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
    ),
    _unkeyed(
        "attribute-length-limit",
        COUNT,
        "characters of an attribute of a span",
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    ),
    _unkeyed("link-count-limit", COUNT, "links of a span", "OTEL_SPAN_LINK_COUNT_LIMIT"),
    _unkeyed(
        "extract",
        BOOLEAN,
        "without `tracecontext` among its names, a client's trace context is not read",
        "OTEL_PROPAGATORS",
    ),
    _unkeyed(
        "temporality",
        TEMPORALITY,
        "`cumulative` (the default), `delta` or `lowmemory`",
        f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE",
    ),
    _unkeyed(
        "prometheus-host",
        TEXT,
        "the address for Prometheus in place of 127.0.0.1; everyone who reaches it can read your metrics",
        "OTEL_EXPORTER_PROMETHEUS_HOST",
    ),
    _unkeyed("prometheus-port", PORT, "the port for Prometheus in place of 9464", "OTEL_EXPORTER_PROMETHEUS_PORT"),
)
"""What has no key, or is a key's value for one signal, by the names that `thv.config.effective_settings` uses."""
