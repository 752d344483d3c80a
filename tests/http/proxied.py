"""A reverse proxy in this process between raw connections: behind it stands a function, and what that got is kept."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thv.http.proxy.proxy_target import parse_target
from thv.http.proxy.reverse_proxy import ReverseProxy
from thv.instrumentation.instrumentation import Instrumentation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    Handler = Callable[["Received", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PATIENCE = 30.0
"""Seconds any step of a test may take: no machine is this slow."""


@dataclass
class Received:
    """A request, as the server behind the proxy got it."""

    head: str
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.partition("\r\n")[0]

    def header(self, name: str) -> str | None:
        found = re.search(rf"^{name}: *(.*?)\r$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else None

    @property
    def message(self) -> Any:
        return json.loads(self.body)


@dataclass
class Behind:
    """The server behind the proxy: what it got, and how many connections it has."""

    handler: Handler
    got: list[Received] = field(default_factory=list)
    connections: int = 0
    opened: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.opened += 1
        with suppress(OSError, EOFError, ValueError):
            while True:
                received = Received((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                self.got.append(received)
                if length := received.header("content-length"):
                    received.body = await reader.readexactly(int(length))
                await self.handler(received, reader, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self.connections -= 1


@dataclass
class Setup:
    """A proxy, what stands behind it, and what was counted."""

    proxy: ReverseProxy
    behind: Behind
    instrumentation: Instrumentation

    @property
    def counted(self) -> tuple[int, int]:
        """Successes and errors."""
        tally = self.instrumentation._tally
        assert tally is not None
        return tally.success, tally.error

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.proxy.port, limit=64 << 20)

    async def raw(self, data: bytes) -> bytes:
        """Everything that is answered to these bytes, until the proxy closes."""
        reader, writer = await self.connect()
        writer.write(data)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer

    async def post(self, message: Any, *headers: str, target: str = "/mcp") -> Response:
        """The answer to one posted message, or to these bytes."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self.ask("POST", target, body, "Content-Type: application/json", *headers)

    async def ask(self, method: str, target: str, body: bytes = b"", *headers: str) -> Response:
        """The answer to one request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return parse(await self.raw("\r\n".join([*lines, "", ""]).encode() + body))


@dataclass
class Response:
    """A response, its body as it was framed."""

    status: int
    head: str
    body: bytes

    def header(self, name: str) -> str | None:
        return Received(self.head).header(name)


def parse(answer: bytes) -> Response:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head else 0
    text = head.decode("latin-1") + "\r\n"
    if "transfer-encoding: chunked" in text.lower():
        body = unchunked(body)
    return Response(status, text, body)


def unchunked(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        whole, data = whole + data[:length], data[length + 2 :]
    return whole


def reply(id_: Any, **result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": {"content": [], **result}}


def call(id_: Any, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": {"name": "t", "arguments": {}, **params}}


def as_json(message: Any, *headers: str, status: str = "200 OK") -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def event(message: Any, id_: str = "") -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return (f"id: {id_}\n".encode() if id_ else b"") + b"event: message\ndata: " + data + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
"""A response without a body."""


def stream_head(*headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", *headers, "", ""]
    return "\r\n".join(lines).encode()


def as_stream(*messages: Any) -> bytes:
    return stream_head() + b"".join(chunk(event(message)) for message in messages) + LAST_CHUNK


def answering(make: Callable[[Received], bytes]) -> Handler:
    """A handler that answers each request with these bytes."""

    async def handler(received: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(make(received))

    return handler


@asynccontextmanager
async def proxied(handler: Handler, *, path: str = "/mcp", origins: Sequence[str] = ()) -> AsyncIterator[Setup]:
    """A proxy in front of a server with this handler."""
    behind = Behind(handler)
    server = await asyncio.start_server(behind.serve, "127.0.0.1", 0, limit=64 << 20)
    behind.port = server.sockets[0].getsockname()[1]
    instrumentation = Instrumentation(activity=lambda: 0, debug=True)
    proxy = ReverseProxy(
        parse_target(f"http://127.0.0.1:{behind.port}{path}"), instrumentation, allowed_origins=origins
    )
    await proxy.start()
    try:
        yield Setup(proxy, behind, instrumentation)
    finally:
        await proxy.close()
        server.close()
        await until(lambda: behind.connections == 0)
        await asyncio.sleep(0)  # its transports close one step later


def run(scenario: Coroutine[None, None, None]) -> None:
    """Run one scenario to its end.

    Raises:
        TimeoutError: it took more than twice `PATIENCE`.
    """

    async def patiently() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await scenario

    asyncio.run(patiently())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  what changes knows of no event
            await asyncio.sleep(0.005)
