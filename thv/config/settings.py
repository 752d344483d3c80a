"""The settings under `otel:`: their names, kinds and defaults, where the file is, and how one boolean is read.

Promises: reading never raises and never guesses; what is not surely a boolean is a problem, and whoever asks for
consent takes a problem for a no. Any part may import this; it imports nothing slow, because `thv run` needs it at once.
"""

# ruff: noqa: PTH111, PTH118  pathlib costs milliseconds that the start of `thv run` does not have

from __future__ import annotations

import os
import sys

from thv.core.booleans import BOOLEANS
from thv.errors import ConfigError, SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from thv.config.yaml.tree import Scalar
    from thv.core.interfaces import BooleanReading

SECTION: Final = "otel"
JOURNAL: Final = "journal"
"""The section of the user's local journal."""

JOURNAL_ENABLED: Final = "enabled"
JOURNAL_MAX_SIZE: Final = "max-size"
JOURNAL_MAX_AGE: Final = "max-age"
JOURNAL_VARIABLE: Final = "TOOLHIVE_JOURNAL"
USAGE_ANALYTICS_ENABLED: Final = "usage-analytics-enabled"
CUSTOM_ATTRIBUTES: Final = "custom-attributes"

# Kinds of values.
BOOLEAN: Final = "boolean"
FRACTION: Final = "fraction"
TEXT: Final = "text"
ENDPOINT: Final = "endpoint"
PROTOCOL: Final = "protocol"
NAMES: Final = "names"
MAP: Final = "map"
MILLISECONDS: Final = "milliseconds"
COMPRESSION: Final = "compression"
TEMPORALITY: Final = "temporality"
PORT: Final = "port"
SIZE: Final = "size"
AGE: Final = "age"


class Setting:
    """One key of a section: its name, the kind of its value, its default as the file would write it, and its meaning.

    `default` is "" for a setting that has none. `secret` marks values that are never printed unasked. `env` names the
    variables that come before the file, the strongest first; `thv.config.otel_environment` says what each one means.
    """

    __slots__ = ("default", "env", "help", "kind", "name", "secret", "section")

    def __init__(
        self,
        name: str,
        kind: str,
        default: str,
        help_: str,
        *,
        secret: bool = False,
        env: tuple[str, ...] = (),
        section: str = SECTION,
    ) -> None:
        self.section = section
        self.name = name
        self.kind = kind
        self.default = default
        self.help = help_
        self.secret = secret
        self.env = env


KEYS: Final = {
    setting.name: setting
    for setting in (
        Setting(
            USAGE_ANALYTICS_ENABLED,
            BOOLEAN,
            "true",
            "Anonymous usage analytics: how many tool calls went well.",
            # These can only turn it off (`thv.analytics.consent`).
            env=("DO_NOT_TRACK", "CI", "OTEL_SDK_DISABLED", "TOOLHIVE_USAGE_ANALYTICS_ENABLED"),
        ),
        Setting(
            "endpoint",
            ENDPOINT,
            "",
            "Your OTLP collector, as host:port or a URL; without one nothing is sent to you.",
            env=("OTEL_EXPORTER_OTLP_ENDPOINT",),
        ),
        Setting(
            "protocol",
            PROTOCOL,
            "",
            "How to speak to it: http/protobuf or grpc; by the port when unset.",
            env=("OTEL_EXPORTER_OTLP_PROTOCOL",),
        ),
        Setting(
            "headers",
            MAP,
            "",
            "Headers sent to your collector, as KEY=VALUE,KEY=VALUE.",
            secret=True,
            env=("OTEL_EXPORTER_OTLP_HEADERS",),
        ),
        Setting(
            "insecure",
            BOOLEAN,
            "false",
            "No TLS for an endpoint that is written without a scheme.",
            env=("OTEL_EXPORTER_OTLP_INSECURE",),
        ),
        Setting(
            "tracing-enabled",
            BOOLEAN,
            "true",
            "Send traces to your collector.",
            env=("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"),
        ),
        Setting(
            "metrics-enabled",
            BOOLEAN,
            "true",
            "Send metrics to your collector.",
            env=("OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER"),
        ),
        Setting(
            "sampling-rate",
            FRACTION,
            "0.1",
            "The share of traces that is recorded, from 0.0 to 1.0.",
            env=("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
        ),
        Setting(
            "service-name",
            TEXT,
            "",
            "The service your traces belong to; thv-<server> when unset.",
            env=("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"),
        ),
        Setting("env-vars", NAMES, "", "Environment variables put on spans, as NAME,NAME."),
        Setting(
            CUSTOM_ATTRIBUTES,
            MAP,
            "",
            "Resource attributes of your telemetry, as KEY=VALUE,KEY=VALUE.",
            env=("OTEL_RESOURCE_ATTRIBUTES",),
        ),
        Setting(
            "enable-prometheus-metrics-path",
            BOOLEAN,
            "false",
            "Serve your metrics at /metrics on 127.0.0.1:9464.",
            env=("OTEL_SDK_DISABLED",),
        ),
    )
}
"""Every key under `otel:`, in the order in which they are listed."""

JOURNAL_KEYS: Final = {
    setting.name: setting
    for setting in (
        Setting(
            JOURNAL_ENABLED,
            BOOLEAN,
            "true",
            "Keep a local journal of how requests ended, for `thv log`, `top`, `report` and `why`.",
            env=(JOURNAL_VARIABLE,),  # it can only turn it off
            section=JOURNAL,
        ),
        Setting(
            JOURNAL_MAX_SIZE, SIZE, "64MiB", "The most bytes the journal takes; the oldest go first.", section=JOURNAL
        ),
        Setting(JOURNAL_MAX_AGE, AGE, "30d", "How long anything stays in the journal.", section=JOURNAL),
    )
}
"""Every key under `journal:`, likewise."""

SECTIONS: Final = {SECTION: KEYS, JOURNAL: JOURNAL_KEYS}

SWITCHES: Final = {
    switch.name: switch
    for switch in (
        Setting("capture-arguments", BOOLEAN, "false", "Put tool arguments and results on spans, redacted and cut."),
        Setting("propagate", BOOLEAN, "false", "Pass our trace context to the server: changes params._meta."),
    )
}
"""What only a flag of `thv run` can ask for: it touches what is said between client and server."""


def setting(name: str, section: str = SECTION) -> Setting:
    """The setting of the section called `name`.

    Raises:
        SettingError: there is none; names the nearest ones.
    """
    keys = SECTIONS[section]
    try:
        return keys[name]
    except KeyError:
        from difflib import get_close_matches

        near = get_close_matches(name, keys, n=3, cutoff=0.5) or [key for key in keys if name and name in key]
        hint = f"did you mean {' or '.join(near)}?" if near else f"the keys are {', '.join(keys)}"
        raise SettingError(f"there is no setting {name!r}; {hint}") from None


def config_path(environ: Mapping[str, str]) -> str:
    """Where the config file is: TOOLHIVE_CONFIG, else `.toolhive/config.yaml` in the home directory; empty is unset."""
    named = environ.get("TOOLHIVE_CONFIG", "")
    if not named:
        return os.path.join(_home(environ), ".toolhive", "config.yaml")
    if named[:2] in {"~/", "~" + os.sep}:  # no shell expands it in a client's JSON or an env file
        return os.path.join(_home(environ), named[2:])
    return named


def read_boolean(path: str, key: str, section: str = SECTION) -> BooleanReading:
    """What the file at `path` says about the boolean `key` of the section. Never raises.

    A missing file, section or key is silence. Whatever cannot surely be read as a boolean is a problem: an unreadable
    file, broken YAML, a value that stands behind an alias or a merge key, any word outside `BOOLEANS`.
    """
    from thv.core.interfaces import BooleanReading

    try:
        value, line = _read_boolean(path, key, section)
    except ConfigError as error:
        where = path if error.line is None else f"{path}:{error.line}"
        return BooleanReading(None, where, str(error))
    return BooleanReading(value, path if line is None else f"{path}:{line}")


def unknown_keys(path: str) -> list[str]:
    """One line for each key under `otel:` that thv does not know; none if the file cannot be read."""
    from thv.config import reader
    from thv.config.yaml import plain_reader

    try:
        text = reader.read_text(path) or ""
        found = plain_reader.entries(text)
        if found is not None:
            names = [(keys[1], line) for keys, _, line in found if len(keys) == 2 and keys[0] == SECTION]  # noqa: PLR2004  otel and its key
        else:
            from thv.config.yaml import document

            names = document.keys(text, (SECTION,), path=path)
    except ConfigError:
        return []
    return [f"{path}:{line}: unknown key {SECTION}.{name}, ignored" for name, line in names if name not in KEYS]


def _read_boolean(path: str, key: str, section: str) -> tuple[bool | None, int | None]:
    from thv.config import reader
    from thv.config.yaml import plain_reader

    text = reader.read_text(path)
    if text is None:
        return None, None
    found = plain_reader.entries(text)
    if found is not None:
        lines = {keys: (value, line) for keys, value, line in found}
        in_its_place, _ = lines.get((section,), ("", 0))
        value, line = lines.get((section, key), ("", 0))
        if not in_its_place and not line:
            return None, None
        if not in_its_place and value.lower() in BOOLEANS:
            return BOOLEANS[value.lower()], line

    from thv.config.yaml import document

    scalar = document.get_scalar(text, (section, key), path=path)
    return (None, None) if scalar is None else (boolean_in(scalar, f"{section}.{key}", path), scalar.line)


def boolean_in(scalar: Scalar, name: str, path: str) -> bool:
    """The boolean that the value of the setting means, quoted or not. `name` and `path` are for errors.

    Raises:
        ConfigError: it means none.
    """
    from thv.config.yaml import document

    word = scalar.value.strip().lower()
    if word not in BOOLEANS or not document.has_core_tag(scalar):
        shown = "nothing" if scalar.is_empty else repr(scalar.value[:40])
        raise ConfigError(
            f"{name} is {shown}, which is not a boolean; write true or false",
            path=path,
            line=scalar.line,
            column=scalar.column,
        )
    return BOOLEANS[word]


def _home(environ: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        return environ.get("USERPROFILE", "") or os.path.expanduser("~")
    else:  # noqa: RET505  the form that type checkers understand on every platform
        if home := environ.get("HOME", ""):
            return home
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # a container may run under a user id that has no name
            return os.sep
