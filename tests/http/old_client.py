"""Plays a session with the SDK's first major and prints what it saw as JSON; run by `test_front_sdk`, not imported.

`python old_client.py http URL` or `python old_client.py stdio COMMAND...`
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import (  # type: ignore[attr-defined,unused-ignore]  # the SDK before 2
    ClientSession,
    McpError,
    StdioServerParameters,
    stdio_client,
    types,
)
from mcp.client.streamable_http import streamablehttp_client  # type: ignore[attr-defined,unused-ignore]  # the SDK before 2


async def play(streams: Any) -> list[Any]:
    seen: list[Any] = []

    async def sample(_context: Any, params: Any) -> Any:
        seen.append(["sampling", params.maxTokens])
        words = types.TextContent(type="text", text="a sample")
        return types.CreateMessageResult(role="assistant", content=words, model="none", stopReason="endTurn")  # type: ignore[call-arg,unused-ignore]  # as above

    async def elicit(_context: Any, params: Any) -> Any:
        seen.append(["elicitation", params.message])
        return types.ElicitResult(action="decline")

    async def list_roots(_context: Any) -> Any:
        return types.ListRootsResult(roots=[types.Root(uri="file:///thv-test-root", name="r")])  # type: ignore[arg-type,unused-ignore]  # as above

    callbacks: Any = {
        "sampling_callback": sample,
        "elicitation_callback": elicit,
        "list_roots_callback": list_roots,
    }
    async with ClientSession(streams[0], streams[1], **callbacks) as session:

        async def ask(what: str, request: Any) -> None:
            try:
                result = await request
            except McpError as error:
                seen.append([what, "error", error.error.code, error.error.message])
            else:
                seen.append([what, result.model_dump(mode="json", by_alias=True, exclude_none=True)])

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            seen.append(["progress", progress, total, message])

        async def call(tool: str, arguments: dict[str, Any]) -> None:
            await ask(tool, session.call_tool(tool, arguments, progress_callback=hear))

        await ask("initialize", session.initialize())
        await ask("tools/list", session.list_tools())
        await call("echo", {"message": "ünï \u2028"})
        await call("get-sum", {"a": "one"})
        await call("trigger-long-running-operation", {"duration": 0.4, "steps": 4})
        await call("trigger-sampling-request", {"prompt": "say something", "maxTokens": 5})
        await call("trigger-elicitation-request", {})
        await call("get-roots-list", {})
        await call("no-such-tool", {})
        await ask("resources/list", session.list_resources())
        uri: Any = "demo://resource/static/document/features.md"
        await ask("resources/read", session.read_resource(uri))
        await ask("resources/subscribe", session.subscribe_resource(uri))
        await ask("resources/unsubscribe", session.unsubscribe_resource(uri))
        await ask("logging/setLevel", session.set_logging_level("error"))
        await ask("prompts/list", session.list_prompts())
        await ask("prompts/get", session.get_prompt("args-prompt", {"city": "Zürich"}))
        await ask("ping", session.send_ping())
    return seen


async def main() -> None:
    kind, *words = sys.argv[1:]
    if kind == "http":
        opened: Any = streamablehttp_client(words[0])
    else:
        import os

        opened = stdio_client(StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ)))
    async with opened as streams:
        seen = await play(streams)
    print(json.dumps(seen))


asyncio.run(main())
