"""The options of `thv run` that are settings of the user's telemetry: one for each key of the file, and two switches.

Made of the table of settings, so that a key cannot be without its option. Imported for a help or where one is typed.
"""

from __future__ import annotations

from thv.config.settings import (
    BOOLEAN,
    ENDPOINT,
    FRACTION,
    HEADERS,
    KEYS,
    MAP,
    MAPS,
    NAMES,
    PROTOCOL,
    SWITCHES,
    TEXT,
    USAGE_ANALYTICS_ENABLED,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.config.settings import Setting

YOUR_TELEMETRY = "Your telemetry, for this run"

METAVARS = {
    ENDPOINT: "ADDRESS",
    PROTOCOL: "PROTOCOL",
    FRACTION: "RATE",
    TEXT: "NAME",
    NAMES: "NAME",
    MAP: "KEY=VALUE",
    HEADERS: "KEY=VALUE",
    BOOLEAN: None,
}
"""How the value of each kind is called in the help."""


def rows() -> list[tuple[str, str, str | None, bool]]:
    """The setting's name, a line for the help, how its value is called, and whether it may be given several times."""
    return [_row(setting) for setting in (*KEYS.values(), *SWITCHES.values())]


def _row(setting: Setting) -> tuple[str, str, str | None, bool]:
    text = setting.help
    if setting.name == USAGE_ANALYTICS_ENABLED:
        text = "=false: no anonymous usage analytics. It cannot turn them on."
    elif setting.kind == BOOLEAN and setting.default == "true":
        text = f"=false: do not {text[0].lower()}{text[1:]}"
    return setting.name, text, METAVARS[setting.kind], setting.kind in {NAMES, *MAPS}
