"""Combines the options of a command, the variables and the file into the settings of the user's telemetry in that run.

`resolve_telemetry` is called before the server is started, so that what cannot work is reported instead. Without a
flag, a variable or a word in the file that could ask for telemetry it imports no more than what looks for these.
"""

from __future__ import annotations

import os

from thv.cli.option_table import OTEL
from thv.errors import ConfigError, ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.telemetry.telemetry_settings import TelemetrySettings

ENDPOINTS = ("endpoint", "traces.endpoint", "metrics.endpoint")
"""The values that say where telemetry is sent."""

SIGNALS = ("tracing-enabled", "metrics-enabled")
"""The values that turn a signal on and off."""


def resolve_telemetry(
    otel: Mapping[str, str], *, server: str, debug: bool
) -> tuple[TelemetrySettings | None, list[str]]:
    """The settings of the user's telemetry, None if it is off; and warnings for the user.

    A file that cannot be read turns it off with a warning: that is no reason to keep a client from its server.

    Args:
        otel: the text that each ``--otel-`` option gives its setting; checked.
        server: what people call the server.
        debug: say on stderr what the telemetry does.

    Raises:
        SettingError: an option has a value that it cannot have.
        ThvError: this installation lacks what it needs.
    """
    from thv.config import effective_settings
    from thv.config.settings import config_path

    environ = os.environ
    path = config_path(environ)
    if not effective_settings.may_ask(otel, environ, path):
        return None, []
    from thv.config import otlp_variables
    from thv.config.settings_from_environment import sdk_disabled

    if sdk_disabled(environ):
        return None, []
    flags = effective_settings.parse_flags(otel)
    try:
        values, warnings = effective_settings.read(path, flags, environ)
    except ConfigError as error:
        return None, [f"{error}; your telemetry is off until this is corrected"]
    from thv.telemetry.requirements import missing
    from thv.telemetry.telemetry_settings import resolve

    settings, further = resolve(
        values,
        environ,
        server=server,
        capture_arguments=bool(flags.get("capture-arguments")),
        propagate=bool(flags.get("propagate")),
        debug=debug,
    )
    if settings is None:
        further += _without_effect(otel, further, has_endpoint=any(values.get(name) for name in ENDPOINTS))
        return None, warnings + further
    if flags.get("insecure") and not any("://" not in str(values.get(name) or "://") for name in ENDPOINTS):
        further.append(f"{OTEL}insecure changes nothing: it is for an endpoint without http:// or https://")
    if (lack := missing(settings.agent)) is not None:
        raise ThvError(lack)
    return settings, warnings + further + otlp_variables.ignored(environ)


def _without_effect(otel: Mapping[str, str], said: list[str], *, has_endpoint: bool) -> list[str]:
    """A warning of the options that change nothing because the user's telemetry is off, unless one was `said`.

    Where there is an endpoint, telemetry is off because its signals are: the options that turned them off count.
    """
    effective = {"usage-analytics-enabled", *(SIGNALS if has_endpoint else ())}
    flags = [f"{OTEL}{name}" for name in otel if name not in effective]
    flags = [flag for flag in flags if not any(flag in line for line in said)]
    if not flags or (said and has_endpoint):
        return []
    off = "no endpoint is set, and nothing asks for Prometheus metrics"
    reason = "what has an endpoint is turned off" if has_endpoint else off
    return [f"{', '.join(flags)} {'changes' if len(flags) == 1 else 'change'} nothing: {reason}"]


def usage_analytics(otel: Mapping[str, str]) -> bool | None:
    """What the command line says of anonymous usage analytics; None where it is silent."""
    text = otel.get("usage-analytics-enabled")
    if text is None:
        return None
    from thv.core.booleans import BOOLEANS

    return BOOLEANS[text.strip().lower()]
