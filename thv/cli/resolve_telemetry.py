"""Joins the options of `thv run`, the variables and the file to what the user's telemetry is to do in that run.

`ask` is called before the server is started, so that what cannot work is said instead of it. Without a flag, a variable
or a word in the file that could ask for telemetry it imports no more than what looks for these.
"""

from __future__ import annotations

import os

from thv.errors import ConfigError, ThvError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.cli.run_options import RunRequest
    from thv.telemetry.telemetry_settings import TelemetrySettings


def ask(request: RunRequest, *, server: str) -> tuple[TelemetrySettings | None, list[str]]:
    """What the user's telemetry is to do, None for nothing; and remarks for the user.

    A file that cannot be read turns it off with a remark, for that is no reason to keep a client from its server.

    Raises:
        SettingError: what is asked for contradicts itself.
        ThvError: this installation lacks what it needs.
    """
    from thv.config import effective_settings
    from thv.config.settings import config_path

    environ = os.environ
    path = config_path(environ)
    if not effective_settings.may_ask(request.otel, environ, path):
        return None, []
    from thv.config.otel_environment import sdk_disabled

    if sdk_disabled(environ):
        return None, []
    flags = effective_settings.parse_flags(request.otel)
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
        debug=request.debug,
    )
    if settings is not None and (lack := missing(settings.agent)) is not None:
        raise ThvError(lack)
    return settings, warnings + further


def without_secrets(request: RunRequest) -> RunRequest:
    """The request as it may be shown: what is secret in its options of telemetry is hidden."""
    from thv.cli.run_options import RunRequest
    from thv.config import effective_settings
    from thv.config.setting_types import shown

    copy = RunRequest()
    vars(copy).update(vars(request))
    values = effective_settings.parse_flags(request.otel)
    copy.otel = {
        name: shown(effective_settings.known_flag(name), value, reveal=False) for name, value in values.items()
    }
    return copy


def usage_analytics(request: RunRequest) -> bool | None:
    """What the command line says of anonymous usage analytics; None where it is silent."""
    text = request.otel.get("usage-analytics-enabled")
    if text is None:
        return None
    from thv.core.booleans import BOOLEANS

    return BOOLEANS[text.strip().lower()]
