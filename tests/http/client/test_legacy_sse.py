"""HTTP+SSE of 2024-11-05: how it is recognised, and begun anew when its stream ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import Received, as_json, call, chunk, event, reply, stream_head, until
from tests.http.remotes import ACCEPTED, INITIALIZE, play, raw, remote
from thv.http.client import legacy_sse as remote_legacy

if TYPE_CHECKING:
    import asyncio

PROBLEM = {"code": -32602, "message": "no such tool"}


class Legacy:
    """A server of HTTP+SSE: one stream, and a place for messages beside it."""

    def __init__(self, endpoint: str = "messages?session={}") -> None:
        self.endpoint = endpoint
        self.streams: list[asyncio.StreamWriter] = []
        self.posted: list[tuple[str, Any]] = []
        self.breaks_at: set[str] = set()  # at a message of such a method the stream ends, once
        self.refusals: dict[str, bytes] = {}  # by method

    async def __call__(self, got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, target, _ = got.line.split(" ")
        if verb == "GET" and target == "/deep/sse":
            self.streams.append(writer)
            where = self.endpoint.format(len(self.streams)).encode()
            writer.write(stream_head() + chunk(b"event: endpoint\ndata: " + where + b"\n\n"))
            await reader.read()
        elif target.startswith("/deep/messages"):
            self.posted.append((target, got.message))
            method = got.message.get("method")
            writer.write(self.refusals.get(method, ACCEPTED))
            if method in self.breaks_at:
                self.breaks_at.remove(method)
                self.streams[-1].transport.abort()
            elif method in self.refusals:
                return
            elif method == "initialize":
                result = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "s"}}
                self.warn({"jsonrpc": "2.0", "id": got.message["id"], "result": result})
            elif "id" in got.message and got.message["params"].get("name") != "never":
                self.warn(reply(got.message["id"]))
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def warn(self, message: Any) -> None:
        self.streams[-1].write(chunk(event(message)))


def test_a_server_of_the_older_transport_is_recognised_and_served() -> None:
    legacy = Legacy()

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            assert (await session.begin())["result"]["protocolVersion"] == "2024-11-05"
            assert await session.ask(call(1)) == reply(1)
            session.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}})
            await until(lambda: len(legacy.posted) == 4)
            assert {target for target, _ in legacy.posted} == {"/deep/messages?session=1"}
            assert await session.end() == 0
            assert session.counted == (1, 0)
            assert session.said == []

    play(scenario)


def test_when_the_stream_of_the_older_transport_ends_its_calls_are_errors_and_the_next_begins_anew() -> None:
    legacy = Legacy()

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            await session.begin()
            session.send(call(1, name="never"))
            await until(lambda: len(legacy.posted) == 3)
            legacy.streams[0].transport.abort()
            assert "ended its stream" in (await session.message())["error"]["message"]
            assert await session.ask(call(2)) == reply(2)
            again = [(target, message["method"]) for target, message in legacy.posted[3:]]
            assert again == [
                ("/deep/messages?session=2", method)
                for method in ("initialize", "notifications/initialized", "tools/call")
            ]
            assert session.counted == (1, 1)

    play(scenario)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.2/messages", "//127.0.0.2/messages", "https://127.0.0.1/messages", "http://x:port/"]
)
def test_an_endpoint_of_another_origin_gets_nothing(endpoint: str) -> None:
    legacy = Legacy(endpoint)

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse", header=["Authorization=SECRET"]) as (session, _):
            answer = await session.ask(INITIALIZE)
            assert "not found (404)" in answer["error"]["message"]
            assert legacy.posted == []

    play(scenario)


def test_a_stream_that_names_no_endpoint_is_no_server_of_the_older_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_legacy, "ENDPOINT_TIMEOUT_S", 0.1)

    async def handler(got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET"):
            writer.write(stream_head())
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")

    async def scenario() -> None:
        async with remote(handler) as (session, _):
            assert "takes no MCP messages (405)" in (await session.ask(INITIALIZE))["error"]["message"]

    play(scenario)


def test_a_stream_that_ends_before_the_first_reply_is_opened_anew_for_the_next_attempt() -> None:
    legacy = Legacy()
    legacy.breaks_at = {"initialize"}

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            assert "ended its stream" in (await session.ask(INITIALIZE))["error"]["message"]
            assert "result" in await session.begin()
            assert await session.ask(call(1)) == reply(1)
            assert [(target, message["method"]) for target, message in legacy.posted] == [
                ("/deep/messages?session=1", "initialize"),
                ("/deep/messages?session=2", "initialize"),
                ("/deep/messages?session=2", "notifications/initialized"),
                ("/deep/messages?session=2", "tools/call"),
            ]

    play(scenario)


def test_a_session_that_could_not_be_begun_anew_is_not_used() -> None:
    legacy = Legacy()

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            await session.begin()
            await until(lambda: len(legacy.posted) == 2)
            legacy.breaks_at = {"tools/call"}
            legacy.refusals = {"initialize": raw("503 Busy")(Received(""))}
            assert "ended its stream" in (await session.ask(call(1)))["error"]["message"]
            assert "fails (503" in (await session.ask(call(2)))["error"]["message"]
            legacy.refusals.clear()
            assert await session.ask(call(3)) == reply(3)
            assert [(target, message["method"]) for target, message in legacy.posted[3:]] == [
                ("/deep/messages?session=2", "initialize"),
                ("/deep/messages?session=3", "initialize"),
                ("/deep/messages?session=3", "notifications/initialized"),
                ("/deep/messages?session=3", "tools/call"),
            ]

    play(scenario)


@pytest.mark.parametrize("id_", [1, "1", None])
def test_the_servers_own_error_is_the_reply_whatever_the_status(id_: Any) -> None:
    legacy = Legacy()
    refusal = {"jsonrpc": "2.0", "id": id_, "error": PROBLEM}
    legacy.refusals = {"tools/call": as_json(refusal, status="400 Bad Request")}

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            await session.begin()
            session.send({**call("other"), "method": "prompts/get", "params": {"name": "never"}})
            assert await session.ask(call(1)) == {**refusal, "id": 1 if id_ is None else id_}
            assert session.said == []
            legacy.refusals = {}
            assert await session.ask(call(2)) == reply(2)
            assert session.counted == (1, 1)

    play(scenario)


def test_a_refusal_of_the_credentials_is_told_though_the_client_gets_the_servers_own_error() -> None:
    legacy = Legacy()
    refusal = {"jsonrpc": "2.0", "id": 1, "error": PROBLEM}
    legacy.refusals = {"tools/call": as_json(refusal, status="403 Forbidden")}

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            await session.begin()
            assert await session.ask(call(1)) == refusal
            assert ["refuses (403)" in sentence for sentence in session.said] == [True]

    play(scenario)


def test_an_error_instead_of_the_session_begun_anew_is_the_error_of_the_request() -> None:
    legacy = Legacy()

    async def scenario() -> None:
        async with remote(legacy, path="/deep/sse") as (session, _):
            await session.begin()
            await until(lambda: len(legacy.posted) == 2)
            legacy.streams[0].transport.abort()
            refusal = {"jsonrpc": "2.0", "id": "init", "error": PROBLEM}
            legacy.refusals = {"initialize": as_json(refusal, status="400 Bad Request")}
            connection = session.client._server
            assert isinstance(connection, remote_legacy.HttpSse)
            await until(lambda: connection._reader is None)
            answer = await session.ask(call(1))
            assert answer["id"] == 1
            assert "refuses the request (400" in answer["error"]["message"]

    play(scenario)
