"""What every command does at its end: remembers a no, and shows notices on the first terminal.

A command that may run long, or be ended by a signal, remembers the no when it begins, too. Nothing here raises, and it
does next to nothing where there is nothing to do: the fast commands end here, too.
"""

# ruff: noqa: PTH110, PTH118  pathlib costs milliseconds that fast commands do not have

from __future__ import annotations

import os

from thv.core.state_dir import user_state_dir

NOES = ("DO_NOT_TRACK", "OTEL_SDK_DISABLED", "TOOLHIVE_USAGE_ANALYTICS_ENABLED", "TOOLHIVE_USAGE_METRICS_ENABLED")
"""Variables that may say a no which is remembered; `thv.analytics.consent` reads them, if one is set at all."""

JOURNAL_VARIABLE = "TOOLHIVE_JOURNAL"
"""May say a no to the journal; `thv.journal.journal_settings` reads it."""

OFF_MARK = "usage-analytics-off"
NOTICE_MARK = "usage-analytics-notice-shown"
TERMINAL_NOTICE_MARK = "usage-analytics-notice-shown-on-terminal"
JOURNAL = os.path.join("journal", "journal.db")
JOURNAL_NOTICE_MARK = os.path.join("journal", "notice-shown")
"""Files in the state directory that say whether there is anything to do.

The parts that they belong to have these names, too; importing those would cost what this module saves.
"""


def after_command() -> None:
    """Call it when a command has ended, before the process does."""
    try:
        state_dir = user_state_dir()
        is_off = _remember(state_dir)
        if os.isatty(2):
            if not is_off and _is_due(state_dir, NOTICE_MARK, TERMINAL_NOTICE_MARK):
                _remind()
            if _is_due(state_dir, JOURNAL, JOURNAL_NOTICE_MARK):
                _mention_journal()
    except Exception:  # noqa: BLE001, S110  the command is done, and its exit code stands
        pass


def remember_no() -> None:
    """Remember a no of the environment. Call it before a command that may not reach its end."""
    try:  # noqa: SIM105  contextlib costs 4 ms
        _remember(user_state_dir())
    except Exception:  # noqa: BLE001, S110  the command can do without
        pass


def _remember(state_dir: str) -> bool:
    """Remember a no to usage analytics and to the journal; whether one to usage analytics is remembered now."""
    is_off = os.path.lexists(os.path.join(state_dir, OFF_MARK))
    # DO_NOT_TRACK=1 beside the mark that remembers it changes nothing, and is what many people's shells say.
    if (is_off or any(value and name.upper() in NOES for name, value in os.environ.items())) and not (
        is_off and os.environ.get(NOES[0]) == "1"
    ):
        from thv.instrumentation.usage_consent import UsageConsent

        UsageConsent(os.environ).settle()
        is_off = os.path.lexists(os.path.join(state_dir, OFF_MARK))
    if os.environ.get(JOURNAL_VARIABLE):
        from thv.config.settings import config_path
        from thv.journal.journal_settings import resolve

        resolve(os.environ, config_path(os.environ))  # remembers a no
    return is_off


def _is_due(state_dir: str, occasion: str, shown: str) -> bool:
    """Whether there is occasion for a notice that was not shown yet."""
    return os.path.exists(os.path.join(state_dir, occasion)) and not os.path.exists(os.path.join(state_dir, shown))


def _mention_journal() -> None:
    from thv.core.console import warn_or_raise
    from thv.journal.journal_notice import show_once

    show_once(warn_or_raise)


def _remind() -> None:
    from thv.analytics import notice

    if notice.is_due_on_terminal():
        from thv.core.console import warn_or_raise
        from thv.instrumentation.usage_consent import UsageConsent

        if UsageConsent(os.environ).is_given():
            notice.show(warn_or_raise)
