"""The front as HTTP clients meet it: statuses, sessions, streams and ends, with a real server behind it."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.e2e.harness import PATIENCE, receive, until
from tests.http.fronts import FrontRun, call, initialize, stateless
from tests.processes import is_gone
from thv.core.message import read_message
from thv.http.app.stateless_call import stateless_status

if TYPE_CHECKING:
    from collections.abc import Iterator

CHATTY = ["--", sys.executable, "-IS", str(Path(__file__).parents[1] / "chatty.py")]
PING = {"jsonrpc": "2.0", "id": 5, "method": "ping"}
NOTE = {"jsonrpc": "2.0", "method": "notifications/anything"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontRun]:
    """One front for every test that leaves it as it was."""
    with FrontRun(CHATTY, tmp_path_factory.mktemp("front")) as run:
        yield run
        assert "internal error" not in run.stop()


@pytest.fixture
def session(front: FrontRun) -> Iterator[str]:
    session = front.begin()
    yield session
    front.request("DELETE", Mcp_Session_Id=session)


GOOD, ANY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}', object()

BAD: dict[str, tuple[int, str, Any, dict[str, Any]]] = {
    "no session": (400, "POST", GOOD, {}),
    "an unknown session": (404, "POST", GOOD, {"Mcp_Session_Id": "nobody"}),
    "a foreign origin": (403, "POST", GOOD, {"Mcp_Session_Id": ANY, "Origin": "http://evil.example"}),
    "a foreign host": (403, "POST", GOOD, {"Mcp_Session_Id": ANY, "Host": "evil.example"}),
    "no JSON": (400, "POST", b"{", {"Mcp_Session_Id": ANY}),
    "an empty body": (400, "POST", b"", {"Mcp_Session_Id": ANY}),
    "no object": (400, "POST", b"1", {"Mcp_Session_Id": ANY}),
    "no message": (400, "POST", b"{}", {"Mcp_Session_Id": ANY}),
    "a null id": (400, "POST", b'{"id":null,"method":"ping"}', {"Mcp_Session_Id": ANY}),
    "no UTF-8": (400, "POST", b'{"id":1,"method":"ping","params":{"a":"\xff"}}', {"Mcp_Session_Id": ANY}),
    "deep nesting": (400, "POST", b"[" * 100_000, {"Mcp_Session_Id": ANY}),
    "an empty batch": (400, "POST", b"[]", {"Mcp_Session_Id": ANY}),
    "a batch of nothing": (400, "POST", b"[1]", {"Mcp_Session_Id": ANY}),
    "a batch in a newer revision": (
        400,
        "POST",
        b"[" + GOOD + b"]",
        {"Mcp_Session_Id": ANY, "MCP_Protocol_Version": "2025-06-18"},
    ),
    "two initialize at once": (400, "POST", [initialize(), initialize()], {}),
    "another content type": (415, "POST", GOOD, {"Mcp_Session_Id": ANY, "Content_Type": "text/plain"}),
    "no content type": (415, "POST", GOOD, {"Mcp_Session_Id": ANY, "Content_Type": None}),
    "a compressed body": (415, "POST", GOOD, {"Mcp_Session_Id": ANY, "Content_Encoding": "gzip"}),
    "nothing acceptable": (406, "POST", GOOD, {"Mcp_Session_Id": ANY, "Accept": "text/html"}),
    "an impossible version": (400, "POST", GOOD, {"Mcp_Session_Id": ANY, "MCP_Protocol_Version": "newest"}),
    "an unknown version": (400, "POST", GOOD, {"Mcp_Session_Id": ANY, "MCP_Protocol_Version": "2025-01-01"}),
    "a body beyond the bound": (413, "POST", b" " * (16 << 20) + GOOD, {"Mcp_Session_Id": ANY}),
    "a GET without session": (400, "GET", None, {}),
    "a GET of an unknown session": (404, "GET", None, {"Mcp_Session_Id": "nobody"}),
    "a GET for JSON": (406, "GET", None, {"Mcp_Session_Id": ANY, "Accept": "application/json"}),
    "a GET that resumes nothing": (400, "GET", None, {"Mcp_Session_Id": ANY, "Last_Event_ID": "7-7"}),
    "a GET that resumes nonsense": (400, "GET", None, {"Mcp_Session_Id": ANY, "Last_Event_ID": "9" * 500}),
    "a GET in the newest revision": (405, "GET", None, {"MCP_Protocol_Version": "2026-07-28"}),
    "a DELETE without session": (400, "DELETE", None, {}),
    "a DELETE of an unknown session": (404, "DELETE", None, {"Mcp_Session_Id": "nobody"}),
    "a DELETE in the newest revision": (405, "DELETE", None, {"MCP_Protocol_Version": "2026-07-28"}),
    "another method": (405, "PUT", GOOD, {"Mcp_Session_Id": ANY}),
    "a preflight without origin": (405, "OPTIONS", None, {"Access_Control_Request_Method": "POST"}),
    "an OPTIONS that is no preflight": (405, "OPTIONS", None, {"Origin": "http://localhost"}),
    "another path": (404, "POST", GOOD, {"path": "/messages"}),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_its_status_and_harms_nobody(what: str, front: FrontRun, session: str) -> None:
    status, method, body, headers = BAD[what]
    filled = {name: session if value is ANY else value for name, value in headers.items()}
    try:
        reply = front.request(method, body, **filled)
        assert reply.status == status, reply.body
        if method != "HEAD":
            assert reply.json()["error"]["message"]
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413  # answered, and closed, before all of it was sent
    assert front.post(PING, Mcp_Session_Id=session).json() == {"jsonrpc": "2.0", "id": 5, "result": {"method": "ping"}}


@pytest.mark.parametrize("value", ["2025-11-25", "2025-03-26", None])
def test_every_revision_with_sessions_is_served(value: str | None, front: FrontRun, session: str) -> None:
    assert front.post(PING, Mcp_Session_Id=session, MCP_Protocol_Version=value).status == 200


def test_a_reply_has_the_bytes_of_the_server(front: FrontRun, session: str) -> None:
    reply = front.post(call(1, "anything", {}), Mcp_Session_Id=session)
    assert reply.headers["content-type"] == "application/json"
    assert reply.body == b'{"result" : {"id": 1, "ok": true} , "jsonrpc":"2.0", "id" : 1 }'


def test_notifications_and_responses_are_accepted_without_a_body(front: FrontRun, session: str) -> None:
    for message in (NOTE, {"jsonrpc": "2.0", "id": 99, "result": {}}, [NOTE, NOTE]):
        reply = front.post(message, Mcp_Session_Id=session)
        assert (reply.status, reply.body) == (202, b"")


def test_a_body_may_have_lines(front: FrontRun, session: str) -> None:
    assert front.post(json.dumps(PING, indent=2).encode(), Mcp_Session_Id=session).status == 200


def test_a_batch_is_answered_as_one(front: FrontRun, session: str) -> None:
    batch = [PING | {"id": "a"}, NOTE, PING | {"id": "b"}]
    for accept in ("application/json", "text/event-stream"):
        reply = front.post(batch, Mcp_Session_Id=session, Accept=accept)
        replies = reply.json() if accept == "application/json" else reply.events()
        assert [each["id"] for each in replies] == ["a", "b"]


def test_a_client_that_takes_events_only_gets_the_reply_as_one(front: FrontRun, session: str) -> None:
    reply = front.post(PING, Mcp_Session_Id=session, Accept="text/event-stream")
    assert reply.headers["content-type"] == "text/event-stream"
    assert [event["id"] for event in reply.events()] == [5]


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


def test_large_messages_pass_both_ways(front: FrontRun, session: str) -> None:
    reply = front.post(call(1, "big", {"size": 20 << 20}), Mcp_Session_Id=session)
    message = reply.json() if reply.headers["content-type"] == "application/json" else reply.events()[-1]
    assert len(message["result"]["text"]) == 20 << 20
    assert front.post(call(2, "anything", {"text": "y" * (8 << 20)}), Mcp_Session_Id=session).status == 200


def test_what_is_no_message_is_dropped(front: FrontRun, session: str) -> None:
    front.post(PING | {"id": 8}, Mcp_Session_Id=session)
    batch = json.dumps([{"jsonrpc": "2.0", "id": 7, "result": {}}, {"jsonrpc": "2.0", "method": "test/x"}])
    assert front.post(call(7, "raw", {"line": f"a log line\n\n{batch}"}), Mcp_Session_Id=session).status == 200


def test_an_initialize_that_is_refused_makes_no_session(front: FrontRun) -> None:
    reply = front.post(initialize("refuse"))
    assert reply.json()["error"]["code"] == -32602
    assert "mcp-session-id" not in reply.headers


def test_a_page_that_may_talk_to_us_is_told_so(front: FrontRun) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "mcp-session-id, x"}
    reply = front.request("OPTIONS", Origin="http://localhost:6274", **asked)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == "http://localhost:6274"
    assert reply.headers["access-control-allow-headers"] == "mcp-session-id, x"
    greeted = front.post(initialize(), Origin="http://localhost:6274")
    assert greeted.headers["access-control-expose-headers"] == "Mcp-Session-Id, WWW-Authenticate"
    front.request("DELETE", Mcp_Session_Id=greeted.headers["mcp-session-id"])


def test_headers_without_end_are_refused(front: FrontRun) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as raw:
        try:
            raw.sendall(b"GET /mcp HTTP/1.1\r\nX: " + b"x" * (1 << 20))
            found = raw.recv(100)
        except ConnectionError:
            found = b""
        assert found.startswith(b"HTTP/1.1 431") or not found


def test_rubbish_is_a_bad_request(front: FrontRun) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")


def test_health_says_ready_once_the_server_has_answered(front: FrontRun) -> None:
    until(lambda: front.request("GET", path="/health").status == 200, "health")
    assert front.request("HEAD", path="/health").body == b""


def test_health_says_why_it_is_not(tmp_path: Path) -> None:
    with FrontRun(["--", sys.executable, "-c", "raise SystemExit(3)"], tmp_path) as front:
        until(lambda: b"exit code 3" in front.request("GET", path="/health").body, "the reason")
        assert front.request("GET", path="/health").status == 503
        reply = front.post(initialize())
        assert reply.status == 502
        assert "exit code 3" in reply.json()["error"]["message"]
        assert "exit code 3" in front.stop()


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


def test_the_newest_revision_needs_no_session(front: FrontRun) -> None:
    message, headers = stateless(call("x", "anything", {}))
    reply = front.post(message, **headers)
    assert reply.body == b'{"result" : {"id": 1, "ok": true} , "jsonrpc":"2.0", "id" : "x" }'
    assert "mcp-session-id" not in reply.headers
    message, headers = stateless(call(1.5, "progress", {}, progressToken="mine"))
    events = front.post(message, **headers).events()
    assert [event["params"]["progressToken"] for event in events[:-1]] == ["mine"] * 3
    assert events[-1]["id"] == 1.5


@pytest.mark.parametrize(
    "change",
    [
        {"Mcp_Method": "tools/list"},
        {"Mcp_Method": None},
        {"Mcp_Name": "another"},
        {"Mcp_Name": None},
        {"Mcp_Name": "=?base64?!!?="},
        {"MCP_Protocol_Version": "2027-01-01"},
        {"MCP_Protocol_Version": None},
    ],
)
def test_headers_that_do_not_say_what_the_body_says_are_refused(change: dict[str, Any], front: FrontRun) -> None:
    message, headers = stateless(call(1, "anything", {}))
    reply = front.post(message, **{key.replace("-", "_"): value for key, value in headers.items()} | change)
    assert (reply.status, reply.json()["error"]["code"], reply.json()["id"]) == (400, -32020, 1)


def test_a_name_may_be_encoded(front: FrontRun) -> None:
    message, headers = stateless(call(1, "anything", {}), Mcp_Name="=?base64?YW55dGhpbmc=?=")
    assert front.post(message, **headers).status == 200


def test_an_unknown_method_of_the_newest_revision_is_not_found(front: FrontRun) -> None:
    message, headers = stateless({"jsonrpc": "2.0", "id": 1, "method": "unknown"})
    reply = front.post(message, **headers)
    assert (reply.status, reply.json()["error"]["code"]) == (404, -32601)


def test_in_the_newest_revision_a_client_that_leaves_has_cancelled(front: FrontRun) -> None:
    """Fails where the server never counts the cancellation: `until` raises."""
    message, headers = stateless(call(1, "silent", {}))
    front.open("POST", message, **headers, Accept="text/event-stream").cut()
    message, headers = stateless(call(2, "cancelled", {}))
    until(lambda: front.post(message, **headers).json()["result"]["cancelled"] == 1, "the cancellation")


def test_clients_that_share_a_server_hear_nothing_of_each_other(front: FrontRun) -> None:
    def one(number: int) -> Any:
        message, headers = stateless(call(1, "progress", {}, progressToken=1))
        return front.post(message, **headers).events()

    with ThreadPoolExecutor(8) as pool:
        for events in pool.map(one, range(40)):
            assert [event.get("method") for event in events] == ["notifications/progress"] * 3 + [None]
            assert events[-1]["id"] == 1


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
        assert (full.status, full.headers["retry-after"]) == (503, "5")
        listening = front.open("GET", Mcp_Session_Id=second)  # in use
        until(lambda: front.post(initialize()).status == 200, "room for a third session")
        assert front.post(PING, Mcp_Session_Id=first).status == 404
        assert front.post(PING, Mcp_Session_Id=second).status == 200
        listening.cut()
        front.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_soon_and_tells_whoever_waits(number: signal.Signals, tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path) as front:
        session = front.begin()
        listening = front.open("GET", Mcp_Session_Id=session)
        waiting: list[Any] = []
        thread = threading.Thread(
            target=lambda: waiting.append(front.post(call(1, "silent", {}), Mcp_Session_Id=session))
        )
        thread.start()
        until(lambda: front.post(PING, Mcp_Session_Id=session).status == 200)
        front.process.send_signal(number)
        assert listening.rest() == []
        thread.join(PATIENCE)
        assert waiting[0].status in {200, 404}
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


def test_the_users_telemetry_knows_the_transport_and_the_session_is_counted(tmp_path: Path) -> None:
    # The agent stays scrapable for one interval after the end.
    soon = {"OTEL_METRIC_EXPORT_INTERVAL": "500"}
    with FrontRun(["--otel-enable-prometheus-metrics-path", *CHATTY], tmp_path, env=soon) as front:
        session = front.begin()
        assert front.post(call(1, "anything", {}), Mcp_Session_Id=session).status == 200
        message, headers = stateless(call(1, "anything", {}))
        assert front.post(message, **headers).status == 200
        message, headers = stateless({"jsonrpc": "2.0", "id": 1, "method": "unknown"})
        assert front.post(message, **headers).status == 404
        while "/metrics" not in front.said:
            front.said += receive(front.stderr, line=True).decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", front.said)
        assert found is not None
        url = found[0]

        def metrics() -> str:
            with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
                return str(reply.read().decode())

        until(lambda: 'transport="streamable-http"' in metrics() and "tool_calls" in metrics(), "the metrics")
        until(
            lambda: re.search(r'tool_calls(_total)?\{[^}]*tool="anything"[^}]*\} 2', metrics()) is not None, "the calls"
        )
        answered = [line for line in metrics().splitlines() if line.startswith("toolhive_mcp_requests_total{")]
        assert {
            (re.findall('mcp_method="([^"]*)"', line)[0], re.findall('status_code="([^"]*)"', line)[0])
            for line in answered
        } == {("initialize", "200"), ("tools/call", "200"), ("unknown", "404")}
        front.stop()


@pytest.mark.parametrize(("code", "status"), [("-32601", 404), ("-32601.0", 404), ("NaN", 200), ("1e400", 200)])
def test_an_error_of_any_code_has_a_status(code: str, status: int) -> None:
    message = read_message(b'{"jsonrpc":"2.0","id":1,"error":{"code":%b,"message":""}}' % code.encode())
    assert message is not None

    assert stateless_status(message) == status


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


@pytest.mark.parametrize("options", [(), ("--shared",)])
def test_a_reply_whose_id_is_of_the_other_type_is_the_reply(options: tuple[str, ...], tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path, *options) as front:
        session = front.begin()
        reply = front.post(call(5, "as-text", {}), Mcp_Session_Id=session)
        assert (reply.status, reply.json()["result"]) == (200, {"ok": True})
        assert str(reply.json()["id"]) == "5"
        message, headers = stateless(call(6, "as-text", {}))
        assert front.post(message, **headers).json() == {"jsonrpc": "2.0", "id": 6, "result": {"ok": True}}
        front.stop()
