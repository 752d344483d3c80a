"""What every command does at its end: remembers a no, and shows notices on the first terminal.

Never raises, and does next to nothing where there is nothing to do: the fast commands end here, too.
"""

# ruff: noqa: PTH118  pathlib costs milliseconds that fast commands do not have

from __future__ import annotations

import os

from thv.core.state_dir import user_state_dir

NOES = ("DO_NOT_TRACK", "OTEL_SDK_DISABLED", "TOOLHIVE_USAGE_ANALYTICS_ENABLED", "TOOLHIVE_USAGE_METRICS_ENABLED")
"""Variables that may say a no which is remembered; `thv.analytics.consent` reads them, if one is set at all."""

JOURNAL_VARIABLE = "TOOLHIVE_JOURNAL"
"""May say a no to the journal; `thv.journal.journal_settings` reads it."""

OFF_MARK = "usage-analytics-off"
"""`thv.analytics.constants` has it, too; importing that would cost what this module saves."""


def after_command() -> None:
    """Call it when a command has ended, before the process does."""
    try:
        if any(map(os.environ.get, NOES)) or os.path.lexists(os.path.join(user_state_dir(), OFF_MARK)):
            from thv.instrumentation.usage_consent import UsageConsent

            UsageConsent(os.environ).settle()
        if os.environ.get(JOURNAL_VARIABLE):
            from thv.config.settings import config_path
            from thv.journal.journal_settings import resolve

            resolve(os.environ, config_path(os.environ))  # remembers a no
        if os.isatty(2):
            _remind()
            _mention_journal()
    except Exception:  # noqa: BLE001, S110  the command is done, and its exit code stands
        pass


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
