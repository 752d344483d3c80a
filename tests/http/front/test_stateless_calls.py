"""Requests of 2026-07-28, which need no session: headers that repeat the body, statuses, and clients apart."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.harness import PATIENCE, until
from tests.http.fronts import ACCEPTED, CHATTY, FrontRun, call, initialize, stateless
from thv.core.message import read_message
from thv.http.front.stateless_call import stateless_status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


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


@pytest.mark.parametrize(("code", "status"), [("-32601", 404), ("-32601.0", 404), ("NaN", 200), ("1e400", 200)])
def test_an_error_of_any_code_has_a_status(code: str, status: int) -> None:
    message = read_message(b'{"jsonrpc":"2.0","id":1,"error":{"code":%b,"message":""}}' % code.encode())
    assert message is not None

    assert stateless_status(message) == status


@pytest.mark.parametrize("options", [(), ("--shared",)])
def test_a_signal_ends_every_open_request_with_an_error(options: tuple[str, ...], tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool, FrontRun(CHATTY, tmp_path, *options) as front:
        message, headers = stateless(call("in a stream", "silent", {}))
        stream = front.open("POST", message, **headers, Accept="text/event-stream")
        message, headers = stateless(call("in one piece", "silent", {}))
        one_piece = pool.submit(front.post, message, **headers, Accept="application/json")
        message, headers = stateless(call(1, "unanswered", {}))
        until(lambda: front.post(message, **headers).json()["result"]["unanswered"] == 2, "both requests")
        front.process.terminate()
        stopping = {"code": -32603, "message": "thv is stopping"}
        assert stream.rest() == [{"jsonrpc": "2.0", "id": "in a stream", "error": stopping}]
        assert one_piece.result(PATIENCE).status == 502
        assert one_piece.result().json() == {"jsonrpc": "2.0", "id": "in one piece", "error": stopping}
        assert front.wait() == 0


@pytest.mark.parametrize("options", [(), ("--shared",)])
def test_a_server_that_ends_fails_each_open_request_under_its_own_id(options: tuple[str, ...], tmp_path: Path) -> None:
    with FrontRun(CHATTY, tmp_path, *options) as front:
        message, headers = stateless(call(1.5, "silent", {}))
        stream = front.open("POST", message, **headers, Accept="text/event-stream")
        message, headers = stateless(call("x", "die", {}))
        reply = front.post(message, **headers, Accept="application/json")
        assert (reply.status, reply.json()["id"]) == (502, "x")
        assert "exit code 7" in reply.json()["error"]["message"]
        assert [(event["id"], event["error"]) for event in stream.rest()] == [(1.5, reply.json()["error"])]
        front.stop()


def test_a_server_that_cannot_be_started_fails_the_request_under_its_own_id(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    with FrontRun(["--", str(program)], tmp_path) as front:
        program.unlink()
        message, headers = stateless(call("x", "anything", {}))
        for reply, id_ in ((front.post(message, **headers), "x"), (front.post(initialize()), 0)):
            assert (reply.status, reply.json()["id"]) == (502, id_)
            assert "cannot be started" in reply.json()["error"]["message"]
        front.stop()


STUBBORN = """
import json, pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
started, was_asked = map(pathlib.Path, sys.argv[1:])
with started.open("a") as file:
    file.write("x")
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/list":
        was_asked.touch()
    elif "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {}}), flush=True)
"""
"""A server that lists no tools, stays after SIGTERM, and notes each of its starts."""


def test_a_request_that_waits_for_its_server_at_the_end_gets_an_error_and_no_other_starts_a_server(
    tmp_path: Path,
) -> None:
    started, was_asked = tmp_path / "started", tmp_path / "asked"
    server = ["--", sys.executable, "-ISc", STUBBORN, str(started), str(was_asked)]
    with ThreadPoolExecutor(1) as pool, FrontRun(server, tmp_path) as front:
        other = front.connection()
        other.connect()
        message, headers = stateless(call(1, "anything", {}))
        waiting = pool.submit(front.post, message, **headers)
        until(was_asked.exists, "the question for the tools")
        until(lambda: front.request("GET", path="/health").status == 200, "health")
        starts = started.read_text()
        front.process.terminate()
        reply = waiting.result(PATIENCE)
        assert (reply.status, reply.json()["id"], "error" in reply.json()) == (503, 1, True)
        message, headers = stateless({"jsonrpc": "2.0", "id": 2, "method": "server/discover"})
        with suppress(ConnectionError, HTTPException):  # thv may have ended already
            other.request("POST", "/mcp", json.dumps(message), ACCEPTED | headers)
            assert other.getresponse().status == 503
        other.close()
        assert front.wait() == 0
        assert started.read_text() == starts
