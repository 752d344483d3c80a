"""What stands between client and server in a measurement, and one live session with it.

A peer is a chain of commands joined by pipes, perhaps with a background process beside it. A session starts the chain,
greets the server through it, lends its two ends to the C driver, and leaves no process behind however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from harness import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PORT = "{port}"
"""Stands for a free port in a peer's commands."""

REPLY_LIMIT_S = 60.0
"""The slowest peer known needs 2 s to its first reply; this is only there so that nothing hangs."""
EXIT_LIMIT_S = 20.0
"""thv waits at most 10 s for open calls, then twice 1.5 s."""
GRACE_S = 2.0
"""For what only ends when it notices that the relay has: a watchdog, a server behind it."""
POLL_S = 0.001
MARKER = "THV_BENCHMARK_SESSION"
NANOSECONDS = 1e9

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class PeerFailedError(Exception):
    """A peer lost a reply, closed early or did not answer in time: the sentence says which."""


@dataclass(frozen=True)
class Effort:
    """How much is asked of a peer in one round, so that each takes about a second."""

    rounds: int
    """In how many rounds it takes part."""
    starts: int
    sessions: int
    """In how many sessions a round measures throughput: where the kernel puts the processes differs by session."""
    round_trips: int
    pipelined: int
    results_1_mib: int
    results_16_mib: int


@dataclass(frozen=True)
class Peer:
    """Something that relays MCP between two stdio ends."""

    name: str
    title: str
    stages: tuple[tuple[str, ...], ...]
    """The commands, from the client to the server and back to the client."""
    server: Path
    """The program that is not the relay."""
    environment: Mapping[str, str]
    effort: Effort
    background: tuple[str, ...] = ()
    """Started first; must listen on PORT before the chain is started."""
    installed: tuple[tuple[str, ...], ...] = ()
    """The chain as a user has it, where `stages` needs a launcher: run without a network, and never to an export."""
    loads_tls: bool = False
    has_agent: bool = False
    """Whether a helper process with OpenTelemetry belongs to it from the first call on."""


@dataclass
class Session:
    """One run of a peer. Use it as a context manager.

    Raises:
        PeerFailedError: whenever the peer does not do what is asked.
    """

    peer: Peer
    driver: Path
    log: Path
    """Where the peer's stderr goes."""
    stages: tuple[tuple[str, ...], ...] = ()
    """Instead of the peer's own."""
    started: int = 0
    """When the first process was about to be started, in `time.perf_counter_ns()`."""
    chain: list[subprocess.Popen[bytes]] = field(default_factory=list)
    background: subprocess.Popen[bytes] | None = None
    left_behind: set[int] = field(default_factory=set)
    """The processes that outlived the peer and had to be killed."""
    to_peer: int = -1
    from_peer: int = -1

    def __enter__(self) -> Self:
        self.marker = f"{MARKER}={uuid.uuid4().hex}"
        self.next_id = 1
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _start(self) -> None:
        port = str(_free_port()) if self.peer.background else ""
        with self.log.open("ab") as log:
            self.started = time.perf_counter_ns()
            if self.peer.background:
                self.background = self._spawn(
                    self.peer.background, port, subprocess.DEVNULL, subprocess.DEVNULL, log.fileno()
                )
                _wait_for_port(int(port), self.background)
            source, self.to_peer = os.pipe()
            try:
                for command in self.stages or self.peer.stages:
                    self.from_peer, output = os.pipe()
                    try:
                        self.chain.append(self._spawn(command, port, source, output, log.fileno()))
                    finally:
                        os.close(source)
                        os.close(output)
                        source = self.from_peer
            except BaseException:
                self.from_peer = source
                raise

    def _spawn(
        self, command: tuple[str, ...], port: str, source: int, output: int, log: int
    ) -> subprocess.Popen[bytes]:
        name, _, value = self.marker.partition("=")
        return subprocess.Popen(
            [word.replace(PORT, port) for word in command],
            stdin=source,
            stdout=output,
            stderr=log,
            env={**self.peer.environment, name: value},
            process_group=0,  # Ctrl-C is for the benchmark, which then ends the peer in order
        )

    def greet(self) -> float:
        """Initializes the server through the peer; returns the seconds from the start to the first reply."""
        self._write(INITIALIZE)
        self._read_line()
        seconds = (time.perf_counter_ns() - self.started) / NANOSECONDS
        self._write(INITIALIZED)
        return seconds

    def _write(self, message: Mapping[str, object]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the missing reply says it better
            os.write(self.to_peer, json.dumps(message).encode() + b"\n")

    def _read_line(self) -> None:
        got = b""
        while not got.endswith(b"\n"):
            if not select.select([self.from_peer], [], [], REPLY_LIMIT_S)[0]:
                raise PeerFailedError(f"no first reply within {REPLY_LIMIT_S:.0f} s")
            part = os.read(self.from_peer, 1 << 16)
            if not part:
                raise PeerFailedError(f"ended before its first reply: {self._last_words()}")
            got += part

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"

    def drive(self, measurement: str, *numbers: int, calls: int) -> dict[str, int]:
        """Runs the C driver on this session; `calls` says how many ids it uses. Returns the figures it prints."""
        first, self.next_id = self.next_id, self.next_id + calls
        done = subprocess.run(
            [self.driver, measurement, *map(str, (self.from_peer, self.to_peer, first, *numbers))],
            pass_fds=(self.from_peer, self.to_peer),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PeerFailedError(done.stderr.strip() or f"the driver ended with {done.returncode}")
        words = done.stdout.split()
        return dict(zip(words[::2], map(int, words[1::2]), strict=True))

    def members(self) -> set[int]:
        """Every process of this session, the server and orphans included."""
        roots = [*self.chain, *([self.background] if self.background else [])]
        found = {process.pid for process in roots if process.poll() is None}
        for process in roots:
            found |= machine.descendants(process.pid)
        return found | machine.marked(self.marker)

    def relays(self) -> set[int]:
        """The processes that stand between client and server."""
        return {pid for pid in self.members() if not machine.runs(pid, self.peer.server)}

    def close(self, watch: Callable[[], object] = lambda: None) -> None:
        """Ends the session as a client does, by closing the server's input; `watch` is called until all are gone.

        What does not end by itself is killed.
        """
        known = {pid: machine.started_at(pid) for pid in self.members()}
        self._close_end("to_peer")
        deadline = time.monotonic() + EXIT_LIMIT_S
        while any(process.poll() is None for process in self.chain) and time.monotonic() < deadline:
            watch()
            time.sleep(POLL_S)
        self._close_end("from_peer")
        if self.background is not None and self.background.poll() is None:
            self.background.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.background.wait(EXIT_LIMIT_S)
        for process in (*self.chain, *([self.background] if self.background else [])):
            if process.poll() is None:
                process.kill()
            process.wait()
        deadline = time.monotonic() + GRACE_S
        while (left := self._alive(known)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self.left_behind |= left
        for pid in left:
            machine.kill(pid)

    def _alive(self, known: Mapping[int, int | None]) -> set[int]:
        """Those of the known processes that still run, and whatever else carries the mark of this session."""
        same = {pid for pid, start in known.items() if start is not None and machine.started_at(pid) == start}
        return same | machine.marked(self.marker)

    def kill(self) -> None:
        """Ends the session at once, with no chance to tidy up."""
        for pid in self.members():
            machine.kill(pid)

    def _close_end(self, end: str) -> None:
        descriptor = getattr(self, end)
        if descriptor >= 0:
            os.close(descriptor)
            setattr(self, end, -1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + REPLY_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(POLL_S)
    raise PeerFailedError("its server side did not start to listen")
