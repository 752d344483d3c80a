"""Holds what passes until it is looked at, in the order in which it passed, so that looking delays nothing.

Both directions wait in one queue, a request always before its reply, each chunk with the time at which it passed. The
thread that carries the traffic looks at a handful at once, which costs half of looking at each alone. What stands alone
is looked at a moment later, and what takes long right away, by a thread of its own: a large or odd line delays nothing
behind it. Before the decoder has been imported (30 ms) everything waits. Imports next to nothing.
"""

from __future__ import annotations

import _thread
from time import perf_counter_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.interfaces import PassedChunk, TrafficObserver

MANY = 8
"""Chunks that are looked at by the thread that brings the last of them; it takes some 5 µs."""

MANY_COSTLY = 512
"""The same where looking costs more, as telemetry does. Of eight, the slowest hundredth of calls would show the slower
looks; so many take a millisecond, but one call in 256 waits for that, and what they cost together is an eighth less.
They keep half a MiB more, which a session with telemetry has room for."""

LARGE = 4096
"""Bytes from which on a chunk does not wait for others."""

MOMENT_S = 0.05
"""Seconds after which waiting chunks are looked at even if few arrive: views may lag half a second at most."""

COUNTED_EVERY = 64
"""How many small chunks arrive between two counts of the waiting bytes, while another thread is looking."""

QUEUE_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait; beyond, the traffic waits with them. Inspecting late must not cost memory."""

CHUNKS_LIMIT = 16 * 1024
"""Chunks that may wait, likewise: each has some 200 bytes beside its own, and counting the bytes of all takes time."""

GLANCE_S = 0.02
"""Seconds that a thread which must not be delayed waits for another one to finish looking."""


class TrafficQueue:
    """Takes the traffic of one session, each direction on a thread of its own, and shows it to an observer.

    Everything waits until `begin` names the observer. One that raises is given no more.

    Args:
        is_direct: look at each chunk as it arrives. An observer needs this if it gets the other direction from
            elsewhere.
    """

    def __init__(self, *, is_direct: bool = False) -> None:
        self._is_direct = is_direct
        self._many = 1 if is_direct else MANY  # waiting chunks that are looked at
        self._waiting: list[PassedChunk] = []  # only the holder of `_looking` takes from it
        self._observer: TrafficObserver | None = None
        self._looking = _thread.allocate_lock()
        self._is_called = False  # the thread that looks later has been told that something waits
        self._call = _thread.allocate_lock()
        self._hurry = _thread.allocate_lock()
        for lock in (self._looking, self._call, self._hurry):
            lock.acquire()

    def on_client_data(self, chunk: bytes) -> None:
        """A chunk is about to be forwarded to the server."""
        waiting = self._waiting
        waiting.append((True, chunk, perf_counter_ns()))
        if len(waiting) >= self._many or len(chunk) >= LARGE:
            self._look_now(len(chunk))
        elif not self._is_called:
            self._look_later()

    def on_server_data(self, chunk: bytes) -> None:
        """A chunk was forwarded to the client."""
        waiting = self._waiting
        waiting.append((False, chunk, perf_counter_ns()))
        if len(waiting) >= self._many or len(chunk) >= LARGE:
            self._look_now(len(chunk))
        elif not self._is_called:
            self._look_later()

    def begin(self, observer: TrafficObserver, *, is_costly: bool = False) -> None:
        """Give the observer what waits, and what comes from now on; call it once.

        `is_costly`: looking is to be rare, since it takes much longer than to count outcomes.
        """
        self._observer = observer
        if is_costly and not self._is_direct:
            self._many = MANY_COSTLY
        self._look(is_patient=True)
        try:
            if not self._is_direct:
                _thread.start_new_thread(self._look_whenever_called, ())
        except RuntimeError:  # the system has no thread left
            self._be_direct()
        self._looking.release()
        if self._is_direct:
            self.settle()  # what came since

    def catch_up(self) -> None:
        """Look at what has passed, but not at what takes long: for a thread that must not be delayed."""
        if self._observer is not None and self._looking.acquire(timeout=GLANCE_S):
            try:
                self._look(is_patient=False)
            finally:
                self._looking.release()

    def settle(self) -> None:
        """Have everything looked at that has passed, however long it takes, unless there is no observer yet."""
        if self._observer is not None:
            with self._looking:
                self._look(is_patient=True)

    def close(self) -> None:
        """Have everything looked at; what comes from now on is looked at when it comes."""
        self._be_direct()
        _release(self._call)
        _release(self._hurry)
        self.settle()

    def _be_direct(self) -> None:
        self._is_direct = True
        self._many = 1

    def _look_now(self, size: int) -> None:
        """Look at what waits, unless another thread is doing so or it takes long; block only if too much would wait.

        `size` is that of the chunk that came last.
        """
        if self._is_direct and self._observer is not None:
            self.settle()
        elif self._looking.acquire(False):
            try:
                is_done = self._look(is_patient=False)
            finally:
                self._looking.release()
            if not is_done:
                self._look_later()
                _release(self._hurry)
                self._wait_if_full(size)
        else:
            if not self._is_called:
                self._look_later()
            self._wait_if_full(size)

    def _wait_if_full(self, size: int) -> None:
        waiting = self._waiting
        is_full = len(waiting) > CHUNKS_LIMIT
        if not is_full and (size >= LARGE or len(waiting) % COUNTED_EVERY == 0):
            is_full = sum([len(chunk) for _, chunk, _ in waiting[:]]) > QUEUE_LIMIT
        if is_full:
            with self._looking:
                self._look(is_patient=True)

    def _look_later(self) -> None:
        self._is_called = True
        _release(self._call)

    def _look_whenever_called(self) -> None:
        while not self._is_direct:
            self._call.acquire()
            self._hurry.acquire(timeout=MOMENT_S)
            self._is_called = False  # before looking: what comes from now on calls again
            with self._looking:
                self._look(is_patient=True)

    def _look(self, *, is_patient: bool) -> bool:
        """Show the observer what waits; False if it stopped at what takes long. With `_looking` held."""
        batch = self._waiting[:]
        count = len(batch)
        if self._observer is not None and count:
            try:
                count = self._observer.on_traffic(batch, is_patient=is_patient)
            except Exception:  # noqa: BLE001  a bug in inspection never breaks the session
                self._observer = NullObserver()
        del self._waiting[:count]
        return count == len(batch)


class NullObserver:
    """Looks at nothing, in a session that cannot be inspected."""

    def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:  # noqa: ARG002  protocol's
        """Do nothing."""
        return len(traffic)


def _release(lock: _thread.LockType) -> None:
    try:
        lock.release()
    except RuntimeError:
        pass  # released already
