"""Starts the agent as the relay does, and speaks frames to it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tests.sink import PATIENCE
from thv.telemetry.agent.metric_builder import MetricBuilder
from thv.telemetry.agent.span_builder import SpanBuilder
from thv.telemetry.agent.span_records import SpanRecord
from thv.telemetry.agent_process import agent_environment
from thv.telemetry.frames import (
    AgentSettings,
    Configure,
    FinishedSpan,
    HistogramPoint,
    Metrics,
    Signal,
    Spans,
    SumPoint,
    encode,
)
from thv.telemetry.instruments import DURATION_BOUNDS
from thv.telemetry.tracing import SpanContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from thv.telemetry.agent.metric_builder import Snapshot
    from thv.telemetry.frames import Frame

START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000

LABELS = {"server": "demo", "tool": "add", "status": "success"}


def finished(number: int = 1, *, parent: bytes | None = None, **changes: Any) -> FinishedSpan:
    """A tool call that ended, as the relay tells it."""
    fields: dict[str, Any] = {
        "began": START_NS,
        "ended": START_NS + SECOND,
        "method": "tools/call",
        "target": "add",
        "version": None,
        "client": None,
        "id": None,
        "span": SpanContext(number.to_bytes(16, "big"), number.to_bytes(8, "big"), parent, sampled=True),
        "session_id": "mine",
    }
    return FinishedSpan(**(fields | changes))


def span(number: int = 1, **changes: Any) -> SpanRecord:
    """The record of a tool call's span."""
    fields: dict[str, Any] = {
        "name": "tools/call add",
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "parent_span_id": None,
        "trace_state": "",
        "start_ns": START_NS,
        "end_ns": START_NS + SECOND,
        "attributes": {"mcp.method.name": "tools/call", "gen_ai.tool.name": "add"},
    }
    return SpanRecord(**(fields | changes))


def spans(count: int) -> Spans:
    """Spans with the ids 1 to `count`."""
    return Spans([finished(number) for number in range(1, count + 1)])


RESOURCE = Resource({"service.name": "thv-demo", "service.instance.id": "one"})
INSTRUMENTATION_SCOPE = InstrumentationScope("thv", "1", "https://schema.example/1")


def readable(count: int, settings: AgentSettings | None = None, **changes: Any) -> list[ReadableSpan]:
    """The same spans as the SDK's."""
    builder = SpanBuilder(RESOURCE, INSTRUMENTATION_SCOPE, settings or AgentSettings())
    return [builder.build(span(number, **changes)) for number in range(1, count + 1)]


def collected(*points: HistogramPoint | SumPoint) -> Snapshot:
    """A snapshot as the SDK's data."""
    builder = MetricBuilder(RESOURCE, INSTRUMENTATION_SCOPE)
    builder.put(snapshot(*points))
    found = builder.collect()
    assert found is not None
    return found


def calls(value: int, **labels: str) -> SumPoint:
    """The counter of tool calls."""
    return SumPoint("toolhive_mcp_tool_calls", {**LABELS, **labels}, value)


def durations(*seconds: float) -> HistogramPoint:
    """The histogram of operations that took so long."""
    buckets = [0] * (len(DURATION_BOUNDS) + 1)
    for value in seconds:
        buckets[next((n for n, bound in enumerate(DURATION_BOUNDS) if value <= bound), len(DURATION_BOUNDS))] += 1
    return HistogramPoint(
        "mcp.server.operation.duration",
        {"mcp.method.name": "tools/call", "network.transport": "pipe"},
        len(seconds),
        sum(seconds),
        min(seconds),
        max(seconds),
        buckets,
    )


def snapshot(*points: HistogramPoint | SumPoint, after_s: int = 1) -> Metrics:
    """A snapshot taken so long after the start."""
    return Metrics(START_NS, START_NS + after_s * SECOND, list(points))


def to(url: str, **changes: Any) -> AgentSettings:
    """Settings that send both signals to an HTTP endpoint."""
    return AgentSettings(
        traces=Signal(f"{url}/v1/traces", **changes),
        metrics=Signal(f"{url}/v1/metrics", **changes),
        resource={"service.name": "thv-demo"},
    )


@dataclass(frozen=True)
class Ended:
    """How an agent ended."""

    code: int
    stdout: str
    lines: list[str]


PAUSED = 99
"""The exit code of `WITHOUT_TIME` where it pauses before another attempt."""

WITHOUT_TIME = (
    "import os, types\n"
    "from thv.telemetry.agent import __main__ as process, agent_service, batch_delivery\n"
    f"process.HARD_EXIT_S = agent_service.SHUTDOWN_TIMEOUT_S = {100 * PATIENCE}\n"
    f"batch_delivery.time = types.SimpleNamespace(sleep=lambda _: os._exit({PAUSED}))\n"
    "process.main()"
)
"""The agent, which no time limit of its own ends while a test waits, and which may not pause at its end."""

WITHOUT_LIMITS = (
    "from thv.telemetry.agent import __main__ as process, agent_service\n"
    f"process.HARD_EXIT_S = agent_service.SHUTDOWN_TIMEOUT_S = {PATIENCE}\n"
    "process.main()"
)
"""The agent, which has as long for its last exports as a busy machine may need."""

WITHOUT_FIRST_LIMIT = (
    "from thv.telemetry.agent import __main__ as process, agent_service\n"
    f"agent_service.SHUTDOWN_TIMEOUT_S = {100 * PATIENCE}\n"
    "process.main()"
)
"""The agent, which only `HARD_EXIT_S` ends."""

WITHOUT_HARD_EXIT = (
    f"from thv.telemetry.agent import __main__ as process\nprocess.HARD_EXIT_S = {100 * PATIENCE}\nprocess.main()"
)
"""The agent, which only `SHUTDOWN_TIMEOUT_S` ends, so that it has the time to say so on a busy machine."""


class AgentProcess:
    """A running agent, as a context manager; killed if a test leaves it."""

    def __init__(
        self,
        settings: AgentSettings,
        env: Mapping[str, str] | None = None,
        stderr: int = subprocess.PIPE,
        *,
        code: str = WITHOUT_LIMITS,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=agent_environment({**os.environ, **(env or {})}),
        )
        self.send(Configure(settings))

    def send(self, *frames: Frame) -> None:
        assert self.process.stdin is not None
        for frame in frames:
            self.process.stdin.write(encode(frame))
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line of its stderr."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().decode().rstrip("\n")

    def end(self) -> Ended:
        """Close its stdin and wait for its end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out.decode(), (err or b"").decode().splitlines())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()
