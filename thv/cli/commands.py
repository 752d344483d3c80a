"""What the commands that are asked all day do, once their words are understood: the answers, whoever reads the words.

`thv.__main__` and the full command line both end here, so the two cannot answer differently. Imports nothing slow:
`get` is done as soon as the interpreter is up, `set` as soon as YAML can be edited. Also joins what the settings
commands say to who decides on usage analytics.
"""

from __future__ import annotations

import os

from thv import __version__
from thv.cli.output import answer
from thv.config import service
from thv.config.settings import KEYS, SECTION, USAGE_ANALYTICS_ENABLED, config_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def version() -> None:
    """`thv --version`."""
    answer(f"thv {__version__}")


def completion(shell: str) -> None:
    """`thv completion`: the script that completes thv's words in a shell.

    Raises:
        UsageError: thv has none for `shell`.
    """
    from thv.cli.completion_script import script

    answer(script(shell).removesuffix("\n"))


def path() -> None:
    """`thv config path`: where the config file is, whether or not it exists."""
    answer(config_path(os.environ))


def get(key: str, *, reveal: bool = False) -> None:
    """`thv config otel get`: the value of a setting, else its default, or nothing if it has none.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be read, or holds what the setting cannot be.
    """
    shown = service.get(config_path(os.environ), key, os.environ, refused=refused, reveal=reveal)
    if shown.value:
        answer(shown.value)
    _say_if_overridden(shown)


def set_(key: str, value: str) -> None:
    """`thv config otel set`: writes a setting into the config file.

    Raises:
        SettingError: there is no such setting, or it cannot be `value`.
        ConfigError: the file cannot be changed; it is untouched.
    """
    where = config_path(os.environ)
    shown = service.put(where, key, value, os.environ, refused=refused)
    _say(f"{SECTION}.{shown.name} is now {shown.value or 'empty'} in {where}")
    _say_if_overridden(shown)


def unset(key: str) -> None:
    """`thv config otel unset`: removes a setting from the config file.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be changed; it is untouched.
    """
    where = config_path(os.environ)
    removed = service.unset(where, key)
    default = KEYS[key].default or "empty"
    _say(f"{SECTION}.{key} {'is removed from' if removed else 'was not in'} {where}; its default is {default}")


def refused(environ: Mapping[str, str]) -> str | None:
    """Which variable keeps usage analytics off, whatever the file says; None if none does."""
    from thv.analytics.consent import decide
    from thv.core.interfaces import BooleanReading

    consent = decide(environ, lambda: BooleanReading(value=True))
    return None if consent.enabled else consent.source


def _say_if_overridden(shown: service.Shown) -> None:
    """One line on stderr where the environment makes a setting something else."""
    if not shown.is_overridden:
        return
    if shown.name == USAGE_ANALYTICS_ENABLED:
        _say(f"usage analytics stay off all the same: {shown.reason}")
    else:
        value = shown.effective or "empty"
        _say(f"the environment overrides {SECTION}.{shown.name}: {shown.variable} makes it {value}")


def _say(text: str) -> None:
    from thv.core.console import warn

    warn(text)
