"""What the OpenTelemetry specification says of an exporter in variables alone, and what it says of one signal.

Promises: a variable of one signal comes before the general one ("OpenTelemetry Protocol Exporter"). A table, nothing
else: `thv.config.otel_environment` reads what is in it.
"""

from __future__ import annotations

from thv.config.settings import COMPRESSION, KEYS, MILLISECONDS, PORT, TEMPORALITY, TEXT, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SIGNALS: Final = ("traces", "metrics")

PREFIX: Final = "OTEL_EXPORTER_OTLP_"

KEYED: Final = ("endpoint", "protocol", "headers", "insecure")
"""Options of an exporter that have a key in the file, and so a flag."""

_UNKEYED: Final = {
    "timeout": MILLISECONDS,
    "compression": COMPRESSION,
    "certificate": TEXT,
    "client-key": TEXT,
    "client-certificate": TEXT,
}


def of_signal(signal: str, option: str) -> str:
    """What the value of one signal's option is called: ``traces.endpoint``."""
    return f"{signal}.{option}"


def _variable(*words: str) -> str:
    return PREFIX + "_".join(words).replace("-", "_").upper()


def _made() -> tuple[Setting, ...]:
    made = []
    for signal in SIGNALS:
        for option in KEYED:
            key = KEYS[option]
            made.append(
                Setting(
                    of_signal(signal, option), key.kind, "", "", secret=key.secret, env=(_variable(signal, option),)
                )
            )
        for option, kind in _UNKEYED.items():
            variables = (_variable(signal, option), _variable(option))
            made.append(Setting(of_signal(signal, option), kind, "", "", env=variables))
    return (
        *made,
        Setting("metric-export-interval", MILLISECONDS, "", "", env=("OTEL_METRIC_EXPORT_INTERVAL",)),
        Setting("temporality", TEMPORALITY, "", "", env=(f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE",)),
        Setting("prometheus-host", TEXT, "", "", env=("OTEL_EXPORTER_PROMETHEUS_HOST",)),
        Setting("prometheus-port", PORT, "", "", env=("OTEL_EXPORTER_PROMETHEUS_PORT",)),
    )


VARIABLES: Final = _made()
"""What has no key, or is a key's value for one signal, by the names that `thv.config.effective_settings` uses."""
