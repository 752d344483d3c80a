"""Lets the relay start before anything is there to listen to it.

Chunks that pass while the decoder is still being imported (30 ms) wait in one queue, in the order in which they were
seen: a request always before its reply. Each keeps the time at which it passed, for those whom times concern. Imports
next to nothing.
"""

from __future__ import annotations

import _thread
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import Look

QUEUE_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait for the decoder; beyond, the relay waits with them. Looking late must not cost memory."""


class EarlyTrafficBuffer:
    """What the relay shows its traffic to, until `begin` names who really looks.

    `from_client` and `from_server` are called on two threads, `begin` on a third one.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._begun = _thread.allocate_lock()
        self._begun.acquire()
        self._waiting: list[tuple[bool, bytes, int]] = []
        self._size = 0
        self._from_client: Look | None = None
        self._from_server: Look | None = None

    def from_client(self, chunk: bytes) -> None:
        """Show a chunk that is about to be forwarded to the server."""
        if self._hold(chunk, from_client=True) and self._from_client is not None:
            self._from_client(chunk)

    def from_server(self, chunk: bytes) -> None:
        """Show a chunk that was forwarded to the client."""
        if self._hold(chunk, from_client=False) and self._from_server is not None:
            self._from_server(chunk)

    def begin(
        self, from_client: Look, from_server: Look, passed_at: Callable[[int | None], None] | None = None
    ) -> None:
        """Show what waited, in order, and from now on everything at once.

        Args:
            from_client: shown what the client sent.
            from_server: shown what the server sent.
            passed_at: told when a chunk that waited had passed, before it is shown, as `time.perf_counter_ns` counts;
                told None before the first one that is shown as it passes. It must not raise.
        """
        while True:
            with self._lock:
                waiting, self._waiting, self._size = self._waiting, [], 0
                if not waiting:
                    if passed_at is not None:
                        passed_at(None)
                    self._from_client, self._from_server = from_client, from_server
                    break
            for is_from_client, chunk, at in waiting:
                if passed_at is not None:
                    passed_at(at)
                (from_client if is_from_client else from_server)(chunk)
        self._begun.release()

    def _hold(self, chunk: bytes, *, from_client: bool) -> bool:
        """Queue `chunk`; True when it must be shown now instead, because somebody looks."""
        with self._lock:
            if self._from_client is not None:
                return True
            if self._size < QUEUE_LIMIT:
                self._waiting.append((from_client, chunk, perf_counter_ns()))
                self._size += len(chunk)
                return False
        self._begun.acquire()
        self._begun.release()
        return True
