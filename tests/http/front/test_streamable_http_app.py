"""The front as HTTP clients meet it: what each request is answered with, and the health of the server behind it."""

from __future__ import annotations

import json
import re
import socket
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import PATIENCE, receive, until
from tests.http.fronts import CHATTY, PING, FrontRun, call, initialize, stateless

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")

NOTE = {"jsonrpc": "2.0", "method": "notifications/anything"}
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


@pytest.mark.parametrize("body", [json.dumps(PING).encode(), json.dumps([PING]).encode()], ids=["message", "batch"])
def test_the_mark_before_a_body_is_not_handed_on(body: bytes, front: FrontRun, session: str) -> None:
    """Editors of Windows write it; a server that reads lines takes it for a part of the message."""
    reply = front.post(b"\xef\xbb\xbf" + body, Mcp_Session_Id=session)
    assert b'"result": {"method": "ping"}' in reply.body


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


@pytest.mark.parametrize("options", [(), ("--shared",)])
def test_progress_under_a_token_of_the_other_type_goes_with_its_request(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    with FrontRun(CHATTY, tmp_path, *options) as front:
        session = front.begin()
        message, headers = stateless(call(6, "progress-as-text", {}, progressToken=6))
        other = front.open("GET", Mcp_Session_Id=session)
        for asked, named in (
            (call(6, "progress-as-text", {}, progressToken=6), {"Mcp-Session-Id": session}),
            (message, headers),
        ):
            events = front.post(asked, **named).events()
            assert [str(event["params"]["progressToken"]) for event in events[:-1]] == ["6"] * 3
            assert events[-1]["id"] == 6
        front.post({"jsonrpc": "2.0", "method": "notifications/shout"}, Mcp_Session_Id=session)
        assert [event["method"] for event in other.until(1)] == ["test/shout"]
        other.cut()
        front.stop()


@pytest.mark.parametrize("options", [(), ("--shared",)])
@pytest.mark.parametrize("unnamed", [{}, {"id": None}])
def test_an_error_that_names_no_request_answers_the_only_one_that_is_open(
    unnamed: dict[str, None], options: tuple[str, ...], tmp_path: Path
) -> None:
    with FrontRun(CHATTY, tmp_path, *options) as front:
        error = {"code": -32700, "message": "unreadable"}
        arguments = {"line": json.dumps({"jsonrpc": "2.0", **unnamed, "error": error})}
        reply = front.post(call("x", "raw", arguments), Mcp_Session_Id=front.begin())
        assert reply.json() == {"jsonrpc": "2.0", "id": "x", "error": error}
        message, headers = stateless(call(6, "raw", arguments))
        assert front.post(message, **headers).json() == {"jsonrpc": "2.0", "id": 6, "error": error}
        front.stop()


ACCEPT = {
    "application/json, text/event-stream;q=0": "application/json",
    "application/json;q=0, text/event-stream": "text/event-stream",
    "*/*, text/event-stream;q=0.00": "application/json",
    "application/*;q=0, application/json ; Q=0.1": "application/json",
    "text/*": "text/event-stream",
    "*/*;q=0": None,
    "application/json5, text/event-streams": None,
    'text/html; x="application/json"': None,
    "application/json ; q = 0": None,
}


@pytest.mark.parametrize(("accept", "answered"), ACCEPT.items())
def test_what_the_client_does_not_accept_is_not_sent(
    accept: str, answered: str | None, front: FrontRun, session: str
) -> None:
    reply = front.post(PING, Mcp_Session_Id=session, Accept=accept)
    assert (reply.status, reply.headers["content-type"]) == (
        (406, "application/json") if answered is None else (200, answered)
    )
