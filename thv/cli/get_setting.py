"""`thv config otel get`, after its words are understood: the bare value on stdout, what overrides it on stderr.

The one answer, whoever reads the words: it is asked all day, so it imports nothing slow. Also joins what the settings
commands say to who decides on usage analytics.
"""

from __future__ import annotations

import os
import sys

from thv.config import otel
from thv.config.settings import SECTION, USAGE_ANALYTICS_ENABLED, config_path
from thv.console import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def get_setting(key: str, *, reveal: bool) -> None:
    """Print the value of a setting: the file's, else its default, or nothing if it has none.

    Raises:
        SettingError: there is no such setting.
        ConfigError: the file cannot be read, or holds what the setting cannot be.
    """
    shown = otel.get(config_path(os.environ), key, os.environ, refused=refused, reveal=reveal)
    if shown.value:
        put_line(shown.value)
    say_if_overridden(shown)


def put_line(text: str) -> None:
    """One line of the answer; characters that stdout cannot show become question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding) + "\n")
    sys.stdout.flush()


def say_if_overridden(shown: otel.Shown) -> None:
    """One line on stderr where the environment makes a setting something else."""
    if not shown.is_overridden:
        return
    if shown.name == USAGE_ANALYTICS_ENABLED:
        say(f"usage analytics stay off all the same: {shown.reason}")
    else:
        value = shown.effective or "empty"
        say(f"the environment overrides {SECTION}.{shown.name}: {shown.variable} makes it {value}")


def refused(environ: Mapping[str, str]) -> str | None:
    """Which variable keeps usage analytics off, whatever the file says; None if none does."""
    from thv.analytics.consent import decide
    from thv.ports import BooleanReading

    consent = decide(environ, lambda: BooleanReading(value=True))
    return None if consent.enabled else consent.source
