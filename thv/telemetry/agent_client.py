"""Brings what was recorded to the agent, on a thread of its own: nobody who relays ever waits for it.

Promises: it sleeps while nothing happens; it works in steps of some 100 µs and lets others run in between, since the
interpreter runs one thread at a time; a full pipe stops this thread and no other; spans beyond `MAX_QUEUED` are
dropped and counted; an agent that cannot be started or dies is said once and not started again. The agent is started
by the first thing to bring.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from thv.telemetry.frames import Configure, Flush, Spans, agent_settings, encode, encode_point, metrics_frame

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from thv.telemetry.aggregates import Aggregates
    from thv.telemetry.frames import SpanRecord

MAX_QUEUED: Final = 2048
"""Finished spans that wait (the default of OTEL_BSP_MAX_QUEUE_SIZE)."""

RING_AT: Final = 512
"""Finished spans that wait when the courier is called before its time (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)."""

COLLECT_S: Final = 0.4
"""Seconds between two ways to the agent while things happen. A scrape by Prometheus may be as old as that."""

SPANS_A_STEP: Final = 12
"""Spans, of some 8 µs each, that are made and sent without letting others run."""

POINTS_A_STEP: Final = 24
"""Points of metrics, of some 4 µs each, likewise."""

BREATH_S: Final = 0.0001
"""Seconds that the courier stands aside between two steps: a thread that waits to run needs some 50 µs to take over."""

CLOSE_S: Final = 0.9
"""Seconds that the end of the session waits for the agent: a collector that is down delays it by less than one."""


LAST_S: Final = 0.2
"""Seconds for this thread to notice that its agent was ended."""


class AgentClient:
    """Sends spans and metrics to the agent.

    Args:
        agent: the agent's settings, by the names of `AgentSettings`.
        aggregates: the metrics; None where nobody wants any.
        make_span: makes a record of what was queued; called on the courier's thread, with what to add to a time of
            `time.perf_counter_ns` to make it one since the epoch.
        start_agent: starts the agent's process.
        warn: tells the user something.
    """

    def __init__(
        self,
        agent: dict[str, Any],
        aggregates: Aggregates | None,
        make_span: Callable[[object, int], SpanRecord],
        start_agent: Callable[[], subprocess.Popen[bytes]],
        warn: Callable[[str], None],
    ) -> None:
        self._settings = agent
        self._aggregates = aggregates
        self._make_span = make_span
        self._start_agent = start_agent
        self._say = warn
        self._agent: subprocess.Popen[bytes] | None = None
        self._queue: deque[object] = deque()
        self._bell = Event()
        self._hurry = Event()
        self._closing = Event()
        self._flush_wanted = False
        self._awake = False
        self._sent_changes = 0
        self._began_ns = time.time_ns()
        self._thread = Thread(target=self._run, name="telemetry", daemon=True)
        self.dropped = 0
        """Spans that found no room."""
        self.broken = False
        """Nothing arrives any more, so nothing needs to be made."""

    def start(self) -> None:
        """Begin; if a Prometheus server is to find something, at once with the agent."""
        self._thread.start()
        if self._settings.get("prometheus_port") is not None:
            self.ring()

    def queue(self, finished: object) -> None:
        """Take a finished span along, if there is room. Returns at once."""
        waiting = len(self._queue)
        if waiting >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(finished)
        if waiting == RING_AT:
            self._hurry.set()

    def ring(self) -> None:
        """Something happened. Returns at once."""
        if not self._awake:
            self._awake = True
            self._bell.set()

    def flush(self) -> None:
        """Bring everything now, and have it exported. Returns at once."""
        self._flush_wanted = True
        self._hurry.set()
        self._bell.set()

    def end(self) -> None:
        """Bring what is left and nothing more after it. Returns at once."""
        self._closing.set()
        self._hurry.set()
        self._bell.set()

    def close(self, budget_s: float = CLOSE_S) -> None:
        """Bring what is left, and wait for the agent to end, so many seconds in all; then end it."""
        deadline = time.monotonic() + budget_s
        self.end()
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - time.monotonic()))
        agent = self._agent
        if agent is not None and agent.poll() is None:
            agent.kill()
            agent.wait()
            with suppress(OSError):
                self._say("telemetry: it could not be exported in time at the end; what was left is lost")
            self._thread.join(LAST_S)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._bell.wait()
                self._bell.clear()
                self._serve()
            self._finish()
        except OSError as error:
            self._break(f"telemetry: the exporting process cannot be started, nothing is exported: {error}")
        except Exception as error:  # noqa: BLE001 - the session must go on; its traffic is not to be shown
            self._break(f"telemetry: internal error, nothing more is exported: {type(error).__name__}")

    def _serve(self) -> None:
        """Go to and fro until nothing happens any more."""
        while not self._closing.is_set() and not self.broken:
            if self._agent is None:
                if not self._anything_new() and self._settings.get("prometheus_port") is None:
                    break
                self._begin()
            self._hurry.wait(COLLECT_S)
            self._hurry.clear()
            if self._closing.is_set():
                return
            flush, self._flush_wanted = self._flush_wanted, False
            self._bring()
            if flush:
                self._send(encode(Flush()))
            self._awake = False
            if not self._anything_new():
                return
            self._awake = True
        self._awake = False

    def _anything_new(self) -> bool:
        metrics = self._aggregates
        return bool(self._queue) or (metrics is not None and metrics.changes != self._sent_changes)

    def _begin(self) -> None:
        self._agent = self._start_agent()
        self._send(encode(Configure(agent_settings(self._settings))))

    def _bring(self) -> None:
        self._bring_spans()
        self._bring_metrics()

    def _bring_spans(self) -> None:
        offset = time.time_ns() - time.perf_counter_ns()
        queue, make = self._queue, self._make_span
        while queue and not self.broken:
            spans = [make(queue.popleft(), offset) for _ in range(min(SPANS_A_STEP, len(queue)))]
            self._send(encode(Spans(spans, self.dropped)))
            self._breathe()

    def _bring_metrics(self) -> None:
        metrics = self._aggregates
        if metrics is None or metrics.changes == self._sent_changes or self.broken:
            return
        changes = metrics.changes
        points = []
        for point in metrics.points():
            points.append(encode_point(point))
            if not len(points) % POINTS_A_STEP:
                self._breathe()
        self._send(metrics_frame(self._began_ns, time.time_ns(), points))
        self._sent_changes = changes

    def _breathe(self) -> None:
        if not self._closing.is_set():
            time.sleep(BREATH_S)

    def _send(self, frame: bytes) -> None:
        agent = self._agent
        if self.broken or agent is None or agent.stdin is None:
            return
        rest = memoryview(frame)
        try:
            while rest:
                rest = rest[agent.stdin.write(rest) or 0 :]
        except OSError:
            if not self._closing.is_set():
                agent.wait()
                self._break(
                    f"telemetry: the exporting process ended (exit code {agent.returncode}), nothing more is exported"
                )
            self.broken = True

    def _finish(self) -> None:
        """The last way: everything, and the end of the pipe."""
        if self._agent is None and not self.broken and self._anything_new():
            self._begin()
        self._bring()
        if self.dropped:
            self._send(encode(Spans([], self.dropped)))
        agent = self._agent
        if agent is not None and agent.stdin is not None:
            with suppress(OSError):
                agent.stdin.close()
            agent.wait()

    def _break(self, words: str) -> None:
        self.broken = True
        self._queue.clear()
        with suppress(OSError):
            self._say(words)
