"""A small server for the front's tests: it does what the tool named says, and answers everything else with its params.

Run as a script under ``python -IS``.
"""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def warn(message: object) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(method: str, **params: object) -> None:
    warn({"jsonrpc": "2.0", "method": method, "params": params})


CANCELLED: list[object] = []
LISTED: list[object] = []
SILENT: list[object] = []


def log(count: int, size: int = 0) -> None:
    for number in range(count):
        note("notifications/message", level="info", data=f"{number}" + "x" * size)


def progress(token: object) -> None:
    for number in range(3):
        note("notifications/progress", progressToken=token, progress=number)


def ask() -> object:
    warn({"jsonrpc": "2.0", "id": "from-server", "method": "roots/list"})
    while json.loads(answer := sys.stdin.readline()).get("id") != "from-server":
        pass
    return {"answer": json.loads(answer)["result"]}


def call(id_: object, name: str, arguments: dict[str, Any], meta: dict[str, Any]) -> None:
    """Do what the tool named is for; those that have no result of their own get one with unusual blanks."""
    results: dict[str, Callable[[], object]] = {
        "ask": ask,
        "big": lambda: {"text": "x" * arguments["size"]},
        "as-text": lambda: {"ok": True},
        "cancelled": lambda: {"cancelled": len(CANCELLED)},
        "environment": lambda: {"value": os.environ.get(arguments["name"])},
        "listed": lambda: {"listed": LISTED},
        "pid": lambda: {"pid": os.getpid()},
        "unanswered": lambda: {"unanswered": len(SILENT)},
    }
    acts: dict[str, Callable[[], object]] = {
        "die": lambda: sys.exit(7),
        "log": lambda: log(**arguments),
        "progress": lambda: progress(meta["progressToken"]),
        "progress-as-text": lambda: progress(str(meta["progressToken"])),
        "slow": lambda: time.sleep(arguments["seconds"]),
        "raw": lambda: warn(arguments["line"]),
        "silent": lambda: SILENT.append(id_),
    }
    if name in results:
        warn({"jsonrpc": "2.0", "id": str(id_) if name == "as-text" else id_, "result": results[name]()})
        return
    if name in acts:
        acts[name]()
    if name not in {"silent", "raw"}:
        warn(f'{{"result" : {{"id": 1, "ok": true}} , "jsonrpc":"2.0", "id" : {json.dumps(id_)} }}')


for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        version = params["protocolVersion"]
        if version == "refuse":
            warn({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32602, "message": "no"}})
        else:
            warn({"jsonrpc": "2.0", "id": message["id"], "result": {"protocolVersion": version, "capabilities": {}}})
    elif method == "tools/call":
        call(message["id"], params["name"], params.get("arguments", {}), params.get("_meta", {}))
    elif method == "notifications/cancelled":
        CANCELLED.append(params["requestId"])
    elif method == "tools/list":
        LISTED.append(params.get("cursor"))
        tool = {"name": "echo", "inputSchema": {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}}
        page = {"tools": [tool]} if params.get("cursor") else {"tools": [], "nextCursor": "2"}
        warn({"jsonrpc": "2.0", "id": message["id"], "result": page})
    elif "id" in message and method == "unknown":
        warn({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "unknown"}})
    elif "id" in message and method:
        warn({"jsonrpc": "2.0", "id": message["id"], "result": {"method": method}})
    elif method == "notifications/shout":
        note("test/shout", params=params)
