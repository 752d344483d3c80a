"""The official SDK's client talks to published servers: what it sees through thv is what it sees without."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import mcp.types as mcp_types
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client

from tests import packages
from thv.servers.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Scenario = Callable[["Recorder"], Awaitable[None]]

pytestmark = [pytest.mark.registry, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE = 60.0
"""Seconds to wait for something that a server does in its own time."""

ROOT_URI = "file:///thv-test-root"


class Recorder:
    """One client session, and everything that was exchanged in it, by value."""

    def __init__(self, client: Client, seen: dict[str, list[Any]], roots: list[str]) -> None:
        self.client = client
        self.seen = seen
        self.roots = roots
        self.exchanged: list[Any] = []
        self.success = 0
        self.error = 0

    async def ask(self, what: str, request: Awaitable[Any]) -> Any:
        """Await one request and keep its result or its error."""
        try:
            result = await request
        except MCPError as error:
            self.exchanged.append([what, "error", error.code, error.message, error.data])
            return None
        self.exchanged.append([what, wire(result)])
        return result

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Call one tool, keep the result and its progress, and count the outcome as a client sees it."""
        heard: list[Any] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append([progress, total, message])

        result = await self.ask(tool, self.client.call_tool(tool, arguments, progress_callback=hear))
        if result is None or result.is_error:
            self.error += 1
        else:
            self.success += 1
        self.exchanged.append([tool, "progress", heard])
        return result

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - the callbacks that fill `seen` know of no event
                await asyncio.sleep(0.01)


def wire(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


async def session(
    argv: list[str], scenario: Scenario, *, env: dict[str, str], mode: str, roots: list[str], log: Path
) -> Recorder:
    """Play a scenario with a server of one's own on stdio; `log` gets its stderr."""
    parameters = StdioServerParameters(command=argv[0], args=argv[1:], env=env)
    with log.open("w") as errlog:
        return await play(stdio_client(parameters, errlog=errlog), scenario, mode=mode, roots=roots)


async def play(transport: Any, scenario: Scenario, *, mode: str, roots: list[str]) -> Recorder:
    """Play a scenario with a client that offers roots, sampling and elicitation."""
    seen: dict[str, list[Any]] = {"roots": [], "sampling": [], "elicitation": [], "log": [], "notification": []}

    async def list_roots(context: Any) -> mcp_types.ListRootsResult:
        seen["roots"].append("asked")
        return mcp_types.ListRootsResult(
            roots=[mcp_types.Root.model_validate({"uri": uri, "name": uri[-4:]}) for uri in roots]
        )

    async def sample(context: Any, params: Any) -> mcp_types.CreateMessageResult:
        seen["sampling"].append(wire(params))
        words = mcp_types.TextContent(type="text", text="a sample")
        return mcp_types.CreateMessageResult(role="assistant", content=words, model="none", stop_reason="endTurn")

    async def elicit(context: Any, params: Any) -> mcp_types.ElicitResult:
        seen["elicitation"].append(wire(params))
        return mcp_types.ElicitResult(action="decline")

    async def hear_log(params: Any) -> None:
        seen["log"].append(wire(params))

    async def hear(message: Any) -> None:
        if not isinstance(message, mcp_types.ProgressNotification | mcp_types.LoggingMessageNotification):
            seen["notification"].append(wire(message))

    async with Client(
        transport,
        mode=mode,
        list_roots_callback=list_roots,
        sampling_callback=sample,
        elicitation_callback=elicit,
        logging_callback=hear_log,
        message_handler=hear,
    ) as client:
        recorder = Recorder(client, seen, roots)
        recorder.exchanged.append(["protocol", client.protocol_version, wire(client.server_capabilities)])
        recorder.exchanged.append(["server", wire(client.server_info), client.instructions])
        await recorder.ask("tools/list", client.list_tools())
        await scenario(recorder)
    return recorder


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Packages from the shared cache, and analytics off."""
    for name, value in packages.variables().items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


def server_argv(server: str, args: list[str], environ: dict[str, str]) -> list[str]:
    """The command a client would start without thv."""
    runner = server.partition("://")[0]
    if runner in {"uvx", "npx"} and shutil.which(runner, path=environ["PATH"]) is None:
        if environ.get("CI"):
            pytest.fail(f"{runner} is missing: this promise may not go unproved in CI")
        pytest.skip(f"{runner} is not installed")
    return list(resolve(server, args, environ=environ).argv)


def compare(
    server: str,
    args: list[str],
    scenario: Scenario,
    *,
    mode: str,
    env: dict[str, str],
    logs: Path,
    settle: Callable[[Any], Any] = lambda value: value,
    roots: tuple[str, ...] = (ROOT_URI,),
) -> Recorder:
    """Play the scenario without thv and through it, and hold the two to be the same."""
    plain = server_argv(server, args, env)
    with packages.only_one_fetches():
        direct = asyncio.run(session(plain, scenario, env=env, mode=mode, roots=list(roots), log=logs / "direct.log"))
    relayed = [sys.executable, "-P", "-m", "thv", "--debug", "run", server, "--", *args]
    through = asyncio.run(session(relayed, scenario, env=env, mode=mode, roots=list(roots), log=logs / "through.log"))

    assert settle(through.exchanged) == settle(direct.exchanged)
    assert settle(through.seen) == settle(direct.seen)
    errors = "error" if through.error == 1 else "errors"
    said = (logs / "through.log").read_text().splitlines()
    assert f"thv: tool calls: {through.success} success, {through.error} {errors}" in said
    return through


def replaced(patterns: dict[str, str]) -> Callable[[Any], Any]:
    """Replace what no two runs have in common, such as the time of day, wherever it stands in a text."""

    def settle(value: Any) -> Any:
        if isinstance(value, str):
            for pattern, word in patterns.items():
                value = re.sub(pattern, word, value)
            return value
        if isinstance(value, list):
            return [settle(item) for item in value]
        if isinstance(value, dict):
            return {key: settle(b64decode(item).decode() if key == "blob" else item) for key, item in value.items()}
        return value

    return settle


MODES = ["auto", "legacy"]
"""`auto` probes with `server/discover` and speaks the newest revision it can; `legacy` begins with `initialize`."""


@pytest.mark.parametrize("mode", MODES)
def test_the_demo_server_is_the_same_through_thv(mode: str, environment: dict[str, str], tmp_path: Path) -> None:
    async def scenario(recorder: Recorder) -> None:
        await recorder.call("add", {"a": 2, "b": 3})
        await recorder.call("add", {"a": "2", "b": 3})
        await recorder.call("echo", {"text": "tab\tline\nüñî 漢 \u2028 \x00 😀"})
        await recorder.call("fail", {"message": '{"isError": false}'})
        await recorder.call("wait", {"seconds": 0.1})
        await recorder.call("no-such-tool", {})
        now = await recorder.call("now", {})
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now.content[0].text)

    settle = replaced({r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ": "NOW"})
    through = compare("demo", [], scenario, mode=mode, env=environment, logs=tmp_path, settle=settle)
    assert (through.success, through.error) == (4, 3)


@pytest.mark.parametrize("mode", MODES)
def test_the_time_server_is_the_same_through_thv(mode: str, environment: dict[str, str], tmp_path: Path) -> None:
    async def scenario(recorder: Recorder) -> None:
        await recorder.call("get_current_time", {"timezone": "Asia/Tokyo"})
        await recorder.call(
            "convert_time", {"source_timezone": "Asia/Tokyo", "time": "16:30", "target_timezone": "Asia/Kolkata"}
        )
        await recorder.call("get_current_time", {"timezone": "Nowhere/Atlantis"})
        await recorder.call(
            "convert_time", {"source_timezone": "Asia/Tokyo", "time": "25:99", "target_timezone": "UTC"}
        )
        await recorder.call("no_such_tool", {})

    settle = replaced(
        {
            r"\d{4}-\d\d-\d\d": "DATE",
            "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday": "DAY",
            # The times that were asked for stay; every other one is the clock's.
            r"T(?!16:30:00|13:00:00)\d\d:\d\d:\d\d": "NOW",
        }
    )
    through = compare(
        "uvx://mcp-server-time",
        ["--local-timezone", "UTC"],
        scenario,
        mode=mode,
        env=environment,
        logs=tmp_path,
        settle=settle,
    )
    assert (through.success, through.error) == (2, 3)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, one change in the work tree and one new file."""
    where = tmp_path / "repository"
    where.mkdir()
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    (where / "a.txt").write_text("one\n")
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "First ünicode"]):
        subprocess.run([*git, *words], cwd=where, check=True)
    (where / "a.txt").write_text("one\ntwo\n")
    (where / "b.txt").write_text("new\n")
    return where


@pytest.mark.parametrize("mode", MODES)
def test_the_git_server_is_the_same_through_thv(
    mode: str, environment: dict[str, str], tmp_path: Path, repository: Path
) -> None:
    async def scenario(recorder: Recorder) -> None:
        where = {"repo_path": str(repository)}
        await recorder.call("git_status", where)
        await recorder.call("git_diff_unstaged", where)
        await recorder.call("git_log", where)
        await recorder.call("git_show", where | {"revision": "main"})
        await recorder.call("git_branch", where | {"branch_type": "local"})
        await recorder.call("git_show", where | {"revision": "no-such-revision"})
        await recorder.call("git_status", {"repo_path": str(repository.parent)})
        await recorder.call("git_status", {})

    through = compare(
        "uvx://mcp-server-git", ["--repository", str(repository)], scenario, mode=mode, env=environment, logs=tmp_path
    )
    assert (through.success, through.error) == (5, 3)


@pytest.mark.parametrize("mode", MODES)
def test_the_filesystem_server_is_the_same_through_thv_and_learns_its_roots(
    mode: str, environment: dict[str, str], tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "big.txt").write_text("0123456789abcdef" * 65536)
    (allowed / "crlf.txt").write_bytes(b"a\r\nb\r\n")

    async def scenario(recorder: Recorder) -> None:
        await recorder.until(lambda: bool(recorder.seen["roots"]))
        # The server takes the roots in some time after it has asked for them.
        async with asyncio.timeout(PATIENCE):
            while str(allowed) not in str(await recorder.client.call_tool("list_allowed_directories", {})):
                recorder.success += 1
                await asyncio.sleep(0.05)
            recorder.success += 1
        await recorder.call("list_directory", {"path": str(allowed)})
        await recorder.call("read_text_file", {"path": str(allowed / "big.txt")})
        await recorder.call("read_text_file", {"path": str(allowed / "crlf.txt")})
        await recorder.call("write_file", {"path": str(allowed / "new.txt"), "content": "ünï\u2028code\n"})
        await recorder.call("read_multiple_files", {"paths": [str(allowed / "new.txt"), str(allowed / "missing")]})
        await recorder.call("read_text_file", {"path": str(allowed / "missing")})
        await recorder.call("read_text_file", {"path": "/etc/hostname"})
        await recorder.call("no_such_tool", {})
        (allowed / "new.txt").unlink()

    before = tmp_path / "before"
    before.mkdir()
    through = compare(
        "npx://@modelcontextprotocol/server-filesystem",
        [str(before)],
        scenario,
        mode=mode,
        env=environment,
        logs=tmp_path,
        roots=(allowed.as_uri(),),
    )
    assert through.seen["roots"] == ["asked"]
    assert through.error == 3


async def everything(recorder: Recorder) -> None:
    """Use whatever the everything server has."""
    client = recorder.client
    await recorder.call("echo", {"message": '{"isError": true} \u2028 ünï'})
    await recorder.call("get-sum", {"a": 1, "b": 2})
    await recorder.call("get-sum", {"a": "one"})
    await recorder.call("get-env", {})
    await recorder.call("get-tiny-image", {})
    await recorder.call("get-annotated-message", {"messageType": "error", "includeImage": True})
    await recorder.call("get-resource-links", {"count": 3})
    await recorder.call("get-resource-reference", {"resourceType": "Blob", "resourceId": 7})
    await recorder.call("get-structured-content", {"location": "Chicago"})
    await recorder.call("trigger-long-running-operation", {"duration": 0.4, "steps": 4})
    await recorder.call("trigger-sampling-request", {"prompt": "say something", "maxTokens": 5})
    await recorder.call("trigger-elicitation-request", {})
    await recorder.call("get-roots-list", {})
    await recorder.call("no-such-tool", {})

    await recorder.ask("resources/list", client.list_resources())
    await recorder.ask("resources/templates/list", client.list_resource_templates())
    for uri in ("demo://resource/static/document/features.md", "demo://resource/dynamic/blob/3", "demo://nowhere"):
        await recorder.ask("resources/read", client.read_resource(uri))
    await recorder.ask("prompts/list", client.list_prompts())
    await recorder.ask("prompts/get", client.get_prompt("args-prompt", {"city": "Zürich"}))
    await recorder.ask("prompts/get", client.get_prompt("no-such-prompt"))
    department = mcp_types.PromptReference(name="completable-prompt")
    await recorder.ask("complete", client.complete(department, {"name": "department", "value": "E"}))

    await recorder.until(lambda: bool(recorder.seen["roots"]) and bool(recorder.seen["log"]))
    await recorder.call("toggle-simulated-logging", {})
    await recorder.until(lambda: len(recorder.seen["log"]) > 1)
    await recorder.call("toggle-simulated-logging", {})


ALIKE = replaced(
    {
        r"\d{1,2}:\d\d:\d\d [AP]M": "TIME",
        # Simulated log messages have a random level.
        r"^(debug|info|notice|warning|error|critical|alert|emergency)$": "LEVEL",
        r"^\w+[- ]level[- ]message$": "A LOG MESSAGE",
    }
)
"""What no two runs with the everything server have in common."""


@pytest.mark.parametrize("mode", MODES)
def test_the_everything_server_is_the_same_through_thv_and_may_ask_the_client(
    mode: str, environment: dict[str, str], tmp_path: Path
) -> None:
    through = compare(
        "npx://@modelcontextprotocol/server-everything",
        [],
        everything,
        mode=mode,
        env=environment,
        logs=tmp_path,
        settle=ALIKE,
    )
    assert through.seen["roots"] == ["asked"]
    assert len(through.seen["sampling"]) == 1
    assert len(through.seen["elicitation"]) == 1
    assert through.error == 2
