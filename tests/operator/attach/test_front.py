"""From an official client over HTTP, through `thv attach` and an API server, to a real process in a container."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.operator.fake_attach import Container, FakeAttach, credentials, failure, fake_attach
from tests.operator.servers import OPTIONS, server
from thv.cli.app import main
from thv.operator.resources import workload
from thv.servers import demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEMO = [sys.executable, "-IS", str(Path(demo.__file__))]
TOKEN = "a-t0ken-that-nobody-shall-see"
PATIENCE = 60.0


class Attached:
    """A running `thv attach`."""

    def __init__(self, process: asyncio.subprocess.Process, api: FakeAttach) -> None:
        self._process = process
        self.api = api
        self.said = ""
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.said += line.decode()

    async def says(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until it has said something so many times."""
        async with asyncio.timeout(PATIENCE):
            while len(found := list(re.finditer(pattern, self.said))) < times:
                assert not self._listening.done(), self.said
                await asyncio.sleep(0.01)
        return found[-1]

    async def url(self) -> str:
        return (await self.says(r"is served at (http://[\d.:]+)/mcp"))[1]

    async def health(self) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(await self.url() + "/health") as answer:
            return answer.status, await answer.text()

    async def stop(self) -> int:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            await self._listening
        return code


@asynccontextmanager
async def attached(folder: Path, *, refusing: tuple[int, dict[str, Any]] | None = None) -> AsyncIterator[Attached]:
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    container = Container(DEMO)
    async with fake_attach(container=container, tls=tls) as api:
        await container.start()
        api.is_refusing = refusing
        where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": api.url.rpartition(":")[2]}
        words = ["attach", "demo", "--namespace", "team-a", "--pod", "demo-0", "--proxy-port", "0", "--debug"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "thv", *words),
            *("--credentials", str(credentials(folder, TOKEN, ca.cert_pem.bytes()))),
            env={**os.environ, **where, "DO_NOT_TRACK": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        front = Attached(process, api)
        try:
            yield front
        finally:
            await front.stop()


def client(url: str, mode: str) -> Client:
    return Client(streamable_http_client(url + "/mcp"), mode=mode)


async def total(of: Client, a: int, b: int) -> Any:
    return (await of.call_tool("add", {"a": a, "b": b})).structured_content


@pytest.mark.timeout(180)
def test_sessions_outlive_a_dropped_link_and_what_they_call_is_counted_once(tmp_path: Path) -> None:
    async def story() -> str:
        async with attached(tmp_path / "credentials") as front:
            url = await front.url()
            await front.says("attached to container mcp of pod team-a/demo-0")
            container = front.api.container
            assert container is not None
            pid = container.pid
            async with client(url, "legacy") as one, client(url, "legacy") as two, client(url, "auto") as newest:
                for number, each in enumerate((one, two, newest)):
                    assert await total(each, number, 1) == {"sum": number + 1}
                slow = asyncio.create_task(one.call_tool("wait", {"seconds": 3}))
                await asyncio.sleep(0.3)
                front.api.link.drop()
                await front.says("attaching again")
                # What is sent while the link is down waits, and an answer that comes later still arrives.
                assert await total(two, 20, 22) == {"sum": 42}
                assert not (await slow).is_error
                assert (await newest.call_tool("fail", {})).is_error
                assert await total(newest, 1, 2) == {"sum": 3}
            assert container.pid == pid
            assert len(front.api.links) == 2
            assert await front.stop() == 0
            return front.said

    said = asyncio.run(story())
    assert "tool calls: 6 success, 1 error" in said
    assert TOKEN not in said


@pytest.mark.timeout(180)
def test_when_the_container_ends_its_sessions_end_and_new_ones_use_the_next_process(tmp_path: Path) -> None:
    async def story() -> str:
        async with attached(tmp_path / "credentials") as front:
            url = await front.url()
            container = front.api.container
            assert container is not None
            await front.says("attached to")
            async with client(url, "legacy") as old:
                assert await total(old, 1, 1) == {"sum": 2}
                slow = asyncio.create_task(old.call_tool("wait", {"seconds": 30}))
                await asyncio.sleep(0.3)
                await container.kill()
                with pytest.raises(MCPError):
                    await slow
                await front.says("cannot attach to .*container mcp is not running")
                status, body = await front.health()
                assert status == 503
                assert "not running" in body
                await container.start()
                await front.says("attached to", times=2)
                assert (await front.health())[0] == 200
                with pytest.raises(MCPError):  # 404: begin anew
                    await total(old, 1, 1)
                async with client(url, "legacy") as new:
                    assert await total(new, 2, 2) == {"sum": 4}
            assert await front.stop() == 0
            return front.said

    assert "tool calls: 2 success, 1 error" in asyncio.run(story())


@pytest.mark.timeout(180)
def test_it_is_alive_and_not_ready_while_it_may_not_attach(tmp_path: Path) -> None:
    async def story() -> None:
        forbidden = 403, failure('pods "demo-0" is forbidden: cannot create resource "pods/attach"', "Forbidden")
        async with attached(tmp_path / "credentials", refusing=forbidden) as front:
            await front.says("is forbidden")
            status, body = await front.health()
            assert status == 503
            assert "is forbidden" in body
            assert TOKEN not in body
            front.api.is_refusing = None
            await front.says("attached to")
            assert (await front.health())[0] == 200
            front.api.is_refusing = forbidden
            front.api.link.drop()
            await front.says("is forbidden", times=2)
            assert (await front.health())[0] == 503
            assert await front.stop() == 0
            assert TOKEN not in front.said

    asyncio.run(story())


def test_the_pod_does_not_load_what_the_operator_needs() -> None:
    code = (
        "import sys, thv.cli.attach, thv.operator.attach.container_backend, thv.operator.attach.websocket_link;"
        " print('kopf' in sys.modules)"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "False"


def test_the_pod_is_given_a_command_line_that_thv_takes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    spec = workload(server(), OPTIONS)["spec"]["template"]["spec"]
    words = spec["initContainers"][0]["args"]
    assert words[0] == "attach"
    assert main(words) == 1
    assert "inside a Kubernetes pod only" in capfd.readouterr().err
