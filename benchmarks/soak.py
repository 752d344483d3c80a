"""Runs thv long and often, and shows that nothing grows and nothing is lost.

    python benchmarks/soak.py [--calls N] [--sessions N]

One session with a million calls, then two hundred short sessions one after another; one call in ten fails. Memory,
descriptors, threads and processes are read at intervals, and every outcome must arrive, once, at a loopback sink that
stands in for the analytics endpoint. Exits 1 if something grew, was left behind, or was counted wrongly.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness import lineup, machine, measures, native
from harness.endpoint import Endpoint
from harness.peers import Effort, Peer, PeerFailedError, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

CALLS = 1_000_000
SESSIONS = 200
CALLS_A_SESSION = 100
ERROR_EVERY = 10
BATCH = 400
"""Calls open at once: their requests fit into a pipe of 64 KiB, so the driver cannot block against the server."""
INTERVALS = 10
ALLOWED_GROWTH_KIB = 1024
"""What the allocator may still spread after the first export; a leak of two bytes a call would be twice as much."""
EXPORT_INTERVAL_S = "1"
"""Thirty times as often as in real life: a leak in exporting shows as well."""
BUDGET_S = "60"
"""How long thv may deliver its last counts: this is about counting, not about a quick exit on a busy machine."""
ARRIVAL_LIMIT_S = 60.0
SETTLE_LIMIT_S = 20.0
"""An export holds a socket for a moment: what is still there after so many of them has grown for good."""


@dataclass(frozen=True)
class Sample:
    """What all processes of thv hold at one moment."""

    calls: int
    memory_kib: int
    descriptors: int
    threads: int
    processes: int

    def __str__(self) -> str:
        return f"{self.calls:>12,} {self.memory_kib:>11,} {self.descriptors:>12} {self.threads:>8} {self.processes:>10}"


HEAD = f"{'calls':>12} {'memory KiB':>11} {'descriptors':>12} {'threads':>8} {'processes':>10}"


@dataclass
class Soak:
    """One run: what was driven, and what went wrong."""

    peer: Peer
    bench: measures.Bench
    endpoint: Endpoint
    made: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def drive(self, session: Session, calls: int) -> None:
        """Makes calls, one in ten of which fails."""
        figures = session.drive("batches", calls, BATCH, ERROR_EVERY, calls=calls)
        self.made.update(success=figures["successes"], error=figures["errors"])

    def one_long_session(self, calls: int) -> None:
        """All calls through one session; the first sample is taken once everything is loaded and was used."""
        print(HEAD, flush=True)
        samples: list[Sample] = []
        with self.bench.session(self.peer) as session:
            session.greet()
            for number in range(INTERVALS):
                self.drive(session, calls // INTERVALS + (number < calls % INTERVALS))
                if number == 0:
                    measures.wait_until(lambda: bool(self.endpoint.requests()), ARRIVAL_LIMIT_S, "the first export")
                samples.append(taken(session, sum(self.made.values())))
                print(samples[-1], flush=True)
            try:
                measures.wait_until(lambda: not growth(samples[0], taken(session, calls)), SETTLE_LIMIT_S, "rest")
            except PeerFailedError:
                self.problems += growth(samples[0], taken(session, calls))
        self.check_end(session)

    def many_short_sessions(self, count: int) -> None:
        """Sessions one after another, each with a few calls: what counts is what they leave behind."""
        files: list[int] = []
        for number in range(count):
            with self.bench.session(self.peer) as session:
                session.greet()
                self.drive(session, CALLS_A_SESSION)
            self.check_end(session)
            files.append(self.files())
            if (number + 1) % max(1, count // INTERVALS) == 0:
                print(f"{number + 1} short sessions, {files[-1]} files kept in HOME", flush=True)
        if files and files[-1] > files[0]:
            self.problems.append(f"files in HOME grew from {files[0]} to {files[-1]}")

    def files(self) -> int:
        """How many files the sessions have left in their HOME and in their directory for temporary files.

        The files beside a database belong to it: on a busy machine a session may end before SQLite has removed them,
        and the next one does.
        """
        places = (Path(self.peer.environment["HOME"]), Path(self.peer.environment["TMPDIR"]))
        found = [path for place in places for path in place.rglob("*") if path.is_file()]
        return len({str(path).removesuffix("-wal").removesuffix("-shm") for path in found})

    def check_end(self, session: Session) -> None:
        """A session that is over must have ended well and left no process."""
        codes = [process.returncode for process in session.chain]
        if any(codes):
            self.problems.append(f"a session ended with {codes}")
        if session.left_behind:
            self.problems.append(f"a session left {len(session.left_behind)} processes behind")

    def check_counts(self) -> None:
        """Every outcome must have arrived, once."""
        try:
            measures.wait_until(lambda: self.endpoint.outcomes() == self.made, ARRIVAL_LIMIT_S, "every outcome")
        except PeerFailedError:
            self.problems.append(f"made {dict(self.made)}, but counted {dict(self.endpoint.outcomes())}")


def growth(first: Sample, last: Sample) -> list[str]:
    """One sentence for each thing of which there is more at the end."""
    allowed = {"memory_kib": ALLOWED_GROWTH_KIB, "descriptors": 0, "threads": 0, "processes": 0}
    pairs = [(name, getattr(first, name), getattr(last, name)) for name in allowed]
    return [f"{name} grew from {start} to {end}" for name, start, end in pairs if end > start + allowed[name]]


def taken(session: Session, calls: int) -> Sample:
    """Reads the processes of thv, the server not among them."""
    relays = session.relays()
    return Sample(
        calls=calls,
        memory_kib=sum(machine.status(pid, "VmRSS") for pid in relays),
        descriptors=sum(map(machine.descriptors, relays)),
        threads=sum(machine.status(pid, "Threads") for pid in relays),
        processes=len(relays),
    )


def main() -> int:
    options = parsed(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="thv-soak-") as directory, Endpoint(Path(directory)) as endpoint:
        workspace = Path(directory)
        bench = measures.Bench(native.compiled(workspace), workspace / "stderr.log")
        soak = Soak(soaked(bench.programs.server, workspace, endpoint), bench, endpoint)
        print(machine.line())
        try:
            soak.one_long_session(options.calls)
            soak.many_short_sessions(options.sessions)
        except PeerFailedError as error:
            soak.problems.append(str(error))
        soak.check_counts()
        print(f"made    {dict(soak.made)}\ncounted {dict(endpoint.outcomes())} in {len(endpoint.requests())} exports")
    for problem in soak.problems:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if soak.problems else 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=CALLS, help="through the long session (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="short ones after it (default: %(default)s)")
    return parser.parse_args(arguments)


def soaked(server: Path, workspace: Path, endpoint: Endpoint) -> Peer:
    """Runs thv with analytics on, exporting often."""
    temporary = workspace / "tmp"
    temporary.mkdir()
    launcher = lineup.launched(endpoint, interval=EXPORT_INTERVAL_S, budget=BUDGET_S)
    return Peer(
        name="thv",
        title="thv, analytics on",
        stages=((*launcher, "run", "--", str(server)),),
        server=server,
        environment={**lineup.clean_environment(workspace / "home"), "TMPDIR": str(temporary)},
        effort=Effort(0, 0, 0, 0, 0, 0, 0),
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
