"""Ports that a test names before anybody listens there."""

from __future__ import annotations

import errno
import secrets
import socket

LOWEST = 15_000
ABOVE = 32_768
"""Ephemeral ports begin here on Linux, and at 49152 elsewhere (RFC 6335, section 6)."""

_given: set[int] = set()


def free_port() -> int:
    """A port that is free on both loopback addresses, IPv4 and IPv6, and stays free until this test uses it.

    A port that the system chose (port 0) is free only for a moment: a test that runs at the same time may be given it
    next, or an outgoing connection.
    """
    while True:
        port = LOWEST + secrets.randbelow(ABOVE - LOWEST)  # random's own numbers are the same in every worker's test
        if port not in _given and not any(_is_held(address, port) for address in ("127.0.0.1", "::1")):
            _given.add(port)
            return port


def _is_held(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        return error.errno in {errno.EADDRINUSE, errno.EACCES}  # without IPv6 there is no such address
    return False
