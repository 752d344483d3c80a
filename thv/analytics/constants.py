"""The constants of usage analytics: what is sent, under which names, to where, how often.

Everything that sends, shows or documents usage analytics takes these from here. No flag, setting or variable changes
them. This module imports nothing.
"""

METRIC = "toolhive_usage_tool_calls_total"
"""The only metric: a monotonic sum of `tools/call` outcomes, with delta temporality."""

STATUS = "status"
"""The only attribute of the only metric."""

SUCCESS = "success"
ERROR = "error"

SCOPE = "toolhive.usage_analytics"
"""The instrumentation scope: a fixed name, with no version, so that it tells no two installations apart."""

ENDPOINT = "https://analytics.toolhive.stacklok.dev/v1/traces"
"""Where counts go. The path says traces; what is posted is an OTLP metrics request."""

INTERVAL = 30.0
"""Seconds between the first outcome not yet sent and the export that carries it, unless the session ends before."""

JITTER = 0.2
"""By which part of the interval an export may be early or late, so that its times do not join it to the one before."""

TIMEOUT = 10.0
"""Seconds for a whole export, name lookup excepted (it cannot be interrupted). OTLP exporters' usual figure."""

USER_AGENT = "toolhive-usage-analytics"
"""Names the stream and nothing else: no version, language or platform, so that it is the same on every machine.

Sent at all because front ends commonly refuse a request without one.
"""

SETTING = "usage-analytics-enabled"
"""The key under `otel:` in the config file."""

SWITCH = "TOOLHIVE_USAGE_ANALYTICS_ENABLED"
SWITCHES = (SWITCH, "TOOLHIVE_USAGE_METRICS_ENABLED")
"""Variables that turn usage analytics off and cannot turn them on. The second is ToolHive's own."""

DO_NOT_TRACK = "DO_NOT_TRACK"
"""https://consoledonottrack.com."""

CI = "CI"
"""Set by every common CI service."""

SDK_DISABLED = "OTEL_SDK_DISABLED"
"""OpenTelemetry specification, "General SDK Configuration"."""

FLAG = "--otel-usage-analytics-enabled"
"""The option that turns usage analytics off for one run; it cannot turn it on against another source."""

OFF_MARK = "usage-analytics-off"
"""The file in the state directory that remembers a no which was seen in the environment."""
