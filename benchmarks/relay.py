"""Measures what a relay costs, in one run: nothing, `cat | server | cat`, thv in each of its states, mcp-proxy.

    python benchmarks/relay.py [--quick] [--json FILE] [--mcp-proxy PATH]

Every peer has the same fast C server behind it and the same C driver before it; the rounds are interleaved. thv with
analytics on runs its whole pipeline against a sink on this machine, never the real endpoint; thv with telemetry sends
traces and metrics to a real collector on this machine. docs/benchmarks.md says what each figure means. Exits 1 if thv
failed at anything it was asked to do, whatever the figures are.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import lineup, machine, measures, native, report
from harness.collector import Collector
from harness.endpoint import Endpoint
from harness.peers import Effort, Peer, PeerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class Plan:
    """How long a run measures."""

    fast: Effort
    slow: Effort
    idle_s: float
    awaits_export: bool
    """Whether to stay for the first export, 30 s after the first outcome, and watch the idleness after it."""


MCP_PROXY = "mcp-proxy"
WITH_ANALYTICS = (report.THV_ON, report.THV_NO_JOURNAL)
ALL = ",".join((report.DIRECT, report.CAT, *WITH_ANALYTICS, report.THV_OFF, *report.TELEMETRY_PEERS, MCP_PROXY))

TOO_BUSY = 0.1
"""Two relays that wait for a CPU look alike, and medians no longer help when the waiting is everywhere."""

NORMAL = Plan(
    Effort(rounds=7, starts=3, sessions=3, round_trips=20_000, pipelined=150_000, results_1_mib=150, results_16_mib=10),
    Effort(rounds=3, starts=1, sessions=1, round_trips=300, pipelined=200, results_1_mib=10, results_16_mib=1),
    idle_s=10.0,
    awaits_export=True,
)
QUICK = Plan(
    Effort(rounds=3, starts=2, sessions=2, round_trips=20_000, pipelined=50_000, results_1_mib=50, results_16_mib=4),
    Effort(rounds=1, starts=1, sessions=1, round_trips=100, pipelined=100, results_1_mib=3, results_16_mib=1),
    idle_s=3.0,
    awaits_export=False,
)


def main() -> int:
    options = parsed(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan = QUICK if options.quick else NORMAL
    with tempfile.TemporaryDirectory(prefix="thv-benchmark-") as directory, contextlib.ExitStack() as stack:
        workspace = Path(directory)
        bench = measures.Bench(native.compiled(workspace), workspace / "stderr.log")
        wanted = frozenset(options.peers.split(","))
        endpoint = stack.enter_context(Endpoint(workspace)) if wanted & set(WITH_ANALYTICS) else None
        telemetry = wanted & set(report.TELEMETRY_PEERS)
        collector = stack.enter_context(Collector(workspace)) if telemetry else None
        peers, notes = line_up(options, plan, bench, endpoint, collector)
        figures = report.Figures(
            machine.line(), {peer.name: peer.title for peer in peers}, plan.fast.rounds, notes=notes
        )
        Run(bench, peers, figures, plan, endpoint).measure()
    print(report.as_text(figures))
    if options.json:
        Path(options.json).write_text(json.dumps(report.as_json(figures), indent=2) + "\n", encoding="utf-8")
    return 1 if figures.failed & lineup.OURS else 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls: about 30 s, noisier")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    parser.add_argument("--thv", metavar="COMMAND", help="the thv to measure (default: the one beside this Python)")
    parser.add_argument("--mcp-proxy", metavar="PATH", help=f"an installed one (default: installs {lineup.MCP_PROXY})")
    parser.add_argument("--peers", metavar="NAMES", default=ALL, help="only these, by comma (default: %(default)s)")
    options = parser.parse_args(arguments)
    if strangers := set(options.peers.split(",")) - set(ALL.split(",")):
        parser.error(f"unknown peers: {', '.join(sorted(strangers))}; there are {ALL}")
    return options


def line_up(
    options: argparse.Namespace,
    plan: Plan,
    bench: measures.Bench,
    endpoint: Endpoint | None,
    collector: Collector | None,
) -> tuple[list[Peer], list[str]]:
    """The peers asked for and available, and notes that say why one is left out."""
    wanted = options.peers.split(",")
    server = bench.programs.server
    environment = lineup.clean_environment(server.parent / "home")
    thv = tuple(shlex.split(options.thv)) if options.thv else lineup.installed_thv()
    peers = [lineup.direct(server, environment, plan.fast), lineup.cat(server, environment, plan.fast)]
    notes: list[str] = []
    if endpoint is not None:
        peers += [
            lineup.thv_on(thv, server, environment, plan.fast, endpoint=endpoint, journal=journal)
            for journal in (True, False)
        ]
    peers.append(lineup.thv_off(thv, server, environment, plan.fast))
    if collector is not None:
        peers += [
            lineup.thv_otel(thv, server, environment, plan.fast, endpoint=collector.endpoint, sampling_rate=rate)
            for rate in (1, 0.1)
        ]
    if MCP_PROXY in wanted and options.quick and not options.mcp_proxy:
        notes.append("mcp-proxy is left out: --quick measures it only with --mcp-proxy PATH")
    elif MCP_PROXY in wanted:
        try:
            program = Path(options.mcp_proxy or lineup.install_mcp_proxy(server.parent / MCP_PROXY))
            peers.append(lineup.mcp_proxy(program, server, environment, plan.slow))
        except (OSError, subprocess.CalledProcessError) as error:
            notes.append(f"mcp-proxy is left out: {error}")
    return [peer for peer in peers if peer.name in wanted], notes


@dataclass(frozen=True)
class Run:
    """One run over all peers."""

    bench: measures.Bench
    peers: list[Peer]
    figures: report.Figures
    plan: Plan
    endpoint: Endpoint | None

    def measure(self) -> None:
        """Fills the figures."""
        had, used, ours = machine.cpu_seconds()
        for peer in self.peers:  # not recorded: it compiles Python's caches and brings programs into memory
            with self.tolerating(peer):
                measures.start_s(self.bench, peer)
        for number in range(self.figures.rounds):
            print(f"round {number + 1} of {self.figures.rounds}", file=sys.stderr)
            self.round(number, [peer for peer in self.peers if number < peer.effort.rounds])
        print("memory and idleness", file=sys.stderr)
        for peer in self.peers:
            if peer.name != report.DIRECT:
                self.usage(peer)
        self.idle([peer for peer in self.peers if peer.name != report.DIRECT])
        had_then, used_then, ours_then = machine.cpu_seconds()
        self.figures.others_share = max(0.0, (used_then - used) - (ours_then - ours)) / (had_then - had)
        if self.figures.others_share > TOO_BUSY:
            self.figures.notes.append("the machine was busy with other things: run it again before you believe a speed")

    def round(self, number: int, peers: Sequence[Peer]) -> None:
        """Every measure in turn, each over all peers back to back."""
        for turn in range(max(peer.effort.starts for peer in peers)):
            self.figures.python_ms.append(measures.bare_python_s() * 1e3)
            for peer in peers:
                if turn < peer.effort.starts:
                    with self.tolerating(peer):
                        self.figures.add(report.START, peer.name, number, measures.start_s(self.bench, peer) * 1e3)
        for peer in peers:
            with self.tolerating(peer):
                p50, p99 = measures.round_trip_us(self.bench, peer)
                self.figures.add(report.P50, peer.name, number, p50)
                self.figures.add(report.P99, peer.name, number, p99)
        throughput: tuple[tuple[str, Callable[[measures.Bench, Peer], float]], ...] = (
            (report.PIPELINED, measures.pipelined_per_s),
            (report.RESULTS_1, measures.results_1_mib_per_s),
            (report.RESULTS_16, measures.results_16_mib_per_s),
        )
        for key, measured in throughput:
            for turn in range(max(peer.effort.sessions for peer in peers)):
                for peer in peers:
                    if turn < peer.effort.sessions:
                        with self.tolerating(peer):
                            self.figures.add(key, peer.name, number, measured(self.bench, peer))

    def usage(self, peer: Peer) -> None:
        """Memory, with small calls and with large results."""
        with self.tolerating(peer):
            self.figures.small[peer.name] = measures.memory(self.bench, peer, large=False)
            self.figures.large[peer.name] = measures.memory(self.bench, peer, large=True)

    def idle(self, peers: Sequence[Peer]) -> None:
        """Who wakes up while nothing happens."""
        self.figures.idle_s = self.plan.idle_s
        exported = None
        if self.endpoint is not None and self.plan.awaits_export:
            # All of them export at about the same time; the last one's export must not fall into another's idleness.
            already = len(self.endpoint.requests()) + sum(peer.loads_tls for peer in peers) - 1
            exported = functools.partial(_has_more_than, self.endpoint, already)
        switches = measures.idle_switches(self.bench, peers, self.plan.idle_s, exported, self.tolerating)
        self.figures.idle.update(switches)

    @contextlib.contextmanager
    def tolerating(self, peer: Peer) -> Iterator[None]:
        """A peer that cannot do something gets a note and no figure; the others go on."""
        try:
            yield
        except PeerFailedError as error:
            self.figures.failed.add(peer.name)
            note = f"{peer.title}: {error}"
            if note not in self.figures.notes:
                self.figures.notes.append(note)


def _has_more_than(endpoint: Endpoint, count: int) -> bool:
    return len(endpoint.requests()) > count


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
