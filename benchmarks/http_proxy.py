"""Measures `thv proxy` beside no proxy: the same server, the same clients, with and without it in between.

    python benchmarks/http_proxy.py [--seconds S] [--rounds N] [--json FILE]

The server behind it answers at once (`benchmarks/servers/http_server.py`), so that the proxy is what is measured; real
servers take milliseconds. Rounds are interleaved. *1, 16, 64*: so many clients at once, each with a session and a
connection of its own, each calling as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from harness.http_load import greeted, load
from harness.lineup import OFF, clean_environment, installed_thv
from http_front import free_port, until_it_listens

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENTS = (1, 16, 64)
SERVER = Path(__file__).parent / "servers" / "http_server.py"
END_LIMIT_S = 20.0


class Way:
    """One way to the server, and what was measured of it."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.rates: dict[int, list[float]] = {count: [] for count in CLIENTS}
        self.p50: dict[int, list[float]] = {count: [] for count in CLIENTS}
        self.p99: dict[int, list[float]] = {count: [] for count in CLIENTS}

    async def measure(self, seconds: float) -> None:
        """Let each number of clients call for that long."""
        for count in CLIENTS:
            clients = await greeted(self.port, count)
            await load(clients, seconds / 4)
            took = await load(clients, seconds)
            self.rates[count].append(len(took) / seconds)
            self.p50[count].append(1000 * median(took))
            self.p99[count].append(1000 * quantiles(took, n=100)[98])
            for client in clients:
                client.close()


def started(stack: ExitStack, command: Sequence[str], port: int, environment: dict[str, str]) -> None:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.terminate()
        process.wait(END_LIMIT_S)

    stack.callback(end)
    asyncio.run(until_it_listens(port, process))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load lasts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every value to this file")
    args = parser.parse_args()
    ways = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thv-benchmark-")))
        environment = clean_environment(home) | OFF
        for kind in ("json", "sse"):
            target, port = free_port(), free_port()
            started(stack, [sys.executable, "-IS", str(SERVER), str(target), kind], target, environment)
            uri = f"http://127.0.0.1:{target}/mcp"
            proxy = [*installed_thv(), "proxy", "bench", "--target-uri", uri, "--port", str(port)]
            started(stack, proxy, port, environment)
            ways += [Way(f"no proxy, {kind}", target), Way(f"thv proxy, {kind}", port)]
        for _ in range(args.rounds):
            for way in ways:
                asyncio.run(way.measure(args.seconds))
    print(f"{'':18}" + "".join(f"{f'{count} clients':>30}" for count in CLIENTS))
    print(f"{'':18}" + f"{'calls/s   p50 ms   p99 ms':>30}" * len(CLIENTS))
    for way in ways:
        cells = [
            f"{median(way.rates[count]):14.0f}{median(way.p50[count]):8.2f}{median(way.p99[count]):8.2f}"
            for count in CLIENTS
        ]
        print(f"{way.name:18}" + "".join(cells))
    if args.json:
        args.json.write_text(json.dumps([vars(way) for way in ways], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
