"""Runs a reverse proxy, alone or with a server of its own: start, messages, shutdown.

Promises: a signal ends it within moments; the server that was started with it ends with it, and the other way round.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.core.net.loopback import is_loopback
from thv.core.net.urls import MAX_PORT, parse_port
from thv.errors import UsageError
from thv.http.proxy.local_server import find_server
from thv.http.proxy.proxy_target import ProxyTarget
from thv.http.signals import install_signal_handlers

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.process_backend import ProcessBackend
    from thv.http.proxy.reverse_proxy import ReverseProxy
    from thv.servers.launch_spec import LaunchSpec

LOOPBACK = "127.0.0.1"

READY_POLL = 0.05
"""Seconds between two looks whether the server listens already."""

START_PATIENCE_S = 15.0
"""Seconds after which thv reports that the server does not listen: `npx` and `uvx` may download for longer."""

PATHS = {"streamable-http": "/mcp", "sse": "/sse"}
"""Where the SDKs' servers have their endpoint by default. Every path passes: this one is shown and probed."""

PORT_IN_ARGUMENTS = "{port}"
"""Stands for the port in the server's arguments: not every server reads a variable."""


def free_port() -> int:
    """A port without a listener just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def told_where_to_listen(spec: LaunchSpec, transport: str, port: int) -> LaunchSpec:
    """The server, told by the variables that servers read which port is its own (as ToolHive tells them)."""
    where = {
        "MCP_TRANSPORT": transport,
        "MCP_HOST": LOOPBACK,
        "MCP_PORT": str(port),
        "FASTMCP_HOST": LOOPBACK,
        "FASTMCP_PORT": str(port),
        "PORT": str(port),
    }
    argv = tuple(word.replace(PORT_IN_ARGUMENTS, str(port)) for word in spec.argv)
    return spec.replace(argv=argv, env={**spec.env, **where})


def local_target(transport: str, port: int) -> ProxyTarget:
    """The server that was told to listen on this port."""
    return ProxyTarget("http", LOOPBACK, port, PATHS[transport])


async def serve(
    proxy: ReverseProxy, name: str, *, warn: Callable[[str], None], client_disconnected: Callable[[str | None], None]
) -> int:
    """Run a proxy until a signal ends it.

    Args:
        proxy: not started yet.
        name: what people call the server.
        warn: says a line to the user.
        client_disconnected: called when it begins to end, with the name of the signal that ends it, if one does.

    Returns:
        0: it was asked to end, and did.

    Raises:
        ThvError: it cannot listen.
    """
    told = install_signal_handlers()
    await proxy.start()
    warn(f"{name} is served at {proxy.url}, from {proxy.pool.target}; Ctrl-C ends it")
    _warn(proxy, warn)
    await told.wait()
    client_disconnected(told.signal_name)
    await proxy.close()
    return 0


async def serve_with(
    proxy: ReverseProxy,
    backend: ProcessBackend,
    name: str,
    *,
    is_legacy: bool,
    warn: Callable[[str], None],
    client_disconnected: Callable[[str | None], None],
) -> int:
    """Start a server, and run a proxy in front of it until one of the two or a signal ends it.

    Args:
        proxy: not started yet.
        backend: the server, not started yet.
        name: what people call the server.
        is_legacy: the server speaks HTTP+SSE.
        warn: says a line to the user.
        client_disconnected: called when it begins to end, with the name of the signal that ends it, if one does.

    Returns:
        The exit code of the server.

    Raises:
        ThvError: the proxy cannot listen, or the server cannot be started.
    """
    told = install_signal_handlers()
    await proxy.start()
    try:
        await backend.start()
    except BaseException:
        await proxy.close()
        raise
    exited = asyncio.create_task(_drain(backend))
    asked = asyncio.create_task(told.wait())
    announced = asyncio.create_task(_announce(proxy, name, warn, is_legacy=is_legacy))
    try:
        await asyncio.wait({exited, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        announced.cancel()
        await asyncio.wait({announced})
        client_disconnected(told.signal_name)
        if not exited.done():  # what is open then is not counted; what broke because the server died is
            await proxy.close()
        exit_code = await backend.terminate()
        if announced.cancelled() and not told.is_set():
            warn(f"{name} ended with exit code {exit_code} before it listened on port {proxy.pool.target.port}")
        await proxy.close()
        asked.cancel()
        await exited
    return exit_code


async def _drain(backend: ProcessBackend) -> None:
    """Until the server has exited: what it prints is for people, for its messages do not go this way."""
    with suppress(OSError):  # a line without end: nobody reads on
        while line := await backend.receive():
            with suppress(OSError):
                await asyncio.to_thread(os.write, 2, line)
    await backend.exited()


async def _announce(proxy: ReverseProxy, name: str, warn: Callable[[str], None], *, is_legacy: bool) -> None:
    """Find out how the server wants to be called, and say where it is served, once it listens."""
    target = proxy.pool.target
    proxy.problem = f"{name} does not listen on port {target.port} yet"
    loop = asyncio.get_running_loop()
    patient_until: float | None = loop.time() + START_PATIENCE_S
    while (found := await find_server(target.port, target.path, is_legacy=is_legacy)) is None:
        if patient_until is not None and loop.time() > patient_until:
            patient_until = None
            warn(
                f"{name} does not listen on port {target.port} after {START_PATIENCE_S:.0f} s; it was told the port by "
                f"the variables PORT and MCP_PORT, and {PORT_IN_ARGUMENTS} in its arguments stands for it"
            )
        await asyncio.sleep(READY_POLL)
    proxy.pool.target = found.target
    proxy.problem = ""
    if found.refusal is not None:
        proxy.problem = f"{name} answers {found.refusal} to every name of this machine"
        warn(f"{proxy.problem}: it wants to be called by another Host, or asks for credentials")
    warn(f"{name} is served at {proxy.url}; Ctrl-C ends it")
    _warn(proxy, warn)


def _warn(proxy: ReverseProxy, warn: Callable[[str], None]) -> None:
    if not is_loopback(proxy.host):
        warn(f"listening on {proxy.host} without authentication; put an authenticating proxy in front of it")


def checked_port(text: str, option: str) -> int:
    """The port that an option gives.

    Raises:
        UsageError: it is none.
    """
    port = parse_port(text, lowest=0)
    if port is None:
        raise UsageError(f"{option} {text}: a port is a number up to {MAX_PORT}")
    return port
