"""An MCP server over streamable HTTP that costs as little as Python allows: every call is answered at once.

python benchmarks/servers/http_server.py PORT json|sse
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def result_of(message: dict[str, Any]) -> dict[str, Any]:
    if message["method"] == "initialize":
        return {
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "bench", "version": "1"},
        }
    return {"content": [{"type": "text", "text": "hello"}]}


class Connection(asyncio.Protocol):
    """One client's connection, kept alive."""

    def __init__(self, *, as_events: bool) -> None:
        self._as_events = as_events
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        assert isinstance(transport, asyncio.Transport)  # of a socket
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n") + 4) > 3:
            head = self._data[:end].lower()
            start = head.find(b"content-length:")
            length = int(head[start + 15 : head.find(b"\r", start)]) if start >= 0 else 0
            if len(self._data) < end + length:
                return
            body, self._data = self._data[end : end + length], self._data[end + length :]
            self._transport.write(self._answer(body))

    def _answer(self, body: bytes) -> bytes:
        message = json.loads(body) if body else {}
        if "id" not in message:
            return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        reply = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result_of(message)}).encode()
        session = b"Mcp-Session-Id: %d\r\n" % id(self) if message["method"] == "initialize" else b""
        if not self._as_events:
            head = b"HTTP/1.1 200 OK\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            return head % (session, len(reply)) + reply
        event = b"event: message\ndata: %b\n\n" % reply
        head = b"HTTP/1.1 200 OK\r\n%bContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head % session + b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event)


async def main() -> None:
    port, kind = int(sys.argv[1]), sys.argv[2]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(as_events=kind == "sse"), "127.0.0.1", port, backlog=1024, reuse_address=True
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
