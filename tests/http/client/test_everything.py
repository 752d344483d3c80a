"""A published server over HTTP, and the official SDK's client on stdio: what works directly works through thv."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import mcp.types as mcp_types
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client

from tests import packages
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.registry,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="the server's process group is ended as POSIX does"),
]

PATIENCE = 60.0
PATHS = {"streamableHttp": "/mcp", "sse": "/sse"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in packages.variables().items():
        monkeypatch.setenv(name, value)
    if shutil.which("npx") is None:
        if packages.IN_CI:
            pytest.fail("npx is missing: this promise may not go unproved in CI")
        pytest.skip("npx is not installed")


class Everything:
    """`server-everything` on a port, which can be killed and started again."""

    def __init__(self, transport: str, log: Path) -> None:
        self.transport = transport
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{PATHS[transport]}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with packages.only_one_fetches(), self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["npx", "-y", "@modelcontextprotocol/server-everything", self.transport],
                env={**os.environ, "PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            asyncio.run(self._listening())

    async def _listening(self) -> None:
        async with asyncio.timeout(PATIENCE * 4):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process is not None
                    assert self._process.poll() is None, self._log.read_text()
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    def kill(self) -> None:
        assert sys.platform != "win32"
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None


@contextmanager
def everything(transport: str, log: Path) -> Iterator[Everything]:
    server = Everything(transport, log)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Talk:
    """One client behind thv, and what it heard."""

    def __init__(self, url: str, log: Path) -> None:
        self.heard: dict[str, list[Any]] = {"sampling": [], "elicitation": [], "log": [], "notification": []}
        self._log = log
        self._parameters = StdioServerParameters(
            command=sys.executable, args=["-P", "-m", "thv", "--debug", "run", url], env=dict(os.environ)
        )

    async def _sample(self, context: Any, params: Any) -> mcp_types.CreateMessageResult:
        self.heard["sampling"].append(params)
        words = mcp_types.TextContent(type="text", text="a sample")
        return mcp_types.CreateMessageResult(role="assistant", content=words, model="none", stop_reason="endTurn")

    async def _elicit(self, context: Any, params: Any) -> mcp_types.ElicitResult:
        self.heard["elicitation"].append(params)
        return mcp_types.ElicitResult(action="decline")

    async def _roots(self, context: Any) -> mcp_types.ListRootsResult:
        return mcp_types.ListRootsResult(roots=[mcp_types.Root.model_validate({"uri": "file:///r", "name": "r"})])

    async def _hear_log(self, params: Any) -> None:
        self.heard["log"].append(params)

    async def _hear(self, message: Any) -> None:
        self.heard["notification"].append(message)

    def run(self, scenario: Any, mode: str) -> str:
        """Play the scenario; what thv said."""

        async def play() -> None:
            with self._log.open("w") as errlog:
                async with Client(
                    stdio_client(self._parameters, errlog=errlog),
                    mode=mode,
                    list_roots_callback=self._roots,
                    sampling_callback=self._sample,
                    elicitation_callback=self._elicit,
                    logging_callback=self._hear_log,
                    message_handler=self._hear,
                ) as client:
                    await scenario(client, self)

        asyncio.run(play())
        return self._log.read_text()

    async def until(self, kind: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.heard[kind]:  # noqa: ASYNC110  the callbacks know of no event
                await asyncio.sleep(0.02)


async def everything_works(client: Client, talk: Talk) -> None:
    tools = {tool.name for tool in (await client.list_tools()).tools}
    assert {"echo", "get-sum", "trigger-long-running-operation"} <= tools
    assert (await client.call_tool("echo", {"message": "é\n漢"})).content[0].text == "Echo: é\n漢"  # type: ignore[union-attr]  # the tool answers with a text
    assert (await client.call_tool("get-sum", {"a": "x", "b": 1})).is_error
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    steps = {"duration": 1, "steps": 4}
    assert not (await client.call_tool("trigger-long-running-operation", steps, progress_callback=hear)).is_error
    assert heard == sorted(heard)
    assert len(heard) == 4
    if "trigger-sampling-request" in tools:
        assert not (await client.call_tool("trigger-sampling-request", {"prompt": "p", "maxTokens": 9})).is_error
        assert len(talk.heard["sampling"]) == 1
    if "trigger-elicitation-request" in tools:
        await client.call_tool("trigger-elicitation-request", {})
        assert len(talk.heard["elicitation"]) == 1
    resources = (await client.list_resources()).resources
    assert (await client.read_resource(str(resources[0].uri))).contents
    prompts = (await client.list_prompts()).prompts
    assert (await client.get_prompt(prompts[0].name, {})).messages
    await client.call_tool("toggle-simulated-logging", {})
    await talk.until("log")
    results = await asyncio.gather(*(client.call_tool("get-sum", {"a": n, "b": 1}) for n in range(30)))
    assert [f" {n + 1}." in str(result.content) for n, result in enumerate(results)] == [True] * 30


@pytest.mark.parametrize("transport", PATHS)
def test_everything_works_through_thv_as_it_does_directly(transport: str, tmp_path: Path) -> None:
    with everything(transport, tmp_path / "server.log") as server:
        for mode in ("auto", "legacy"):
            said = Talk(server.url, tmp_path / "thv.log").run(everything_works, mode)
            assert ", 1 error" in said
            assert "error" not in said.replace(", 1 error", "")
            assert "Traceback" not in said


@pytest.mark.parametrize("transport", PATHS)
def test_a_server_that_is_killed_and_started_again_costs_what_it_was_doing_alone(
    transport: str, tmp_path: Path
) -> None:
    async def scenario(client: Client, _talk: Talk) -> None:
        assert not (await client.call_tool("echo", {"message": "before"})).is_error
        slow = {"duration": 60, "steps": 60}
        began = asyncio.Event()

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            began.set()

        lost = asyncio.create_task(client.call_tool("trigger-long-running-operation", slow, progress_callback=hear))
        await asyncio.wait_for(began.wait(), PATIENCE)
        await asyncio.to_thread(server.kill)
        with pytest.raises(MCPError, match=r"cannot be reached|broke off"):
            await client.call_tool("echo", {"message": "away"})
        await asyncio.to_thread(server.start)
        with pytest.raises(MCPError, match="ended its stream"):
            await lost
        after = await client.call_tool("echo", {"message": "after"})
        assert not after.is_error

    with everything(transport, tmp_path / "server.log") as server:
        said = Talk(server.url, tmp_path / "thv.log").run(scenario, "legacy")
    assert "a new one was begun" in said
    assert "thv: tool calls: 2 success, 2 errors" in said
