"""The part of an API server that attaches to a container: v5 and v4 over WebSocket, as awkward as a test wants it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from thv.operator.attach.attach_target import CA_FILE, TOKEN_FILE, ApiServer, AttachTarget

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

TARGET = AttachTarget("team-a", "files-0", "mcp")
GENEROUS = 20.0
"""Seconds that no test waits unless something is broken."""

SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


async def until(condition: Callable[[], object]) -> None:
    """Wait for something."""
    async with asyncio.timeout(GENEROUS):
        while not condition():  # noqa: ASYNC110  what is waited for is a plain value of the test's
            await asyncio.sleep(0.005)


def failure(message: str, reason: str = "InternalError") -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}


class Attachment:
    """One link, seen from the other side."""

    def __init__(self, request: web.Request, websocket: web.WebSocketResponse) -> None:
        self.request = request
        self.websocket = websocket
        self.stdin = b""
        self.frames: list[bytes] = []
        self.closed_channels: list[int] = []
        self.pings = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.is_over = False

    async def write(self, *pieces: bytes, channel: int = 1) -> None:
        """Send each piece as a frame of its own."""
        for piece in pieces:
            await self.websocket.send_bytes(bytes((channel,)) + piece)

    async def end(self, status: dict[str, Any] = SUCCESS) -> None:
        """The container ended."""
        await self.write(json.dumps(status).encode(), channel=3)
        await self.websocket.close()

    def drop(self) -> None:
        """The link is gone, without a word."""
        assert self.request.transport is not None
        self.request.transport.abort()

    async def serve(self, api: FakeAttach) -> None:
        """Read until the link is gone."""
        await self.write(b"")  # real ones say so that the WebSocket is there
        if api.container is not None:
            api.container.attach(self)
        try:
            while True:
                await self.reads.wait()
                message = await self.websocket.receive()
                if message.type is WSMsgType.PING:
                    self.pings += 1
                    if api.answers_pings:
                        await self.websocket.pong(message.data)
                elif message.type is not WSMsgType.BINARY:
                    break
                elif message.data[0] == 0:
                    self.frames.append(message.data[1:])
                    self.stdin += message.data[1:]
                    if api.container is not None:
                        await api.container.read(message.data[1:])
                else:
                    assert message.data[0] == 255
                    self.closed_channels.append(message.data[1])
        except ConnectionError:
            pass
        finally:
            self.is_over = True
            if api.container is not None:
                api.container.detach(self)


class Container:
    """A real process behind the API server, which lives on when a link drops."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._links: list[Attachment] = []
        self._process: asyncio.subprocess.Process | None = None
        self._copying: asyncio.Task[None] | None = None
        self.starts = 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        self.starts += 1
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        self._copying = asyncio.create_task(self._copy(self._process))

    async def kill(self) -> None:
        """The container's process dies."""
        if self._process is not None and self._copying is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._copying

    def attach(self, link: Attachment) -> None:
        self._links.append(link)

    def detach(self, link: Attachment) -> None:
        if link in self._links:
            self._links.remove(link)

    async def read(self, data: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def _copy(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while data := await process.stdout.read(8192):
            for link in list(self._links):  # nobody attached: it is lost
                try:
                    await link.write(data)
                except ConnectionError:
                    self.detach(link)
        for link in list(self._links):
            await link.end()


class FakeAttach:
    """The API server."""

    def __init__(self, protocols: Sequence[str], container: Container | None) -> None:
        self.protocols = protocols
        self.container = container
        self.answers_pings = True
        self.refusals: list[tuple[int, dict[str, Any] | str]] = []
        self.is_refusing: tuple[int, dict[str, Any] | str] | None = None
        self.at_once: list[bytes] = []
        self.seen: list[tuple[str, str]] = []
        self.links: list[Attachment] = []
        self.url = ""

    @property
    def link(self) -> Attachment:
        return self.links[-1]

    async def attached(self, count: int = 1) -> Attachment:
        """Wait for so many links in all; the last of them."""
        await until(lambda: len(self.links) >= count)
        return self.link

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, request.headers.get("Authorization", "")))
        refusal = self.refusals.pop(0) if self.refusals else self.is_refusing
        if refusal is None and self.container is not None and not self.container.is_running:
            refusal = 400, failure("container mcp is not running", "BadRequest")
        if refusal is not None:
            status, body = refusal
            return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))
        websocket = web.WebSocketResponse(protocols=self.protocols, autoping=False, max_msg_size=0)
        await websocket.prepare(request)
        if self.at_once:
            for frame in self.at_once:
                await websocket.send_bytes(frame)
            await websocket.close()
            return websocket
        link = Attachment(request, websocket)
        self.links.append(link)
        await link.serve(self)
        return websocket


@asynccontextmanager
async def fake_attach(
    *protocols: str, container: Container | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeAttach]:
    """A running one, on loopback."""
    api = FakeAttach(protocols or ("v5.channel.k8s.io", "v4.channel.k8s.io"), container)
    application = web.Application()
    application.router.add_get("/{path:.*}", api.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.2, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    api.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        if container is not None:
            await container.kill()
        await runner.cleanup()


def credentials(folder: Path, token: str = "token-1", ca: bytes = b"") -> Path:
    """A projected volume."""
    folder.mkdir(exist_ok=True)
    (folder / TOKEN_FILE).write_text(token + "\n")
    (folder / CA_FILE).write_bytes(ca)
    return folder


def reached(api: FakeAttach, folder: Path) -> ApiServer:
    return ApiServer(api.url, credentials(folder))
