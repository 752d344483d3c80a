"""A remote client in this process, between a pipe that plays the MCP client and a function that plays the server."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.http.proxied import PATIENCE, Behind, Received, as_json
from thv.http.client.stdio_to_http import RemoteClient
from thv.instrumentation.instrumentation import Instrumentation
from thv.servers.remote_spec import resolve_remote

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine

    from tests.http.proxied import Handler

VERSION = "2025-11-25"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
NO_STREAM = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": "init",
    "method": "initialize",
    "params": {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}


class Running:
    """One session: what the MCP client writes and reads, what the user was told, what was counted."""

    def __init__(self, url: str, *, environ: dict[str, str] | None = None, **options: Any) -> None:
        theirs, ours = os.pipe(), os.pipe()
        self._read, self.stdin = theirs
        self.stdout, self._write = ours
        self.said: list[str] = []
        self.instrumentation = Instrumentation(activity=lambda: 0, debug=True)
        spec = resolve_remote(url, environ=environ or {}, **options)
        self.client = RemoteClient(
            spec,
            self.instrumentation.open_session(),
            environ=environ or {},
            warn=self.said.append,
            stdin=self._read,
            stdout=self._write,
        )
        self._pending = b""

    @property
    def counted(self) -> tuple[int, int]:
        tally = self.instrumentation._tally
        assert tally is not None
        return tally.success, tally.error

    def start(self) -> None:
        self.task = asyncio.create_task(self.client.run())

    def send(self, *messages: Any) -> None:
        for message in messages:
            os.write(self.stdin, message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    async def line(self) -> bytes:
        """The next line that the client gets."""
        async with asyncio.timeout(PATIENCE):
            while b"\n" not in self._pending:
                chunk = await asyncio.to_thread(os.read, self.stdout, 65536)
                assert chunk, "the session ended"
                self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    async def message(self) -> Any:
        return json.loads(await self.line())

    async def ask(self, message: Any) -> Any:
        self.send(message)
        return await self.message()

    async def begin(self) -> Any:
        """Initialize, as every client does."""
        reply = await self.ask(INITIALIZE)
        self.send(INITIALIZED)
        return reply

    async def end(self) -> int:
        """Close stdin and wait for the end."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
        async with asyncio.timeout(PATIENCE):
            return await self.task

    async def close(self) -> None:
        await self.end()
        for fd in (self._read, self.stdout, self._write):
            os.close(fd)


@asynccontextmanager
async def server(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Behind]:
    """A server with this handler."""
    behind = Behind(handler)
    listening = await asyncio.start_server(behind.serve, "127.0.0.1", 0, limit=64 << 20, ssl=tls)
    behind.port = listening.sockets[0].getsockname()[1]
    try:
        yield behind
    finally:
        listening.close()


@asynccontextmanager
async def running(url: str, **options: Any) -> AsyncIterator[Running]:
    """A session with this URL."""
    session = Running(url, **options)
    session.start()
    try:
        yield session
    finally:
        await session.close()


@asynccontextmanager
async def remote(
    handler: Handler, *, path: str = "/mcp", tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[Running, Behind]]:
    """A session with a server that has this handler."""
    async with server(handler, tls=tls) as behind:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{behind.port}{path}"
        async with running(url, **options) as session:
            yield session, behind


def serving(*answers: Callable[[Received], bytes], session: str | None = "s-1") -> Handler:
    """A server of sessions: what it has to answer to requests besides the handshake, in turn; the last one for ever."""
    turn = iter(answers)
    last = answers[-1]

    async def handler(received: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(handshake(received, session) or next(turn, last)(received))

    return handler


def handshake(received: Received, session: str | None = "s-1") -> bytes | None:
    """The answer to what is no request of the test's own."""
    verb = received.line.partition(" ")[0]
    if verb == "DELETE":
        return ACCEPTED
    if verb == "GET":
        return NO_STREAM
    message = received.message
    if isinstance(message, dict) and message.get("method") == "initialize":
        result = {"protocolVersion": VERSION, "capabilities": {}, "serverInfo": {"name": "s", "version": "0"}}
        headers = [] if session is None else [f"Mcp-Session-Id: {session}"]
        return as_json({"jsonrpc": "2.0", "id": message["id"], "result": result}, *headers)
    if isinstance(message, dict) and "id" not in message:
        return ACCEPTED
    return None


def raw(head: str, body: bytes = b"") -> Callable[[Received], bytes]:
    """What `serving` takes: a response with this status line and these headers, and the length of the body."""
    return lambda _: f"HTTP/1.1 {head}\r\n".encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run one scenario to its end."""
    asyncio.run(scenario())


def methods(behind: Behind) -> list[str]:
    """What the server got: verb, and the method of what was posted."""
    return [
        " ".join(
            [got.line.split(" ")[0], *([str(got.message.get("method", "reply"))] if got.body.startswith(b"{") else [])]
        )
        for got in behind.got
    ]
