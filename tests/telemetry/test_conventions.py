"""The semantic conventions for MCP, point by point, as of 2026-08; docs/telemetry.md names what is ours."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.telemetry.test_recorder import INITIALIZE, INITIALIZED, OK, PARENT, Run, call, last_metrics, records
from thv.core.current_request import CURRENT_REQUEST
from thv.telemetry import recorder
from thv.telemetry.frames import HistogramPoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

STATELESS = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}'


def failed(code: int, message: str = "") -> str:
    return f'<{{"id":7,"error":{{"code":{code},"message":"{message}"}}}}'


@dataclass(frozen=True)
class Head:
    """An HTTP request that is being handled."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    peer: str = "127.0.0.1"
    peer_port: int | None = 5000


@contextmanager
def posted(**headers: str) -> Iterator[None]:
    token = CURRENT_REQUEST.set(Head({name.encode(): value.encode() for name, value in headers.items()}))
    yield
    CURRENT_REQUEST.reset(token)


@pytest.mark.parametrize("code", [-32700, -32600, -32601, -32602, -32002])
def test_what_is_the_callers_fault_is_no_error_of_the_server(tmp_path: Path, code: int) -> None:
    run = Run(tmp_path)
    run.tell(call(), failed(code, "why"))
    frames = run.end()
    [span] = records(frames)
    assert (span.error_type, span.status_message, span.attributes.get("error.type")) == (None, None, None)
    assert span.attributes["rpc.response.status_code"] == str(code)
    points = {point.name: point.attributes for point in last_metrics(frames).points}
    operation = points["mcp.server.operation.duration"]
    assert ("error.type" in operation, operation["rpc.response.status_code"]) == (False, str(code))
    assert points["toolhive_mcp_requests"]["status"] == points["toolhive_mcp_tool_calls"]["status"] == "error"


@pytest.mark.parametrize("code", [-32603, -32000, 1])
def test_other_codes_are_errors_whose_description_is_the_message(tmp_path: Path, code: int) -> None:
    span = Run(tmp_path).span(call(), failed(code, "why"))
    assert (span.error_type, span.status_message) == (str(code), "why")


def test_a_description_is_cut(tmp_path: Path) -> None:
    span = Run(tmp_path).span(call(), failed(-32603, "x" * 5000))
    assert span.status_message == "x" * 256


def test_a_session_over_stdio_has_an_id_of_ours_and_none_of_mcp(tmp_path: Path) -> None:
    span = Run(tmp_path).span(call(), OK)
    assert len(span.attributes["toolhive.session.id"]) == 32
    assert "mcp.session.id" not in span.attributes


def test_the_id_of_an_http_session_is_both_unless_the_protocol_has_no_sessions(tmp_path: Path) -> None:
    run = Run(tmp_path, session_id="s-1")
    run.tell(INITIALIZE, INITIALIZED, call(), OK, call(f'"name":"echo",{STATELESS}'), OK)
    _, old, new = run.spans()
    assert old.attributes["mcp.session.id"] == old.attributes["toolhive.session.id"] == "s-1"
    assert new.attributes["toolhive.session.id"] == "s-1"
    assert "mcp.session.id" not in new.attributes


def test_a_traceparent_header_is_the_parent_where_meta_names_none(tmp_path: Path) -> None:
    run = Run(tmp_path, transport="streamable-http")
    with posted(traceparent=HEADER, tracestate="a=b"):
        span = run.span(call(), OK)
    assert (span.trace_id.hex(), span.parent_span_id, span.trace_state) == (
        HEADER[3:35],
        bytes.fromhex(HEADER[36:52]),
        "a=b",
    )
    assert span.links == []


def test_a_traceparent_header_is_a_link_where_meta_names_another_span(tmp_path: Path) -> None:
    run = Run(tmp_path, transport="streamable-http")
    with posted(traceparent=HEADER, tracestate="a=b"):
        span = run.span(call(f'"name":"echo","_meta":{{"traceparent":"{PARENT}"}}'), OK)
    assert span.trace_id.hex() == PARENT[3:35]
    [link] = span.links
    assert (link.trace_id.hex(), link.span_id.hex(), link.trace_state) == (HEADER[3:35], HEADER[36:52], "a=b")


def test_the_same_span_in_both_places_is_no_link(tmp_path: Path) -> None:
    run = Run(tmp_path, transport="streamable-http")
    with posted(traceparent=PARENT):
        assert run.span(call(f'"name":"echo","_meta":{{"traceparent":"{PARENT}"}}'), OK).links == []


def test_without_the_propagator_no_context_is_read(tmp_path: Path) -> None:
    run = Run(tmp_path, transport="streamable-http", extract=False)
    with posted(traceparent=HEADER):
        span = run.span(call(f'"name":"echo","_meta":{{"traceparent":"{PARENT}"}}'), OK)
    assert (span.parent_span_id, span.links, span.trace_state) == (None, [], "")


def test_the_address_of_an_http_client_stands_on_its_spans(tmp_path: Path) -> None:
    run = Run(tmp_path, transport="streamable-http")
    with posted():
        span = run.span(call(), OK)
    assert (span.attributes["client.address"], span.attributes["client.port"]) == ("127.0.0.1", 5000)


def test_our_older_names_can_be_turned_off(tmp_path: Path) -> None:
    run = Run(tmp_path, legacy_attributes=False, span_environment={"A": "1"})
    run.tell(INITIALIZE, INITIALIZED, call(), OK)
    attributes = run.spans()[-1].attributes
    assert not {"mcp.server.name", "mcp.client.name", "environment.A"} & set(attributes)
    assert (attributes["toolhive.server.name"], attributes["toolhive.client.name"]) == ("demo", "tester")
    assert attributes["toolhive.environment.A"] == "1"


ASKS = '<{"id":7,"method":"sampling/createMessage","params":{}}'


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [('>{"id":7,"result":{}}', None), ('>{"id":7,"error":{"code":-32601,"message":"no"}}', "-32601")],
)
def test_what_a_server_asks_of_its_client_is_a_span_of_kind_client(
    tmp_path: Path, reply: str, error_type: str | None
) -> None:
    run = Run(tmp_path)
    run.tell(call(), ASKS, reply, OK)
    frames = run.end()
    asked, called = records(frames)
    assert (asked.name, asked.kind, asked.error_type) == ("sampling/createMessage", "client", error_type)
    assert (called.name, called.kind) == ("tools/call echo", "server")
    [point] = [one for one in last_metrics(frames).points if one.name == "mcp.client.operation.duration"]
    assert isinstance(point, HistogramPoint)
    assert (point.count, point.attributes["mcp.method.name"]) == (1, "sampling/createMessage")
    assert point.attributes.get("error.type") == error_type
    assert run.outcomes == ["success"]


def test_of_more_open_requests_of_a_server_than_are_kept_the_oldest_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_SERVER_REQUESTS", 2)
    run = Run(tmp_path)
    run.tell(*(f'<{{"id":{id_},"method":"sampling/createMessage","params":{{}}}}' for id_ in (1, 2, 3)))
    run.tell(*(f'>{{"id":{id_},"result":{{}}}}' for id_ in (1, 2, 3)))
    frames = run.end()
    assert [span.attributes["jsonrpc.request.id"] for span in records(frames)] == ["2", "3"]
    [point] = [one for one in last_metrics(frames).points if one.name == "mcp.client.operation.duration"]
    assert isinstance(point, HistogramPoint)
    assert point.count == 2


def test_notifications_are_neither_spans_nor_counted(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.tell('>{"method":"notifications/initialized"}', '<{"method":"notifications/message","params":{}}', call(), OK)
    frames = run.end()
    [span] = records(frames)
    assert span.name == "tools/call echo"
    requests = [point for point in last_metrics(frames).points if point.name == "toolhive_mcp_requests"]
    assert [point.attributes["mcp_method"] for point in requests] == ["tools/call"]


def test_the_duration_of_a_session_has_no_transport(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.tell(INITIALIZE, INITIALIZED)
    [session] = [point for point in last_metrics(run.end()).points if point.name == "mcp.server.session.duration"]
    assert session.attributes == {"mcp.protocol.version": "2025-06-18"}
