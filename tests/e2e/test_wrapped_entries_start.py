"""What `thv client wrap` writes starts: by the official SDK's client for every client, by the clients that can be had.

The clients themselves are large downloads. Where `THV_REAL_CLIENTS` names a folder that has `claude`, `codex`, `gemini`
and `opencode` (`npm install @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai`), they read the
wrapped files and start what is in them, without an account and in a network namespace without a way out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp import Client, StdioServerParameters, stdio_client

from thv.clients.catalog import CLIENTS, JSON, TOML
from thv.servers import demo

COMMAND, *ARGS = [sys.executable, "-IS", str(Path(demo.__file__))]
THV = str(Path(sys.executable).with_name("thv"))
REAL = os.environ.get("THV_REAL_CLIENTS", "")

real_clients = pytest.mark.skipif(
    not REAL or shutil.which("unshare") is None,
    reason="the clients are 250 MB: install them and set THV_REAL_CLIENTS to their folder of programs",
)


def text_of(client_id: str) -> tuple[str, str]:
    """A file of the client with the demo server, and its name."""
    client = next(client for client in CLIENTS if client.id == client_id)
    key = client.servers[0][0]
    entry: dict[str, Any] = {client.program: COMMAND, "args": ARGS}
    if client_id == "opencode":
        entry = {"type": "local", "command": [COMMAND, *ARGS]}
    if client_id == "zed":
        entry = {"command": {"path": COMMAND, "args": ARGS}}
    if client.syntax == TOML:
        header = f"[[{key}]]\nname = 'demo'\n" if client.named_inside else f"[{key}.demo]\n"
        return f"{header}command = {json.dumps(COMMAND)}\nargs = {json.dumps(ARGS)}\n", "config.toml"
    servers: Any = [{"name": "demo", **entry}] if client.named_inside else {"demo": entry}
    return json.dumps({key: servers}), "file.json" if client.syntax == JSON else "file.yaml"


def started(path: Path, client_id: str) -> list[str]:
    """The command line that the client reads from its file, as another parser sees it."""
    client = next(client for client in CLIENTS if client.id == client_id)
    read: Any = tomllib.loads if client.syntax == TOML else yaml.safe_load
    servers = read(path.read_text())[client.servers[0][0]]
    entry = servers[0] if client.named_inside else servers["demo"]
    command = entry[client.program]
    if isinstance(command, dict):
        return [command["path"], *command["args"]]
    return command if isinstance(command, list) else [command, *entry["args"]]


@pytest.mark.parametrize("client_id", [client.id for client in CLIENTS])
def test_the_sdks_client_starts_what_is_written_for_every_client(client_id: str, tmp_path: Path) -> None:
    text, name = text_of(client_id)
    path = tmp_path / name
    path.write_text(text)
    subprocess.run([THV, "client", "wrap", str(path)], check=True, capture_output=True)
    command, *args = started(path, client_id)
    assert command == THV
    assert args[args.index("--") + 1 :] == [COMMAND, *ARGS]

    async def tools() -> list[str]:
        server = stdio_client(StdioServerParameters(command=command, args=args))
        async with Client(server) as session:
            return [tool.name for tool in (await session.list_tools()).tools]

    assert "add" in asyncio.run(tools())
    subprocess.run([THV, "client", "unwrap", str(path)], check=True, capture_output=True)
    assert path.read_text() == text


@pytest.fixture
def alone(home: Path, tmp_path: Path) -> Any:
    """Runs a program in a network namespace that has only a loopback; returns what it says."""

    def run(*words: str) -> str:
        done = subprocess.run(
            ["unshare", "-rn", "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh", *words],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{REAL}:{Path(THV).parent}:{os.environ['PATH']}", "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)

    return run


@real_clients
@pytest.mark.slow
def test_the_real_clients_start_what_is_written_for_them(alone: Any, home: Path) -> None:
    alone("claude", "mcp", "add", "demo", "--scope", "user", "--", COMMAND, *ARGS)
    alone("codex", "mcp", "add", "demo", "--", COMMAND, *ARGS)
    for name, text in {
        ".gemini/settings.json": {
            "security": {"folderTrust": {"enabled": False}},
            "mcpServers": {"demo": {"command": COMMAND, "args": ARGS}},
        },
        ".config/opencode/opencode.json": {
            "$schema": "https://opencode.ai/config.json",  # it adds this itself when it starts
            "mcp": {"demo": {"type": "local", "command": [COMMAND, *ARGS]}},
        },
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(json.dumps(text, indent=2))
    files = [home / ".codex/config.toml", home / ".gemini/settings.json", home / ".config/opencode/opencode.json"]
    before = [path.read_bytes() for path in files]
    claude = json.loads((home / ".claude.json").read_text())["mcpServers"]
    subprocess.run([THV, "client", "wrap"], check=True, capture_output=True, cwd=home)
    assert all(path.read_bytes() != data for path, data in zip(files, before, strict=True))
    assert re.search(rf"demo: {THV} run --name demo .*✔ Connected", alone("claude", "mcp", "list"))
    assert re.search(rf"demo: {THV} run --name demo .*Connected", alone("gemini", "mcp", "list"))
    assert re.search(r"demo connected", alone("opencode", "mcp", "list"))
    assert f"command: {THV}" in alone("codex", "mcp", "get", "demo")
    subprocess.run([THV, "client", "unwrap"], check=True, capture_output=True, cwd=home)
    assert [path.read_bytes() for path in files] == before
    assert json.loads((home / ".claude.json").read_text())["mcpServers"] == claude
