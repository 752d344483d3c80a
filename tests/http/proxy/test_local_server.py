"""The proxy calls a local server by the host name it expects, and reports when it cannot."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.ports import free_port
from thv.http.proxy.local_server import find_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HAS_IPV6 = socket.has_ipv6


@asynccontextmanager
async def server(
    address: str, accepts: Callable[[str, int], bool], refusal: int = 403, accepted: int = 400
) -> AsyncIterator[int]:
    """A server at one address that accepts some hosts; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        (host,) = [line.partition(":")[2].strip() for line in head.split("\r\n") if line.startswith("host:")]
        status = accepted if accepts(host, port) else refusal
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    port = free_port()  # at the other address, too: a server of another test would be found there
    async with await asyncio.start_server(serve, address, port):
        yield port


WISHES: dict[str, tuple[str, Callable[[str, int], bool], str, str]] = {
    "any name": ("127.0.0.1", lambda _host, _port: True, "127.0.0.1", "127.0.0.1"),
    "localhost alone": ("127.0.0.1", lambda host, port: host == f"localhost:{port}", "127.0.0.1", "localhost"),
    "only over IPv6": ("::1", lambda _host, _port: True, "::1", "127.0.0.1"),
    "localhost over IPv6": ("::1", lambda host, port: host == f"localhost:{port}", "::1", "localhost"),
    "its IPv6 address": ("::1", lambda host, port: host == f"[::1]:{port}", "::1", "[::1]"),
}


@pytest.mark.parametrize("is_legacy", [False, True])
@pytest.mark.parametrize("refusal", [403, 421])
@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
def test_the_address_and_the_name_that_it_accepts_are_found(
    wish: tuple[str, Callable[[str, int], bool], str, str], refusal: int, is_legacy: bool
) -> None:
    address, accepts, called_at, called = wish
    if address == "::1" and not HAS_IPV6:
        pytest.skip("this machine has no IPv6")

    async def scenario() -> None:
        async with server(address, accepts, refusal) as port:
            found = await find_server(port, "/mcp", is_legacy=is_legacy)
            assert found is not None
            assert (found.target.host, found.target.authority) == (called_at, f"{called}:{port}")
            assert found.refusal is None

    asyncio.run(scenario())


@pytest.mark.parametrize("refusal", [403, 421])
def test_a_server_that_refuses_every_name_is_found_with_its_refusal(refusal: int) -> None:
    async def scenario() -> None:
        async with server("127.0.0.1", lambda _host, _port: False, refusal) as port:
            found = await find_server(port, "/mcp", is_legacy=False)
            assert found is not None
            assert found.refusal == refusal

    asyncio.run(scenario())


def test_where_nothing_listens_nothing_is_found() -> None:
    assert asyncio.run(find_server(free_port(), "/mcp", is_legacy=False)) is None


def test_what_speaks_no_http_is_not_taken_for_a_server() -> None:
    async def scenario() -> None:
        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            writer.close()

        port = free_port()
        async with await asyncio.start_server(greet, "127.0.0.1", port):
            assert await find_server(port, "/mcp", is_legacy=False) is None

    asyncio.run(scenario())


def test_a_bad_request_that_only_some_names_get_is_a_refusal_of_those() -> None:
    async def scenario() -> None:
        wants = WISHES["localhost alone"][1]
        async with server("127.0.0.1", wants, refusal=400, accepted=200) as port:
            found = await find_server(port, "/mcp", is_legacy=False)
            assert found is not None
            assert (found.target.authority, found.refusal) == (f"localhost:{port}", None)

    asyncio.run(scenario())
