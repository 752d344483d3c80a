"""What the environment says about a setting, where the OpenTelemetry specification defines a variable for it.

Promises: an empty variable is an unset one, and what a variable cannot mean is ignored ("Environment Variable
Specification"). Reads no file, raises nothing. Knows nothing of consent to usage analytics.
"""

from __future__ import annotations

from thv.config.settings import BOOLEAN, MAP
from thv.errors import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.config.render import Value
    from thv.config.settings import Setting

SDK_DISABLED = "OTEL_SDK_DISABLED"
EXPORTERS = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
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


def read(setting: Setting, environ: Mapping[str, str]) -> tuple[str, Value] | None:
    """The first variable of `setting.env` that decides, and the value it gives; None where none does."""
    for variable in setting.env:
        text = environ.get(variable, "").strip()
        if text:
            value = _meaning(setting, variable, text, environ)
            if value is not None:
                return variable, value
    return None


def _meaning(setting: Setting, variable: str, text: str, environ: Mapping[str, str]) -> Value | None:
    if variable == SDK_DISABLED:
        return False if _boolean(text) else None
    if variable in EXPORTERS:
        return _exports(text)
    if variable == SAMPLER:
        return _ratio(setting, text.lower(), environ.get(SAMPLER_ARGUMENT, ""))
    if variable == SAMPLER_ARGUMENT:  # means nothing without a sampler
        return None
    if setting.kind == BOOLEAN:
        return _boolean(text)
    if setting.kind == MAP:
        return _pairs(text)
    if variable == RESOURCE_ATTRIBUTES:
        name = (_pairs(text) or {}).get("service.name", "")
        return _parsed(setting, name)
    return _parsed(setting, text)


def _boolean(text: str) -> bool:
    """Only the word true, in any case, is true ("Boolean value")."""
    return text.lower() == "true"


def _exports(text: str) -> bool | None:
    """`otlp` and `none` are what thv can do; other exporters would be another program's."""
    names = {name.strip() for name in text.lower().split(",")}
    return True if "otlp" in names else False if names == {"none"} else None


def _ratio(setting: Setting, sampler: str, argument: str) -> Value | None:
    if sampler not in SAMPLERS:
        return None
    ratio = SAMPLERS[sampler]
    if ratio is not None:
        return ratio
    given = _parsed(setting, argument)
    return DEFAULT_RATIO if given is None else given


def _pairs(text: str) -> dict[str, str] | None:
    """``key=value,key=value`` with percent-encoding; wholly ignored if any of it is not ("Resource SDK")."""
    from urllib.parse import unquote

    from thv.config.values import has_control

    found = {}
    for item in text.split(","):
        if not item.strip():
            continue
        key, equals, value = item.partition("=")
        key, value = unquote(key.strip()), unquote(value.strip())
        if not equals or not key or has_control(key + value):
            return None
        found[key] = value
    return found or None


def _parsed(setting: Setting, text: str) -> Value | None:
    from thv.config.values import parse

    try:
        return parse(setting, text)
    except SettingError:
        return None
