"""The words of the usage analytics contract: what is sent, under which names, to where, how often.

Everything that sends, shows or documents usage analytics takes these from here. They are constants: no flag, setting or
variable changes them. This module imports nothing.
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

USER_AGENT = "toolhive-usage-analytics"
"""Names the stream and nothing else: no version, language or platform, so that it is the same on every machine.

Sent at all because front ends commonly refuse a request without one.
"""

SETTING = "usage-analytics-enabled"
"""The key under `otel:` in the config file."""

SWITCH = "TOOLHIVE_USAGE_ANALYTICS_ENABLED"
SWITCHES = (SWITCH, "TOOLHIVE_USAGE_METRICS_ENABLED")
"""The second is the variable of ToolHive's own command line."""

DO_NOT_TRACK = "DO_NOT_TRACK"
CI = "CI"
SDK_DISABLED = "OTEL_SDK_DISABLED"
"""The environment variables that turn usage analytics off; none can turn it on against another."""

FLAG = "--otel-usage-analytics-enabled"
"""The option of `thv run` that turns usage analytics off for one run; it cannot turn it on against another source."""
