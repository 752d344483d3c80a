"""Every request is counted, under names that a client cannot multiply without end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.telemetry.aggregates import LABEL_BYTES, MAX_SERIES, MAX_TARGETS, OTHER, Aggregates, cut
from thv.telemetry.frames import HistogramPoint, SumPoint, encode_point
from thv.telemetry.instruments import DURATION_BOUNDS, INSTRUMENTS, Kind

if TYPE_CHECKING:
    from thv.telemetry.aggregates import Key

MILLISECOND = 1_000_000
CALL: Key = ("tools/call", "echo", "2025-06-18", None, None, None)


def histograms(counted: Aggregates, name: str) -> list[HistogramPoint]:
    return [point for point in counted.points() if isinstance(point, HistogramPoint) and point.name == name]


def sums(counted: Aggregates, name: str) -> dict[tuple[tuple[str, str], ...], int]:
    points = [point for point in counted.points() if isinstance(point, SumPoint) and point.name == name]
    return {tuple(sorted(point.attributes.items())): point.value for point in points}


def test_a_tool_call_stands_under_the_names_that_are_documented() -> None:
    counted = Aggregates("demo", "stdio")
    failed = counted.request(("tools/call", "echo", "2025-06-18", "-32602", "-32602", None), 30 * MILLISECOND)
    counted.call(failed, "error")
    (operation,) = histograms(counted, "mcp.server.operation.duration")
    assert operation.attributes == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": "2025-06-18",
        "error.type": "-32602",
        "rpc.response.status_code": "-32602",
        "gen_ai.tool.name": "echo",
        "gen_ai.operation.name": "execute_tool",
        "network.transport": "pipe",
    }
    assert (operation.count, operation.sum, operation.min, operation.max) == (1, 0.03, 0.03, 0.03)
    (request,) = histograms(counted, "toolhive_mcp_request_duration")
    assert request.attributes == {
        "mcp_method": "tools/call",
        "mcp_resource_id": "echo",
        "status": "error",
        "server": "demo",
        "transport": "stdio",
    }
    assert sums(counted, "toolhive_mcp_requests") == {tuple(sorted(request.attributes.items())): 1}
    assert sums(counted, "toolhive_mcp_tool_calls") == {(("server", "demo"), ("status", "error"), ("tool", "echo")): 1}


def test_over_http_the_names_say_so() -> None:
    counted = Aggregates("demo", "streamable-http")
    counted.request(("prompts/get", "hello", None, None, None, 200), 1)
    (operation,) = histograms(counted, "mcp.server.operation.duration")
    assert operation.attributes == {
        "mcp.method.name": "prompts/get",
        "gen_ai.prompt.name": "hello",
        "network.transport": "tcp",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
    }
    (request,) = histograms(counted, "toolhive_mcp_request_duration")
    assert (request.attributes["method"], request.attributes["status_code"]) == ("POST", "200")


def test_a_resource_is_no_name_of_an_operation() -> None:
    counted = Aggregates("demo", "stdio")
    for uri in ("file:///a", "file:///b"):
        counted.request(("resources/read", uri, None, None, None, None), 1)
    (operation,) = histograms(counted, "mcp.server.operation.duration")
    assert operation.count == 2
    assert {point.attributes["mcp_resource_id"] for point in histograms(counted, "toolhive_mcp_request_duration")} == {
        "file:///a",
        "file:///b",
    }


@pytest.mark.parametrize(
    ("error_type", "status"),
    [
        (None, "success"),
        ("-32601", "error"),
        ("tool_error", "error"),
        ("server_gone", "error"),
        ("cancelled", "cancelled"),
    ],
)
def test_status(error_type: str | None, status: str) -> None:
    counted = Aggregates("demo", "stdio")
    counted.request(("ping", None, None, error_type, None, None), 1)
    assert [point.attributes["status"] for point in histograms(counted, "toolhive_mcp_request_duration")] == [status]


def test_sessions_come_and_go() -> None:
    counted = Aggregates("demo", "stdio")
    assert not list(counted.points())
    counted.session_opened()
    counted.session_opened()
    active = (("server", "demo"), ("transport", "stdio"))
    assert sums(counted, "toolhive_mcp_active_connections") == {active: 2}
    counted.session_closed("2025-06-18", "server_gone", 2_000 * MILLISECOND)
    assert sums(counted, "toolhive_mcp_active_connections") == {active: 1}
    (session,) = histograms(counted, "mcp.server.session.duration")
    assert (session.sum, session.attributes["error.type"]) == (2.0, "server_gone")


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    counted = Aggregates("demo", "stdio")
    for bound in DURATION_BOUNDS:
        counted.request(CALL, round(bound * 1e9))
        counted.request(CALL, round(bound * 1e9) + 1)
    (operation,) = histograms(counted, "mcp.server.operation.duration")
    assert operation.bucket_counts == [1, *[2] * (len(DURATION_BOUNDS) - 1), 1]
    assert (operation.min, operation.max) == (0.01, 300.000000001)


def test_what_a_client_makes_up_cannot_grow_without_end() -> None:
    counted = Aggregates("demo", "stdio")
    total = 6_000
    for number in range(total):
        counted.request((f"m{number}", None, f"v{number}", f"e{number}", f"c{number}", None), 1)
        called = counted.request(("tools/call", f"tool {number}", None, None, None, None), 1)
        counted.call(called, "success")
    points = list(counted.points())
    for name, instrument in INSTRUMENTS.items():
        mine = [point for point in points if point.name == name]
        assert len(mine) <= MAX_SERIES + 2
        if instrument.kind is Kind.HISTOGRAM and mine and "session" not in name:
            assert sum(point.count for point in mine if isinstance(point, HistogramPoint)) == 2 * total
    tools = sums(counted, "toolhive_mcp_tool_calls")
    assert sum(tools.values()) == total
    assert len(tools) == MAX_TARGETS + 1
    assert tools[("server", "demo"), ("status", "success"), ("tool", OTHER)] == total - MAX_TARGETS


@given(st.text(max_size=200), st.integers(0, 130))
def test_cutting_leaves_whole_characters(text: str, limit: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    short = cut(text, limit)
    assert text.startswith(short)
    assert len(short.encode()) <= limit
    assert short == text or len((short + text[len(short)]).encode()) > limit


def test_labels_are_cut() -> None:
    counted = Aggregates("demo", "stdio")
    counted.call(counted.request(("tools/call", "é" * 10_000, None, None, None, None), 1), "success")
    for point in counted.points():
        encode_point(point)
        assert all(len(value.encode()) <= LABEL_BYTES for value in point.attributes.values())


def test_threads_lose_nothing() -> None:
    counted = Aggregates("demo", "stdio")

    def count() -> None:
        for _ in range(5_000):
            counted.request(CALL, MILLISECOND)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (operation,) = histograms(counted, "mcp.server.operation.duration")
    assert (operation.count, sum(operation.bucket_counts), operation.sum) == (20_000, 20_000, 20.0)
