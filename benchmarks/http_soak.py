"""Opens and ends many sessions with `thv run SERVER --proxy-port`, and watches thv's memory and descriptors.

    python benchmarks/http_soak.py [--sessions N] [--streams N] [--at-once N] [--shared]

Each session is opened, gets its replies as event streams, and is deleted. Memory and descriptors are those of thv's own
process, taken when no session is open; after the first tenth they must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.http_load import CALL, Connection
from harness.lineup import OFF, clean_environment, installed_thv
from harness.native import SOURCES, compile_c
from harness.peers import INITIALIZE, INITIALIZED
from http_front import free_port, until_it_listens

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 10
GROWTH_MIB = 4.0
"""What the memory may grow by after the first tenth: caches, and what the allocator keeps."""

GROWTH_DESCRIPTORS = 16
"""Connections that the system has not closed yet."""

SETTLE_S = 1.0


def memory_mib(pid: int) -> float:
    rows = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmRSS:")) / 1024


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  counting needs no paths


def request(port: int, method: str, body: bytes, session: bytes = b"", accept: bytes = b"application/json") -> bytes:
    return (
        b"%b /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: %b\r\nContent-Type: application/json\r\n%b"
        b"Content-Length: %d\r\n\r\n%b" % (method.encode(), port, accept, session, len(body), body)
    )


def encoded(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


async def one_session(port: int, connection: Connection, streams: int) -> None:
    response = await connection.ask(request(port, "POST", encoded(INITIALIZE)))
    head = response.partition(b"\r\n\r\n")[0]
    found = [line for line in head.split(b"\r\n") if line.lower().startswith(b"mcp-session-id:")]
    assert found, response
    session = found[0] + b"\r\n"
    await connection.ask(request(port, "POST", encoded(INITIALIZED), session))
    for number in range(streams):
        body = encoded(CALL | {"id": number})
        response = await connection.ask(request(port, "POST", body, session, b"text/event-stream"))
        assert b"text/event-stream" in response, response
        assert b'"content"' in response, response
    await connection.ask(request(port, "DELETE", b"", session))


async def soak(port: int, pid: int, args: argparse.Namespace) -> bool:
    loop = asyncio.get_running_loop()
    samples = []
    for number in range(ROUNDS):
        queue = iter(range(args.sessions // ROUNDS))

        async def worker(queue: object = queue) -> None:
            _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
            for _ in queue:  # type: ignore[attr-defined]  # one iterator that all share
                await one_session(port, connection, args.streams)
            connection.transport.close()

        began = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(args.at_once)))
        took = time.monotonic() - began
        await asyncio.sleep(SETTLE_S)
        samples.append((memory_mib(pid), descriptors(pid)))
        done = (number + 1) * (args.sessions // ROUNDS)
        print(f"{done:6} sessions {samples[-1][0]:8.1f} MiB {samples[-1][1]:5} descriptors {took:6.1f} s", flush=True)
    first, last = samples[0], samples[-1]
    return last[0] - first[0] <= GROWTH_MIB and last[1] - first[1] <= GROWTH_DESCRIPTORS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=5, help="streamed replies in each session")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--shared", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thv-bench-") as directory:
        server = Path(directory) / "echo_server"
        compile_c(SOURCES / "servers" / "echo_server.c", server)
        port = free_port()
        words = [*installed_thv(), "run", "--proxy-port", str(port), *(["--shared"] if args.shared else [])]
        environment = clean_environment(Path(directory) / "home") | OFF
        with subprocess.Popen([*words, "--", str(server)], env=environment, stderr=subprocess.DEVNULL) as process:
            try:

                async def run() -> bool:
                    await until_it_listens(port, process)
                    return await soak(port, process.pid, args)

                is_flat = asyncio.run(run())
            finally:
                process.terminate()
    print("flat" if is_flat else "it grows")
    sys.exit(0 if is_flat else 1)


if __name__ == "__main__":
    main()
