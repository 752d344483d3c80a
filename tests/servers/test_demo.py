"""The demo server is a real MCP server: right in every revision, and not to be brought down by any line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.harness import until
from thv.servers import demo
from thv.servers.resolve import resolve

ARGV = resolve("demo", [], environ={}).argv
PATIENCE = 60.0

STATELESS = {demo.VERSION_KEY: "2026-07-28", demo.CAPABILITIES_KEY: {}}


def request(method: str, params: Any = None, request_id: Any = 1) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "id": request_id, "method": method}
    return message if params is None else message | {"params": params}


def call(tool: str, arguments: Any, request_id: Any = 1, **meta: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return request("tools/call", params | {"_meta": meta} if meta else params, request_id)


class Played:
    """A server in this process, and what it wrote."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.server = demo.Server(self.lines.append)

    def send(self, message: Any) -> list[Any]:
        """What the server answers to one message, or to one raw line."""
        before = len(self.lines)
        self.server.receive(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.server.finish()
        for line in self.lines:
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
        return [json.loads(line) for line in self.lines[before:]]

    def ask(self, message: dict[str, Any]) -> Any:
        """The one reply to a request."""
        replies = self.send(message)
        assert len(replies) == 1
        assert replies[0]["jsonrpc"] == "2.0"
        assert replies[0]["id"] == message["id"]
        return replies[0]


@pytest.fixture
def played() -> Played:
    return Played()


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        *((version, version) for version in demo.HANDSHAKE_VERSIONS),
        ("2026-07-28", "2025-11-25"),  # that revision has no handshake
        ("1999-01-01", "2025-11-25"),
        ("", "2025-11-25"),
    ],
)
def test_the_handshake_agrees_on_a_revision_both_know(played: Played, offered: str, agreed: str) -> None:
    params = {"protocolVersion": offered, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    result = played.ask(request("initialize", params))["result"]
    assert result["protocolVersion"] == agreed
    assert result["capabilities"] == {"tools": {}}
    assert set(result["serverInfo"]) >= {"name", "version"}


def test_a_handshake_without_version_is_refused(played: Played) -> None:
    assert played.ask(request("initialize", {}))["error"]["code"] == -32602


def test_a_ping_is_answered_with_nothing(played: Played) -> None:
    assert played.ask(request("ping"))["result"] == {}


def test_discovery_answers_in_the_stateless_revision(played: Played) -> None:
    result = played.ask(request("server/discover", {"_meta": STATELESS}))["result"]
    assert result["supportedVersions"] == ["2026-07-28"]
    assert (result["resultType"], result["cacheScope"]) == ("complete", "public")
    assert result["ttlMs"] > 0
    assert result["_meta"][demo.SERVER_INFO_KEY]["name"] == "thv-demo"


@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
def test_results_take_the_form_of_the_revision_the_request_names(played: Played, method: str) -> None:
    params = {"name": "echo", "arguments": {"text": "x"}} if method == "tools/call" else {}
    plain = played.ask(request(method, params))["result"]
    stateless = played.ask(request(method, params | {"_meta": STATELESS}))["result"]
    assert not {"resultType", "ttlMs", "cacheScope", "_meta"} & set(plain)
    assert stateless["resultType"] == "complete"
    assert ("ttlMs" in stateless) == (method == "tools/list")
    assert plain.items() <= stateless.items()


def test_a_version_nobody_knows_is_answered_with_those_that_are(played: Played) -> None:
    error = played.ask(request("tools/list", {"_meta": STATELESS | {demo.VERSION_KEY: "2099-01-01"}}))["error"]
    assert error["code"] == -32022
    assert error["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


@pytest.mark.parametrize(
    "meta", [{}, {demo.VERSION_KEY: "2026-07-28"}, {demo.VERSION_KEY: 1, demo.CAPABILITIES_KEY: {}}]
)
def test_discovery_without_what_each_request_must_carry_is_refused(played: Played, meta: dict[str, Any]) -> None:
    assert played.ask(request("server/discover", {"_meta": meta}))["error"]["code"] == -32602


@pytest.mark.parametrize("method", ["initialize", "ping"])
def test_what_the_stateless_revision_removed_is_not_found_there(played: Played, method: str) -> None:
    params = {"protocolVersion": "2025-11-25", "_meta": STATELESS}
    assert played.ask(request(method, params))["error"]["code"] == -32601


def test_every_tool_describes_itself_with_valid_schemas_and_annotations(played: Played) -> None:
    tools = played.ask(request("tools/list"))["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["add", "echo", "now", "fail", "wait"]
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        jsonschema.Draft202012Validator.check_schema(tool.get("outputSchema", {}))
        assert tool["description"]
        assert tool["annotations"]["readOnlyHint"] is True


def test_a_cursor_that_was_never_given_is_refused(played: Played) -> None:
    assert played.ask(request("tools/list", {"cursor": "x"}))["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("a", "b", "total"), [(2, 3, 5), (0.5, 1, 1.5), (-1, 1, 0), (10**400, 1, 10**400 + 1), (1e308, 1, 1e308)]
)
def test_add_gives_text_and_structure_that_fits_its_schema(played: Played, a: float, b: float, total: float) -> None:
    result = played.ask(call("add", {"a": a, "b": b}))["result"]
    assert result["isError"] is False
    assert result["structuredContent"] == {"sum": total}
    assert json.loads(result["content"][0]["text"]) == total
    schema: Any = next(tool for tool in demo.TOOLS if tool["name"] == "add")["outputSchema"]
    jsonschema.validate(result["structuredContent"], schema)


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("fail", {"message": "as you wish"}, "as you wish"),
        ("fail", {}, "failed on demand"),
        ("fail", None, "failed on demand"),
        ("add", {"a": 1}, "missing argument: b"),
        ("add", {"a": 1, "b": "2"}, "b must be a number"),
        ("add", {"a": 1, "b": True}, "b must be a number"),
        ("add", {"a": 1, "b": None}, "b must be a number"),
        ("add", {"a": 1, "b": 2, "c": 3}, "unknown argument: c"),
        ("add", {"a": 1.7e308, "b": 1.7e308}, "too large"),
        ("add", {"a": 10**400, "b": 0.5}, "too large"),
        ("add", {"a": int("9" * 4300), "b": 1}, "too large"),
        ("echo", {"text": 1}, "text must be a string"),
        ("wait", {"seconds": -1}, "seconds must be between 0 and 60"),
        ("wait", {"seconds": 61}, "seconds must be between 0 and 60"),
        ("wait", {"seconds": 10**400}, "seconds must be between 0 and 60"),
        ("wait", {}, "missing argument: seconds"),
    ],
)
def test_what_a_tool_cannot_do_is_a_result_the_model_can_read(
    played: Played, tool: str, arguments: Any, says: str
) -> None:
    result = played.ask(call(tool, arguments))["result"]
    assert result["isError"] is True
    assert says in result["content"][0]["text"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": "no-such-tool"}, -32602),
        ({"name": "wait", "arguments": [1]}, -32602),
        ({"name": "add", "arguments": "x"}, -32602),
        ({"name": 1}, -32602),
        ({}, -32602),
        ([], -32602),
        ("x", -32602),
        ({"name": "add", "_meta": []}, -32602),
    ],
)
def test_a_call_that_is_malformed_is_a_protocol_error(played: Played, params: Any, code: int) -> None:
    assert played.ask(request("tools/call", params))["error"]["code"] == code


def test_an_unknown_method_is_not_found(played: Played) -> None:
    error = played.ask(request("resources/list"))["error"]
    assert (error["code"], error["message"]) == (-32601, "Method not found: resources/list")


@pytest.mark.parametrize("request_id", [0, 1, -7, "1", "", "ü\u2028", 1.0, 10**300])
def test_the_reply_carries_the_id_as_it_came(played: Played, request_id: Any) -> None:
    reply = played.ask(request("ping", request_id=request_id))
    assert reply["id"] == request_id
    assert type(reply["id"]) is type(request_id)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"garbage\n", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping"', -32700),
        (b"\xff\xfe\x00\n", -32700),
        (b"NaN\n", -32700),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}\n', -32700),
        (b"[" * 100_000 + b"\n", -32700),
        (b"9" * 5000 + b"\n", -32700),
        (b"1\n", -32600),
        (b"null\n", -32600),
        (b'"text"\n', -32600),
        (b"{}\n", -32600),
        (b"[]\n", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}\n', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}\n', -32600),
    ],
)
def test_a_line_that_is_no_request_is_answered_with_what_is_wrong(played: Played, line: bytes, code: int) -> None:
    replies = played.send(line)
    assert [reply["error"]["code"] for reply in replies] == [code]
    assert played.ask(request("ping"))["result"] == {}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"  \r\n",
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[]}}\n',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}\n',
        b'{"jsonrpc":"2.0","method":"no/such/notification"}\n',
        b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}\n',
        b'[{"jsonrpc":"2.0","method":"notifications/initialized"}]\n',
    ],
)
def test_what_takes_no_answer_gets_none(played: Played, line: bytes) -> None:
    assert played.send(line) == []


def test_crlf_and_a_byte_order_mark_do_no_harm(played: Played) -> None:
    line = b"\xef\xbb\xbf" + json.dumps(request("ping")).encode() + b"\r\n"
    assert played.send(line) == [{"jsonrpc": "2.0", "id": 1, "result": {}}]


def test_a_batch_is_answered_by_one_batch_without_its_notifications(played: Played) -> None:
    batch = [
        request("ping", request_id=1),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call("wait", {"seconds": 0}, request_id=2),
        7,
        request("nope", request_id="3"),
    ]
    (replies,) = played.send(batch)
    assert [reply.get("id") for reply in replies] == [1, 2, None, "3"]
    assert ["result" in reply for reply in replies] == [True, True, False, False]


def test_waiting_reports_progress_only_to_who_asked(played: Played) -> None:
    *reports, reply = played.send(call("wait", {"seconds": 0.02}, progressToken="t"))
    assert [report["method"] for report in reports] == ["notifications/progress"] * demo.PROGRESS_STEPS
    done = [report["params"]["progress"] for report in reports]
    assert done == sorted(set(done))
    assert done[-1] == 0.02
    assert {(report["params"]["progressToken"], report["params"]["total"]) for report in reports} == {("t", 0.02)}
    assert reply["result"]["isError"] is False
    assert len(played.send(call("wait", {"seconds": 0.01}))) == 1
    assert len(played.send(call("wait", {"seconds": 0.01}, progressToken=[1]))) == 1


def test_waiting_in_the_stateless_revision_answers_in_its_form(played: Played) -> None:
    assert played.ask(call("wait", {"seconds": 0}, **STATELESS))["result"]["resultType"] == "complete"


def test_a_cancelled_wait_ends_at_once_and_is_never_answered(played: Played) -> None:
    began = time.monotonic()
    played.server.receive(json.dumps(call("wait", {"seconds": 60}, request_id="w")).encode())
    assert played.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "w"}}) == []
    assert time.monotonic() - began < 30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

NEARLY = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | JSON},
    optional={
        "id": st.integers() | st.text() | JSON,
        "method": st.sampled_from(["ping", "initialize", "tools/list", "tools/call", "server/discover"]) | JSON,
        "params": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["add", "echo", "now", "fail", "no"]) | JSON,
                "arguments": JSON
                | st.fixed_dictionaries({"a": JSON, "b": JSON})
                | st.fixed_dictionaries({"text": JSON}),
                "_meta": JSON | st.just(STATELESS),
                "protocolVersion": JSON,
                "cursor": JSON,
            },
        ),
    },
)


@given(NEARLY | st.lists(NEARLY, max_size=3))
def test_whatever_is_asked_each_request_is_answered_once_and_never_with_an_internal_error(message: Any) -> None:
    replies = Played().send(message)
    flat = replies[0] if replies and isinstance(replies[0], list) else replies
    asked = [
        item for item in (message if isinstance(message, list) else [message]) if "method" in item and "id" in item
    ]
    assert len(flat) >= len(asked)
    for reply in flat:
        assert ("result" in reply) != ("error" in reply)
        assert reply.get("error", {}).get("code") != demo.INTERNAL_ERROR


@given(st.binary())
def test_no_line_brings_it_down(line: bytes) -> None:
    played = Played()
    played.send(line.replace(b"\n", b" ") + b"\n")
    assert played.ask(request("ping"))["result"] == {}


def test_at_the_end_of_input_open_calls_are_finished_and_the_exit_code_is_0() -> None:
    messages = [call("wait", {"seconds": 0.2}, request_id=7), request("ping", request_id=8)]
    sent = b"\n".join(json.dumps(message).encode() for message in messages)  # the last line has no newline
    ended = subprocess.run(ARGV, input=sent, capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0
    assert ended.stderr == b""
    assert [json.loads(line)["id"] for line in ended.stdout.splitlines()] == [8, 7]


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    with subprocess.Popen(ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdin
        assert server.stdout
        assert server.stderr
        server.stdout.close()
        waits = [call("wait", {"seconds": 60}, request_id="w"), request("ping")]
        server.stdin.write("".join(json.dumps(message) + "\n" for message in waits).encode())
        server.stdin.flush()
        assert server.wait(PATIENCE) == 1
        assert server.stderr.read() == b""


def test_it_needs_nothing_of_the_machine_it_runs_on() -> None:
    hostile = {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": "/nowhere"}
    line = json.dumps(request("ping")).encode()
    ended = subprocess.run(ARGV, input=line, env=hostile, cwd="/", capture_output=True, timeout=PATIENCE, check=False)
    assert json.loads(ended.stdout)["result"] == {}
    code = f"import sys, runpy; runpy.run_path({ARGV[-1]!r}); print([n for n in sys.modules if n.startswith('thv')])"
    seen = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


def test_replies_of_many_threads_never_mix() -> None:
    lines: list[bytes] = []
    others = set(threading.enumerate())
    server = demo.Server(lines.append)
    for number in range(20):
        server.receive(json.dumps(call("wait", {"seconds": 0.01}, request_id=number, progressToken=number)).encode())
    server.finish()
    replies = [json.loads(line) for line in lines]
    assert sorted(reply["id"] for reply in replies if "id" in reply) == list(range(20))
    until(lambda: others.issuperset(threading.enumerate()), "the end of every thread")


def test_now_is_the_time_in_utc(played: Played) -> None:
    text = played.ask(call("now", {}))["result"]["content"][0]["text"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
