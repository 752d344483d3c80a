"""Kills thv within milliseconds of its server's birth, and counts the servers that are left.

    python benchmarks/orphans.py [--tries N] [--delays MS ...]

The server ignores the end of its input, and thv is killed by SIGKILL: only the watchdog can end it. A try begins to
count when the server itself, not the watchdog, is among the children of thv. Wanted: none left. Linux only.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DELAYS_MS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0)

TIME_TO_END = 3.0
"""Seconds that a watchdog has; it needs some milliseconds."""


def command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def try_once(server: bytes, delay: float) -> None:
    command = [sys.executable, "-P", "-m", "thv", "run", "--", *server.decode().rstrip("\0").split("\0")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    ) as thv:
        children = Path(f"/proc/{thv.pid}/task/{thv.pid}/children")
        while server not in map(command_line, children.read_text().split()):
            pass
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            pass
        thv.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--delays", type=float, nargs="+", default=DELAYS_MS, metavar="MS")
    options = parser.parse_args()
    server = b"sleep\0%d\0" % (86_000 + os.getpid() % 400)
    for delay in options.delays:
        for _ in range(options.tries):
            try_once(server, delay / 1000)
        time.sleep(TIME_TO_END)
        left = [
            path.name for path in Path("/proc").iterdir() if path.name.isdigit() and command_line(path.name) == server
        ]
        print(f"{len(left)} of {options.tries} servers left, killed {delay:g} ms after their birth", flush=True)
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    main()
