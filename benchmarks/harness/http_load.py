"""Many MCP clients over HTTP from one process that costs little: no library between them and the socket.

Each client has one connection and one session, and makes its calls one after the other, as an agent does.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from harness.peers import INITIALIZE, INITIALIZED, PeerFailedError

REPLY_LIMIT_S = 60.0
"""Nothing measured needs this long; it is only there so that nothing hangs."""

CALL = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hello"}}}


META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its whole response, the next one."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head = -1
        self._length: int | None = None
        self._reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        assert isinstance(transport, asyncio.Transport)  # of a socket
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for a reply waits in vain."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(PeerFailedError(f"the connection closed: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Add to the response, and tell once it is whole."""
        self._data += data
        if self._head < 0:
            self._head = self._data.find(b"\r\n\r\n") + 4
            if self._head < 4:
                self._head = -1
                return
            head = bytes(self._data[: self._head]).lower()
            start = head.find(b"content-length:")
            has_body = not head.startswith(b"http/1.1 204")
            self._length = int(head[start + 15 : head.find(b"\r", start)]) if start >= 0 else None if has_body else 0
        whole = (
            self._data.endswith(b"0\r\n\r\n") if self._length is None else len(self._data) >= self._head + self._length
        )
        if whole and self._reply is not None and not self._reply.done():
            self._reply.set_result(bytes(self._data))
            self._data.clear()
            self._head = -1

    async def ask(self, request: bytes) -> bytes:
        """Send a request; its response, headers and all."""
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await asyncio.wait_for(self._reply, REPLY_LIMIT_S)

    async def ask_fast(self, request: bytes) -> bytes:
        """The same without a timer: it would cost as much as the rest."""
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._reply


class Client:
    """One client with a session."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = b""
        self._last_id = 0

    async def begin(self) -> None:
        """Connect, initialize.

        Raises:
            PeerFailedError: there is no session.
        """
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        response = await self._connection.ask(self._request(INITIALIZE))
        if b"protocolVersion" not in response:
            raise PeerFailedError(f"no session: {response[:500]!r}")
        for line in response.partition(b"\r\n\r\n")[0].split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"mcp-session-id":
                self._session = b"Mcp-Session-Id: %b\r\n" % value.strip()
        await self._connection.ask(self._request(INITIALIZED))

    async def call(self, until: float) -> list[float]:
        """Make calls until that time of `time.perf_counter()`; how long each took, in seconds."""
        took = []
        began = time.perf_counter()
        while began < until:
            self._last_id += 1
            response = await self._connection.ask_fast(self._request(CALL | {"id": self._last_id}))
            if b'"content"' not in response or b'"id":%d' % self._last_id not in response.replace(b" ", b""):
                raise PeerFailedError(f"no result: {response[-500:]!r}")
            now = time.perf_counter()
            took.append(now - began)
            began = now
        return took

    def close(self) -> None:
        """Leave."""
        self._connection.transport.close()

    def _request(self, message: dict[str, Any]) -> bytes:
        body = json.dumps(message, separators=(",", ":")).encode()
        return (
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json, text/event-stream\r\n"
            b"Content-Type: application/json\r\nMCP-Protocol-Version: 2025-06-18\r\n%bContent-Length: %d\r\n\r\n%b"
            % (self._port, self._session, len(body), body)
        )


class StatelessClient(Client):
    """One client of 2026-07-28: every request stands for itself, and its headers repeat what it says."""

    async def begin(self) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(Connection, "127.0.0.1", self._port)

    def _request(self, message: dict[str, Any]) -> bytes:
        params = message["params"] | {"_meta": META}
        body = json.dumps(message | {"params": params}, separators=(",", ":")).encode()
        return (
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json, text/event-stream\r\n"
            b"Content-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %b\r\n"
            b"Mcp-Name: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (self._port, message["method"].encode(), params["name"].encode(), len(body), body)
        )


async def greeted(port: int, count: int, kind: type[Client] = Client) -> list[Client]:
    """That many clients, each with a session where its kind has one."""
    clients = [kind(port) for _ in range(count)]
    for client in clients:
        await client.begin()
    return clients


async def load(clients: list[Client], seconds: float) -> list[float]:
    """Let all of them call at once for a while; how long each call took."""
    until = time.perf_counter() + seconds
    return [each for took in await asyncio.gather(*(client.call(until) for client in clients)) for each in took]
