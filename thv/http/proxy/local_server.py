"""How a server on this machine wants to be called: at which loopback address, and by which name in `Host`.

Node's ``localhost`` may listen on ``::1`` alone, and servers that guard against DNS rebinding accept one name and not
another: a published browser-automation server answers nothing but ``Host: localhost:PORT``. So each address is tried,
and each name; nothing that is sent has an effect.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from thv.core.frozen import Frozen
from thv.http.proxy.proxy_target import ProxyTarget

ADDRESSES: Final = ("127.0.0.1", "::1")
NAMES: Final = ("127.0.0.1", "localhost", "[::1]")

PROBE_TIMEOUT_S: Final = 3.0
"""For one answer: under the 5 seconds that orchestrators usually give a health check."""

REFUSES_HOST: Final = frozenset({403, 421})
"""How the SDKs' servers answer a `Host` that they do not accept (RFC 9110, 15.5.4 and 15.5.20)."""

PING: Final = '{"jsonrpc":"2.0","id":"thv","method":"ping"}'
"""A message that every server understands, and that changes nothing; outside a session most refuse it."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
BAD_REQUEST: Final = 400
"""What some frameworks answer to a `Host` that they do not accept, and most servers to a message outside a session."""

_STATUS_BYTES = len(b"HTTP/1.1 200")


class FoundServer(Frozen):
    """A server that listens.

    Attributes:
        target: how it is called.
        refusal: the status with which it refuses every name; None if it accepts this one.
    """

    target: ProxyTarget
    refusal: int | None = None


async def find_server(port: int, path: str, *, is_legacy: bool) -> FoundServer | None:
    """The server on this port of this machine, or None while nothing there speaks HTTP.

    Args:
        port: where it was told to listen.
        path: its endpoint.
        is_legacy: it speaks HTTP+SSE, whose endpoint answers GET.
    """
    answers: list[tuple[ProxyTarget, int]] = []
    for address in ADDRESSES:
        for name in NAMES:
            target = ProxyTarget("http", address, port, path, authority=f"{name}:{port}")
            status = await probe(target, "GET" if is_legacy else "POST")
            if status is None and not is_legacy:
                status = await probe(target, "OPTIONS")  # a server may break at a message that it does not expect
            if status is None:
                break  # nothing listens at this address, whatever the name
            if status not in REFUSES_HOST and status != BAD_REQUEST:
                return FoundServer(target)
            answers.append((target, status))
    # A ping outside a session is a bad request to most servers, whatever the name.
    for target, status in answers:
        if status not in REFUSES_HOST:
            return FoundServer(target)
    return FoundServer(*answers[0]) if answers else None


async def probe(target: ProxyTarget, method: str) -> int | None:
    """The status with which a server answers a request that asks for nothing; None if it does not speak HTTP."""
    body = PING if method == "POST" else ""
    head = (
        f"{method} {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls())
            writer.write((head + body).encode())
            found = _STATUS.match(await reader.readexactly(_STATUS_BYTES))
            return int(found[1]) if found else None
    except (OSError, EOFError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()
