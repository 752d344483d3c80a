"""What a pod does before it ends: `python -m thv.operator.drain PORT`, the sidecar's `preStop`.

Asks thv, the first process of the container, to begin nothing new, to wait for open calls and to end its sessions, and
waits until it has. The server beside it is the first process of its container and deaf to SIGTERM: without this,
clients would keep talking to it until the kubelet kills it. Uses the standard library alone.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time

THV_PID = 1
"""thv is what the container runs."""

LIMIT_S = 6.0
"""Longer than thv waits for open calls, and as long as the pod may take to end at all."""

POLL_S = 0.05


def main(words: list[str]) -> int:
    """Drain, at most for `LIMIT_S`; a pod ends all the same if this fails."""
    until = time.monotonic() + LIMIT_S
    try:
        if sys.platform != "win32":  # pods run Linux
            os.kill(THV_PID, signal.SIGUSR1)
    except OSError as error:
        print(f"thv: cannot be asked to drain: {error.strerror}", file=sys.stderr)
        return 1
    while time.monotonic() < until:
        if _is_drained(int(words[0])):
            return 0
        time.sleep(POLL_S)
    return 0


def _is_drained(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        return b"drained" in connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
