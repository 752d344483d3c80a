"""Measures whether a bad collector delays anybody: round trips and the end of a session, beside a good one.

    python benchmarks/telemetry.py [--rounds N] [--json FILE]

Every session makes the same calls through the installed thv, every one of them traced, with the same fast C server
behind it, everything on one CPU. The collector is a sink on this machine that misbehaves in each of the ways there are.
*exit* is the time from the client's end of file to the end of thv; *lines* is what the user sees meanwhile. Rounds
are interleaved; ratios are to the good collector, taken within each round.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from harness import lineup, machine, measures, native
from harness.peers import NANOSECONDS, Effort, Peer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.sink import Mode, Sink  # noqa: E402  the tests' sink; the path has to be set first

OFF = "no telemetry"
GOOD: Mode = "ok"
MODES: tuple[Mode, ...] = (GOOD, "refuse", "blackhole", "silent", "drip", "503", "tls-bad-cert")

WARM_UP_CALLS = 200
WARM_UP_S = 1.5
"""Enough for the agent to have started and to have met its collector."""

NOTHING = Effort(rounds=0, starts=0, sessions=0, round_trips=0, pipelined=0, results_1_mib=0, results_16_mib=0)


@dataclass
class Taken:
    """What the sessions with one collector took, one value a round."""

    p50_us: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    exit_ms: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    arrived: int = 0


def measure(bench: measures.Bench, sink: Sink | None, taken: Taken, calls: int) -> None:
    """One session; without a sink, one without telemetry."""
    environment = lineup.clean_environment(bench.log.parent / "home") | lineup.OFF
    options: tuple[str, ...] = ()
    if sink is not None:
        environment["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(sink.ca_file)
        options = ("--otel-endpoint", f"https://127.0.0.1:{sink.port}", "--otel-sampling-rate", "1")
    command = (*lineup.installed_thv(), "run", *options, "--", str(bench.programs.server))
    bench.log.write_bytes(b"")
    with (
        machine.one_cpu(),
        bench.session(
            Peer("", "", (command,), bench.programs.server, environment, NOTHING, has_agent=sink is not None)
        ) as session,
    ):
        session.greet()
        session.drive("roundtrip", 0, WARM_UP_CALLS, calls=WARM_UP_CALLS)
        time.sleep(WARM_UP_S)
        figures = session.drive("roundtrip", calls // 10, calls, calls=calls + calls // 10)
        begun = time.perf_counter_ns()
        session.close()
        taken.exit_ms.append((time.perf_counter_ns() - begun) / NANOSECONDS * 1e3)
    taken.p50_us.append(figures["p50"] / 1e3)
    taken.p99_us.append(figures["p99"] / 1e3)
    taken.lines.append(sum(line.startswith(b"thv:") for line in bench.log.read_bytes().splitlines()))
    taken.arrived += len(sink.requests) if sink is not None else 0


def row(name: str, taken: Taken, good: Taken) -> str:
    """One line of the table."""

    def ratio(mine: list[float], other: list[float]) -> float:
        return median(one / two for one, two in zip(mine, other, strict=True))

    return (
        f"{name:<14}{median(taken.p50_us):>8.1f}{median(taken.p99_us):>9.1f}"
        f"{ratio(taken.p50_us, good.p50_us):>9.2f}{ratio(taken.p99_us, good.p99_us):>7.2f}"
        f"{median(taken.exit_ms):>10.0f}{max(taken.exit_ms):>7.0f}{max(taken.lines):>7}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="sessions for each figure (default: 5)")
    parser.add_argument("--calls", type=int, default=20_000, help="round trips of each session (default: 20000)")
    parser.add_argument("--json", metavar="FILE", help="also write every figure there")
    options = parser.parse_args()
    figures: dict[str, Taken] = {name: Taken() for name in (OFF, *MODES)}
    had, used, ours = machine.cpu_seconds()
    with tempfile.TemporaryDirectory(prefix="thv-benchmark-") as directory:
        workspace = Path(directory)
        bench = measures.Bench(native.compiled(workspace), workspace / "stderr.log")
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            measure(bench, None, figures[OFF], options.calls)
            for mode in MODES:
                with Sink(mode=mode) as sink:
                    measure(bench, sink, figures[mode], options.calls)
    had_then, used_then, ours_then = machine.cpu_seconds()
    others = max(0.0, (used_then - used) - (ours_then - ours)) / (had_then - had)
    print(f"{machine.line()}\nother programs took {others:.0%} of the CPU time meanwhile\n")
    print(f"{'collector':<14}{'p50 µs':>8}{'p99 µs':>9}{'p50 x':>9}{'p99 x':>7}{'exit ms':>10}{'max':>7}{'lines':>7}")
    for name, taken in figures.items():
        print(row(name, taken, figures[GOOD]))
    if options.json:
        plain = {name: vars(taken) for name, taken in figures.items()}
        Path(options.json).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
