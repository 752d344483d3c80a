"""The revisions of the Model Context Protocol, and what each of them began or ended. Dates: they compare as text."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

WITH_SESSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions that begin with `initialize`, oldest first. Later ones have no sessions."""

STATELESS: Final = "2026-07-28"
"""The first revision without sessions: each request names its own in `_meta`."""

BATCHES_UP_TO: Final = "2025-03-26"
"""The last revision with JSON-RPC batches, and the one that a client without a version header is taken to speak."""

PRIMES_SINCE: Final = "2025-11-25"
"""The first revision in which a stream begins with an event without data; older clients take it for bad JSON."""
