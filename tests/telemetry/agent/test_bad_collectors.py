"""A collector that is down, refuses or never finishes costs one line, and the end of the agent does not wait for it.

No clock is read: the agent may not pause at its end, and has no time limit but the one that a test is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from tests.collector import Answer, Backend
from tests.ports import free_port
from tests.sink import PATIENCE, Sink
from tests.telemetry.agent.agents import (
    WITHOUT_FIRST_LIMIT,
    WITHOUT_HARD_EXIT,
    WITHOUT_TIME,
    AgentProcess,
    calls,
    snapshot,
    spans,
    to,
)
from thv.telemetry.frames import AgentSettings, Flush, Signal

if TYPE_CHECKING:
    from tests.sink import Mode

FOREVER_S = 100 * PATIENCE
"""A time limit of one export that does not end a test."""


def endings(*, down: int) -> list[tuple[str, AgentSettings, str]]:
    """Endpoints that do not accept telemetry, each with the cause that is reported."""
    plain, secure = f"127.0.0.1:{down}", AgentSettings(traces=Signal(f"127.0.0.1:{down}", protocol="grpc"))
    return [
        ("http", to(f"http://user:secret@{plain}"), f"http://{plain} refuses connections"),
        ("https", to(f"https://{plain}"), f"https://{plain} refuses connections"),
        ("grpc", replace(secure, metrics=secure.traces), f"{plain} refuses connections"),
    ]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["http", "https", "grpc"])
def test_a_collector_that_is_down_costs_one_line_and_is_not_waited_for(which: int) -> None:
    _, settings, said = endings(down=free_port())[which]
    with AgentProcess(settings, code=WITHOUT_TIME) as agent:
        agent.send(spans(3), snapshot(calls(3)))
        ended = agent.end()
    [line] = ended.lines
    assert line.startswith(f"thv: telemetry: {said}: ")
    assert line.endswith("; 3 spans and the last metrics were lost")
    assert "secret" not in line
    assert ended.code == 0


@pytest.mark.parametrize("mode", ["blackhole", "silent", "drip", "drip-tls", "flood"])
def test_a_collector_that_never_finishes_does_not_hold_the_end_up(mode: Mode) -> None:
    with Sink(mode=mode) as sink:
        one = Signal(sink.endpoint, ca_file=str(sink.ca_file), timeout_s=FOREVER_S)
        with AgentProcess(AgentSettings(traces=one), code=WITHOUT_HARD_EXIT) as agent:
            agent.send(spans(2), Flush())
            sink.wait_for_connections(1)
            ended = agent.end()  # which its own time limit alone brings about
    [line] = ended.lines
    assert line.startswith(f"thv: telemetry: https://127.0.0.1:{sink.port} ")
    assert line.endswith("2 spans may be lost")


def test_exports_that_even_ignore_the_time_limit_do_not_hold_the_end_up() -> None:
    with Sink(mode="blackhole") as sink:
        one = Signal(sink.endpoint, ca_file=str(sink.ca_file), timeout_s=FOREVER_S)
        with AgentProcess(AgentSettings(traces=one), code=WITHOUT_FIRST_LIMIT) as agent:
            agent.send(spans(2), Flush())
            sink.wait_for_connections(1)
            ended = agent.end()
    assert (ended.code, ended.lines) == (0, []), "it was not late enough to report anything"


@pytest.mark.parametrize(
    ("mode", "said", "fate"),
    [
        ("tls-bad-cert", "shows a certificate that is not trusted", "were"),
        ("not-http", "answers something that is not HTTP/1", "may be"),
        ("redirect", "answers 308 Permanent Redirect: redirects are not followed", "were"),
        ("503", "answers 503 Service Unavailable", "were"),
        ("404", "answers 404 Not Found: check the path of the endpoint", "were"),
        ("close-after-request", "ends the connection without an answer", "may be"),
    ],
)
def test_a_collector_that_refuses_costs_one_line_and_is_not_waited_for(mode: Mode, said: str, fate: str) -> None:
    with Sink(mode=mode) as sink:
        one = Signal(sink.endpoint, ca_file=str(sink.ca_file), headers={"x-token": "hunter2"})
        with AgentProcess(AgentSettings(traces=one, metrics=one), code=WITHOUT_TIME) as agent:
            agent.send(spans(1), snapshot(calls(1)))
            ended = agent.end()
        attempts = 2 if mode == "close-after-request" else 1  # the SDK's exporter takes it for a kept connection's end
        assert sink.connections == 2 * attempts, "one attempt for each signal"
    assert ended.code == 0
    [line] = ended.lines
    assert f"https://127.0.0.1:{sink.port} {said}" in line
    assert line.endswith(f"1 span and the last metrics {fate} lost")
    assert "hunter2" not in line


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_tls_towards_plaintext_names_the_key_that_helps(protocol: str) -> None:
    with Backend() as backend:
        place = f"127.0.0.1:{backend.server_port}"
        endpoint = place if protocol == "grpc" else f"https://{place}/v1/traces"
        with AgentProcess(AgentSettings(traces=Signal(endpoint, protocol=protocol))) as agent:  # type: ignore[arg-type]  # a parameter
            agent.send(spans(1))
            [line] = agent.end().lines
    assert "set `insecure`" in line
    assert line.endswith("1 span was lost")


ENDS_IN_TWO_PAUSES = (
    "import threading, types\n"
    "from thv.telemetry.agent import __main__ as process, agent_service, batch_delivery\n"
    f"process.HARD_EXIT_S = {100 * PATIENCE}\n"
    "pauses = threading.Semaphore(0)\n"
    "def sleep(_):\n"
    "    pauses.release()\n"
    "    threading.Event().wait()\n"
    "def join(*_):\n"
    "    pauses.acquire(), pauses.acquire(), pauses.release(2)\n"
    "    return False\n"
    "batch_delivery.time = types.SimpleNamespace(sleep=sleep)\n"
    "agent_service._Pipeline.join = join\n"
    "process.main()"
)
"""The agent, whose time is over once both signals are in a pause before another attempt."""


def test_a_collector_that_answers_each_time_is_not_said_not_to_answer() -> None:
    busy = Answer(429, {"Retry-After": "7"})
    with Backend([busy] * 2) as backend, AgentProcess(to(backend.url), code=ENDS_IN_TWO_PAUSES) as agent:
        agent.send(spans(3), snapshot(calls(3)))
        [line] = agent.end().lines
    said = f"thv: telemetry: {backend.url} answers 429 Too Many Requests"
    assert line == f"{said}; 3 spans and the last metrics were lost"
