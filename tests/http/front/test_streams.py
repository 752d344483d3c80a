"""Event streams of the front: which one a message goes to, how one is resumed, and what the end of one means."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.harness import PATIENCE, until
from tests.http.fronts import PING, FrontRun, call

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


def test_progress_goes_with_the_request_that_asked_for_it(front: FrontRun, session: str) -> None:
    listening = front.open("GET", Mcp_Session_Id=session)
    events = front.post(call(1, "progress", {}, progressToken="p"), Mcp_Session_Id=session).events()
    assert [event.get("method", "reply") for event in events] == ["notifications/progress"] * 3 + ["reply"]
    front.post({"jsonrpc": "2.0", "method": "notifications/shout"}, Mcp_Session_Id=session)
    assert [event["method"] for event in listening.until(1)] == ["test/shout"]
    listening.cut()


def test_everything_else_goes_to_the_get_stream_or_waits_for_one(front: FrontRun, session: str) -> None:
    shout = {"jsonrpc": "2.0", "method": "notifications/shout", "params": {"n": 1}}
    front.post(shout, Mcp_Session_Id=session)
    front.post(PING, Mcp_Session_Id=session, Accept="application/json")  # the server has shouted by now
    listening = front.open("GET", Mcp_Session_Id=session)
    assert listening.headers["x-accel-buffering"] == "no"
    assert listening.until(1)[0]["params"] == {"params": {"n": 1}}
    assert (
        front.post(call(1, "log", {"count": 2}), Mcp_Session_Id=session).headers["content-type"] == "application/json"
    )
    assert [event["method"] for event in listening.until(3)][1:] == ["notifications/message"] * 2
    listening.cut()


def test_without_a_get_stream_a_message_goes_with_the_oldest_open_post(front: FrontRun, session: str) -> None:
    events = front.post(call(1, "log", {"count": 2}), Mcp_Session_Id=session).events()
    assert [event.get("method") for event in events] == ["notifications/message"] * 2 + [None]


def test_the_server_may_ask_and_is_answered_by_another_post(front: FrontRun, session: str) -> None:
    asked = front.open("POST", call(1, "ask", {}), Mcp_Session_Id=session)
    assert asked.until(1)[0]["method"] == "roots/list"
    answer = {"jsonrpc": "2.0", "id": "from-server", "result": {"roots": []}}
    assert front.post(answer, Mcp_Session_Id=session).status == 202
    assert asked.rest()[-1]["result"] == {"answer": {"roots": []}}


def test_what_a_client_lost_it_gets_again_and_nothing_else(front: FrontRun, session: str) -> None:
    lost = front.open("POST", call(1, "slow", {"seconds": 2}), Mcp_Session_Id=session)  # primed after a second
    assert lost.headers["content-type"] == "text/event-stream"
    lost.until_primed()
    lost.cut()
    resumed = front.open("GET", Mcp_Session_Id=session, Last_Event_ID=lost.ids[-1])
    assert [event["id"] for event in resumed.rest()] == [1]
    again = front.open("GET", Mcp_Session_Id=session, Last_Event_ID=lost.ids[-1])
    assert [event["id"] for event in again.rest()] == [1]
    done = front.open("GET", Mcp_Session_Id=session, Last_Event_ID=resumed.ids[-1])
    assert done.rest() == []


def test_a_get_stream_is_resumed_where_it_broke(front: FrontRun, session: str) -> None:
    listening = front.open("GET", Mcp_Session_Id=session)
    for number in (1, 2, 3):
        front.post({"jsonrpc": "2.0", "method": "notifications/shout", "params": number}, Mcp_Session_Id=session)
    assert [event["params"]["params"] for event in listening.until(3)] == [1, 2, 3]
    first = listening.ids[-3]
    listening.cut()
    front.post({"jsonrpc": "2.0", "method": "notifications/shout", "params": 4}, Mcp_Session_Id=session)
    resumed = front.open("GET", Mcp_Session_Id=session, Last_Event_ID=first)
    assert [event["params"]["params"] for event in resumed.until(3)] == [2, 3, 4]
    resumed.cut()


def test_a_client_that_leaves_has_not_cancelled(front: FrontRun, session: str) -> None:
    with socket.create_connection(("127.0.0.1", front.port)) as raw:
        body = json.dumps(call(1, "slow", {"seconds": 0.3})).encode()
        raw.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\n"
            b"Mcp-Session-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (session.encode(), len(body), body)
        )
    assert front.post(PING, Mcp_Session_Id=session).status == 200


def test_a_cancelled_request_ends_though_the_server_says_nothing(front: FrontRun, session: str) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(front.post, call(1, "silent", {}), Mcp_Session_Id=session)
        until(lambda: front.post(PING, Mcp_Session_Id=session).status == 200)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        until(lambda: front.post(note, Mcp_Session_Id=session).status == 202 and waiting.done(), "the end of the POST")
        reply = waiting.result(PATIENCE)
        found = reply.events()[-1] if "event-stream" in reply.headers["content-type"] else reply.json()
        assert found["error"]["code"] == -32800


def test_when_the_newest_get_stream_goes_an_older_one_gets_what_comes(front: FrontRun, session: str) -> None:
    older = front.open("GET", Mcp_Session_Id=session)
    newer = front.open("GET", Mcp_Session_Id=session)
    shout = {"jsonrpc": "2.0", "method": "notifications/shout", "params": {"number": 1}}
    front.post(shout, Mcp_Session_Id=session)
    assert newer.until(1)[0]["params"] == {"params": {"number": 1}}
    newer.cut()

    def heard() -> bool:
        front.post(shout, Mcp_Session_Id=session)
        return bool(older.until(1))

    until(heard)
    assert older.messages[0]["params"] == {"params": {"number": 1}}
    older.cut()
