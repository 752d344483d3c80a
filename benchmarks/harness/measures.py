"""The measurements: each takes a peer, runs it as long as its effort says, and returns plain numbers.

Latency is measured with driver, relay and server on one CPU, where the cost of a relay cannot hide on another;
throughput is measured without pinning. Memory and wake-ups are read from outside, over all processes of the relay.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from harness import machine
from harness.peers import NANOSECONDS, Peer, PeerFailedError, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.native import Programs

    Stages = tuple[tuple[str, ...], ...]

T = TypeVar("T")

MIB = 1 << 20
WARMUP_SHARE = 10
"""A tenth of the calls is made before the clock starts."""
LARGEST_MIB = 16
KIB_PER_MIB = 1024
LOADED_LIMIT_S = 15.0
"""thv loads the TLS library 0.25 s after the first outcome; an import takes well under a second."""
EXPORT_LIMIT_S = 90.0
"""Three times the 30 s between two exports."""
SETTLE_S = 1.0
"""Long enough for what a peer does right after a call or an import."""


@dataclass(frozen=True)
class Bench:
    """What every measurement needs."""

    programs: Programs
    log: Path
    """Where every peer's stderr goes."""

    def session(self, peer: Peer, stages: Stages = ()) -> Session:
        """A session, not started yet."""
        return Session(peer, self.programs.driver, self.log, stages)


@dataclass(frozen=True)
class Memory:
    """Peak memory of all relay processes, in MiB."""

    before: float
    """After traffic, the TLS library not loaded."""
    after: float | None
    """After more traffic with the TLS library loaded; None for a peer that never loads it."""
    at_exit: float
    """Up to the end: the last export included."""


def bare_python_s() -> float:
    """How long `python -c pass` takes: the yardstick for a start."""
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return (time.perf_counter_ns() - start) / NANOSECONDS


def start_s(bench: Bench, peer: Peer) -> float:
    """From the start of the first process to the first reply, in seconds. The session makes no call."""

    def started(stages: Stages) -> float:
        with bench.session(peer, stages) as session:
            return session.greet()

    return _as_installed(peer, started)


def _as_installed(peer: Peer, measured: Callable[[Stages], T]) -> T:
    """Measures the installed command where the peer otherwise needs a launcher, on a thread without any network.

    Where that takes a privilege we lack, the launcher is measured, which costs a little more.
    """
    if not peer.installed:
        return measured(peer.stages)
    outcome: list[T] = []
    failures: list[PeerFailedError] = []

    def without_network() -> None:
        try:
            outcome.append(measured(peer.installed if machine.leave_the_network() else peer.stages))
        except PeerFailedError as error:
            failures.append(error)

    thread = threading.Thread(target=without_network)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return outcome[0]


def round_trip_us(bench: Bench, peer: Peer) -> tuple[float, float]:
    """Median and 99th percentile of one small call at a time, in microseconds, everything on one CPU."""
    count = peer.effort.round_trips
    warmup = count // WARMUP_SHARE
    with machine.one_cpu(), bench.session(peer) as session:
        session.greet()
        figures = session.drive("roundtrip", warmup, count, calls=warmup + count)
    return figures["p50"] / 1e3, figures["p99"] / 1e3


def pipelined_per_s(bench: Bench, peer: Peer) -> float:
    """Small calls a second, written without waiting for replies."""
    count = peer.effort.pipelined
    warmup = count // WARMUP_SHARE
    with bench.session(peer) as session:
        session.greet()
        figures = session.drive("pipelined", warmup, count, calls=warmup + count)
    return figures["calls"] / figures["took"] * NANOSECONDS


def results_1_mib_per_s(bench: Bench, peer: Peer) -> float:
    """Results of 1 MiB, one at a time, in MiB/s."""
    return _results_mib_per_s(bench, peer, 1, peer.effort.results_1_mib)


def results_16_mib_per_s(bench: Bench, peer: Peer) -> float:
    """Results of 16 MiB, one at a time, in MiB/s."""
    return _results_mib_per_s(bench, peer, LARGEST_MIB, peer.effort.results_16_mib)


def _results_mib_per_s(bench: Bench, peer: Peer, mib: int, count: int) -> float:
    with bench.session(peer) as session:
        session.greet()
        session.drive("large", mib * MIB, 1, calls=1)  # not timed: buffers grow to their size
        figures = session.drive("large", mib * MIB, count, calls=count)
    return figures["bytes"] / MIB / figures["took"] * NANOSECONDS


def memory(bench: Bench, peer: Peer, *, large: bool) -> Memory:
    """Peak memory with small calls, or with results of 16 MiB."""

    def traffic(session: Session) -> None:
        if large:
            session.drive("large", LARGEST_MIB * MIB, peer.effort.results_16_mib, calls=peer.effort.results_16_mib)
        else:
            session.drive("roundtrip", 0, peer.effort.round_trips, calls=peer.effort.round_trips)

    def before_loading(stages: Stages) -> float:
        with bench.session(peer, stages) as session:
            session.greet()
            traffic(session)
            relays = session.relays()
            peak = sum(map(machine.peak_kib, relays)) / KIB_PER_MIB
            loaded = not peer.has_agent and any(map(machine.has_tls, relays))
            session.kill()  # an orderly end would try to export
        if loaded:
            raise PeerFailedError("the TLS library was loaded beside traffic")
        return peak

    before = _as_installed(peer, before_loading)
    after = None
    peaks: dict[int, int] = {}

    def peak() -> float:
        for pid in relays:
            peaks[pid] = max(peaks.get(pid, 0), machine.peak_kib(pid))
        return sum(peaks.values()) / KIB_PER_MIB

    with bench.session(peer) as session:
        session.greet()
        traffic(session)
        relays = session.relays()  # a helper process may have started with the first call
        peak()
        if peer.loads_tls:
            wait_until(lambda: any(map(machine.has_tls, relays)), LOADED_LIMIT_S, "the TLS library")
            time.sleep(SETTLE_S)
            traffic(session)
            after = peak()
        session.close(watch=peak)
    return Memory(before, after, peak())


def idle_switches(
    bench: Bench,
    peers: Sequence[Peer],
    seconds: float,
    exported: Callable[[], bool] | None,
    tolerating: Callable[[Peer], AbstractContextManager[None]],
) -> Mapping[str, tuple[int, int | None]]:
    """Context switches of all relay threads over idle seconds: in a fresh session, and after the first call.

    `exported` says whether the first outcome has reached the analytics endpoint; without it the second number is left
    out. All peers idle at the same time: they do not disturb each other by doing nothing. `tolerating` makes a context
    in which a peer may fail.
    """
    with ExitStack() as stack:
        sessions: dict[str, Session] = {}
        for peer in peers:
            with tolerating(peer):
                session = stack.enter_context(bench.session(peer))
                session.greet()
                sessions[peer.name] = session
        fresh = _switches_over(sessions, seconds)
        later: Mapping[str, int] = {}
        if exported is not None:
            for peer in peers:
                if peer.name in sessions:
                    with tolerating(peer):
                        sessions[peer.name].drive("roundtrip", 0, 1, calls=1)
            for peer in peers:
                if peer.loads_tls and peer.name in sessions:
                    with tolerating(peer):
                        wait_until(exported, EXPORT_LIMIT_S, "the first export")
            later = _switches_over(sessions, seconds)
    return {name: (fresh[name], later.get(name)) for name in sessions}


def _switches_over(sessions: Mapping[str, Session], seconds: float) -> dict[str, int]:
    time.sleep(SETTLE_S)
    relays = {name: session.relays() for name, session in sessions.items()}
    before = {name: sum(map(machine.switches, pids)) for name, pids in relays.items()}
    time.sleep(seconds)
    return {name: sum(map(machine.switches, pids)) - before[name] for name, pids in relays.items()}


def wait_until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Waits for a condition.

    Raises:
        PeerFailedError: it did not come true in time.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise PeerFailedError(f"{what} did not come within {limit_s:.0f} s")
        time.sleep(0.02)
