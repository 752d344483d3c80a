"""What the front keeps of a POST."""

from __future__ import annotations

import asyncio
import gc

from tests.garbage import collect_all
from thv.http.front.event_store import EventStream
from thv.http.front.pending_post import JsonDeadlines, PendingPost


def alive() -> int:
    """How many there are in this process; those that other tests left behind are cleared away."""
    collect_all()
    return sum(isinstance(each, PendingPost) for each in gc.get_objects())


def test_an_answered_post_is_not_kept_until_its_deadline() -> None:
    answered: list[bytes] = []

    async def story() -> int:
        deadlines = JsonDeadlines()
        before = alive()
        for number in range(100):
            PendingPost(
                1,
                accepts_json=True,
                accepts_events=True,
                is_batch=False,
                open_stream=lambda: EventStream(0, None),
                deadlines=deadlines,
                on_decided=lambda pending: answered.append(pending.body()),
            ).reply(b"%d\n" % number)
        return alive() - before

    kept = asyncio.run(story())
    assert answered == [b"%d" % number for number in range(100)]
    assert kept <= 1  # the last one, until the next comes
