"""What `thv config SECTION get|set|unset` and `thv config path` do; `thv.cli.config_group` is their full command line.

The fast path and the Typer app both end here, so the two cannot answer differently. Imports nothing slow: `get` is done
as soon as the interpreter is up, `set` as soon as YAML can be edited. Also tells the settings commands what keeps usage
analytics and the journal off besides the file.
"""

from __future__ import annotations

import os

from thv.cli.output import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.config.settings import Setting
    from thv.config.settings_file import Shown

RUNNING_SESSIONS = {
    "false": "sessions that are running forget what they counted and send nothing from now on",
    "true": "sessions that start from now on report; see thv analytics status",
}
"""What a change of usage analytics means for them."""


def path() -> None:
    """`thv config path`: where the config file is, whether or not it exists."""
    from thv.config.settings import config_path

    answer(config_path(os.environ))


def get(key: str, *, section: str = "otel", reveal: bool = False) -> None:
    """`thv config SECTION get`: the value of a setting, else its default, or nothing if it has none.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be read, or holds what the setting cannot be.
    """
    from thv.config import settings_file
    from thv.config.settings import SECTIONS, config_path

    path = config_path(os.environ)
    shown = settings_file.get(path, SECTIONS[section], key, os.environ, refused=refused, reveal=reveal)
    if shown.value:
        answer(shown.value)
    _warn_if_overridden(shown)


def set_(key: str, value: str, *, section: str = "otel", add: bool = False) -> None:
    """`thv config SECTION set`: writes a setting into the config file, or with `add` one more entry of it.

    Raises:
        SettingError: there is no such setting, or it cannot be `value`.
        ConfigError: the file cannot be changed; it is untouched.
    """
    from thv.config import settings_file
    from thv.config.settings import SECTIONS, USAGE_ANALYTICS_ENABLED, config_path

    path = config_path(os.environ)
    shown = settings_file.put(path, SECTIONS[section], key, value, os.environ, refused=refused, add=add)
    _warn(f"{section}.{shown.name} is now {shown.value or 'empty'} in {path}")
    if shown.name == USAGE_ANALYTICS_ENABLED and not shown.is_overridden:
        _warn(RUNNING_SESSIONS[shown.value])
    _warn_if_overridden(shown)


def unset(key: str, *, section: str = "otel") -> None:
    """`thv config SECTION unset`: removes a setting from the config file.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be changed; it is untouched.
    """
    from thv.config import settings_file
    from thv.config.settings import SECTIONS, config_path

    path = config_path(os.environ)
    removed = settings_file.unset(path, SECTIONS[section], key)
    default = SECTIONS[section].keys[key].default or "empty"
    _warn(f"{section}.{key} {'is removed from' if removed else 'was not in'} {path}; its default is {default}")


def refused(known: Setting, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """What keeps a refusable setting off besides its value in the file: its kind and place, and in words; else None."""
    from thv.config.settings import USAGE_ANALYTICS_ENABLED

    if known.name == USAGE_ANALYTICS_ENABLED:
        from thv.instrumentation.usage_consent import UsageConsent

        for answer_ in UsageConsent(environ).answers():
            if answer_.kind == "environment" and not answer_.enabled:
                return f"environment {answer_.source.split()[0]}", answer_.source
            if answer_.kind == "remembered":
                return answer_.kind, answer_.source
            if answer_.kind == "file" and answer_.warning is not None:
                return answer_.source, answer_.warning.partition(";")[0]
        return None
    from thv.journal.journal_settings import refusal

    reason = refusal(environ)
    return None if reason is None else (f"environment {reason.split()[0]}", reason)


def analytics_refused(environ: Mapping[str, str]) -> str | None:
    """Which variable keeps usage analytics off, whatever the file says; None if none does."""
    from thv.analytics.consent import decide
    from thv.core.interfaces import BooleanReading

    consent = decide(environ, lambda: BooleanReading(value=True))
    return None if consent.enabled else consent.source


def _warn_if_overridden(shown: Shown) -> None:
    """One line on stderr where the environment makes a setting something else."""
    if not shown.is_overridden:
        return
    from thv.config.settings import USAGE_ANALYTICS_ENABLED

    if shown.reason and shown.name == USAGE_ANALYTICS_ENABLED:
        _warn(f"usage analytics stay off all the same: {shown.reason}")
    elif shown.reason:
        _warn(f"{shown.section}.{shown.name} stays off all the same: {shown.reason}")
    else:
        value = shown.effective or "empty"
        _warn(f"the environment overrides {shown.section}.{shown.name}: {shown.variable} makes it {value}")


def _warn(text: str) -> None:
    from thv.core.console import warn

    warn(text)
