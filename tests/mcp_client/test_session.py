"""Whatever a server does, the client gets its reply or one error that names the fault, within its time."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thv.core.lines import LineSplitter
from thv.mcp_client import session as session_module
from thv.mcp_client.process_connection import ProcessConnection
from thv.mcp_client.protocol import (
    JsonRpcError,
    McpClientError,
    ProtocolViolationError,
    ReplyTimeoutError,
    ServerEndedError,
    to_json,
)
from thv.mcp_client.session import MAX_PAGES, Callbacks, ClientSession
from thv.process.server_process import ServerProcess

if TYPE_CHECKING:
    from thv.mcp_client.protocol import JsonObject

NAUGHTY = str(Path(__file__).with_name("naughty_server.py"))
LONG = 120.0
"""Seconds that no test waits for: what ends sooner has been noticed, not timed out."""


def naughty(*words: str, timeout: float | None = LONG, callbacks: Callbacks | None = None) -> ClientSession:
    argv = [sys.executable, "-ISP", NAUGHTY, *words]
    return ClientSession(lambda: ProcessConnection(sys.executable, argv), timeout=timeout, callbacks=callbacks)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for what will not come."""
    monkeypatch.setattr("thv.process.shutdown.REPLY_GRACE", 0.2)
    monkeypatch.setattr(session_module, "STRAY_REPLY_GRACE_S", 0.2)
    monkeypatch.setattr(session_module, "DISCOVER_TIMEOUT_S", 2.0)


def call(mode: str, era: str = "initialize", **options: Any) -> JsonObject:
    with naughty(mode, era, **options) as session:
        session.connect()
        return session.call_tool("ok", {})


@pytest.mark.parametrize(("era", "version"), [("initialize", "2025-11-25"), ("discover", "2026-07-28")])
def test_both_eras_are_spoken(era: str, version: str) -> None:
    with naughty("fine", era) as session:
        identity = session.connect()
        assert (identity.version, identity.capabilities) == (version, {"tools": {}})
        assert [tool["name"] for tool in session.list_tools().tools] == ["ok"]
        assert session.call_tool("ok", {"a": "\ud800ü"})["content"] == [{"type": "text", "text": "ok"}]
    assert session.close() == 0


@pytest.mark.parametrize("mode", ["logs", "writes JSON that is no message", "floods", "ignores discover"])
def test_what_is_no_reply_is_passed_over(mode: str) -> None:
    assert call(mode)["content"] == [{"type": "text", "text": "ok"}]


def test_a_server_that_ends_when_it_is_not_initialized_first_is_started_again() -> None:
    assert call("ends at discover")["content"] == [{"type": "text", "text": "ok"}]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a message was read")
@pytest.mark.parametrize(
    ("mode", "starts"), [("exits", 1), ("closes its output", 1), ("reads and exits", 2), ("fine", 1)]
)
def test_only_a_server_that_read_the_first_request_and_ended_is_started_again(mode: str, starts: int) -> None:
    session = naughty(mode)
    start, started = session._start, []
    session._start = lambda: (started.append(mode), start())[1]  # type: ignore[func-returns-value]  # it is appended beside
    with suppress(ServerEndedError), session:
        session.connect()
    assert len(started) == starts


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("exits", ServerEndedError, "the server ended before it answered (exit code 7)"),
        ("refuses", JsonRpcError, r"the server answered with error -32000: line1 line2 \x1b[31mred\x07"),
        ("answers with id 0", ProtocolViolationError, "the server answered a request that was never made: id 0"),
        (
            "initialize: has no version",
            ProtocolViolationError,
            "the server's reply to initialize has no protocolVersion",
        ),
        (
            "initialize: speaks another version",
            ProtocolViolationError,
            "the server speaks MCP 1999-01-01; thv speaks 2024",
        ),
        ("initialize: is a text", ProtocolViolationError, 'the server answered initialize with "hello"'),
    ],
)
def test_a_server_that_cannot_be_connected_to_is_one_error(mode: str, error: type[McpClientError], says: str) -> None:
    with naughty(mode) as session:
        with pytest.raises(error) as caught:
            session.connect()
        assert str(caught.value).startswith(says)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("dies in list", ServerEndedError, "exit code 9"),
        ("list: no tools", ProtocolViolationError, "is not a list of tools: {}"),
        ("list: tools that are a text", ProtocolViolationError, 'is not a list of tools: {"tools": "x"}'),
        ("list: a tool without a name", ProtocolViolationError, "is not a list of tools"),
    ],
)
def test_a_list_that_is_none_is_one_error(mode: str, error: type[McpClientError], says: str) -> None:
    with naughty(mode) as session:
        session.connect()
        with pytest.raises(error) as caught:
            session.list_tools()
        assert says in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "pages", "problem"),
    [
        ("list: the same cursor", 2, "does not end: it gives the same cursor again"),
        ("list: a cursor that is a number", 1, "breaks off: 1 is no cursor"),
        ("endless pages", MAX_PAGES, f"does not end: stopped after {MAX_PAGES} pages"),
    ],
)
def test_endless_pages_end_at_a_bound_with_what_was_seen(mode: str, pages: int, problem: str) -> None:
    with naughty(mode) as session:
        session.connect()
        found = session.list_tools()
        assert len(found.tools) == pages
        assert problem in str(found.problem)
        assert session.list_tools(until="ok").problem is None


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("dies in call", ServerEndedError, "exit code 9"),
        ("call: null", ProtocolViolationError, "the server answered tools/call with null"),
        ("call: text", ProtocolViolationError, 'the server answered tools/call with "x"'),
        ("call: nothing", ProtocolViolationError, "the server's result has no list of content: {}"),
        ("call: content that is a text", ProtocolViolationError, "has no list of content"),
        ("call: content of texts", ProtocolViolationError, "has no list of content"),
        ("call: a task", ProtocolViolationError, "with a task, which was not asked for"),
        ("call: input without saying which", ProtocolViolationError, "asks for input without saying which"),
        ("call: input it cannot have", ProtocolViolationError, "asks for sampling/createMessage"),
        ("call: input requested by [1]", ProtocolViolationError, "the server's inputRequests are no requests: [1]"),
        ("call: input requested by x", ProtocolViolationError, 'the server\'s inputRequests are no requests: "x"'),
        ("call: input requested by 1", ProtocolViolationError, "the server's inputRequests are no requests: 1"),
        ("call: input requested by {'a': 1}", ProtocolViolationError, 'inputRequests are no requests: {"a": 1}'),
        ("call: input requested by {'a': {}}", ProtocolViolationError, 'inputRequests are no requests: {"a": {}}'),
        ("call: input requested by {'a': {'method': 1}}", ProtocolViolationError, 'no requests: {"a": {"method": 1}}'),
        ("call: input with a state that is a number", ProtocolViolationError, "requestState is no text: 1"),
        ("call: input for ever", ProtocolViolationError, "asked for input 10 times"),
        ("raw call: deep nesting", ProtocolViolationError, "nests too deeply"),
        ("raw call: a reply cut off", ProtocolViolationError, "JSON-RPC that cannot be read: {"),
        ("raw call: an error without id", JsonRpcError, "error -32700: what?"),
        ("raw call: an error that is a text", JsonRpcError, "the server answered with error broken"),
        ("raw call: an error with escapes", JsonRpcError, r"error -1: two lines \x1b[31m"),
        ("raw call: another id", ProtocolViolationError, "answered a request that was never made: id 9"),
    ],
)
def test_a_call_without_a_usable_reply_is_one_error(mode: str, error: type[McpClientError], says: str) -> None:
    with pytest.raises(error) as caught:
        call(mode)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_without_id_answers_the_only_request_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "DISCOVER_TIMEOUT_S", LONG)
    assert call("has no id for an error") == {"content": [{"type": "text", "text": "ok"}]}


@pytest.mark.parametrize("mode", ["raw call: no reply", "progresses for ever"])
@pytest.mark.parametrize("era", ["initialize", "discover"])
def test_a_server_that_does_not_answer_is_given_up_after_the_timeout(mode: str, era: str) -> None:
    with naughty(mode, era) as session:
        session.connect()
        session._timeout = 0.5
        with pytest.raises(ReplyTimeoutError, match=r"the server did not answer within 0\.5 seconds"):
            session.call_tool("ok", {})


def test_a_line_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thv.mcp_client.process_connection.LineSplitter", lambda: LineSplitter(1 << 20))
    with pytest.raises(ProtocolViolationError, match="a line of more than 1 MiB"):
        call("sends a line without end")


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("raw call: half an emoji", '{"content": [{"type": "text", "text": "a\ufffdb"}]}'),
        ("raw call: invalid UTF-8", '{"content": [{"type": "text", "text": "a\ufffd\ufffdb"}]}'),
        ("raw call: NaN", '{"content": [], "structuredContent": {"a": null, "b": null}}'),
        (
            "raw call: large numbers",
            '{"content": [], "structuredContent": {"a": 12345678901234567890123, "b": 1e400, '
            '"c": 0.10000000000000000001, "d": ' + "7" * 6000 + "}}",
        ),
        ("raw call: an id that is a text", '{"content": [{"type": "text", "text": "t"}]}'),
        ("raw call: an id with a fraction", '{"content": [{"type": "text", "text": "t"}]}'),
        ("raw call: a batch", '{"content": []}'),
        ("raw call: a byte order mark", '{"content": []}'),
        ("call: only structured content", '{"structuredContent": {"a": [1, {}]}, "content": []}'),
    ],
)
def test_a_reply_is_read_however_it_is_written(mode: str, result: str) -> None:
    assert to_json(call(mode)) == result


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("ping", '"result":{}'),
        ("elicitation/create", '"result":{"action":"decline"}'),
        ("sampling/createMessage", '"error":{"code":-32601'),
        ("roots/list", '"error":{"code":-32601'),
    ],
)
def test_a_request_of_the_server_is_answered_whatever_its_id(method: str, told: str) -> None:
    assert told in call(f"asks: {method}")["content"][0]["text"]


def test_an_elicitation_goes_to_the_user_if_there_is_one() -> None:
    callbacks = Callbacks(elicit=lambda params: {"action": "accept", "content": {"asked": params["message"]}})
    told = call("asks: elicitation/create", callbacks=callbacks)["content"][0]["text"]
    assert '"result":{"action":"accept","content":{"asked":"?"}}' in told


def test_the_time_a_user_takes_to_answer_is_not_the_servers() -> None:
    def answer_late(_params: JsonObject) -> JsonObject:
        time.sleep(2.5)
        return {"action": "accept"}

    with naughty("asks: elicitation/create", callbacks=Callbacks(elicit=answer_late)) as session:
        session.connect()
        session._timeout = 2.0
        assert '"accept"' in session.call_tool("ok", {})["content"][0]["text"]


def test_progress_is_handed_on() -> None:
    seen: list[tuple[str, JsonObject]] = []
    callbacks = Callbacks(on_notification=lambda method, params: seen.append((method, params)))
    with naughty("progresses for ever", callbacks=callbacks) as session:
        session.connect()
        session._timeout = 1.0
        with pytest.raises(ReplyTimeoutError):
            session.call_tool("ok", {})
    assert seen[0] == ("notifications/progress", {"progressToken": 1, "progress": 1})


def test_a_server_that_closes_its_output_and_stays_is_ended() -> None:
    session = naughty("closes its output")
    with pytest.raises(ServerEndedError, match="closed its output before it answered, and did not exit"), session:
        session.connect()
    assert session.close() == 128 + signal.SIGTERM


def test_a_server_that_stays_without_output_is_waited_for_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second one would find it reaped, which ends the thread with a traceback.
    waits: list[None] = []
    wait = ServerProcess.wait
    monkeypatch.setattr(ServerProcess, "wait", lambda process: (waits.append(None), wait(process))[1])  # type: ignore[func-returns-value]  # as above
    with pytest.raises(ServerEndedError), naughty("closes its output") as session:
        session.connect()
    assert len(waits) == 1
