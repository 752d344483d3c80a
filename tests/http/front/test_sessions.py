"""Sessions of the front and their servers: their number and age, what they share, and how they end."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.e2e.harness import PATIENCE, until
from tests.http.fronts import CHATTY, PING, FrontRun, call, initialize
from tests.processes import is_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


def test_a_session_that_dies_takes_no_other_with_it(front: FrontRun, session: str) -> None:
    dying = front.begin()
    listening = front.open("GET", Mcp_Session_Id=dying)
    reply = front.post(call(1, "die", {}), Mcp_Session_Id=dying)
    assert reply.status == 404
    assert "exit code 7" in reply.json()["error"]["message"]
    assert listening.rest() == []
    assert front.post(PING, Mcp_Session_Id=dying).status == 404
    assert front.post(PING, Mcp_Session_Id=session).status == 200


def test_delete_ends_the_session_and_its_server(front: FrontRun) -> None:
    session = front.begin()
    pid = front.post(call(1, "pid", {}), Mcp_Session_Id=session).json()["result"]["pid"]
    server = psutil.Process(pid)
    assert front.request("DELETE", Mcp_Session_Id=session).status == 204
    assert front.post(PING, Mcp_Session_Id=session).status == 404
    until(lambda: is_gone(server), "the end of the server")


def test_shared_sessions_keep_their_ids_apart(tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path, "--shared") as front:
        sessions = [front.begin() for _ in range(4)]
        pids = {front.post(call(1, "pid", {}), Mcp_Session_Id=each).json()["result"]["pid"] for each in sessions}
        assert len(pids) == 1
        listening = [front.open("GET", Mcp_Session_Id=each) for each in sessions]
        front.post({"jsonrpc": "2.0", "method": "notifications/shout"}, Mcp_Session_Id=sessions[0])
        assert [each.until(1)[0]["method"] for each in listening] == ["test/shout"] * 4
        events = front.post(call("é", "progress", {}, progressToken="t"), Mcp_Session_Id=sessions[1]).events()
        assert [event.get("id") for event in events] == [None, None, None, "é"]
        assert front.request("DELETE", Mcp_Session_Id=sessions[0]).status == 204
        assert front.post(PING, Mcp_Session_Id=sessions[1]).status == 200
        reply = front.post(call(1, "die", {}), Mcp_Session_Id=sessions[1])
        assert reply.status == 404
        assert front.post(PING, Mcp_Session_Id=sessions[2]).status == 404
        for each in listening:
            each.cut()
        front.begin()  # a new server
        assert "tool calls: 5 success, 1 error" in front.stop()


def test_sessions_are_bounded_in_number_and_age(tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path, "--max-sessions", "2", "--session-ttl", "1") as front:
        first, second = front.begin(), front.begin()
        full = front.post(initialize())
        assert (full.status, full.headers["retry-after"], full.json()["id"]) == (503, "5", 0)
        listening = front.open("GET", Mcp_Session_Id=second)  # in use
        until(lambda: front.post(initialize()).status == 200, "room for a third session")
        assert front.post(PING, Mcp_Session_Id=first).status == 404
        assert front.post(PING, Mcp_Session_Id=second).status == 200
        listening.cut()
        front.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_soon_and_tells_whoever_waits(number: signal.Signals, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool, FrontRun(CHATTY, tmp_path) as front:
        session = front.begin()
        listening = front.open("GET", Mcp_Session_Id=session)
        waiting = pool.submit(front.post, call(1, "silent", {}), Mcp_Session_Id=session)
        asked = call(2, "unanswered", {})
        until(
            lambda: (
                front.post(asked, Mcp_Session_Id=session, Accept="application/json").json()["result"]["unanswered"] == 1
            )
        )
        front.process.send_signal(number)
        assert listening.rest() == []
        assert waiting.result(PATIENCE).status in {200, 404}
        assert front.wait() == 0


def test_kill_leaves_no_server_behind(tmp_path: Path) -> None:
    stubborn = [*CHATTY[:1], "sh", "-c", f"trap '' TERM; {' '.join(CHATTY[1:])}; sleep 1000"]
    with FrontRun(stubborn, tmp_path) as front:
        front.begin()
        front.begin()
        family = front.family()
        assert len(family) > 4
        front.process.kill()
        front.wait()
        until(front.all_gone, "the end of every server", 20)


def test_a_server_that_ignores_its_end_is_ended_all_the_same(tmp_path: Path) -> None:
    stubborn = [*CHATTY[:1], "sh", "-c", f"trap '' TERM; {' '.join(CHATTY[1:])}; sleep 1000"]
    with FrontRun(stubborn, tmp_path) as front:
        session = front.begin()
        front.request("DELETE", Mcp_Session_Id=session)
        front.process.terminate()
        assert front.wait() == 0


def test_a_client_that_does_not_read_stops_nobody_and_costs_a_bounded_amount(tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path) as front:
        slow, other = front.begin(), front.begin()
        with socket.create_connection(("127.0.0.1", front.port)) as raw:
            raw.sendall(
                b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: %b\r\n\r\n"
                % slow.encode()
            )
            raw.recv(10)
            with ThreadPoolExecutor() as pool:
                flood = call(1, "log", {"count": 600, "size": 100_000})
                flooding = pool.submit(front.post, flood, Mcp_Session_Id=slow, Accept="application/json")
                until(lambda: front.post(PING, Mcp_Session_Id=other).status == 200)
                assert psutil.Process(front.pid).memory_info().rss < 200 << 20
                assert flooding.result(PATIENCE).status == 200  # once the slow stream was cut
            assert psutil.Process(front.pid).memory_info().rss < 200 << 20
        front.stop()


@pytest.mark.timeout(600)
def test_two_hundred_sessions_at_once(tmp_path: Path) -> None:
    def one(number: int) -> None:
        session = front.begin()
        for id_ in range(3):
            reply = front.post(call(id_, "add", {"a": number, "b": id_}), Mcp_Session_Id=session)
            assert reply.json()["result"]["structuredContent"] == {"sum": number + id_}
        everybody.wait()
        if number % 2:
            assert front.request("DELETE", Mcp_Session_Id=session).status == 204

    with FrontRun(["demo"], tmp_path, "--max-sessions", "200") as front:
        everybody = threading.Barrier(200, timeout=540)
        with ThreadPoolExecutor(200) as pool:
            list(pool.map(one, range(200)))
        assert "tool calls: 600 success, 0 errors" in front.stop()
        until(front.all_gone, "the end of every process")
