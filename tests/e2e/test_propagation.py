"""Passing the trace context on is the only thing that ever changes a byte, and only where it was asked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.e2e.harness import Run, behind_thv, python
from tests.http.fronts import FrontRun, stateless

if TYPE_CHECKING:
    from pathlib import Path

# Writes down every byte it is sent, and answers what has an id.
SERVER = """
import json, sys
with open(sys.argv[1], "wb") as seen:
    for line in sys.stdin.buffer:
        seen.write(line)
        try:
            id_ = json.loads(line).get("id")
        except ValueError:
            continue
        if id_ is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": id_, "result": {}}), flush=True)
"""

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LINES = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}\n',
    b'{"method":"notifications/initialized"}\r\n',
    b"no JSON \xff\n",
    b'{"id":2,"method":"tools/call","params":{"name":"x","_meta":{"traceparent":"%b","a":1}}}\n' % PARENT.encode(),
    b'{"id":3,"method":"ping"}',
)
TO_NOWHERE = ("--otel-endpoint", "http://127.0.0.1:9")


def what_arrives(tmp_path: Path, *options: str) -> bytes:
    seen = tmp_path / "seen"
    with Run(behind_thv(python(SERVER, str(seen)), *TO_NOWHERE, *options), tmp_path) as run:
        code, out, _ = run.finish(b"".join(LINES))
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == [1, 2, 3]
    return seen.read_bytes()


def test_telemetry_alone_changes_no_byte(tmp_path: Path) -> None:
    assert what_arrives(tmp_path) == b"".join(LINES)


def test_each_request_carries_our_context_to_the_server_and_nothing_else_changes(tmp_path: Path) -> None:
    arrived = what_arrives(tmp_path, "--otel-propagate")
    ours = re.findall(rb'"traceparent":"(00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])"', arrived)
    assert len(ours) == len(set(ours)) == 3
    assert ours[1].startswith(PARENT[:36].encode())
    assert ours[1][36:52] != PARENT[36:52].encode()
    restored = arrived.replace(b',"_meta":{"traceparent":"%b"}' % ours[0], b"")
    restored = restored.replace(ours[1], PARENT.encode())
    restored = restored.replace(b',"params":{"_meta":{"traceparent":"%b"}}' % ours[2], b"")
    assert restored == b"".join(LINES)


# Answers with the context that came with the request.
TELLING = """
import json, sys
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message:
        result = {"protocolVersion": "2025-11-25", "got": message["params"].get("_meta", {}).get("traceparent")}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


def test_over_http_each_request_carries_our_context_in_the_trace_of_its_client(tmp_path: Path) -> None:
    posted = json.loads(LINES[3])
    modern, headers = stateless({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
    modern["params"]["_meta"] |= {"traceparent": PARENT}
    for options in ([], ["--shared"]):
        with FrontRun([*TO_NOWHERE, "--otel-propagate", *options, "--", *python(TELLING)], tmp_path) as front:
            session = front.begin()
            replies = [front.post(posted, Mcp_Session_Id=session), front.post(modern, **headers)]
            bare = front.post({"jsonrpc": "2.0", "id": 3, "method": "x", "params": {}}, Mcp_Session_Id=session)
            front.stop()
        ours = [reply.json()["result"]["got"] for reply in replies]
        assert all(each.startswith(PARENT[:36]) and each[36:52] != PARENT[36:52] for each in ours)
        assert ours[0] != ours[1]
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", bare.json()["result"]["got"])
