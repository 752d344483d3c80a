"""What passes a reverse proxy is counted exactly: JSON, event streams, batches, tasks, and what is cut off."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.http.proxied import (
    LAST_CHUNK,
    Received,
    answering,
    as_json,
    as_stream,
    call,
    chunk,
    event,
    parse,
    proxied,
    reply,
    stream_head,
    until,
)
from thv.http.proxy import exchange_inspector
from thv.instrumentation.instrumentation import Instrumentation
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION = "Mcp-Session-Id: s-1"


@pytest.fixture(autouse=True)
def _nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DO_NOT_TRACK", "1")


OUTCOMES: dict[str, tuple[Callable[[Received], bytes], tuple[int, int]]] = {
    "json result": (lambda got: as_json(reply(got.message["id"])), (1, 0)),
    "json tool error": (lambda got: as_json(reply(got.message["id"], isError=True)), (0, 1)),
    "json protocol error": (
        lambda got: as_json({"jsonrpc": "2.0", "id": got.message["id"], "error": {"code": -32602, "message": "no"}}),
        (0, 1),
    ),
    "event stream": (lambda got: as_stream(reply(got.message["id"])), (1, 0)),
    "event stream with others before": (
        lambda got: as_stream(
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}},
            {"jsonrpc": "2.0", "id": got.message["id"], "method": "sampling/createMessage", "params": {}},
            reply(got.message["id"], isError=True),
        ),
        (0, 1),
    ),
    "a pretty reply": (lambda got: as_json(json.dumps(reply(got.message["id"]), indent=2).encode()), (1, 0)),
    "a reply with NaN": (
        lambda got: as_json(b'{"jsonrpc":"2.0","id":%d,"result":{"x":NaN}}' % got.message["id"]),
        (1, 0),
    ),
    "an error status with a page": (
        lambda _: b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nsorry",
        (0, 1),
    ),
    "an error status with an error without id": (
        lambda _: as_json({"jsonrpc": "2.0", "id": None, "error": {"code": -32000}}, status="400 Bad Request"),
        (0, 1),
    ),
    "an error status with a result": (
        lambda got: as_json(reply(got.message["id"]), status="500 Internal Server Error"),
        (0, 1),
    ),
    "an error status with a stream that brings a result": (
        lambda got: as_stream(reply(got.message["id"])).replace(b"200 OK", b"404 Not Found", 1),
        (0, 1),
    ),
    "a stream that ends without the reply": (lambda _: as_stream(), (0, 1)),
    "a cut body": (
        lambda _: (
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{"js'
        ),
        (0, 1),
    ),
    "a reply in gzip": (
        lambda got: compressed(gzip.compress(json.dumps(reply(got.message["id"])).encode()), "gzip"),
        (1, 0),
    ),
    "a reply in two members of gzip": (
        lambda got: compressed(
            b"".join(gzip.compress(half) for half in halves(json.dumps(reply(got.message["id"])).encode())), "gzip"
        ),
        (1, 0),
    ),
    "a reply in deflate": (
        lambda got: compressed(zlib.compress(json.dumps(reply(got.message["id"], isError=True)).encode()), "deflate"),
        (0, 1),
    ),
    "a reply nobody here can read": (lambda _: compressed(b"\x0b\x02\x80brotli", "br"), (0, 0)),
    "a reply that only claims to be gzip": (lambda _: compressed(b"{}", "gzip"), (0, 0)),
    "another request's reply": (lambda _: as_json(reply(777)), (0, 1)),
}


def halves(data: bytes) -> tuple[bytes, bytes]:
    return data[: len(data) // 2], data[len(data) // 2 :]


def compressed(body: bytes, coding: str) -> bytes:
    return as_json(body, f"Content-Encoding: {coding}")


@pytest.mark.parametrize("id_", [0, 1])
@pytest.mark.parametrize("header", [(), (SESSION,)], ids=["without a session", "in a session"])
@pytest.mark.parametrize(("answer", "expected"), OUTCOMES.values(), ids=OUTCOMES)
def test_each_answer_has_its_outcome(
    answer: Callable[[Received], bytes], expected: tuple[int, int], header: tuple[str, ...], id_: int
) -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = answer(got)
        writer.write(data)
        if b"Connection: close" in data:
            writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            await setup.post(call(id_), *header)
            assert setup.counted == expected

    asyncio.run(scenario())


def test_what_is_no_call_is_not_counted() -> None:
    def answer(got: Received) -> bytes:
        return as_json(reply(got.message["id"])) if "id" in got.message else b"HTTP/1.1 202 Accepted\r\n\r\n"

    async def scenario() -> None:
        async with proxied(
            answering(lambda got: answer(got).replace(b"202 Accepted\r\n", b"202 Accepted\r\nContent-Length: 0\r\n"))
        ) as setup:
            await setup.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
            await setup.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            assert (await setup.post(b"no json at all")).status == 502
            assert setup.counted == (0, 0)

    asyncio.run(scenario())


def test_a_batch_counts_each_of_its_calls() -> None:
    def answer(got: Received) -> bytes:
        return as_json([reply(each["id"], isError=each["id"] == 2) for each in got.message if "id" in each])

    async def scenario() -> None:
        async with proxied(answering(answer)) as setup:
            batch = [call(1), {"jsonrpc": "2.0", "method": "notifications/x"}, call(2), call("3")]
            await setup.post(batch)
            assert setup.counted == (2, 1)
            await setup.post(batch, SESSION)
            assert setup.counted == (4, 2)

    asyncio.run(scenario())


def test_clients_without_sessions_may_use_the_same_ids_at_the_same_time() -> None:
    arrived = 0
    everybody = asyncio.Event()

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 5:
            everybody.set()
        await everybody.wait()
        writer.write(as_json(reply(got.message["id"], isError=got.message["params"]["name"] == "bad")))

    async def scenario() -> None:
        async with proxied(handler) as setup:
            names = ["good", "bad", "good", "good", "bad"]
            answers = await asyncio.gather(*(setup.post(call(1, name=name)) for name in names))
            assert [json.loads(each.body)["id"] for each in answers] == [1] * 5
            assert setup.counted == (3, 2)

    asyncio.run(scenario())


def test_a_task_that_one_post_began_may_end_in_another_without_a_session() -> None:
    def answer(got: Received) -> bytes:
        message = got.message
        if message["method"] == "tools/call":
            return as_json(reply(message["id"], resultType="task", taskId="T", status="working"))
        return as_json(reply(message["id"], taskId="T", status="completed", result={"content": [], "isError": True}))

    async def scenario() -> None:
        async with proxied(answering(answer)) as setup:
            await setup.post(call(1))
            assert setup.counted == (0, 0)
            for _ in range(2):
                await setup.post({"jsonrpc": "2.0", "id": 1, "method": "tasks/get", "params": {"taskId": "T"}})
                assert setup.counted == (0, 1)

    asyncio.run(scenario())


def initialize(session: str | None) -> Callable[[Received], bytes]:
    def answer(got: Received) -> bytes:
        if got.line.startswith("DELETE"):
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        message = got.message
        if message["method"] == "initialize":
            return as_json(
                reply(message["id"], protocolVersion="2025-06-18"), *([f"Mcp-Session-Id: {session}"] if session else [])
            )
        return as_json(reply(message["id"]))

    return answer


@pytest.mark.parametrize("session", ["s-1", None])
def test_a_session_begins_with_initialize_and_ends_with_delete(session: str | None) -> None:
    async def scenario() -> None:
        async with proxied(answering(initialize(session))) as setup:
            await setup.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}})
            assert len(setup.proxy._sessions) == (1 if session else 0)
            await setup.post(call(0), *([SESSION] if session else []))
            assert setup.counted == (1, 0)
            if session:
                await setup.ask("DELETE", "/mcp", b"", SESSION)
                assert len(setup.proxy._sessions) == 0

    asyncio.run(scenario())


def test_whoever_counts_is_told_what_a_session_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str | None] = []
    really = Instrumentation.open_session

    def open_session(self: Instrumentation, session_id: str | None = None) -> Any:
        opened.append(session_id)
        return really(self, session_id)

    monkeypatch.setattr(Instrumentation, "open_session", open_session)

    async def scenario() -> None:
        async with proxied(answering(initialize("s-1"))) as setup:
            await setup.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}})
            await setup.post(call(1), SESSION)
            await setup.post(call(2), "Mcp-Session-Id: met-before")
            await setup.post(call(3))
            assert opened == ["s-1", "met-before", None]
            assert setup.counted == (3, 0)

    asyncio.run(scenario())


STATUSES: dict[str, tuple[bytes, int]] = {
    "a reply": (as_json(reply(1)), 200),
    "a reply on a stream": (as_stream(reply(1)), 200),
    "an error with its own status": (
        as_json({"jsonrpc": "2.0", "id": 1, "error": {"code": -32601}}, status="404 Not Found"),
        404,
    ),
    "a result with an error's status": (as_json(reply(1), status="500 Oops"), 500),
    "a page": (b"HTTP/1.1 503 Oops\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nsorry", 503),
    "half a reply": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", 200),
    "nothing": (b"", 502),
}


@pytest.mark.parametrize("header", [(), (SESSION,)], ids=["without a session", "in a session"])
@pytest.mark.parametrize(("answer", "status"), STATUSES.values(), ids=STATUSES)
def test_whoever_counts_is_told_the_status_that_the_client_saw(
    answer: bytes, status: int, header: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int | None] = []

    passed = ToolCallLedger.passed

    def observed(self: ToolCallLedger, traffic: Any, *, http_status: int | None = None, **more: Any) -> None:
        messages = list(traffic)
        if not any(is_client for is_client, *_ in messages):
            seen.append(http_status)
        passed(self, messages, http_status=http_status, **more)

    monkeypatch.setattr(ToolCallLedger, "passed", observed)

    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            await setup.raw(posted(1, *header))
            assert sum(setup.counted) == 1
            assert seen == [status]

    asyncio.run(scenario())


def posted(id_: int, *headers: str) -> bytes:
    body = json.dumps(call(id_)).encode()
    head = ["POST /mcp HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers, "Connection: close"]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def test_a_session_that_the_server_does_not_know_any_more_is_forgotten() -> None:
    async def scenario() -> None:
        async with proxied(answering(lambda _: as_json({}, status="404 Not Found"))) as setup:
            await setup.post(call(1), SESSION)
            assert setup.counted == (0, 1)
            assert len(setup.proxy._sessions) == 0

    asyncio.run(scenario())


def test_a_reply_on_the_resumed_stream_is_the_calls_outcome() -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("POST"):
            writer.write(stream_head() + chunk(event(b"", "e-1")) + LAST_CHUNK)
        else:
            assert got.header("last-event-id") == "e-1"
            writer.write(stream_head() + chunk(event(reply(1), "e-2")) + LAST_CHUNK)

    async def scenario() -> None:
        async with proxied(handler) as setup:
            await setup.post(call(1), SESSION)
            assert setup.counted == (0, 0)
            await setup.ask("GET", "/mcp", b"", SESSION, "Last-Event-ID: e-1")
            assert setup.counted == (1, 0)
            await setup.ask("GET", "/mcp", b"", SESSION, "Last-Event-ID: e-1")
            assert setup.counted == (1, 0)

    asyncio.run(scenario())


def test_a_call_whose_stream_cannot_be_resumed_after_all_is_an_error() -> None:
    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("POST"):
            writer.write(stream_head() + chunk(event(b"", "e-1")))
            writer.close()
        else:
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")

    async def scenario() -> None:
        async with proxied(handler) as setup:
            await setup.post(call(1), SESSION)
            assert setup.counted == (0, 0)
            await setup.ask("GET", "/mcp", b"", SESSION, "Last-Event-ID: e-1")
            assert setup.counted == (0, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("header", [(), (SESSION,)], ids=["without a session", "in a session"])
def test_a_client_that_leaves_takes_its_call_out_of_the_count(header: tuple[str, ...]) -> None:
    async def handler(_got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            _, writer = await setup.connect()
            body = json.dumps(call(1)).encode()
            lines = ["POST /mcp HTTP/1.1", "Host: 127.0.0.1", *header, f"Content-Length: {len(body)}", "", ""]
            writer.write("\r\n".join(lines).encode() + body)
            await until(lambda: len(setup.behind.got) == 1 and bool(setup.behind.got[0].body))
            writer.close()
            await until(lambda: setup.behind.connections == 0)
            assert setup.counted == (0, 0)

    asyncio.run(scenario())


def test_a_cancelled_call_is_not_counted_without_a_session_either() -> None:
    cancelled = asyncio.Event()

    async def handler(got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.message["method"] == "tools/call":
            await cancelled.wait()
            writer.write(as_json(reply(got.message["id"], isError=True)))
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            cancelled.set()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            called = asyncio.create_task(setup.post(call(7)))
            await until(lambda: len(setup.behind.got) == 1)
            await setup.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
            await called
            assert setup.counted == (0, 0)

    asyncio.run(scenario())


def test_a_dead_server_leaves_its_open_calls_counted_as_errors() -> None:
    async def handler(_got: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def scenario() -> None:
        async with proxied(handler) as setup:
            for number, header in enumerate(((), (SESSION,)), 1):
                answer = await setup.post(call(5), *header)
                assert answer.status == 502
                assert json.loads(answer.body)["id"] == 5
                assert json.loads(answer.body)["error"]["code"] == -32000
                assert setup.counted == (0, number)
            batch = await setup.post([call(1), call(2)])
            assert [each["id"] for each in json.loads(batch.body)] == [1, 2]
            assert setup.counted == (0, 4)

    asyncio.run(scenario())


class Legacy:
    """A server of HTTP+SSE (2024-11-05): replies come on the stream that said where to post."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.stream: asyncio.StreamWriter | None = None
        self.left = asyncio.Event()

    async def __call__(self, got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got.line.startswith("GET"):
            self.stream = writer
            writer.write(stream_head() + chunk(f"event: endpoint\ndata: {self.endpoint}\n\n".encode()))
            await reader.read()
            self.left.set()
            writer.close()
            return
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted")
        await writer.drain()
        message = got.message
        if self.stream is not None and message["params"]["name"] != "hang":
            self.stream.write(chunk(event(reply(message["id"], isError=message["params"]["name"] == "bad"))))


@pytest.mark.parametrize("endpoint", ["/messages?sessionId=1", "messages?sessionId=1", "/messages/?session_id=a%20b"])
def test_replies_of_the_legacy_transport_are_matched_on_its_stream(endpoint: str) -> None:
    async def scenario() -> None:
        server = Legacy(endpoint)
        async with proxied(server, path="/sse") as setup:
            reader, writer = await setup.connect()
            writer.write(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first = await reader.readuntil(b"\n\n")
            assert f"data: {endpoint}\n".encode() in first
            target = endpoint if endpoint.startswith("/") else f"/{endpoint}"
            for name in ("good", "bad", "hang"):
                assert (await setup.post(call(1 if name == "good" else name, name=name), target=target)).status == 202
            await until(lambda: setup.counted == (1, 1))
            writer.close()
            await server.left.wait()
            assert setup.counted == (1, 1)
            assert len(setup.proxy._sessions) == 0

    asyncio.run(scenario())


def test_a_legacy_server_that_dies_leaves_its_open_calls_counted_as_errors() -> None:
    async def scenario() -> None:
        server = Legacy("/messages?sessionId=1")
        async with proxied(server, path="/sse") as setup:
            reader, writer = await setup.connect()
            writer.write(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"\n\n")
            await setup.post(call(1, name="hang"), target="/messages?sessionId=1")
            assert server.stream is not None
            server.stream.transport.abort()
            assert not (await reader.read()).endswith(LAST_CHUNK)
            assert setup.counted == (0, 1)
            writer.close()

    asyncio.run(scenario())


def test_a_gigantic_reply_is_counted_and_arrives_whole() -> None:
    text = "x" * (12 << 20)

    async def scenario() -> None:
        async with proxied(
            answering(lambda got: as_stream(reply(got.message["id"], text=text, isError=True)))
        ) as setup:
            answer = await setup.post(call(1, arguments={"text": text}))
            assert len(answer.body) > len(text)
            assert setup.behind.got[0].message["params"]["arguments"]["text"] == text
            assert setup.counted == (0, 1)

    asyncio.run(scenario())


def test_a_bug_in_looking_breaks_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_line: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(exchange_inspector, "read_parts", broken)

    async def scenario() -> None:
        async with proxied(answering(lambda got: as_json(reply(got.message["id"])))) as setup:
            told: list[str] = []
            setup.proxy._report = told.append
            for _ in range(2):
                assert (await setup.post(call(1))).status == 200
            assert len(told) == 1
            assert setup.counted == (0, 0)

    asyncio.run(scenario())


def test_what_cannot_be_parsed_here_is_told_apart() -> None:
    assert parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").body == b"abc"
