"""An MCP server that runs a command when a tool is called, before it answers: the world changes during a session.

`changing.py COMMAND` speaks over stdio, and over HTTP on the port that the variable PORT names. COMMAND is a JSON list,
empty for none. It imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMAND = json.loads(sys.argv[1])


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """The reply to a request; None for what is none."""
    if "id" not in message or "method" not in message:
        return None
    method = message["method"]
    result: dict[str, Any] = {}
    if method == "initialize":
        result = {
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "changing", "version": "0"},
        }
    elif method == "tools/list":
        result = {"tools": [{"name": "act", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        if COMMAND:
            subprocess.run(COMMAND, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        result = {"content": [{"type": "text", "text": "done"}]}
    elif method == "server/discover":
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "not found"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


class Handler(BaseHTTPRequestHandler):
    """Streamable HTTP without sessions and without streams."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One message, one reply."""
        reply = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        body = b"" if reply is None else json.dumps(reply).encode()
        self.send_response(202 if reply is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """No stream."""
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET  # noqa: N815  the name is http.server's

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve until stdin ends, or the process does."""
    if "PORT" in os.environ:
        server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
        print(server.server_port, flush=True)
        server.serve_forever()
    for line in sys.stdin:
        reply = answer(json.loads(line))
        if reply is not None:
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
