"""The official SDK judges the client: its server takes what ours sends, in both eras, and its types read it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp_types import CallToolRequestParams, DiscoverRequest, ElicitResult, InitializeRequest

from thv.mcp_client.process_connection import ProcessConnection
from thv.mcp_client.protocol import JsonRpcError, ReplyTimeoutError, negotiate
from thv.mcp_client.session import Callbacks, ClientSession

if TYPE_CHECKING:
    from thv.mcp_client.protocol import JsonObject, Reply

FOLDER = Path(__file__).parent
ARGV = [sys.executable, "-P", str(FOLDER / "sdk_server.py")]
TIMEOUT_S = 120.0

ERAS = pytest.mark.parametrize(("discover", "version"), [(True, "2026-07-28"), (False, "2025-11-25")])


def judge(argv: list[str] = ARGV, **callbacks: Any) -> ClientSession:
    return ClientSession(
        lambda: ProcessConnection(sys.executable, argv), timeout=TIMEOUT_S, callbacks=Callbacks(**callbacks)
    )


@ERAS
def test_its_server_is_listed_and_called_in_both_eras(discover: bool, version: str) -> None:
    heard: list[tuple[str, JsonObject]] = []
    with judge(on_notification=lambda method, params: heard.append((method, params))) as session:
        identity = session.connect(discover=discover)
        assert (identity.version, identity.info["name"]) == (version, "judge")
        assert [tool["name"] for tool in session.list_tools().tools] == ["add", "fail", "count", "order", "wait"]
        assert session.call_tool("add", {"a": 1, "b": 2.5})["structuredContent"] == {"result": 3.5}
        failed = session.call_tool("fail", {"message": "as you wish"})
        assert failed["isError"] is True
        assert "as you wish" in failed["content"][0]["text"]
        assert session.call_tool("count", {"steps": 3})["content"][0]["text"] == "counted"
        with pytest.raises(JsonRpcError):
            session.request("no/such/method", {})
    progress = [params for method, params in heard if method == "notifications/progress"]
    assert [(each["progress"], each["total"]) for each in progress] == [(1, 3), (2, 3), (3, 3)]
    assert session.close() == 0


@ERAS
def test_a_call_that_is_given_up_is_cancelled_and_the_session_goes_on(discover: bool, version: str) -> None:
    with judge() as session:
        session.connect(discover=discover)
        session._timeout = 0.5
        with pytest.raises(ReplyTimeoutError):
            session.call_tool("wait", {})
        session._timeout = TIMEOUT_S
        assert session.call_tool("add", {"a": 1, "b": 1})["structuredContent"] == {"result": 2}


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"action": "accept", "content": {"size": 3}}, "accept size=3 topping='none'"),
        ({"action": "decline"}, "decline None"),
        ({"action": "cancel"}, "cancel None"),
    ],
)
def test_its_server_asks_the_user(reply: JsonObject, told: str) -> None:
    asked: list[JsonObject] = []

    def answer(params: JsonObject) -> JsonObject:
        asked.append(params)
        return reply

    with judge(elicit=answer) as session:
        session.connect(discover=False)
        assert session.call_tool("order", {})["content"][0]["text"] == told
    assert asked[0]["message"] == "What shall it be?"
    assert set(asked[0]["requestedSchema"]["properties"]) == {"size", "topping"}


def test_input_that_a_call_needs_comes_with_the_next_try() -> None:
    argv = [sys.executable, "-ISP", str(FOLDER / "naughty_server.py"), "needs input", "discover"]
    with judge(argv, elicit=lambda _params: {"action": "accept", "content": {"size": 3}}) as session:
        session.connect()
        sent = json.loads(session.call_tool("ok", {"a": 1})["content"][0]["text"])
    params = CallToolRequestParams.model_validate(sent)
    assert (params.name, params.arguments, params.request_state) == ("ok", {"a": 1}, "s1")
    assert params.input_responses is not None
    assert ElicitResult.model_validate(params.input_responses["size"]).content == {"size": 3}


def test_its_types_read_the_first_requests() -> None:
    negotiation = negotiate({"elicitation": {}})
    discover = next(negotiation)
    assert discover is not None
    DiscoverRequest.model_validate({"method": discover.method, "params": discover.params})
    silence: Reply | None = None
    initialize = negotiation.send(silence)
    assert initialize is not None
    InitializeRequest.model_validate({"method": initialize.method, "params": initialize.params})


def test_its_client_sees_the_same_tools_and_results() -> None:
    async def seen_by_the_sdk() -> tuple[list[JsonObject], JsonObject]:
        parameters = StdioServerParameters(command=ARGV[0], args=ARGV[1:])
        async with Client(stdio_client(parameters)) as client:
            tools = (await client.list_tools()).tools
            result = await client.call_tool("add", {"a": 1, "b": 2})
            return [wire(tool) for tool in tools], wire(result)

    tools, result = asyncio.run(seen_by_the_sdk())
    with judge() as session:
        session.connect()
        assert session.list_tools().tools == tools
        assert session.call_tool("add", {"a": 1, "b": 2}) == result


def wire(model: Any) -> JsonObject:
    found: JsonObject = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return found
