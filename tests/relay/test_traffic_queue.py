"""Looking comes late: nothing passes unseen, nothing out of order, little is kept, and nothing waits for a look."""

from __future__ import annotations

import _thread
import threading
import time
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.relay import traffic_queue
from thv.relay.traffic_queue import CHUNKS_LIMIT, LARGE, MANY, QUEUE_LIMIT, TrafficQueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thv.core.interfaces import PassedChunk

PATIENCE = 60.0
"""Seconds any wait may take before a test fails."""

Seen = list[tuple[str, bytes]]


class Observer:
    """Writes down what passes, since when it is known, and on which thread.

    Args:
        seen: where.
        slow: chunks that begin with this take long: they are looked at where there is time.
    """

    def __init__(self, seen: Seen, slow: bytes | None = None) -> None:
        self.seen = seen
        self.times: list[int] = []
        self.threads: list[int] = []
        self.looks = 0
        self._slow = slow

    def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
        self.looks += 1
        for number, (is_client, chunk, at_ns) in enumerate(traffic):
            if self._slow is not None and chunk.startswith(self._slow) and not is_patient:
                return number
            self.seen.append(("client" if is_client else "server", chunk))
            self.times.append(at_ns)
            self.threads.append(threading.get_ident())
        return len(traffic)


@contextmanager
def never_later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the thread that looks a moment later."""
    with monkeypatch.context() as patch:
        patch.setattr(traffic_queue, "MOMENT_S", PATIENCE)
        yield


def wait_for(seen: Seen, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(seen) < count:
        assert time.monotonic() < end
        time.sleep(0.001)


@given(st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=20))), st.integers(0, 30))
def test_everything_is_shown_once_and_in_order_whenever_somebody_begins_to_look(passed: Seen, at: int) -> None:
    queue, seen = TrafficQueue(), Seen()
    for position, (side, chunk) in enumerate(passed):
        if position == at:
            queue.begin(Observer(seen))
        (queue.on_client_data if side == "client" else queue.on_server_data)(chunk)
    if at >= len(passed):
        queue.begin(Observer(seen))
    queue.close()
    assert seen == passed
    queue.on_client_data(b"late")
    assert seen[-1] == ("client", b"late")


@pytest.mark.parametrize("slow", [None, b"7"], ids=["quick", "some take long"])
@pytest.mark.parametrize("is_direct", [False, True], ids=["later", "direct"])
@pytest.mark.parametrize("round_", range(5))
def test_a_request_is_shown_before_its_reply_while_four_threads_meet(
    round_: int, slow: bytes | None, is_direct: bool
) -> None:
    queue, seen = TrafficQueue(is_direct=is_direct), Seen()
    forwarded: SimpleQueue[bytes | None] = SimpleQueue()
    count = 3000

    def upward() -> None:
        for number in range(count):
            queue.on_client_data(b"%d" % number)
            forwarded.put(b"%d" % number)
        forwarded.put(None)

    def downward() -> None:
        while (request := forwarded.get()) is not None:
            queue.on_server_data(request)

    threads = [threading.Thread(target=task, daemon=True) for task in (upward, downward)]
    for thread in threads:
        thread.start()
    for _ in range(round_ * 20):
        forwarded.empty()  # some time passes
    queue.begin(Observer(seen, slow))
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    queue.close()
    for side in ("client", "server"):
        assert [chunk for at, chunk in seen if at == side] == [b"%d" % number for number in range(count)]
    position = {shown: index for index, shown in enumerate(seen)}
    assert all(position["client", b"%d" % n] < position["server", b"%d" % n] for n in range(count))


@pytest.mark.parametrize(
    ("size", "limit"), [(QUEUE_LIMIT // 4, 4), (1, CHUNKS_LIMIT)], ids=["large chunks", "tiny chunks"]
)
def test_the_relay_waits_once_as_much_as_may_wait_is_waiting(size: int, limit: int) -> None:
    queue, seen = TrafficQueue(), Seen()
    chunk = bytes(size)
    shown = []

    def upward() -> None:
        for number in range(2 * limit):
            queue.on_client_data(chunk)
            shown.append(number)

    thread = threading.Thread(target=upward, daemon=True)
    thread.start()
    thread.join(0.5)  # it does not end by itself, so this cannot be too short
    assert thread.is_alive()
    assert len(shown) <= limit
    queue.begin(Observer(seen))
    thread.join(PATIENCE)
    assert not thread.is_alive()
    queue.close()
    assert seen == [("client", chunk)] * 2 * limit


class WaitsError(Exception):
    """A thread would wait for the lock."""


class HeldLock:
    """A lock that another thread holds all the time; waiting for it raises `WaitsError` instead."""

    def acquire(self, blocking: bool = True) -> bool:
        if blocking:
            raise WaitsError
        return False

    def __enter__(self) -> None:
        raise WaitsError

    def __exit__(self, *_: object) -> None:
        raise AssertionError("never held")


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("chunk", [bytes(64 * 1024), bytes(4096), bytes(1000)], ids=len)
def test_the_relay_waits_once_4_mib_have_not_been_looked_at(
    side: str, chunk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise is 4 MiB and the chunk that goes beyond; small chunks are counted with every 64th."""
    queue = TrafficQueue()
    monkeypatch.setattr(queue, "_looking", HeldLock())
    take = queue.on_client_data if side == "client" else queue.on_server_data
    taken: list[int] = []

    def write() -> None:
        while sum(taken) <= 12 * 1024 * 1024:
            take(chunk)
            taken.append(len(chunk))

    with pytest.raises(WaitsError):
        write()
    slack = 0 if len(chunk) >= 4096 else 64 * len(chunk)
    assert 4 * 1024 * 1024 - len(chunk) < sum(taken) <= 4 * 1024 * 1024 + slack


def test_it_waits_likewise_while_a_look_takes_long() -> None:
    queue, seen = TrafficQueue(), Seen()
    go_on = threading.Event()

    class Slow(Observer):
        def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
            assert not is_patient or go_on.wait(PATIENCE)
            return super().on_traffic(traffic, is_patient=is_patient)

    queue.begin(Observer(seen))
    queue._observer = Slow(seen, b"slow")
    queue.on_server_data(b"slow" + bytes(LARGE))
    chunk = bytes(QUEUE_LIMIT // 4)

    def upward() -> None:
        for _ in range(8):
            queue.on_client_data(chunk)

    thread = threading.Thread(target=upward, daemon=True)
    thread.start()
    thread.join(0.5)  # as above
    assert thread.is_alive()
    assert len(queue._waiting) <= 6
    go_on.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    queue.close()
    assert len(seen) == 9


def test_what_is_shown_late_is_shown_with_the_time_at_which_it_passed() -> None:
    queue = TrafficQueue()
    observer = Observer([])
    before = time.perf_counter_ns()
    queue.on_client_data(b"request")
    between = time.perf_counter_ns()
    queue.on_server_data(b"reply")
    after = time.perf_counter_ns()
    queue.begin(observer)
    queue.on_client_data(b"live")
    queue.settle()
    last = time.perf_counter_ns()
    assert observer.seen == [("client", b"request"), ("server", b"reply"), ("client", b"live")]
    request_at, reply_at, live_at = observer.times
    assert before <= request_at <= between <= reply_at <= after <= live_at <= last


def test_a_few_chunks_are_looked_at_together_by_the_thread_that_brings_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with never_later(monkeypatch):
        queue, observer = TrafficQueue(), Observer([])
        queue.begin(observer)
        for number in range(MANY - 1):
            queue.on_client_data(b"%d" % number)
        assert (observer.looks, observer.seen) == (0, [])
        queue.on_server_data(b"last")
        assert (observer.looks, len(observer.seen), set(observer.threads)) == (1, MANY, {threading.get_ident()})


def test_fewer_than_one_call_of_a_hundred_waits_for_a_look_that_is_costly(monkeypatch: pytest.MonkeyPatch) -> None:
    with never_later(monkeypatch):
        queue, observer = TrafficQueue(), Observer([])
        queue.begin(observer, is_costly=True)
        for number in range(1000):
            queue.on_client_data(b"%d" % number)
            queue.on_server_data(b"%d" % number)
        assert observer.looks < 1000 / 100 / 2  # other things take their share of the slowest hundredth
        queue.close()
        assert len(observer.seen) == 2000


def test_what_is_rewritten_is_shown_chunk_by_chunk_however_costly() -> None:
    queue, seen = TrafficQueue(is_direct=True), Seen()
    queue.begin(Observer(seen), is_costly=True)
    queue.on_server_data(b"one")
    assert seen == [("server", b"one")]


def test_a_large_chunk_is_looked_at_at_once_and_with_it_what_waits_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with never_later(monkeypatch):
        queue, seen = TrafficQueue(), Seen()
        queue.begin(Observer(seen))
        queue.on_client_data(b"small")
        queue.on_server_data(bytes(LARGE))
        assert seen == [("client", b"small"), ("server", bytes(LARGE))]


def test_what_stands_alone_is_looked_at_a_moment_later_by_another_thread_each_time() -> None:
    queue, observer = TrafficQueue(), Observer([])
    queue.begin(observer)
    for number in range(1, 4):
        queue.on_client_data(b"%d" % number)
        wait_for(observer.seen, number)
    assert threading.get_ident() not in observer.threads


def test_what_takes_long_delays_nothing_and_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with never_later(monkeypatch):  # it is looked at right away all the same
        queue, observer = TrafficQueue(), Observer([], b"slow")
        queue.begin(observer)
        for number in range(MANY - 2):
            queue.on_client_data(b"%d" % number)
        queue.on_server_data(b"slow" + bytes(LARGE))
        queue.on_client_data(b"after")
        wait_for(observer.seen, MANY - 1)
        queue.settle()
        assert [chunk[:5] for _, chunk in observer.seen[-2:]] == [b"slow\0", b"after"]
        assert observer.threads[MANY - 2] != threading.get_ident()


def test_catching_up_shows_what_is_quick_and_leaves_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with never_later(monkeypatch):
        queue, seen = TrafficQueue(), Seen()
        queue.catch_up()  # there is no observer yet
        queue.begin(Observer(seen, b"slow"))
        queue.on_client_data(b"request")
        queue.on_server_data(b"slow")
        queue.on_client_data(b"after")
        queue.catch_up()
        assert seen == [("client", b"request")]
        queue.settle()
        assert seen == [("client", b"request"), ("server", b"slow"), ("client", b"after")]


def test_catching_up_does_not_wait_for_a_long_look() -> None:
    queue = TrafficQueue()
    looks_long, go_on = threading.Event(), threading.Event()

    class Slow(Observer):
        def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
            if is_patient and traffic:
                looks_long.set()
                assert go_on.wait(PATIENCE)
            return super().on_traffic(traffic, is_patient=is_patient)

    seen = Seen()
    queue.begin(Slow(seen, b"slow"))
    queue.on_server_data(b"slow" + bytes(LARGE))
    assert looks_long.wait(PATIENCE)
    queue.catch_up()
    assert seen == []
    go_on.set()
    queue.close()
    assert len(seen) == 1


def test_a_direct_queue_shows_each_chunk_before_the_next_one_passes() -> None:
    queue, observer = TrafficQueue(is_direct=True), Observer([], b"slow")
    queue.on_server_data(b"early")
    queue.begin(observer)
    for number, chunk in enumerate((b"one", b"slow", b"two"), start=2):
        queue.on_server_data(chunk)
        assert len(observer.seen) == number
    assert set(observer.threads) == {threading.get_ident()}


def test_without_a_thread_left_in_the_system_each_chunk_is_looked_at_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        queue.on_client_data(b"meanwhile")
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    queue, observer = TrafficQueue(), Observer([], b"slow")
    queue.begin(observer)
    assert observer.seen == [("client", b"meanwhile")]
    queue.on_client_data(b"slow")
    queue.on_server_data(b"one")
    assert observer.seen[1:] == [("client", b"slow"), ("server", b"one")]


def test_an_observer_that_raises_is_given_no_more_and_nothing_breaks() -> None:
    looks = []

    class Failing:
        def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
            looks.append((len(traffic), is_patient))
            raise RuntimeError("a bug in looking")

    queue = TrafficQueue()
    queue.on_client_data(b"one")
    queue.begin(Failing())
    queue.on_server_data(b"two")
    queue.settle()
    assert looks == [(1, True)]
    assert queue._waiting == []


def test_settling_before_anybody_looks_waits_for_nothing() -> None:
    queue, seen = TrafficQueue(), Seen()
    queue.on_client_data(b"one")
    queue.settle()
    assert seen == []
    queue.begin(Observer(seen))
    assert seen == [("client", b"one")]
