"""Measures `thv proxy` beside no proxy: the same server, the same clients, with and without it in between.

    python benchmarks/http_proxy.py [--seconds S] [--rounds N] [--before THV] [--json FILE]

`--before` names the `thv` of another version, measured in the same run. nginx and HAProxy, where they are installed,
are the limit: they look at nothing. *CPU* is what the proxy's own process takes for a call at the largest number of
clients.
The server behind it answers at once (`benchmarks/servers/http_server.py`), so that the proxy is what is measured; real
servers take milliseconds. Rounds are interleaved. *1, 16, 64*: so many clients at once, each with a session and a
connection of its own, each calling as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

import psutil
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

    def __init__(self, name: str, port: int, pid: int | None = None) -> None:
        self.name = name
        self.port = port
        self.pid = pid
        self.cpu: list[float] = []
        self.rates: dict[int, list[float]] = {count: [] for count in CLIENTS}
        self.p50: dict[int, list[float]] = {count: [] for count in CLIENTS}
        self.p99: dict[int, list[float]] = {count: [] for count in CLIENTS}

    async def measure(self, seconds: float) -> None:
        """Let each number of clients call for that long."""
        for count in CLIENTS:
            clients = await greeted(self.port, count)
            await load(clients, seconds / 4)
            before = self._cpu_s()
            took = await load(clients, seconds)
            if count == CLIENTS[-1]:
                self.cpu.append(1e6 * (self._cpu_s() - before) / len(took))
            self.rates[count].append(len(took) / seconds)
            self.p50[count].append(1000 * median(took))
            self.p99[count].append(1000 * quantiles(took, n=100)[98])
            for client in clients:
                client.close()

    def _cpu_s(self) -> float:
        """CPU seconds that the proxy and its children have taken so far."""
        if self.pid is None:
            return 0.0
        process = psutil.Process(self.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return sum(each.user + each.system for each in times)


NGINX = """\
daemon off; worker_processes 1; error_log /dev/null; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream server {{ server 127.0.0.1:{target}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""

HAPROXY = """\
global
  nbthread 1
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server one 127.0.0.1:{target}
"""


def others(folder: Path, target: int) -> list[tuple[str, int, list[str]]]:
    """The proxies of others that are installed here: name, port and command of each."""
    found = []
    for name, config, command in (("nginx", NGINX, ["-c"]), ("haproxy", HAPROXY, ["-f"])):
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if program is not None:
            port = free_port()
            path = folder / f"{name}-{target}.conf"
            path.write_text(config.format(folder=folder, port=port, target=target))
            found.append((name, port, [program, *command, str(path)]))
    return found


def started(stack: ExitStack, command: Sequence[str], port: int, environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.terminate()
        process.wait(END_LIMIT_S)

    stack.callback(end)
    asyncio.run(until_it_listens(port, process))
    return process.pid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load lasts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="the thv of another version")
    parser.add_argument("--json", type=Path, help="write every value to this file")
    args = parser.parse_args()
    ways = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="thv-benchmark-")))
        environment = clean_environment(home) | OFF
        for kind in ("json", "sse"):
            target = free_port()
            started(stack, [sys.executable, "-IS", str(SERVER), str(target), kind], target, environment)
            uri = f"http://127.0.0.1:{target}/mcp"
            ways.append(Way(f"no proxy, {kind}", target))
            versions = {"thv proxy": installed_thv()} | ({"before": [str(args.before)]} if args.before else {})
            for name, thv in versions.items():
                port = free_port()
                proxy = [*thv, "proxy", "bench", "--target-uri", uri, "--port", str(port)]
                ways.append(Way(f"{name}, {kind}", port, started(stack, proxy, port, environment)))
            for name, port, command in others(home, target):
                ways.append(Way(f"{name}, {kind}", port, started(stack, command, port, environment)))
        for _ in range(args.rounds):
            for way in ways:
                asyncio.run(way.measure(args.seconds))
    print(f"{'':18}" + "".join(f"{f'{count} clients':>30}" for count in CLIENTS))
    print(f"{'':18}" + f"{'calls/s   p50 ms   p99 ms':>30}" * len(CLIENTS) + f"{'CPU us/call':>14}")
    for way in ways:
        cells = [
            f"{median(way.rates[count]):14.0f}{median(way.p50[count]):8.2f}{median(way.p99[count]):8.2f}"
            for count in CLIENTS
        ]
        cpu = f"{median(way.cpu):14.0f}" if way.pid is not None else ""
        print(f"{way.name:18}" + "".join(cells) + cpu)
    if args.json:
        args.json.write_text(json.dumps([vars(way) for way in ways], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
