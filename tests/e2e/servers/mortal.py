"""An MCP server that does what the name of a called tool says: die, hang, answer late, or just answer.

It counts its lives in the file that it is given, and writes what it reads beside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

LIVES = Path(sys.argv[1])


def out(message: dict[str, Any]) -> None:
    """Write one message."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until stdin ends."""
    life = LIVES.stat().st_size if LIVES.exists() else 0
    with LIVES.open("a") as file:
        file.write(".")
    late: list[Any] = []
    for line in sys.stdin:
        with LIVES.with_name("lives.log").open("a") as file:
            file.write(f"{life} {line}")
        message = json.loads(line)
        id_, method = message.get("id"), message.get("method")
        if method == "initialize":
            tools = {"listChanged": True}
            out({"jsonrpc": "2.0", "id": id_, "result": {"capabilities": {"tools": tools}, "life": life}})
        elif method in {"tools/call", "ping"}:
            while late:  # its time comes with the next request
                out({"jsonrpc": "2.0", "id": late.pop(), "result": {"content": [], "life": life}})
            name = message.get("params", {}).get("name")
            if name == "die":
                os._exit(3)
            if name == "late":
                late.append(id_)
            elif name != "hang":
                out({"jsonrpc": "2.0", "id": id_, "result": {"content": [], "life": life}})


main()
