"""Retries: as often as helps, never beyond the time for one export, and never once the session ends."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from tests.collector import Answer, Backend
from tests.sink import PATIENCE
from thv.telemetry.agent.over_http import HttpTransport
from thv.telemetry.agent.retry import Sender
from thv.telemetry.frames import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 60.0
"""Seconds that a test never waits."""


@contextmanager
def sender(backend: Backend, timeout_s: float, ending: Event | None = None) -> Iterator[Sender]:
    with closing(Sender(HttpTransport(Signal(f"{backend.url}/v1/traces")), timeout_s, ending or Event())) as made:
        yield made


def test_a_passing_failure_is_tried_again_until_it_passes() -> None:
    soon = Answer(503, {"Retry-After": "0.01"})
    with Backend([soon, soon]) as backend, sender(backend, PATIENCE) as sending:
        assert sending.send(b"body").cause is None
        assert [post.body for post in backend.posts] == [b"body"] * 3


def test_without_a_word_of_the_server_pauses_grow_within_the_time_for_one_export() -> None:
    with Backend([Answer(503)] * 9) as backend, sender(backend, 2.0) as sending:
        delivery = sending.send(b"")
        assert delivery.cause is not None
        assert len(backend.posts) == 2, "one pause of a second fits, one of two more does not"


def test_a_server_that_asks_for_a_long_pause_is_left_alone_and_the_batch_given_up() -> None:
    ending = Event()
    with Backend([Answer(503, {"Retry-After": "3600"})]) as backend, sender(backend, 2.0, ending) as sending:
        begun = time.monotonic()
        assert sending.send(b"first").cause is not None
        assert time.monotonic() - begun < 2, "a pause that does not fit is not waited for"
        thread = Thread(target=sending.send, args=(b"second",))
        thread.start()
        thread.join(0.3)
        assert len(backend.posts) == 1, "the next batch waits, too"
        ending.set()
        thread.join(PATIENCE)
        assert [post.body for post in backend.posts] == [b"first", b"second"], "the end gets one try"


def test_the_end_of_the_session_ends_a_pause_with_one_last_try() -> None:
    ending = Event()
    with Backend([Answer(503, {"Retry-After": "30"})] * 9) as backend, sender(backend, LONG, ending) as sending:
        thread = Thread(target=sending.send, args=(b"",))
        thread.start()
        backend.wait_for(lambda: len(backend.posts) == 1)
        ending.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert len(backend.posts) == 2
