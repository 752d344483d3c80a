"""Sends what was recorded to the agent, on a thread of its own: the relay never waits for it.

Promises: it sleeps while nothing happens; it takes the interpreter, which runs one thread at a time, from the relay as
seldom as it can, for some 100 µs each time, and yields in between; a full pipe blocks this thread and no other; spans
beyond the queue's size are dropped and counted; an agent that cannot be started, or dies, is reported once and not
started again. The first item to send starts the agent, and so does `initialize`: a server that needs as long to start
as the agent does answers when the agent is ready.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from thv.telemetry.agent_process import catch_up, step_back
from thv.telemetry.frames import Configure, Flush, Spans, agent_settings, encode, encode_point, metrics_frame

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from thv.telemetry.aggregates import Aggregates
    from thv.telemetry.frames import FinishedSpan

MAX_QUEUED: Final = 2048
"""Finished spans that wait here for the agent, which queues as many again (OTEL_BSP_MAX_QUEUE_SIZE)."""

HURRY_AT: Final = 512
"""Finished spans that are sent before the next collection."""

COLLECT_S: Final = 0.4
"""Time between two collections while there is traffic. What Prometheus scrapes may be this old."""

SPANS_A_STEP: Final = 256
"""Spans, of some 0.2 µs each, that are encoded and sent without yielding."""

CAPTURED_A_STEP: Final = 16
"""The same where spans have arguments and results, of up to 16 KiB each."""

POINTS_A_STEP: Final = 24
"""Points of metrics, of some 4 µs each, likewise."""

YIELD_S: Final = 0.0001
"""How long this thread steps aside: another one that waits to run needs some 50 µs to take over."""

CLOSE_TIMEOUT_S: Final = 0.9
"""How long the end of the session waits for the agent: a collector that is down delays it by less than a second."""

JOIN_TIMEOUT_S: Final = 0.2
"""How long this thread may need to notice that its agent was killed."""


class AgentClient:
    """Sends spans and metrics to the agent.

    Args:
        agent: the agent's settings, by the names of `AgentSettings`.
        aggregates: the metrics; None if they are off.
        start_agent: starts the agent's process.
        warn: writes a line for the user.
        captures: spans have arguments and results.
    """

    def __init__(
        self,
        agent: dict[str, Any],
        aggregates: Aggregates | None,
        start_agent: Callable[[], subprocess.Popen[bytes]],
        warn: Callable[[str], None],
        *,
        captures: bool = False,
    ) -> None:
        self._settings = agent
        self._step = CAPTURED_A_STEP if captures else SPANS_A_STEP
        self._aggregates = aggregates
        self._start_agent = start_agent
        self._warn = warn
        self._agent: subprocess.Popen[bytes] | None = None
        self._steps_back = False
        self._queue: deque[FinishedSpan] = deque()
        self._wake = Event()
        self._hurry = Event()
        self._closing = Event()
        self._flush_wanted = False
        self.awake = False
        self._began_ns = time.time_ns()
        self._thread = Thread(target=self._run, name="telemetry", daemon=True)
        self.dropped = 0
        """Spans that found no room."""
        self.broken = False
        """Whether the agent is gone, so that nothing needs to be recorded any more."""

    def start(self) -> None:
        """Start the thread, and for Prometheus the agent, too."""
        self._thread.start()
        if self._settings.get("prometheus_port") is not None:
            self.notify()

    def has_room(self) -> bool:
        """Whether another finished span can be queued; if not, one is counted as dropped."""
        if len(self._queue) < MAX_QUEUED:
            return True
        self.dropped += 1
        return False

    def queue(self, finished: FinishedSpan) -> None:
        """Queue a finished span, for which there is room. Returns at once."""
        waiting = len(self._queue)
        self._queue.append(finished)
        if waiting == HURRY_AT:
            self._hurry.set()

    def notify(self) -> None:
        """There is something to collect. Returns at once."""
        if not self.awake:
            self.awake = True
            self._wake.set()

    def flush(self) -> None:
        """Send everything now, and have it exported. Returns at once."""
        self._flush_wanted = True
        self._hurry.set()
        self._wake.set()

    def end(self) -> None:
        """Send what is left, and nothing after it. Returns at once."""
        self._closing.set()
        self._hurry.set()
        self._wake.set()

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Send what is left, and wait until it is exported; kill the agent if that takes too long."""
        deadline = time.monotonic() + timeout_s
        self.end()
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - time.monotonic()))
        agent = self._agent
        if not self._thread.is_alive() or (agent is None and not self._anything_new()):
            return
        if agent is not None:
            agent.kill()
            agent.wait()
        with suppress(OSError):
            self._warn("telemetry: not everything was exported before the session ended; what was left may be lost")
        self._thread.join(JOIN_TIMEOUT_S if agent is not None else 0)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.wait()
                self._wake.clear()
                self._serve()
            self._finish()
        except OSError as error:
            self._break(f"telemetry: the exporting process cannot be started, nothing is exported: {error}")
        except Exception as error:  # noqa: BLE001 - the session must go on; the text may quote its traffic
            self._break(f"telemetry: internal error, nothing more is exported: {type(error).__name__}")

    def _serve(self) -> None:
        """Collect at intervals until there is nothing more to send; spans earlier if they are many."""
        due = time.monotonic() + COLLECT_S
        while not self._closing.is_set() and not self.broken:
            if self._agent is None:
                if not self._anything_new() and self._settings.get("prometheus_port") is None:
                    break
                self._launch()
            if not self._steps_back and self._agent is not None:
                self._steps_back = step_back(self._agent)
            self._hurry.wait(max(0.0, due - time.monotonic()))
            self._hurry.clear()
            if self._closing.is_set():
                return
            flush, self._flush_wanted = self._flush_wanted, False
            self._send_spans()
            if flush or time.monotonic() >= due:
                self._send_metrics()
                due = time.monotonic() + COLLECT_S
            if flush:
                self._send(encode(Flush()))
            self.awake = False
            if not self._anything_new():
                return
            self.awake = True
        self.awake = False

    def _anything_new(self) -> bool:
        metrics = self._aggregates
        return bool(self._queue) or (metrics is not None and metrics.changed)

    def _launch(self) -> None:
        self._agent = self._start_agent()
        self._send(encode(Configure(agent_settings(self._settings))))

    def _send_spans(self) -> None:
        queue = self._queue
        while queue and not self.broken:
            spans = [queue.popleft() for _ in range(min(self._step, len(queue)))]
            self._send(encode(Spans(spans, self.dropped, time.time_ns() - time.perf_counter_ns())))
            if queue:
                self._yield_gil()

    def _send_metrics(self) -> None:
        metrics = self._aggregates
        if metrics is None or not metrics.changed or self.broken:
            return
        metrics.changed = False
        points = []
        for point in metrics.points():
            points.append(encode_point(point))
            if not len(points) % POINTS_A_STEP:
                self._yield_gil()
        self._send(metrics_frame(self._began_ns, time.time_ns(), points))

    def _yield_gil(self) -> None:
        if not self._closing.is_set():
            time.sleep(YIELD_S)

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
        """Send the rest, close the pipe, and wait until the agent has exported it."""
        if self._agent is None and not self.broken and self._anything_new():
            self._launch()
        self._send_spans()
        self._send_metrics()
        if self.dropped:
            self._send(encode(Spans([], self.dropped)))
        agent = self._agent
        if agent is None or agent.stdin is None or agent.stdout is None:
            return
        with suppress(OSError):
            agent.stdin.close()
            if self._steps_back:
                catch_up(agent)
            agent.stdout.read()
            agent.stdout.close()
        if self._settings.get("prometheus_port") is None:
            agent.wait()

    def _break(self, text: str) -> None:
        self.broken = True
        self._queue.clear()
        with suppress(OSError):
            self._warn(text)
