"""The front under attack: clients that leave, lie, flood or share a server with ill intent."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import PATIENCE, until
from tests.http.fronts import CHATTY, FrontRun, call, initialize, stateless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTE = {"jsonrpc": "2.0", "method": "notifications/anything"}
CANCEL = {"jsonrpc": "2.0", "method": "notifications/cancelled"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the harness finds processes the POSIX way")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontRun]:
    with FrontRun(CHATTY, tmp_path_factory.mktemp("shared"), "--shared") as run:
        yield run
        assert "internal error" not in run.stop()


def post_and_leave(front: FrontRun, body: object, **headers: str) -> None:
    """Send a request, and close the connection before the answer."""
    connection = front.connection()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/mcp", json.dumps(body), {"Content-Type": "application/json", **named})
    connection.close()


def test_a_cancelled_request_of_one_client_does_not_draw_the_questions_of_the_server(shared: FrontRun) -> None:
    first, second = shared.begin(), shared.begin()
    stream = shared.open("POST", call(1, "silent", {}), Mcp_Session_Id=first, Accept="text/event-stream")
    shared.post(CANCEL | {"params": {"requestId": 1}}, Mcp_Session_Id=first)
    assert [message["error"]["code"] for message in stream.rest()] == [-32800]
    asking = shared.open("POST", call(1, "ask", {}), Mcp_Session_Id=second)
    [question] = asking.until(1)
    assert question["method"] == "roots/list"
    answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
    assert shared.post(answer, Mcp_Session_Id=first).status == 202, "taken, but it was not asked: nothing comes of it"
    assert shared.post(answer | {"result": {"roots": [1]}}, Mcp_Session_Id=second).status == 202
    assert asking.rest()[-1]["result"] == {"answer": {"roots": [1]}}
    for session in (first, second):
        shared.request("DELETE", Mcp_Session_Id=session)


@pytest.mark.parametrize("theirs", ["7.0", "7", '"\\u0037"', '"7"', "123456789012345678901234567890", "-0", "1E400"])
def test_ids_that_look_alike_stay_with_their_clients(theirs: str, shared: FrontRun) -> None:
    sessions = [shared.begin() for _ in range(2)]
    for number, session in enumerate(sessions):
        body = b'{"jsonrpc":"2.0","params":{"id":7,"method":"%d"},"id":%b,"method":"m%d"}'
        reply = shared.post(body % (number, theirs.encode(), number), Mcp_Session_Id=session)
        assert (f'"id": {theirs}' in reply.body.decode(), reply.json()["result"]) == (True, {"method": f"m{number}"})
        shared.request("DELETE", Mcp_Session_Id=session)


def test_nobody_cancels_the_request_of_another(shared: FrontRun) -> None:
    victim, attacker = shared.begin(), shared.begin()
    stream = shared.open("POST", call(9, "slow", {"seconds": 0.5}), Mcp_Session_Id=victim, Accept="text/event-stream")
    assert shared.post(CANCEL | {"params": {"requestId": 9}}, Mcp_Session_Id=attacker).status == 202
    assert "result" in stream.rest()[-1]
    for session in (victim, attacker):
        shared.request("DELETE", Mcp_Session_Id=session)


def test_a_session_whose_client_left_in_the_middle_of_a_call_ends_in_its_time(tmp_path: Path) -> None:
    """Fails where the one session that is allowed stays taken: `until` raises."""
    with FrontRun(CHATTY, tmp_path, "--session-ttl", "0.4", "--max-sessions", "1") as front:
        session = front.begin()
        post_and_leave(front, call(1, "silent", {}), Mcp_Session_Id=session, Accept="application/json")
        until(lambda: front.post(initialize()).status == 200)
        front.stop()


def test_a_client_that_left_before_the_stream_began_has_cancelled_in_the_newest_revision(front: FrontRun) -> None:
    message, headers = stateless(call(1, "silent", {}))
    connection = front.connection()
    connection.request("POST", "/mcp", json.dumps(message), {"Content-Type": "application/json", **headers})
    asked, headers = stateless(call(2, "cancelled", {}))
    assert front.post(asked, **headers).json()["result"]["cancelled"] == 0, "the server has the first call, too"
    connection.close()
    until(lambda: front.post(asked, **headers).json()["result"]["cancelled"] > 0)


def test_a_server_that_dies_at_once_is_a_bad_gateway(tmp_path: Path) -> None:
    with FrontRun(["--", sys.executable, "-c", "raise SystemExit(9)"], tmp_path) as front:
        reply = front.post(initialize())
        assert (reply.status, "exit code 9" in reply.json()["error"]["message"]) == (502, True)
        until(lambda: "exit code 9" in front.request("GET", path="/health").json()["reason"])
        front.stop()


def flood(sock: socket.socket, piece: bytes) -> None:
    """Send it until the other side has had enough."""
    try:
        for _ in range(20_000):
            sock.sendall(piece)
    except OSError:
        return
    pytest.fail("160 MB were taken")


def test_trailers_without_end_are_cut_off(front: FrontRun) -> None:
    """Fails in `flood`, where the connection takes all of it."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as sock:
        sock.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        )
        line = b"X-Trailer: " + b"x" * 8000 + b"\r\n"
        flood(sock, line)


def test_chunk_extensions_without_end_are_cut_off(front: FrontRun) -> None:
    """Fails in `flood`, where the connection takes all of it."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as sock:
        sock.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2;a="
        )
        flood(sock, b"x" * 8000)


SMUGGLED = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 40",
    "a length and chunks": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    "a length with a sign": b"Content-Length: +2",
    "an unknown coding": b"Transfer-Encoding: chunked, identity",
    "a folded line": b"Transfer-Encoding:\r\n chunked",
}


@pytest.mark.parametrize("framing", SMUGGLED.values(), ids=SMUGGLED)
def test_ambiguous_framing_is_refused(framing: bytes, front: FrontRun) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as sock:
        sock.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + framing)
        sock.sendall(b"\r\n\r\n{}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        with suppress(ConnectionResetError):  # it was refused before all of it was read
            while piece := sock.recv(65536):
                answer += piece
    assert b"HTTP/1.1 200" not in answer


@pytest.mark.parametrize(
    "fields",
    [
        "Host: evil.example",
        "Host: 127.0.0.1.evil.example",
        "Host: 127.0.0.1@evil.example",
        "Host: 127.0.0.1.",
        "Host: [::ffff:8.8.8.8]",
        "Host: localhost\r\nHost: evil.example",
        "Host: localhost\r\nOrigin: null",
        "Host: localhost\r\nOrigin: http://localhost.evil.example",
        "Host: localhost\r\nOrigin: http://localhost@evil.example",
        "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example",
        "Host: localhost\r\nOrigin: file://",
        "Host: localhost\r\nOrigin: http://localhost:80x",
        "X: y",
    ],
)
def test_a_page_of_another_site_is_refused(fields: str, front: FrontRun) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=PATIENCE) as sock:
        sock.sendall(f"GET /health HTTP/1.1\r\n{fields}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer[:12] in {b"HTTP/1.1 403", b"HTTP/1.1 400"}


def test_a_batch_has_a_bound(front: FrontRun) -> None:
    session = front.begin("2025-03-26")
    assert front.post([NOTE] * 1000, Mcp_Session_Id=session).status == 202
    assert front.post([NOTE] * 1001, Mcp_Session_Id=session).status == 413
    front.request("DELETE", Mcp_Session_Id=session)
