"""The official SDK's client over HTTP through thv sees what it sees of the same server on stdio."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mcp.client.streamable_http import streamable_http_client

from tests import packages
from tests.e2e.harness import MARK
from tests.e2e.test_official_sdk import ALIKE, ROOT_URI, everything, play, server_argv, session
from tests.http.fronts import FrontRun

pytestmark = [pytest.mark.registry, pytest.mark.slow, pytest.mark.timeout(600)]

EVERYTHING = "npx://@modelcontextprotocol/server-everything"


def settled(exchanged: list[Any]) -> Any:
    """What was exchanged, without the variables of the tests themselves."""
    for what, result in (each[:2] for each in exchanged):
        if what == "get-env" and isinstance(result, dict):
            variables = json.loads(result["content"][0]["text"])
            for name in (MARK, "PYTEST_CURRENT_TEST"):
                variables.pop(name, None)
            result["content"][0]["text"] = json.dumps(variables, sort_keys=True)
    return ALIKE(exchanged)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    for name, value in packages.variables().items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.mark.parametrize(("mode", "ways"), [("auto", [()]), ("legacy", [(), ("--shared",)])])
def test_the_everything_server_is_the_same_over_http(
    mode: str, ways: list[tuple[str, ...]], environment: dict[str, str], tmp_path: Path
) -> None:
    plain = server_argv(EVERYTHING, [], environment)
    with packages.only_one_fetches():
        direct = asyncio.run(
            session(plain, everything, env=environment, mode=mode, roots=[ROOT_URI], log=tmp_path / "direct.log")
        )
    expected = settled(direct.exchanged)
    for options in ways:
        with FrontRun([EVERYTHING], tmp_path, *options, env=environment) as front:
            url = f"http://127.0.0.1:{front.port}/mcp"
            through = asyncio.run(play(streamable_http_client(url), everything, mode=mode, roots=[ROOT_URI]))
            said = front.stop()
        assert settled(through.exchanged) == expected
        assert {kind: sorted(map(str, ALIKE(seen))) for kind, seen in through.seen.items()} == {
            kind: sorted(map(str, ALIKE(seen))) for kind, seen in direct.seen.items()
        }
        assert f"thv: tool calls: {through.success} success, {through.error} errors" in said.splitlines()


LAST_OF_1 = "mcp>=1.28,<2"
"""The last minor of the SDK's first major, which many clients will go on using."""


def play_old(environment: dict[str, str], *words: str) -> list[Any]:
    """What a client of the last 1.x sees, in a Python of its own: the two majors cannot be imported side by side."""
    uv = shutil.which("uv", path=environment["PATH"])
    if uv is None:
        if packages.IN_CI:
            pytest.fail("uv is missing: this promise may not go unproved in CI")
        pytest.skip("uv is not installed")
    script = Path(__file__).parents[1] / "old_client.py"
    command = [uv, "run", "--no-project", "--isolated", "--with", LAST_OF_1, "python", str(script), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_a_client_of_the_last_1_x_sees_the_same_over_http(environment: dict[str, str], tmp_path: Path) -> None:
    with packages.only_one_fetches():
        direct = settled(play_old(environment, "stdio", *server_argv(EVERYTHING, [], environment)))
    for options in ((), ("--shared",)):
        with FrontRun([EVERYTHING], tmp_path, *options, env=environment) as front:
            through = play_old(environment, "http", f"http://127.0.0.1:{front.port}/mcp")
            said = front.stop()
        assert settled(through) == direct
        assert "thv: tool calls: 5 success, 2 errors" in said.splitlines()
