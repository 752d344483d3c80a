"""The front decodes each message once, whatever way it takes, and starts no task for it."""

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
from thv.http.front.health import Health
from thv.http.front.session_manager import Limits, SessionManager
from thv.http.front.streamable_http_app import StreamableHttpApp
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


class Cost:
    """What one call took: the lines that were decoded, and the tasks that were started."""

    decodes = 0
    tasks = 0


def cost_of(method: str, way: str, monkeypatch: pytest.MonkeyPatch) -> Cost:
    """Make a call twice, and measure the second: the first one asks for the tools, too."""
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    message = call(7, "pid", {}, progressToken=5) if method == "tools/call" else {"id": 7, "method": method}
    message = {"jsonrpc": "2.0", **message}
    cost = Cost()

    def make_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        cost.tasks += 1
        return asyncio.Task(work, loop=loop, **options)

    async def story() -> None:
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
        listener = Listener(app.handle, "127.0.0.1", 0, port_option="--port", warn=print)
        await listener.start()
        try:
            client = Client(*await asyncio.open_connection("127.0.0.1", listener.port))
            asked, headers = (message, {}) if way != "stateless" else stateless(message)
            if way != "stateless":
                await client.post(initialize())
                await client.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            await client.post(asked, headers)
            await asyncio.sleep(0)
            asyncio.get_running_loop().set_task_factory(make_task)
            with counted_decodes() as count:
                answer = await client.post(asked, headers)
                for _ in range(3):
                    await asyncio.sleep(0)  # what is inspected later is inspected
            asyncio.get_running_loop().set_task_factory(None)
            assert b'"id": 7' in answer or b'"id":7' in answer
            client.close()
            cost.decodes = count.lines
        finally:
            await asyncio.gather(sessions.close(), health.close())
            await listener.close()

    asyncio.run(story())
    return cost


@pytest.mark.parametrize("way", ["a server each", "shared", "stateless"])
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "unknown"])
def test_a_call_costs_two_decodings_the_request_and_the_reply(
    way: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tools in a list are looked through for annotations where those are checked.
    expected = 3 if (way, method) == ("stateless", "tools/list") else 2
    assert cost_of(method, way, monkeypatch).decodes == expected


@pytest.mark.parametrize("way", ["a server each", "shared", "stateless"])
def test_a_call_costs_no_task(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost_of("unknown", way, monkeypatch).tasks == 0
