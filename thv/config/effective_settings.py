"""What counts for one run: every setting after flag, then environment, then file, then default.

`may_ask` is the cheap question before it: whether anything could ask for the user's telemetry at all. Promises: what
`thv config otel list` says of the environment and the file is what a run does, for both ask the same functions. Usage
analytics are not decided here. On the path of `thv run`: imports little unless telemetry is asked for.
"""

from __future__ import annotations

from thv.config import reader
from thv.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from thv.config.settings import Setting
    from thv.config.yaml.scalar_writer import Value

MENTIONS = ("endpoint", "enable-prometheus")
"""Without one of these words a file cannot ask for telemetry."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
"""The variables that can ask for it, besides the next one."""

METRICS_EXPORTER = "OTEL_METRICS_EXPORTER"

NO_TELEMETRY = frozenset({"usage-analytics-enabled"})
"""Flags that have nothing to do with telemetry. One that has no effect without telemetry gets a warning, so it asks."""

PARENT_BASED = "parent-based"
"""The value that says whether a parent's decision to record a trace is followed."""

SILENCED = "silenced"
"""The value that says that a variable of the environment, not thv's own settings, turned a signal off."""


def may_ask(flags: Iterable[str], environ: Mapping[str, str], path: str) -> bool:
    """Whether a flag, a variable or the file at `path` may ask for telemetry. Never raises."""
    if not NO_TELEMETRY.issuperset(flags) or any(environ.get(variable) for variable in ENDPOINTS):
        return True
    if "prometheus" in environ.get(METRICS_EXPORTER, "").lower():
        return True
    try:
        text = reader.read_text(path) or ""
    except ConfigError:  # it may ask for anything; `read` reports what is wrong with it
        return True
    return any(word in text for word in MENTIONS)


def parse_flags(flags: Mapping[str, str]) -> dict[str, Value]:
    """The values that the texts of flags mean, by the setting's name.

    Raises:
        SettingError: one means none; the message begins with the setting's name.
    """
    from thv.config.setting_types import parse

    return {name: parse(known_flag(name), text) for name, text in flags.items()}


def known_flag(name: str) -> Setting:
    """The setting that the flag ``--otel-NAME`` gives: a key of the file, or a switch that has none.

    Raises:
        SettingError: there is none.
    """
    from thv.config.settings import OTEL, SWITCHES

    return SWITCHES[name] if name in SWITCHES else OTEL.setting(name)


def read(
    path: str, flags: Mapping[str, Value], environ: Mapping[str, str]
) -> tuple[dict[str, Value | None], list[str]]:
    """Every value of the user's telemetry, None for one that has no source, and warnings about ignored variables.

    Besides the keys under `otel:` these are what `thv.config.otlp_variables.VARIABLES` names, `PARENT_BASED` and
    `SILENCED`.

    Raises:
        ConfigError: the file cannot be read, or holds what a setting cannot be.
    """
    from thv.config import otlp_variables, settings_file, settings_from_environment
    from thv.config.setting_types import parse
    from thv.config.settings import CUSTOM_ATTRIBUTES, KEYS, USAGE_ANALYTICS_ENABLED

    in_file = settings_file.value_reader(reader.read_text(path) or "", path)
    values: dict[str, Value | None] = {PARENT_BASED: True, SILENCED: False}
    warnings: list[str] = []
    for name, known in KEYS.items():
        if name == USAGE_ANALYTICS_ENABLED:
            continue
        value = in_file(known)[0]
        if value is None and known.default:
            value = parse(known, known.default)
        if name not in flags or name == CUSTOM_ATTRIBUTES:
            found = settings_from_environment.over(known, value, environ, warnings)
            if found is not None:
                variable, value = found
                _note(values, variable, value, environ)
        if name in flags:
            value = settings_from_environment.merged(value, flags[name]) if name == CUSTOM_ATTRIBUTES else flags[name]
        values[name] = value
    for known in otlp_variables.VARIABLES:
        option = known.name.partition(".")[2]
        found = None if option in flags else settings_from_environment.read(known, environ, warnings)
        values[known.name] = None if found is None else found[1]
    return values, warnings


def _note(values: dict[str, Value | None], variable: str, value: Value, environ: Mapping[str, str]) -> None:
    from thv.config import settings_from_environment

    if variable == settings_from_environment.SAMPLER:
        values[PARENT_BASED] = environ[variable].strip().lower().startswith("parentbased_")
    elif variable in settings_from_environment.EXPORTERS and value is False:
        values[SILENCED] = True
