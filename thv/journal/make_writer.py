"""Makes the one writer that a process has for the user's journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.journal.journal_settings import journal_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.journal.journal_settings import JournalSettings
    from thv.journal.writer import JournalWriter


def make_writer(
    settings: JournalSettings, *, activity: Callable[[], int], warn: Callable[[str], None]
) -> JournalWriter | None:
    """The writer that the settings ask for; None where the journal is off, and then nothing heavy is imported.

    Args:
        settings: what counts for this process.
        activity: as for `JournalWriter`.
        warn: as for `JournalWriter`.

    Raises:
        RuntimeError, OSError: the system names no state directory.
    """
    if not settings.enabled:
        return None
    from thv.journal.writer import JournalWriter

    return JournalWriter(
        journal_path(),
        max_bytes=settings.max_bytes,
        max_age_s=settings.max_age_s,
        activity=activity,
        warn=warn,
    )
