"""TCP keep-alive for the connections of either side."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Let the system notice a peer that vanished without a word: event streams are silent for hours."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
