"""A writer with a store of its own, calls to append to it, and what a test reads back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.e2e.harness import until
from thv.journal.journal_reader import CallFilter, JournalReader
from thv.journal.writer import JournalWriter
from thv.ledger.open_requests import OpenRequest

if TYPE_CHECKING:
    from pathlib import Path

    from thv.core.interfaces import EndedCall
    from thv.journal.journal_reader import LoggedCall
    from thv.journal.session_journal import SessionJournal

MIB = 1 << 20

OPENED: list[JournalReader] = []
"""Readers that a test opened, for the fixture that closes them."""


class Journal:
    """One store, as one thv process writes it."""

    def __init__(self, directory: Path, *, max_bytes: int = 64 * MIB, max_age_s: float = 1e6) -> None:
        self.path = directory / "journal" / "journal.db"
        self.warnings: list[str] = []
        self.writer = JournalWriter(
            str(self.path), max_bytes=max_bytes, max_age_s=max_age_s, activity=lambda: 0, warn=self.warnings.append
        )

    def session(self, server: str = "s") -> SessionJournal:
        """A session that begins now."""
        return self.writer.open_session(server, "stdio")

    def close(self) -> None:
        """Write everything, and wait until the store is closed, which a session does not."""
        self.writer.close(60)
        if (thread := self.writer._thread) is not None:
            thread.join(60)
            assert not thread.is_alive()

    def reader(self) -> JournalReader:
        """The store, opened as the commands open it; closed when the test has ended."""
        reader = JournalReader(str(self.path))
        OPENED.append(reader)
        return reader

    def calls(self, **wanted: object) -> list[LoggedCall]:
        """Every call there is."""
        reader = JournalReader(str(self.path))
        try:
            return reader.last_calls(CallFilter(**wanted), 1 << 40)  # type: ignore[arg-type]  # the test's own words
        finally:
            reader.close()

    def size(self) -> int:
        """Bytes of everything the journal keeps."""
        return sum(file.stat().st_size for file in self.path.parent.iterdir())

    def until_stored(self, calls: int) -> None:
        """Wait for so many calls."""
        until(lambda: len(self.calls()) >= calls, f"{calls} calls in the store")


def call(name: str = "t", *, ms: float = 1.0) -> OpenRequest:
    """A call that began a moment ago."""
    return OpenRequest(0, 0, name=name, started_ns=time.perf_counter_ns() - int(ms * 1e6), request_bytes=10)


def end(session: SessionJournal, *names: str, outcome: str = "success", size: int = 20) -> None:
    """End one call of each name now, all of them in one chunk."""
    calls = [call(name) for name in names]
    now = time.perf_counter_ns()
    succeeded = outcome == "success"
    logged: list[EndedCall] = [
        ((now - each.started_ns) // 1000, each.name, each.request_bytes, size)
        if succeeded
        else ("error", each, None, size, now)
        for each in calls
    ]
    session.calls_ended([(now, logged)], succeeded=succeeded)
