"""A published server that speaks HTTP, started and proxied by thv: what works directly works through it."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests import packages
from tests.e2e.harness import PATIENCE, Run, until
from tests.e2e.test_official_sdk import ALIKE, ROOT_URI, everything, play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.test_official_sdk import Recorder

pytestmark = [
    pytest.mark.registry,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="a signal ends thv as POSIX does"),
]

MODES = {"streamable-http": "streamableHttp", "sse": "sse"}
"""Transport -> what `server-everything` calls it."""


def alike(exchanged: list[Any]) -> list[str]:
    """What two sessions have in common."""
    theirs = r"[0-9a-f]{8}-[0-9a-f-]{27}|\w+[- ]level[- ]message"  # a session's id, a message of a random level
    return [re.sub(theirs, "ITS OWN", str(ALIKE(each))) for each in exchanged]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in packages.variables().items():
        monkeypatch.setenv(name, value)


def played(url: str, transport: str) -> Recorder:
    """The scenario of the stdio tests, with the server at this URL."""

    async def scenario() -> Recorder:
        made: Any = sse_client(url) if transport == "sse" else streamable_http_client(url)
        return await play(made, everything, mode="legacy", roots=[ROOT_URI])

    return asyncio.run(scenario())


@pytest.mark.parametrize("transport", MODES)
def test_a_server_is_the_same_behind_the_proxy_that_started_it(transport: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-P", "-m", "thv", "--debug", "run", "npx://@modelcontextprotocol/server-everything"]
    with (
        packages.only_one_fetches(),
        log.open("wb") as stderr,
        Run([*command, "--transport", transport, "--", MODES[transport]], tmp_path, stderr=stderr) as run,
    ):
        served = re.compile(r"^thv: server-everything is served at (\S+); Ctrl-C ends it$", re.MULTILINE)
        until(lambda: served.search(log.read_text()) is not None, "the server", 4 * PATIENCE)
        url = served.findall(log.read_text())[0]
        through = played(url, transport)
        target = next(
            connection.laddr.port
            for process in run.family()
            if process.pid != run.pid
            for connection in process.net_connections("tcp")
            if connection.status == "LISTEN"
        )
        direct = played(re.sub(r":\d+/", f":{target}/", url), transport)
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 128 + signal.SIGTERM
        assert run.finish()[1] == b""
    assert alike(through.exchanged) == alike(direct.exchanged)
    # Notifications, and what is asked on another stream, come in no fixed order over HTTP.
    assert {kind: sorted(alike(seen)) for kind, seen in through.seen.items()} == {
        kind: sorted(alike(seen)) for kind, seen in direct.seen.items()
    }
    assert f"thv: tool calls: {through.success} success, {through.error} errors" in log.read_text().splitlines()
