"""Measures `thv run SERVER --proxy-port` beside others that serve a stdio server over HTTP.

    python benchmarks/http_front.py [--quick] [--rounds N] [--peers LIST] [--json FILE]

The server behind each is the C echo server, so that the bridge is what is measured. Rounds are interleaved. *1, 16,
64*: so many clients at once, each with a session of its own, each calling as soon as it is answered; `thv 2026` is the
same front with clients of 2026-07-28, which have none. A call that is lost fails the run.
*Memory*: the share (PSS) of every process of the bridge, the servers themselves left out, with one session and for each
further one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from harness import machine
from harness.http_load import Client, StatelessClient, greeted, load
from harness.lineup import OFF, clean_environment, install_mcp_proxy, installed_thv
from harness.native import SOURCES, compile_c
from harness.peers import MARKER, PORT, PeerFailedError

CLIENTS = (1, 16, 64)
SUPERGATEWAY = "supergateway@4.0.0"
START_LIMIT_S = 60.0
END_LIMIT_S = 20.0


@dataclass
class Bridge:
    """One way to serve the server, and what was measured of it."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    kind: type[Client] = Client
    rates: dict[int, list[float]] = field(default_factory=dict)
    p50: dict[int, list[float]] = field(default_factory=dict)
    p99: dict[int, list[float]] = field(default_factory=dict)
    base: list[float] = field(default_factory=list)
    per_session: list[float] = field(default_factory=list)
    failure: str = ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bridges(wanted: list[str], server: Path, workspace: Path) -> list[Bridge]:
    environment = clean_environment(workspace / "home")
    thv = (*installed_thv(), "run", "--proxy-port", PORT)
    found = []
    for name in wanted:
        if name == "thv":
            found.append(Bridge("thv", (*thv, "--", str(server)), environment | OFF))
        elif name == "thv-2026":
            found.append(Bridge("thv 2026", (*thv, "--", str(server)), environment | OFF, StatelessClient))
        elif name == "thv-shared":
            found.append(Bridge("thv --shared", (*thv, "--shared", "--", str(server)), environment | OFF))
        elif name == "mcp-proxy":
            program = install_mcp_proxy(workspace / "mcp-proxy")
            options = ("--pass-environment", "--log-level", "ERROR", "--port", PORT, "--", str(server))
            found.append(Bridge("mcp-proxy", (str(program), *options), environment))
        elif name == "supergateway":
            where = workspace / "supergateway"
            where.mkdir()
            npm = [shutil.which("npm") or "npm", "install", "--silent", "--no-audit", "--no-fund", SUPERGATEWAY]
            subprocess.run(npm, cwd=where, check=True, stdout=sys.stderr)
            program = where / "node_modules" / ".bin" / "supergateway"
            spoken = ("--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none")
            command = (str(program), "--stdio", str(server), *spoken, "--port", PORT)
            found.append(Bridge("supergateway", command, environment))
        else:
            raise SystemExit(f"no such peer: {name}")
    return found


def memory_mib(marker: str, server: Path) -> float:
    """The share of memory of every process of a bridge but the servers."""
    kib = 0
    ours = machine.marked(marker)
    for pid in ours.union(*map(machine.descendants, ours)):  # the watchdogs have no environment to be marked
        if not machine.runs(pid, server):
            try:
                rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            except OSError:
                continue
            kib += next((int(row.split()[1]) for row in rows if row.startswith("Pss:")), 0)
    return kib / 1024


async def until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise PeerFailedError("it never listened") from None
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def measure(bridge: Bridge, port: int, process: subprocess.Popen[bytes], marker: str, args: Any) -> None:
    server: Path = args.server
    await until_it_listens(port, process)
    await load(warm := await greeted(port, 1, bridge.kind), args.seconds / 2)
    await asyncio.sleep(0.3)
    before = memory_mib(marker, server)
    bridge.base.append(before)
    opened = warm
    for count in args.clients:
        opened += await greeted(port, count - len(opened), bridge.kind)
        took = await load(opened, args.seconds)
        bridge.rates.setdefault(count, []).append(len(took) / args.seconds)
        bridge.p50.setdefault(count, []).append(1000 * median(took))
        bridge.p99.setdefault(count, []).append(1000 * quantiles(took, n=100)[98])
    await asyncio.sleep(0.3)
    if len(opened) > 1:
        bridge.per_session.append((memory_mib(marker, server) - before) / (len(opened) - 1))
    for client in opened:
        client.close()


def one_round(bridge: Bridge, args: Any) -> None:
    port = free_port()
    mark = uuid.uuid4().hex
    environment = bridge.environment | {MARKER: mark}
    command = [word.replace(PORT, str(port)) for word in bridge.command]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=args.log
    ) as process:
        try:
            asyncio.run(measure(bridge, port, process, f"{MARKER}={mark}", args))
        except (PeerFailedError, TimeoutError, OSError) as problem:
            bridge.failure = str(problem) or type(problem).__name__
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            for pid in machine.marked(f"{MARKER}={mark}"):
                machine.kill(pid)


def show(found: list[Bridge], clients: list[int]) -> None:
    print(machine.line())
    print()
    head = "".join(f"{f'calls/s {n}':>13}{f'p50 ms {n}':>11}{f'p99 ms {n}':>11}" for n in clients)
    print(f"{'':14}{head}{'MiB':>8}{'MiB/session':>13}")
    for bridge in found:
        if not bridge.base or not all(bridge.rates.get(count) for count in clients):
            print(f"{bridge.name:14}failed: {bridge.failure}")
            continue
        cells = "".join(
            f"{median(bridge.rates[n]):13,.0f}{median(bridge.p50[n]):11.2f}{median(bridge.p99[n]):11.2f}"
            for n in clients
        )
        sessions = f"{median(bridge.per_session):13.2f}" if bridge.per_session else f"{'-':>13}"
        print(f"{bridge.name:14}{cells}{median(bridge.base):8.1f}{sessions}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load for each figure")
    parser.add_argument("--clients", default=",".join(map(str, CLIENTS)))
    parser.add_argument("--peers", default="thv,thv-shared,thv-2026,mcp-proxy,supergateway")
    parser.add_argument("--json", type=Path, help="write every figure there")
    args = parser.parse_args()
    args.clients = [int(count) for count in args.clients.split(",")]
    if args.quick:
        args.rounds, args.seconds = 1, 0.5
    with tempfile.TemporaryDirectory(prefix="thv-bench-") as directory:
        workspace = Path(directory)
        args.server = workspace / "echo_server"
        compile_c(SOURCES / "servers" / "echo_server.c", args.server)
        found = bridges(args.peers.split(","), args.server, workspace)
        with (workspace / "stderr.log").open("wb") as args.log:
            for number in range(args.rounds):
                print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
                for bridge in found:
                    one_round(bridge, args)
    show(found, args.clients)
    if args.json is not None:
        figures = {
            bridge.name: {name: value for name, value in vars(bridge).items() if name not in {"environment", "kind"}}
            for bridge in found
        }
        args.json.write_text(json.dumps(figures, indent=2))
    if any(bridge.failure for bridge in found):
        raise SystemExit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(130)
