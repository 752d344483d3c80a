"""Ports that a test names before anybody listens there."""

from __future__ import annotations

import errno
import secrets
import socket

LOWEST = 15_000
ABOVE = 32_768
"""Linux gives ports from here on to whoever asks for any, and other systems from 49152 on (RFC 6335, section 6)."""

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody holds at a loopback address, of either family, and that no other test gets by chance.

    What the system would give for port 0 is free only for the moment: it is the next to be given to a test beside this
    one, or to the near end of a connection.
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
