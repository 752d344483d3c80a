"""What a session's journal keeps of calls, whichever way they come: each of them, in the order in which they ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.journal.journals import call
from thv.journal.call_record import decode_batch
from thv.journal.session_journal import MANY_AT_ONCE, MANY_REQUESTS, SessionJournal

if TYPE_CHECKING:
    from thv.core.interfaces import EndedCall

MOMENTS = st.lists(
    st.tuples(st.sampled_from([1, 2, MANY_AT_ONCE - 1, MANY_AT_ONCE, MANY_REQUESTS]), st.sampled_from(["", "f", "sf"])),
    max_size=12,
)
"""How many calls end in one moment, and which of them in turn succeed or fail; without a word all succeed."""


@given(st.lists(MOMENTS.filter(bool), max_size=6))
def test_every_call_is_kept_in_its_order_and_its_moment(looks: list[list[tuple[int, str]]]) -> None:
    session = SessionJournal(1, "s", "stdio", notify=lambda: None, hurry=lambda: None)
    expected: list[tuple[int, int, bool]] = []  # the moment, the bytes of the reply as a number of its own, failed
    moment, number = 1_000_000_000, 0
    for look in looks:
        chunks: list[tuple[int, list[EndedCall]]] = []
        for count, pattern in look:
            moment += 5_000_000
            calls: list[EndedCall] = []
            for index in range(count):
                number += 1
                failed = bool(pattern) and pattern[index % len(pattern)] == "f"
                calls.append(("error", call(), None, number, moment) if failed else (7, "t", 10, number))
                expected.append((moment // 1000, number, failed))
            chunks.append((moment, calls))
        session.calls_ended(chunks, succeeded=not any(pattern for _, pattern in look))
    session.encode_pending()
    kept = [
        (chunk.ended_us, record.response_bytes, record.failed)
        for batch in session.batches()
        for chunk in decode_batch(batch.records)
        for record in chunk.records
    ]
    stored = len(kept)  # what one write takes
    assert [(number, failed) for _, number, failed in kept] == [each[1:] for each in expected[:stored]]
    offsets = [at_us - expected[index][0] for index, (at_us, _, _) in enumerate(kept)]
    assert max(offsets, default=0) - min(offsets, default=0) < 1_000_000  # the two clocks are read at each encoding
    assert stored == len(expected) or session._encoded_bytes > sum(len(batch.records) for batch in session.batches())
    assert (session.requests, session.calls) == (len(expected), len(expected))
    assert session.errors == sum(failed for _, _, failed in expected)


def test_what_every_session_loads_compiles_no_patterns_for_printing() -> None:
    """They take a third of a MiB. A name that cannot be stored as it is gets no pattern, either."""
    code = (
        "import sys; from thv.journal.session_journal import SessionJournal; "
        "session = SessionJournal(1, 'a\\udcffb', 'stdio', notify=print, hurry=print); "
        "assert session.server == 'a\\ufffdb'; raise SystemExit('thv.core.printable' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False, timeout=60).returncode == 0
