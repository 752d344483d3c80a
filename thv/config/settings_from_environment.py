"""What the environment says about a setting, where the OpenTelemetry specification defines a variable for it.

Promises: an empty variable is an unset one, and what a variable cannot mean is ignored with a remark ("Environment
Variable Specification"). Reads no file, raises nothing, names no secret. Knows nothing of consent to usage analytics.
"""

from __future__ import annotations

from thv.config.settings import BOOLEAN, CUSTOM_ATTRIBUTES, HEADERS, MAPS
from thv.errors import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.config.settings import Setting
    from thv.config.yaml.scalar_writer import Value

SDK_DISABLED = "OTEL_SDK_DISABLED"
EXPORTERS = {"OTEL_TRACES_EXPORTER": ("otlp", "none"), "OTEL_METRICS_EXPORTER": ("otlp", "prometheus", "none")}
"""What thv can do of what each of them may name; another exporter would write into the MCP stream."""

PROPAGATORS = "OTEL_PROPAGATORS"
KNOWN_PROPAGATORS = ("tracecontext", "baggage", "none")
SAMPLER = "OTEL_TRACES_SAMPLER"
SAMPLER_ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"
RESOURCE_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"

SAMPLERS = {
    "always_on": 1.0,
    "parentbased_always_on": 1.0,
    "always_off": 0.0,
    "parentbased_always_off": 0.0,
    "traceidratio": None,
    "parentbased_traceidratio": None,
}
"""What each sampler records of traces that begin here; None where its argument says so."""

DEFAULT_RATIO = 1.0
"""What the specification takes where `OTEL_TRACES_SAMPLER_ARG` is unset or is no number from 0 to 1."""


def read(setting: Setting, environ: Mapping[str, str], warnings: list[str] | None = None) -> tuple[str, Value] | None:
    """The first variable of `setting.env` that decides, and the value it gives; None where none does.

    `warnings` gets one line for each variable that is ignored.
    """
    said: list[str] = [] if warnings is None else warnings
    for variable in setting.env:
        text = environ.get(variable, "").strip()
        if text:
            value = _meaning(setting, variable, text, environ, said)
            if value is not None:
                return variable, value
    return None


def over(
    setting: Setting, configured: Value | None, environ: Mapping[str, str], warnings: list[str] | None = None
) -> tuple[str, Value] | None:
    """As `read`, with what the file has: resource attributes are merged key by key, and the variable's win.

    Everything else is replaced whole.
    """
    found = read(setting, environ, warnings)
    if found is not None and setting.name == CUSTOM_ATTRIBUTES and configured:
        return found[0], merged(configured, found[1])
    return found


def without_a_key(environ: Mapping[str, str]) -> list[str]:
    """The variables that are in force and belong to no key of the file."""
    from thv.config.otlp_variables import VARIABLES

    if sdk_disabled(environ):
        return []
    found = [read(known, environ) for known in VARIABLES]
    return list(dict.fromkeys(each[0] for each in found if each is not None))


def merged(below: Value | None, above: Value) -> Value:
    """Two maps as one, `above` before `below` for each key."""
    return {**below, **above} if isinstance(below, dict) and isinstance(above, dict) else above


def sdk_disabled(environ: Mapping[str, str]) -> bool:
    """Whether a person wants no OpenTelemetry in this process at all."""
    return environ.get(SDK_DISABLED, "").strip().lower() == "true"


def _meaning(
    setting: Setting, variable: str, text: str, environ: Mapping[str, str], warnings: list[str]
) -> Value | None:
    if variable == SDK_DISABLED:
        return False if _boolean(variable, text, warnings) else None
    if variable in EXPORTERS:
        return _exports(setting, variable, text, warnings)
    if variable == PROPAGATORS:
        return _extracts(text, warnings)
    if variable == SAMPLER:
        return _ratio(setting, text.lower(), environ.get(SAMPLER_ARGUMENT, ""), warnings)
    if variable == SAMPLER_ARGUMENT:  # means nothing without a sampler
        return None
    if setting.kind == BOOLEAN:
        return _boolean(variable, text, warnings)
    if setting.kind in MAPS:
        return _pairs(variable, text, warnings, headers=setting.kind == HEADERS)
    if variable == RESOURCE_ATTRIBUTES:
        name = (_pairs(variable, text, warnings) or {}).get("service.name", "")
        return _parsed(setting, variable, name, warnings) if name else None
    return _parsed(setting, variable, text, warnings)


def _boolean(variable: str, text: str, warnings: list[str]) -> bool:
    """Only the word true, in any case, is true ("Boolean value")."""
    if text.lower() not in {"true", "false"}:
        _remark(warnings, f"{variable} is taken for false: it is neither true nor false")
    return text.lower() == "true"


def _exports(setting: Setting, variable: str, text: str, warnings: list[str]) -> bool | None:
    """Whether the setting's exporter, OTLP or Prometheus, is named; None if the variable does not say."""
    names = _listed(variable, text, EXPORTERS[variable], warnings)
    if setting.name == "enable-prometheus-metrics-path":
        return True if "prometheus" in names else None
    return True if "otlp" in names else False if names else None


def _extracts(text: str, warnings: list[str]) -> bool | None:
    """Whether a client's trace context is read."""
    names = _listed(PROPAGATORS, text, KNOWN_PROPAGATORS, warnings)
    return "tracecontext" in names if names else None


def _listed(variable: str, text: str, known: tuple[str, ...], warnings: list[str]) -> set[str]:
    names = {name for item in text.lower().split(",") if (name := item.strip())}
    if others := sorted(names - set(known)):
        can = f"{', '.join(known[:-1])} and {known[-1]}"
        _remark(warnings, f"{variable}: {', '.join(map(repr, others))} is ignored; thv knows {can}")
    return names & set(known)


def _ratio(setting: Setting, sampler: str, argument: str, warnings: list[str]) -> Value | None:
    if sampler not in SAMPLERS:
        _remark(warnings, f"{SAMPLER} is ignored: it is {sampler!r}; thv knows {', '.join(SAMPLERS)}")
        return None
    ratio = SAMPLERS[sampler]
    if ratio is not None:
        return ratio
    given = _parsed(setting, SAMPLER_ARGUMENT, argument, warnings) if argument.strip() else None
    return DEFAULT_RATIO if given is None else given


def _pairs(variable: str, text: str, warnings: list[str], *, headers: bool = False) -> dict[str, str] | None:
    """``key=value,key=value`` with percent-encoding; wholly ignored if any of it is not ("Resource SDK")."""
    from urllib.parse import unquote

    from thv.config.setting_types import bad_header, has_control

    found = {}
    for number, item in enumerate((item for item in text.split(",") if item.strip()), 1):
        key, equals, value = item.partition("=")
        key, value = unquote(key.strip()), unquote(value.strip())
        # The item itself is not named: it may be half of a secret.
        if not equals or not key:
            _remark(warnings, f"{variable} is ignored: its item {number} is no KEY=VALUE")
            return None
        if has_control(key + value):
            _remark(warnings, f"{variable} is ignored: its item {number} holds a control character")
            return None
        if headers and bad_header((key,)) is not None:
            _remark(warnings, f"{variable} is ignored: the name of its item {number} cannot be that of an HTTP header")
            return None
        found[key] = value
    return found or None


def _parsed(setting: Setting, variable: str, text: str, warnings: list[str]) -> Value | None:
    from thv.config.setting_types import parse

    try:
        return parse(setting, text)
    except SettingError as error:
        _remark(warnings, f"{variable}{str(error).removeprefix(setting.name)}; it is ignored")
        return None


def _remark(warnings: list[str], text: str) -> None:
    if text not in warnings:  # several settings ask the same variable
        warnings.append(text)
