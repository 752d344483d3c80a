"""Who looks may come late: nothing passed unseen, nothing out of order, and little was kept."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.relay.early_traffic import QUEUE_LIMIT, EarlyTrafficBuffer

PATIENCE = 60.0
"""Seconds any wait may take before a test fails."""

Seen = list[tuple[str, bytes]]


class Observer:
    """Writes down what passes, and since when it is known."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.times: list[int] = []

    def on_client_data(self, chunk: bytes, at_ns: int = 0) -> None:
        self.seen.append(("client", chunk))
        self.times.append(at_ns)

    def on_server_data(self, chunk: bytes, at_ns: int = 0) -> None:
        self.seen.append(("server", chunk))
        self.times.append(at_ns)


def begin(hearing: EarlyTrafficBuffer, seen: Seen) -> None:
    hearing.begin(Observer(seen))


@given(st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=20))), st.integers(0, 30))
def test_everything_is_shown_once_and_in_order_whenever_somebody_begins_to_look(passed: Seen, at: int) -> None:
    hearing, seen = EarlyTrafficBuffer(), Seen()
    for position, (side, chunk) in enumerate(passed):
        if position == at:
            begin(hearing, seen)
        (hearing.on_client_data if side == "client" else hearing.on_server_data)(chunk)
    if at >= len(passed):
        begin(hearing, seen)
    assert seen == passed


@pytest.mark.parametrize("round_", range(10))
def test_a_request_is_shown_before_its_reply_while_three_threads_meet(round_: int) -> None:
    hearing, seen = EarlyTrafficBuffer(), Seen()
    forwarded: SimpleQueue[bytes | None] = SimpleQueue()
    count = 3000

    def upward() -> None:
        for number in range(count):
            hearing.on_client_data(b"%d" % number)
            forwarded.put(b"%d" % number)
        forwarded.put(None)

    def downward() -> None:
        while (request := forwarded.get()) is not None:
            hearing.on_server_data(request)

    threads = [threading.Thread(target=task, daemon=True) for task in (upward, downward)]
    for thread in threads:
        thread.start()
    for _ in range(round_ * 20):
        forwarded.empty()  # some time passes
    begin(hearing, seen)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    for side in ("client", "server"):
        assert [chunk for at, chunk in seen if at == side] == [b"%d" % number for number in range(count)]
    position = {shown: index for index, shown in enumerate(seen)}
    assert all(position["client", b"%d" % n] < position["server", b"%d" % n] for n in range(count))


def test_the_relay_waits_once_as_much_as_may_wait_is_waiting() -> None:
    hearing, seen = EarlyTrafficBuffer(), Seen()
    chunk = bytes(QUEUE_LIMIT // 4)
    shown = []

    def upward() -> None:
        for number in range(8):
            hearing.on_client_data(chunk)
            shown.append(number)

    thread = threading.Thread(target=upward, daemon=True)
    thread.start()
    thread.join(0.5)  # it does not end by itself, so this cannot be too short
    assert thread.is_alive()
    assert len(shown) <= 4
    begin(hearing, seen)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert seen == [("client", chunk)] * 8


def test_what_is_shown_late_is_shown_with_the_time_at_which_it_passed() -> None:
    hearing = EarlyTrafficBuffer()
    observer = Observer([])
    before = time.perf_counter_ns()
    hearing.on_client_data(b"request")
    between = time.perf_counter_ns()
    hearing.on_server_data(b"reply")
    after = time.perf_counter_ns()
    hearing.begin(observer)
    hearing.on_client_data(b"live")
    assert observer.seen == [("client", b"request"), ("server", b"reply"), ("client", b"live")]
    request_at, reply_at, live = observer.times
    assert before <= request_at <= between <= reply_at <= after
    assert live == 0


def test_a_look_that_raises_leaves_the_hearing_open_for_another_one() -> None:
    hearing, seen = EarlyTrafficBuffer(), Seen()
    hearing.on_client_data(b"one")

    class Failing(Observer):
        def on_client_data(self, chunk: bytes, at_ns: int = 0) -> None:
            raise RuntimeError("a bug in looking")

    with pytest.raises(RuntimeError):
        hearing.begin(Failing(seen))
    begin(hearing, seen)
    hearing.on_client_data(b"two")
    assert seen == [("client", b"two")]
