"""What a session and its connection keep while nothing waits: no queue, which takes 760 bytes when it is empty."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections import deque

import pytest

from thv.http.front.http_session import HttpSession
from thv.http.pipes import LineSource
from thv.http.server.handler_runner import HandlerRunner
from thv.http.server.http_connection import HttpConnection
from thv.instrumentation.instrumentation import SessionInstrumentation
from thv.journal.session_journal import SessionJournal
from thv.ledger.ledger import ToolCallLedger

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a thread reads the pipe there")


class Owner:
    """Owns no other connection."""

    def __init__(self) -> None:
        self.connections: set[HttpConnection] = set()
        self.runner = HandlerRunner(lambda _request: None, print)


def queues_kept_by(*roots: object) -> list[object]:
    """Every object of ours that these lead to and that refers to a `deque`."""
    found: list[object] = []
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if type(each).__module__.startswith("thv.") or isinstance(each, (dict, list, tuple)):
            referents = gc.get_referents(each)
            waiting += [other for other in referents if not isinstance(other, type)]
            found += [each for other in referents if isinstance(other, deque)]
    return found


async def fresh_session(fd: int) -> list[object]:
    loop = asyncio.get_running_loop()
    journal = SessionJournal(1, "s", "http", notify=lambda: None, hurry=lambda: None)
    instrumentation = SessionInstrumentation(ToolCallLedger((), log=journal), journal=journal)
    source = LineSource(fd)
    connection = HttpConnection(Owner(), loop)
    found = queues_kept_by(instrumentation, HttpSession("id", print), source, connection)
    source.finish()
    return found


def test_an_idle_session_keeps_no_queue() -> None:
    reading, writing = os.pipe()
    try:
        assert asyncio.run(fresh_session(reading)) == []
    finally:
        os.close(reading)
        os.close(writing)
