"""The demo server: a small real MCP server over stdio, to see the whole of thv at work without a network.

Run as a script under ``python -IS``: it uses the standard library alone and imports nothing of thv. It speaks every
protocol revision from 2024-11-05 to 2026-07-28, answers every request exactly once (a cancelled one never), survives
any line, and at the end of input finishes the calls still open and exits with 0.
"""

from __future__ import annotations

import json
import os
import sys
import time
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from typing import Any, BinaryIO, Final, TypeAlias

    Message: TypeAlias = dict[str, Any]
    RequestId: TypeAlias = str | int | float
    Pause: TypeAlias = Callable[[float], bool | None]
    Report: TypeAlias = Callable[[float, float], None]

SERVER_INFO: Final = {"name": "thv-demo", "title": "thv demo server", "version": "1.0.0"}
INSTRUCTIONS: Final = (
    "Tools to try a client with: add, echo and now succeed, fail fails on demand, wait takes its time."
)

HANDSHAKE_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Revisions that begin with `initialize`, oldest first."""

STATELESS_VERSIONS: Final = ("2026-07-28",)
"""Revisions in which each request says its own version in `_meta` (2026-07-28, "Per-request protocol fields")."""

JSONRPC: Final[Message] = {"jsonrpc": "2.0"}

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
SERVER_INFO_KEY: Final = "io.modelcontextprotocol/serverInfo"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
UNSUPPORTED_VERSION: Final = -32022

TTL_MS: Final = 3_600_000
"""How long a client may keep the tool list: it never changes while the server runs."""

LONGEST_WAIT: Final = 60
"""Seconds `wait` waits at most: a demo that is left running must end by itself."""

PROGRESS_STEPS: Final = 10
"""Progress notifications of one `wait`: enough to see a bar move, too few to flood a client."""

_READ_ONLY: Final = {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False}


class ProtocolError(Exception):
    """A JSON-RPC error reply (JSON-RPC 2.0, section 5.1)."""

    def __init__(self, code: int, message: str, data: Message | None = None) -> None:
        super().__init__(message)
        self.error: Message = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


class ToolError(Exception):
    """A failure the model should see: a result with `isError` (MCP, "Tools", "Error Handling")."""


def _schema(required: tuple[str, ...] = (), **properties: Message) -> Message:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TOOLS: Final[tuple[Message, ...]] = (
    {
        "name": "add",
        "title": "Add two numbers",
        "description": "Adds two numbers.",
        "inputSchema": _schema(
            ("a", "b"),
            a={"type": "number", "description": "The first number"},
            b={"type": "number", "description": "The second number"},
        ),
        "outputSchema": {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]},
        "annotations": _READ_ONLY,
    },
    {
        "name": "echo",
        "title": "Echo a text",
        "description": "Gives a text back as it came.",
        "inputSchema": _schema(("text",), text={"type": "string", "description": "The text"}),
        "annotations": _READ_ONLY,
    },
    {
        "name": "now",
        "title": "Time now",
        "description": "The time now in UTC, as ISO 8601.",
        "inputSchema": _schema(),
        "annotations": _READ_ONLY | {"idempotentHint": False},
    },
    {
        "name": "fail",
        "title": "Fail on demand",
        "description": "Always fails, with the message given.",
        "inputSchema": _schema(message={"type": "string", "description": "What to say", "default": "failed on demand"}),
        "annotations": _READ_ONLY,
    },
    {
        "name": "wait",
        "title": "Wait a while",
        "description": f"Waits, reports progress if asked to, and can be cancelled. At most {LONGEST_WAIT} seconds.",
        "inputSchema": _schema(
            ("seconds",),
            seconds={"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "description": "How long"},
        ),
        "annotations": _READ_ONLY,
    },
)

_TYPES: Final[dict[str, tuple[type, ...]]] = {"string": (str,), "number": (int, float)}
_BY_NAME: Final = {tool["name"]: tool for tool in TOOLS}


class Server:
    """One session. Requests are answered in order on the caller's thread; only `wait` gets a thread of its own.

    Args:
        write: takes one whole line of output. It is called by one thread at a time.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._writing = allocate_lock()
        self._waits: dict[RequestId, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def receive(self, line: bytes) -> None:
        """Acts on one line of input, whatever is in it, and writes what has to be said."""
        if not line.strip():
            return
        try:
            message = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            self._send(_error(PARSE_ERROR, "Parse error: one JSON message per line, in UTF-8"))
            return
        if not isinstance(message, list):
            self._send(self._answer(message, alone=True))
        elif message:
            # Batches came with 2025-03-26 and went with 2025-06-18; they are answered whenever they come.
            replies = [reply for item in message if (reply := self._answer(item, alone=False)) is not None]
            self._send(replies or None)
        else:
            self._send(_error(INVALID_REQUEST, "Invalid request: an empty batch"))

    def finish(self) -> None:
        """Waits until every open call is answered."""
        for thread in self._threads:
            thread.join()

    def _send(self, message: Message | list[Message] | None) -> None:
        if message is None:
            return
        line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            self._write(line)

    def _answer(self, message: Any, *, alone: bool) -> Message | None:
        """The reply to one message; None if it takes none, or if `wait` will send it later."""
        if not isinstance(message, dict):
            return _error(INVALID_REQUEST, "Invalid request: a message is a JSON object")
        if "method" not in message and ("result" in message or "error" in message):
            return None  # a response; this server asks nothing
        request_id = message.get("id")
        about: Message = {"id": request_id} if _is_id(request_id) else {}
        try:
            method, params = _checked(message)
        except ProtocolError as error:
            return JSONRPC | about | {"error": error.error}
        if "id" not in message:
            self._notified(method, params)
            return None
        # In a batch all replies go out together, so a `wait` there is waited for in its turn.
        if alone and method == "tools/call" and params.get("name") == "wait":
            self._start_waiting(message["id"], params)
            return None
        return JSONRPC | about | _outcome(lambda: _result(method, params))

    def _notified(self, method: str, params: Message) -> None:
        if method == "notifications/cancelled" and _is_id(params.get("requestId")):
            cancelled = self._waits.get(params["requestId"])
            if cancelled is not None:
                cancelled.set()

    def _start_waiting(self, request_id: RequestId, params: Message) -> None:
        """Answers a `wait` from a thread, so that a cancellation can be read meanwhile."""
        import threading

        token = params.get("_meta", {}).get("progressToken")
        cancelled = threading.Event()

        def report(progress: float, total: float) -> None:
            if _is_id(token):
                about = {"progressToken": token, "progress": progress, "total": total}
                self._send(JSONRPC | {"method": "notifications/progress", "params": about})

        def run() -> None:
            outcome = _outcome(lambda: _result("tools/call", params, pause=cancelled.wait, report=report))
            if self._waits.get(request_id) is cancelled:
                del self._waits[request_id]
            if cancelled.is_set():
                return
            try:
                self._send(JSONRPC | {"id": request_id} | outcome)
            except OSError:
                return  # the client reads no more; the session ends with the next line

        thread = threading.Thread(target=run)
        self._waits[request_id] = cancelled
        self._threads = [*(other for other in self._threads if other.is_alive()), thread]
        thread.start()


def _error(code: int, message: str) -> Message:
    """An error reply to something that has no id one could read: it has none either (2025-11-25, `JSONRPCError`)."""
    return JSONRPC | {"error": {"code": code, "message": message}}


def _outcome(work: Callable[[], Message]) -> Message:
    """The `result` or the `error` member of a reply. Whatever goes wrong, a request is answered."""
    try:
        return {"result": work()}
    except ProtocolError as error:
        return {"error": error.error}
    except Exception as error:  # noqa: BLE001 - the last resort; the message names the type, since the text could hold anything
        return {"error": {"code": INTERNAL_ERROR, "message": f"Internal error: {type(error).__name__}"}}


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _is_id(value: Any) -> bool:
    """A string or an integer (JSON-RPC 2.0, section 4); `1.0` is an integer in JSON."""
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, str | int) and not isinstance(value, bool)


def _checked(message: Message) -> tuple[str, Message]:
    """The method and the parameters of a message that has the form of a request or a notification."""
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'Invalid request: jsonrpc must be "2.0"')
    if "id" in message and not _is_id(message["id"]):
        raise ProtocolError(INVALID_REQUEST, "Invalid request: id must be a string or an integer")
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        raise ProtocolError(INVALID_REQUEST, "Invalid request: method must be a string")
    if not isinstance(params, dict) or not isinstance(params.get("_meta", {}), dict):
        raise ProtocolError(INVALID_PARAMS, "Invalid params: params and _meta are JSON objects")
    return method, params


def _is_stateless(method: str, params: Message) -> bool:
    """Whether the request belongs to a revision without handshake; raises if its version is none we know."""
    meta = params.get("_meta", {})
    if VERSION_KEY not in meta and method != "server/discover":
        return False
    requested = meta.get(VERSION_KEY)
    if not isinstance(requested, str) or not isinstance(meta.get(CAPABILITIES_KEY), dict):
        raise ProtocolError(INVALID_PARAMS, f"Invalid params: _meta needs {VERSION_KEY} and {CAPABILITIES_KEY}")
    if requested not in STATELESS_VERSIONS:
        about = {"supported": list(STATELESS_VERSIONS), "requested": requested}
        raise ProtocolError(UNSUPPORTED_VERSION, f"Unsupported protocol version: {requested}", about)
    return True


def _no_report(_progress: float, _total: float) -> None:
    """Progress that was not asked for."""


def _result(method: str, params: Message, *, pause: Pause = time.sleep, report: Report = _no_report) -> Message:
    """The result of a request, in the form of the revision it belongs to.

    Args:
        method: of the request.
        params: of the request.
        pause: sleeps so many seconds, or less and says True if the call was cancelled meanwhile.
        report: called with progress and total.
    """
    is_stateless = _is_stateless(method, params)
    if method == "tools/list":
        result = _tool_list(params)
    elif method == "tools/call":
        result = _call(params, pause=pause, report=report)
    elif is_stateless and method == "server/discover":
        result = {
            "supportedVersions": list(STATELESS_VERSIONS),
            "capabilities": {"tools": {}},
            "instructions": INSTRUCTIONS,
        }
    elif not is_stateless and method == "initialize":
        result = _initialize(params)
    elif not is_stateless and method == "ping":
        result = {}
    else:
        raise ProtocolError(METHOD_NOT_FOUND, f"Method not found: {method}")
    if is_stateless:
        result |= {"resultType": "complete", "_meta": {SERVER_INFO_KEY: SERVER_INFO}}
        if method in {"tools/list", "server/discover"}:
            result |= {"ttlMs": TTL_MS, "cacheScope": "public"}
    return result


def _initialize(params: Message) -> Message:
    requested = params.get("protocolVersion")
    if not isinstance(requested, str):
        raise ProtocolError(INVALID_PARAMS, "Invalid params: initialize needs protocolVersion")
    return {
        "protocolVersion": requested if requested in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[-1],
        "capabilities": {"tools": {}},
        "serverInfo": SERVER_INFO,
        "instructions": INSTRUCTIONS,
    }


def _tool_list(params: Message) -> Message:
    if params.get("cursor") is not None:
        raise ProtocolError(INVALID_PARAMS, "Invalid params: no such cursor, the list has one page")
    return {"tools": list(TOOLS)}


def _call(params: Message, *, pause: Pause, report: Report) -> Message:
    name, arguments = params.get("name"), params.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict | None):
        raise ProtocolError(INVALID_PARAMS, "Invalid params: tools/call needs a name, and arguments are a JSON object")
    if name not in _BY_NAME:
        raise ProtocolError(INVALID_PARAMS, f"Unknown tool: {name}")
    given = arguments or {}
    try:
        _validate(given, _BY_NAME[name]["inputSchema"])
        return _run(name, given, pause=pause, report=report)
    except ToolError as error:
        return _text(str(error)) | {"isError": True}


def _run(name: str, given: Message, *, pause: Pause, report: Report) -> Message:
    if name == "add":
        return _add(given["a"], given["b"])
    if name == "echo":
        return _text(given["text"])
    if name == "now":
        return _text(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    if name == "wait":
        return _wait(given["seconds"], pause=pause, report=report)
    raise ToolError(given.get("message", "failed on demand"))


def _validate(arguments: Message, schema: Message) -> None:
    """Holds the arguments to the tool's schema. What is wrong is for the model to read ("Tools", "Error Handling")."""
    properties = schema["properties"]
    for name in schema["required"]:
        if name not in arguments:
            raise ToolError(f"missing argument: {name}")
    for name, value in arguments.items():
        if name not in properties:
            raise ToolError(f"unknown argument: {name}")
        expected = properties[name]
        if not isinstance(value, _TYPES[expected["type"]]) or isinstance(value, bool):
            raise ToolError(f"{name} must be a {expected['type']}")
        if "maximum" in expected and not expected["minimum"] <= value <= expected["maximum"]:
            raise ToolError(f"{name} must be between {expected['minimum']} and {expected['maximum']}")


def _text(text: str) -> Message:
    return {"content": [{"type": "text", "text": text}], "isError": False}


def _add(a: float, b: float) -> Message:
    try:
        total = a + b
        text = json.dumps(total, allow_nan=False)
    except (OverflowError, ValueError) as error:
        raise ToolError("the sum is too large for a number") from error
    return _text(text) | {"structuredContent": {"sum": total}}


def _wait(seconds: float, *, pause: Pause, report: Report) -> Message:
    for step in range(1, PROGRESS_STEPS + 1):
        if pause(seconds / PROGRESS_STEPS):
            break
        report(round(seconds * step / PROGRESS_STEPS, 6), seconds)
    return _text(f"waited {seconds} s")


def serve(source: BinaryIO, sink: BinaryIO) -> int:
    """Serves one session until the end of input, or until the client reads no more; returns the exit code."""

    def write(line: bytes) -> None:
        sink.write(line)
        sink.flush()

    server = Server(write)
    try:
        for line in source:
            server.receive(line)
        server.finish()
    except KeyboardInterrupt:
        return 130
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    code = serve(sys.stdin.buffer, sys.stdout.buffer)
    if code:
        # Leave at once: a flush would complain that the reader is gone, and a long `wait` would hold the exit.
        os._exit(code)
