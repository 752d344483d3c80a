"""A server that breaks the protocol in one way: naughty_server.py MODE [ERA]. ERA is `initialize` or `discover`."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MODE = sys.argv[1]
ERA = sys.argv[2] if len(sys.argv) > 2 else "initialize"
OUT = sys.stdout.buffer
TOOL = {"name": "ok", "inputSchema": {"type": "object"}}
SERVER = {"capabilities": {"tools": {}}, "serverInfo": {"name": "naughty", "version": "1"}}


def close_output() -> None:
    os.close(1)
    time.sleep(600)


def read_and_exit() -> None:
    sys.stdin.readline()
    sys.exit(7)


BEFORE_READING: dict[str, Callable[[], object]] = {
    "exits": lambda: sys.exit(7),
    "reads and exits": read_and_exit,
    "logs": lambda: write(b"\xff\xfe\x00 log line\n\n\r\n" * 1000),
    "writes JSON that is no message": lambda: write(
        b'null\n[]\n1\n"x"\n[[]]\n{"level":"info"}\n' + b"[" * 5000 + b"\n"
    ),
    "closes its output": close_output,
    "floods": lambda: write(b"log line\n" * 2_000_000),
    "ends at discover": lambda: None,
}

ORDER = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "title": "How large\x1b[31m"},
        "topping": {"enum": ["none", "cheese"], "default": "none"},
        "note": {"type": "string"},
    },
    "required": ["size"],
}

INITIALIZE: dict[str, Any] = {
    "has no version": {"nope": 1},
    "speaks another version": {"protocolVersion": "1999-01-01", **SERVER},
    "is a text": "hello",
}

LISTS: dict[str, Any] = {
    "no tools": {},
    "tools that are a text": {"tools": "x"},
    "a tool without a name": {"tools": [{"inputSchema": {}}]},
    "the same cursor": {"tools": [TOOL], "nextCursor": "same"},
    "a cursor that is a number": {"tools": [TOOL], "nextCursor": 1},
    "broken schemas": {"tools": [{"name": "ok", "inputSchema": "x"}, {"name": "b", "inputSchema": {"properties": 3}}]},
    "escapes": {
        "tools": [
            {
                "name": "ok\x1b]0;pwned\x07",
                "description": "d\x1b[31m\r\nx\u202ey",
                "inputSchema": {"type": "object", "properties": {"a\x1b[2J": {"type": "str\x1b[0m"}}},
            }
        ]
    },
}

NO_REQUESTS: list[Any] = [[1], "x", 1, {"a": 1}, {"a": {}}, {"a": {"method": 1}}]

CALLS: dict[str, Any] = {
    "null": None,
    "text": "x",
    "nothing": {},
    "content that is a text": {"content": "x"},
    "content of texts": {"content": ["x"]},
    "unknown content": {"content": [{"type": "hologram", "x": 1}]},
    "content without type": {"content": [{}]},
    "text that is a number": {"content": [{"type": "text", "text": 1}]},
    "isError that is a text": {"content": [{"type": "text", "text": "t"}], "isError": "true"},
    "broken Base64": {"content": [{"type": "image", "data": "!!!", "mimeType": "image/png"}]},
    "data that is a number": {"content": [{"type": "audio", "data": 7}]},
    "resource that is a text": {"content": [{"type": "resource", "resource": "x"}]},
    "only structured content": {"structuredContent": {"a": [1, {}]}},
    "control characters": {"content": [{"type": "text", "text": "\x1b[31mred\x1b]0;t\x07\x9b1m\ttab\nline"}]},
    "a task": {"task": {"taskId": "1", "status": "working"}},
    "input without saying which": {"resultType": "input_required", "inputRequests": {}},
    "input it cannot have": {
        "resultType": "input_required",
        "inputRequests": {"a": {"method": "sampling/createMessage", "params": {}}},
    },
    **{
        f"input requested by {shown}": {"resultType": "input_required", "inputRequests": shown, "requestState": "s"}
        for shown in NO_REQUESTS
    },
    "input with a state that is a number": {"resultType": "input_required", "requestState": 1},
    "input for ever": {"resultType": "input_required", "requestState": "again"},
}

RAW_CALLS: dict[str, bytes] = {
    "half an emoji": rb'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"a\ud800b"}]}}',
    "invalid UTF-8": b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"a\xff\xfeb"}]}}',
    "NaN": b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"structuredContent":{"a":NaN,"b":-Infinity}}}',
    "large numbers": b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"structuredContent":'
    b'{"a":12345678901234567890123,"b":1e400,"c":0.10000000000000000001,"d":' + b"7" * 6000 + b"}}}",
    "deep nesting": b'{"jsonrpc":"2.0","id":%d,"result":{"content":[],"structuredContent":'
    + b'{"a":' * 100_000
    + b"1"
    + b"}" * 100_000
    + b"}}",
    "a reply cut off": b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"te',
    "an id that is a text": b'{"jsonrpc":"2.0","id":"%d","result":{"content":[{"type":"text","text":"t"}]}}',
    "an id with a fraction": b'{"jsonrpc":"2.0","id":%d.0,"result":{"content":[{"type":"text","text":"t"}]}}',
    "a batch": b'[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}]',
    "a byte order mark": b'\xef\xbb\xbf{"jsonrpc":"2.0","id":%d,"result":{"content":[]}}\r',
    "an error without id": b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"what? %d"}}',
    "an error that is a text": b'{"jsonrpc":"2.0","id":%d,"error":"broken"}',
    "an error with escapes": rb'{"jsonrpc":"2.0","id":%d,"error":{"code":-1,"message":"two\nlines \u001b[31m"}}',
    "another id": b'{"jsonrpc":"2.0","id":9%d,"result":{"content":[]}}',
    "no reply": b"",
}


def write(data: bytes) -> None:
    OUT.write(data)
    OUT.flush()


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def answer(request: dict[str, Any]) -> None:
    number, method, params = request["id"], request["method"], request.get("params") or {}
    kind, _, what = MODE.partition(": ")
    if method == "server/discover":
        discover(number)
    elif method == "initialize":
        initialize(number, params, kind, what)
    elif method == "tools/list":
        list_tools(number, params, kind, what)
    elif method == "tools/call":
        call(number, kind, what, params)


def discover(number: int) -> None:
    if ERA == "discover":
        send({"id": number, "result": {"supportedVersions": ["2026-07-28"], **SERVER}})
    elif MODE == "ends at discover":
        sys.exit(1)
    elif MODE == "has no id for an error":
        send({"id": None, "error": {"code": -32600, "message": "what?"}})
    elif MODE != "ignores discover":
        send({"id": number, "error": {"code": -32601, "message": "no such method"}})


def initialize(number: int, params: dict[str, Any], kind: str, what: str) -> None:
    result = {"protocolVersion": params["protocolVersion"], **SERVER}
    if MODE == "refuses":
        send({"id": number, "error": {"code": -32000, "message": "line1\nline2 \x1b[31mred\x07"}})
    elif MODE == "answers with id 0":
        send({"id": 0, "result": result})
    else:
        send({"id": number, "result": INITIALIZE[what] if kind == "initialize" else result})


def list_tools(number: int, params: dict[str, Any], kind: str, what: str) -> None:
    if MODE == "dies in list":
        os._exit(9)
    if MODE == "endless pages":
        send({"id": number, "result": {"tools": [TOOL], "nextCursor": f"{params.get('cursor')}+"}})
    else:
        send({"id": number, "result": LISTS[what] if kind == "list" else {"tools": [TOOL]}})


def ask_for_input(number: int, params: dict[str, Any]) -> None:
    requests = {
        "size": {"method": "elicitation/create", "params": {"message": "Size?\x1b[2J", "requestedSchema": ORDER}}
    }
    asked = {"resultType": "input_required", "requestState": "s1", "inputRequests": requests}
    done = {"content": [{"type": "text", "text": json.dumps(params)}], "resultType": "complete"}
    send({"id": number, "result": done if "inputResponses" in params else asked})


def call(number: int, kind: str, what: str, params: dict[str, Any]) -> None:
    if MODE == "dies in call":
        os._exit(9)
    if MODE == "needs input":
        ask_for_input(number, params)
    elif kind == "call":
        send({"id": number, "result": CALLS[what]})
    elif kind == "raw call":
        write(RAW_CALLS[what].replace(b"%d", b"%d" % number) + b"\n")
    elif kind == "asks":
        send({"id": number, "method": what, "params": {"message": "?"}})  # an id that the client uses, too
        told = sys.stdin.buffer.readline().decode()
        send({"id": number, "result": {"content": [{"type": "text", "text": told}]}})
    elif MODE == "progresses for ever":
        while True:
            send({"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}})
            time.sleep(0.01)
    elif MODE == "sends a line without end":
        while True:
            write(b"x" * 65536)
    else:
        send({"id": number, "result": {"content": [{"type": "text", "text": "ok"}]}})


BEFORE_READING.get(MODE, lambda: None)()
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" in message and "method" in message:
        answer(message)
