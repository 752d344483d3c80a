"""The front decodes each message once, whatever way it takes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.decodes import counted_decodes
from tests.http.fronts import ACCEPTED, call, initialize, stateless
from thv.http.app.application import StreamableHttpApp
from thv.http.app.health import Health
from thv.http.app.session_manager import Limits, SessionManager
from thv.http.host_policy import HostPolicy
from thv.http.process_backend import ProcessBackend
from thv.http.server.listener import Listener
from thv.instrumentation.instrumentation import Instrumentation
from thv.servers.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

CHATTY = [sys.executable, "-IS", str(Path(__file__).parents[1] / "chatty.py")]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="threads read the pipes there, and are not counted")


class Client:
    """One connection that decodes nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.session: dict[str, str] = {}

    def close(self) -> None:
        self._writer.close()

    async def post(self, message: Any, headers: Mapping[str, str] = {}) -> bytes:
        body = json.dumps(message).encode()
        fields = ACCEPTED | self.session | dict(headers) | {"Host": "localhost", "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        for line in answer.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name == "content-length":
                answer += await self._reader.readexactly(int(value))
            elif name == "mcp-session-id":
                self.session = {"Mcp-Session-Id": value}
        return answer


@pytest.mark.parametrize("way", ["a server each", "shared", "stateless"])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "unknown"])
def test_a_call_costs_two_decodings_the_request_and_the_reply(
    way: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    message = call(7, "pid", {}, progressToken=5) if method == "tools/call" else {"id": 7, "method": method}
    message = {"jsonrpc": "2.0", **message}

    async def story() -> int:
        instrumentation = Instrumentation(activity=lambda: 0, debug=True)
        spec = resolve(None, CHATTY, environ=os.environ)
        sessions = SessionManager(
            lambda: ProcessBackend(spec),
            instrumentation,
            Limits(4, 60, shared=way == "shared"),
            warn=print,
            on_failure=print,
        )
        health = Health(lambda: ProcessBackend(spec), warn=print)
        app = StreamableHttpApp(sessions, health, HostPolicy("127.0.0.1", 0), warn=print)
        listener = Listener(app, "127.0.0.1", 0, port_option="--port", warn=print)
        await listener.start()
        try:
            client = Client(*await asyncio.open_connection("127.0.0.1", listener.port))
            asked, headers = (message, {}) if way != "stateless" else stateless(message)
            if way != "stateless":
                await client.post(initialize())
                await client.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            await client.post(asked, headers)  # the first one asks for the tools, too
            await asyncio.sleep(0)
            with counted_decodes() as count:
                answer = await client.post(asked, headers)
                for _ in range(3):
                    await asyncio.sleep(0)  # what is inspected later is inspected
            assert b'"id": 7' in answer or b'"id":7' in answer
            client.close()
            return count.lines
        finally:
            await asyncio.gather(sessions.close(), health.close())
            await listener.close()

    decodes = asyncio.run(story())
    # The tools in a list are looked through for annotations where those are checked.
    assert decodes == (3 if (way, method) == ("stateless", "tools/list") else 2)
