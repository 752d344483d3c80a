"""The sections of the config file and their settings: names, kinds, defaults; and where the file is.

A section is data. Everything that reads, changes, lists or completes settings (`thv.config.settings_file`, `thv config
NAME`, the completion scripts) works on any `Section`, so a new one is an entry of `SECTIONS` and nothing else. Any part
may import this; it imports nothing slow, because `thv run` needs it at once.
"""

# ruff: noqa: PTH111, PTH117, PTH118  pathlib costs milliseconds that the start of `thv run` does not have

from __future__ import annotations

import os
import sys

from thv.errors import SettingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

SECTION: Final = "otel"
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
HEADERS: Final = "headers"
MILLISECONDS: Final = "milliseconds"
COMPRESSION: Final = "compression"
TEMPORALITY: Final = "temporality"
PORT: Final = "port"
COUNT: Final = "count"
POSITIVE: Final = "positive"
SIZE: Final = "size"
AGE: Final = "age"

MAPS: Final = frozenset({MAP, HEADERS})
"""The kinds whose value is a map of strings."""


class Setting:
    """One key of a section: its name, the kind of its value, its default as the file would write it, and its meaning.

    `default` is "" for a setting that has none. `secret` marks values that are never printed unasked. `env` names the
    variables that come before the file, the strongest first; `thv.config.settings_from_environment` says what each one
    means, unless the setting is `refusable`: then they, and what else the caller knows, can only turn it off.
    """

    __slots__ = ("default", "env", "help", "kind", "name", "refusable", "secret", "section")

    def __init__(
        self,
        name: str,
        kind: str,
        default: str,
        help_: str,
        *,
        secret: bool = False,
        env: tuple[str, ...] = (),
        refusable: bool = False,
        section: str = SECTION,
    ) -> None:
        self.refusable = refusable
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
            env=(
                "DO_NOT_TRACK",
                "CI",
                "OTEL_SDK_DISABLED",
                "TOOLHIVE_USAGE_ANALYTICS_ENABLED",
                "TOOLHIVE_USAGE_METRICS_ENABLED",
            ),
            refusable=True,  # by `thv.analytics.consent`
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
            HEADERS,
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
            "use-legacy-attributes",
            BOOLEAN,
            "true",
            "Put our older attribute names beside those of the OpenTelemetry conventions.",
        ),
        Setting(
            "enable-prometheus-metrics-path",
            BOOLEAN,
            "false",
            "Serve your metrics at /metrics on 127.0.0.1:9464.",
            env=("OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER"),
        ),
    )
}
"""Every key under `otel:`, in the order in which they are listed."""

SWITCHES: Final = {
    switch.name: switch
    for switch in (
        Setting("capture-arguments", BOOLEAN, "false", "Put tool arguments and results on spans, redacted and cut."),
        Setting("propagate", BOOLEAN, "false", "Pass our trace context to the server: changes params._meta."),
    )
}
"""Options of `thv run` without a key in the file, because they touch the content of messages."""


class Section:
    """One top-level key of the file and the settings under it.

    Attributes:
        name: the key, and the command's name: ``thv config NAME``.
        keys: its settings by name, in the order in which they are listed.
    """

    __slots__ = ("keys", "name")

    def __init__(self, name: str, keys: dict[str, Setting]) -> None:
        self.name = name
        self.keys = keys

    def setting(self, name: str) -> Setting:
        """The setting called `name`.

        Raises:
            SettingError: there is none; names the nearest ones.
        """
        try:
            return self.keys[name]
        except KeyError:
            from difflib import get_close_matches

            keys, word = self.keys, name.lower()
            near = get_close_matches(word, keys, n=3, cutoff=0.5) or [key for key in keys if word and word in key]
            hint = f"did you mean {' or '.join(near)}?" if near else f"the keys are {', '.join(keys)}"
            raise SettingError(f"there is no setting {name!r}; {hint}") from None


OTEL: Final = Section(SECTION, KEYS)

JOURNAL_KEYS: Final = {
    setting.name: setting
    for setting in (
        Setting(
            JOURNAL_ENABLED,
            BOOLEAN,
            "true",
            "Keep a local journal of how requests ended, as shown by thv log, top, report and why.",
            env=(JOURNAL_VARIABLE,),
            refusable=True,
            section="journal",
        ),
        Setting(
            JOURNAL_MAX_SIZE, SIZE, "64MiB", "The most bytes the journal takes; the oldest go first.", section="journal"
        ),
        Setting(JOURNAL_MAX_AGE, AGE, "30d", "How long anything stays in the journal.", section="journal"),
    )
}
"""Every key under `journal:`, likewise."""

JOURNAL: Final = Section("journal", JOURNAL_KEYS)

SECTIONS: Final = {section.name: section for section in (OTEL, JOURNAL)}


def config_path(environ: Mapping[str, str]) -> str:
    """Where the config file is: TOOLHIVE_CONFIG, else `.toolhive/config.yaml` in the home directory; empty is unset."""
    named = environ.get("TOOLHIVE_CONFIG", "")
    if not named:
        return os.path.join(_home(environ), ".toolhive", "config.yaml")
    if named[:2] in {"~/", "~" + os.sep}:  # no shell expands it in a client's JSON or an env file
        return os.path.join(_home(environ), named[2:])
    return named


def _home(environ: Mapping[str, str]) -> str:
    if sys.platform == "win32":
        return environ.get("USERPROFILE", "") or os.path.expanduser("~")
    else:  # noqa: RET505  the form that type checkers understand on every platform
        # A relative one would mean another file in each directory, and none of them the one with the user's no.
        if os.path.isabs(home := environ.get("HOME", "")):
            return home
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # a container may run under a user id that has no name
            return os.sep
