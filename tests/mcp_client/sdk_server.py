"""A server on the official SDK, which judges what our client sends: sdk_server.py."""

from __future__ import annotations

import asyncio

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("judge", instructions="Judges clients.")


class Order(BaseModel):
    """What the user is asked for."""

    size: int
    topping: str = "none"


@server.tool()
def add(a: float, b: float) -> float:
    """Adds two numbers."""
    return a + b


@server.tool()
def fail(message: str) -> str:
    """Always fails."""
    raise ToolError(message)


@server.tool()
async def count(steps: int, context: Context) -> str:
    """Counts, with progress."""
    for step in range(steps):
        await context.report_progress(step + 1, steps, f"step {step + 1}")
    return "counted"


@server.tool()
async def order(context: Context) -> str:
    """Asks the user."""
    reply = await context.elicit("What shall it be?", Order)
    return f"{reply.action} {getattr(reply, 'data', None)}"


@server.tool()
async def wait() -> str:
    """Waits until it is cancelled."""
    await asyncio.sleep(3600)
    return "waited"


if __name__ == "__main__":
    server.run("stdio")
