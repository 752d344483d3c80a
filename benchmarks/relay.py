"""Measures what a relay costs, in one run: nothing, `cat | server | cat`, thv with and without analytics, mcp-proxy.

    python benchmarks/relay.py [--quick] [--json FILE] [--mcp-proxy PATH]

Every peer has the same fast C server behind it and the same C driver before it; the rounds are interleaved. thv with
analytics on runs its whole pipeline against a sink on this machine, never the real endpoint. docs/benchmarks.md says
what each figure means.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from harness import lineup, machine, measures, native, report
from harness.peers import Effort, Peer, PeerFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Plan:
    """How long a run measures."""

    fast: Effort
    slow: Effort
    idle_s: float


NORMAL = Plan(
    Effort(rounds=7, starts=5, round_trips=20_000, pipelined=800_000, results_1_mib=600, results_16_mib=32),
    Effort(rounds=3, starts=1, round_trips=300, pipelined=200, results_1_mib=10, results_16_mib=1),
    idle_s=10.0,
)
QUICK = Plan(
    Effort(rounds=3, starts=3, round_trips=20_000, pipelined=300_000, results_1_mib=200, results_16_mib=10),
    Effort(rounds=1, starts=1, round_trips=100, pipelined=100, results_1_mib=3, results_16_mib=1),
    idle_s=3.0,
)


def main() -> int:
    options = parsed(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan = QUICK if options.quick else NORMAL
    with tempfile.TemporaryDirectory(prefix="thv-benchmark-") as directory:
        workspace = Path(directory)
        bench = measures.Bench(native.compiled(workspace), workspace / "stderr.log")
        peers, notes = line_up(options, plan, bench.programs.server, workspace)
        figures = report.Figures(
            machine.line(), {peer.name: peer.title for peer in peers}, plan.fast.rounds, notes=notes
        )
        Run(bench, peers, figures, plan.idle_s).measure()
    print(report.as_text(figures))
    if options.json:
        Path(options.json).write_text(json.dumps(report.as_json(figures), indent=2) + "\n", encoding="utf-8")
    return 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and calls: about 30 s, noisier")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    parser.add_argument("--thv", metavar="COMMAND", help="the thv to measure (default: the one beside this Python)")
    parser.add_argument("--mcp-proxy", metavar="PATH", help=f"an installed one (default: installs {lineup.MCP_PROXY})")
    parser.add_argument("--peers", metavar="NAMES", help="only these, by comma: direct,cat,thv-on,thv-off,mcp-proxy")
    return parser.parse_args(arguments)


def line_up(options: argparse.Namespace, plan: Plan, server: Path, workspace: Path) -> tuple[list[Peer], list[str]]:
    """The peers asked for and available, and notes that say why one is left out."""
    notes: list[str] = []
    environment = lineup.clean_environment(workspace / "home")
    thv = tuple(shlex.split(options.thv)) if options.thv else lineup.installed_thv()
    peers = [lineup.direct(server, environment, plan.fast), lineup.cat(server, environment, plan.fast)]
    if shutil.which(thv[0]) is None:
        notes.append(f"thv is left out: {thv[0]} is not there")
    else:
        peers.append(lineup.thv_off(thv, server, environment, plan.fast))
    if options.mcp_proxy or not (options.quick or (options.peers and "mcp-proxy" not in options.peers)):
        try:
            program = (
                Path(options.mcp_proxy) if options.mcp_proxy else lineup.install_mcp_proxy(workspace / "mcp-proxy")
            )
            peers.append(lineup.mcp_proxy(program, server, environment, plan.slow))
        except (OSError, subprocess.CalledProcessError) as error:
            notes.append(f"mcp-proxy is left out: {error}")
    else:
        notes.append("mcp-proxy is left out: --quick measures it only with --mcp-proxy PATH")
    chosen = options.peers.split(",") if options.peers else [peer.name for peer in peers]
    return [peer for peer in peers if peer.name in chosen], notes


@dataclass(frozen=True)
class Run:
    """One run over all peers."""

    bench: measures.Bench
    peers: list[Peer]
    figures: report.Figures
    idle_s: float

    def measure(self) -> None:
        """Fills the figures."""
        for peer in self.peers:  # not recorded: it compiles Python's caches and brings programs into memory
            with self.tolerating(peer):
                measures.start_s(self.bench, peer)
        for number in range(self.figures.rounds):
            print(f"round {number + 1} of {self.figures.rounds}", file=sys.stderr)
            self.round(number, [peer for peer in self.peers if number < peer.effort.rounds])
        print("memory and idleness", file=sys.stderr)
        for peer in self.peers:
            if peer.name != report.DIRECT:
                with self.tolerating(peer):
                    self.figures.small[peer.name] = measures.memory(self.bench, peer, large=False)
                    self.figures.large[peer.name] = measures.memory(self.bench, peer, large=True)
        self.idle([peer for peer in self.peers if peer.name != report.DIRECT])

    def round(self, number: int, peers: Sequence[Peer]) -> None:
        """Every measure in turn, each over all peers back to back."""
        starts: dict[str, list[float]] = {}
        for attempt in range(max(peer.effort.starts for peer in peers)):
            self.figures.python_ms.append(measures.bare_python_s() * 1e3)
            for peer in peers:
                if attempt < peer.effort.starts:
                    with self.tolerating(peer):
                        starts.setdefault(peer.name, []).append(measures.start_s(self.bench, peer) * 1e3)
        for name, taken in starts.items():
            self.record(report.START, name, number, median(taken))
        for peer in peers:
            with self.tolerating(peer):
                p50, p99 = measures.round_trip_us(self.bench, peer)
                self.record(report.P50, peer.name, number, p50)
                self.record(report.P99, peer.name, number, p99)
        for peer in peers:
            with self.tolerating(peer):
                self.record(report.PIPELINED, peer.name, number, measures.pipelined_per_s(self.bench, peer))
        for key, mib in ((report.RESULTS_1, 1), (report.RESULTS_16, 16)):
            for peer in peers:
                count = peer.effort.results_1_mib if mib == 1 else peer.effort.results_16_mib
                with self.tolerating(peer):
                    self.record(key, peer.name, number, measures.large_mib_per_s(self.bench, peer, mib, count))

    def record(self, measure: str, peer: str, number: int, value: float) -> None:
        """Keeps one value of one round."""
        self.figures.values[measure][peer][number] = value

    def idle(self, peers: list[Peer]) -> None:
        """Who wakes up while nothing happens."""
        self.figures.idle_s = self.idle_s
        self.figures.idle.update(measures.idle_switches(self.bench, peers, self.idle_s, None))

    @contextlib.contextmanager
    def tolerating(self, peer: Peer) -> Iterator[None]:
        """A peer that cannot do something gets a note and no figure; the others go on."""
        try:
            yield
        except PeerFailedError as error:
            note = f"{peer.title}: {error}"
            if note not in self.figures.notes:
                self.figures.notes.append(note)


if __name__ == "__main__":
    sys.exit(main())
