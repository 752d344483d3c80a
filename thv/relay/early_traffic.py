"""Holds the traffic that passes before it can be inspected.

The relay starts at once, while the decoder is still being imported (30 ms). Until then chunks wait in one queue, in the
order in which they passed: a request always before its reply. Each keeps the time at which it passed. Imports next to
nothing.
"""

from __future__ import annotations

import _thread
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from thv.core.interfaces import TrafficObserver

QUEUE_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait for the decoder; beyond, the relay waits with them. Inspecting late must not cost memory."""


class EarlyTrafficBuffer:
    """Takes the relay's traffic until `begin` names its observer, and passes it on from then.

    `on_client_data` and `on_server_data` are called on two threads, `begin` on a third one.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._begun = _thread.allocate_lock()
        self._begun.acquire()
        self._waiting: list[tuple[bool, bytes, int]] = []
        self._size = 0
        self._observer: TrafficObserver | None = None

    def on_client_data(self, chunk: bytes) -> None:
        """A chunk is about to be forwarded to the server."""
        if self._hold(chunk, from_client=True) and self._observer is not None:
            self._observer.on_client_data(chunk)

    def on_server_data(self, chunk: bytes) -> None:
        """A chunk was forwarded to the client."""
        if self._hold(chunk, from_client=False) and self._observer is not None:
            self._observer.on_server_data(chunk)

    def begin(self, observer: TrafficObserver) -> None:
        """Give the observer what waited, in order, and from now on everything at once."""
        while True:
            with self._lock:
                waiting, self._waiting, self._size = self._waiting, [], 0
                if not waiting:
                    self._observer = observer
                    break
            for is_from_client, chunk, at_ns in waiting:
                (observer.on_client_data if is_from_client else observer.on_server_data)(chunk, at_ns)
        self._begun.release()

    def _hold(self, chunk: bytes, *, from_client: bool) -> bool:
        """Queue `chunk`; True when it must be passed on now instead, because there is an observer."""
        with self._lock:
            if self._observer is not None:
                return True
            if self._size < QUEUE_LIMIT:
                self._waiting.append((from_client, chunk, perf_counter_ns()))
                self._size += len(chunk)
                return False
        self._begun.acquire()
        self._begun.release()
        return True
