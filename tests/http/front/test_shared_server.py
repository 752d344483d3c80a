"""Several shared servers may lead to one process, as they do where that is a container: no two use the same ids."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from thv.core.message import SUBSCRIPTION_KEY, read_message
from thv.http.front.inspection_queue import InspectionQueue
from thv.http.front.shared_server import SharedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from thv.core.interfaces import EndReason
    from thv.core.message import Id, Message
    from thv.http.front.event_store import EventStream


class Recorded:
    """A backend that keeps what it is sent and answers nothing."""

    def __init__(self, sent: list[bytes]) -> None:
        self._sent = sent
        self._ended = asyncio.Event()

    async def start(self) -> None:
        pass

    async def send(self, line: bytes) -> None:
        self._sent.append(line)

    async def receive(self) -> bytes:
        await self._ended.wait()
        return b""

    async def close(self) -> int:
        self._ended.set()
        return 0

    terminate = close


class Scripted(Recorded):
    """A backend that says what it is given, too."""

    def __init__(self, sent: list[bytes]) -> None:
        super().__init__(sent)
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, **message: object) -> None:
        self._lines.put_nowait(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def receive(self) -> bytes:
        return await self._lines.get()

    async def close(self) -> int:
        self._lines.put_nowait(b"")
        return 0

    terminate = close


class IndifferentClient:
    """A client that ignores what it is given, with its account."""

    has_open_requests = False

    def reply(self, _id: Id, _line: bytes, _message: Message) -> EventStream | None:
        return None

    def related(self, _id: Id | None, _line: bytes) -> EventStream | None:
        return None

    def status_of(self, _message: Message) -> int:
        return 200

    def unrelated(self, _line: bytes) -> EventStream | None:
        return None

    def end(self, reason: str) -> None:
        pass

    def on_client_message(self, line: bytes, _message: Message, *, scope: Hashable = None, at_ns: int = 0) -> bytes:
        return line

    def on_server_message(
        self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0, http_status: int | None = None
    ) -> None:
        pass

    def on_request_cancelled(self, id_: Id, *, scope: Hashable = None) -> None:
        pass

    def on_request_failed(self, id_: Id, *, scope: Hashable = None, http_status: int | None = None) -> None:
        pass

    def rewrite_client_data(self, chunk: bytes) -> bytes:
        return chunk

    def set_end(self, ended_by: str, exit_code: int | None = None, detail: str | None = None) -> None:
        pass

    def from_response(self, lines: bytes, status: int) -> None:
        pass

    def close(self, reason: EndReason = "client_closed") -> None:
        pass

    def server_exited(self) -> None:
        pass


def test_two_servers_in_front_of_one_process_never_use_the_same_id() -> None:
    sent: list[bytes] = []

    async def story() -> None:
        servers = [
            SharedServer(
                Recorded(sent), InspectionQueue(), has_sessions=has_sessions, on_end=lambda _: None, warn=lambda _: None
            )
            for has_sessions in (True, False)
        ]
        line = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"progressToken":1}}}\n'
        message = read_message(line)
        assert message is not None
        for server in servers:
            await server.start()
            client = IndifferentClient()
            server.join(client, client)
            for _ in range(3):
                rest = server.send(client, line, message)
                assert rest is not None  # what is sent is recorded by a coroutine
                await rest
        for server in servers:
            await server.close()

    asyncio.run(story())
    requests = [found for found in map(json.loads, sent) if "id" in found]
    assert len({found["id"] for found in requests}) == len(requests) == 6
    assert all(found["params"]["_meta"]["progressToken"] == found["id"] < 1 << 53 for found in requests)


class AttentiveClient(IndifferentClient):
    """A client that records what it receives, and can send."""

    def __init__(self, server: SharedServer) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._server = server
        server.join(self, self)

    def reply(self, _id: Id, line: bytes, _message: Message) -> EventStream | None:
        return self.related(None, line)

    def related(self, _id: Id | None, line: bytes) -> EventStream | None:
        self.told.put_nowait(json.loads(line))
        return None

    def unrelated(self, line: bytes) -> EventStream | None:
        return self.related(None, line)

    async def send(self, **message: object) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        found = read_message(line)
        assert found is not None
        rest = self._server.send(self, line, found)
        if rest is not None:
            await rest


@asynccontextmanager
async def shared(backend: Scripted, *, has_sessions: bool) -> AsyncIterator[SharedServer]:
    server = SharedServer(backend, InspectionQueue(), has_sessions=has_sessions, on_end=print, warn=print)
    await server.start()
    yield server
    await server.close()


@pytest.mark.parametrize(("asked", "answered"), [(1, 1), (1, "1"), ("1", 1), (-2, "-2")])
def test_an_answer_under_an_id_of_the_other_type_reaches_the_server_once(asked: Id, answered: Id) -> None:
    sent: list[bytes] = []

    async def story() -> None:
        backend = Scripted(sent)
        async with shared(backend, has_sessions=True) as server:
            client, other = AttentiveClient(server), AttentiveClient(server)
            backend.say(id=asked, method="elicitation/create")
            assert (await client.told.get())["id"] == asked
            await other.send(id=answered, result={"of": "another client"})
            for _ in range(2):
                await client.send(id=answered, result={})

    asyncio.run(story())
    assert list(map(json.loads, sent)) == [{"jsonrpc": "2.0", "id": answered, "result": {}}]


class Named(NamedTuple):
    """A notification that names a request by its id or its token, and where it does."""

    method: str
    params: Callable[[object], dict[str, Any]]


NAMING = {
    "progress": Named("notifications/progress", lambda id_: {"progressToken": id_, "progress": 1}),
    "cancelled": Named("notifications/cancelled", lambda id_: {"requestId": id_}),
    "subscription": Named("notifications/tools/list_changed", lambda id_: {"_meta": {SUBSCRIPTION_KEY: id_}}),
}


@pytest.mark.parametrize("written", [int, str, float])
@pytest.mark.parametrize("what", NAMING)
@pytest.mark.parametrize("has_sessions", [True, False])
def test_however_the_server_writes_an_id_of_ours_the_client_gets_its_own(
    what: str, written: Callable[[int], object], has_sessions: bool
) -> None:
    method, params = NAMING[what]
    sent: list[bytes] = []
    told: list[dict[str, Any]] = []

    async def story() -> None:
        backend = Scripted(sent)
        async with shared(backend, has_sessions=has_sessions) as server:
            client, other = AttentiveClient(server), AttentiveClient(server)
            await client.send(id="own", method="tools/call", params={"_meta": {"progressToken": "own"}})
            ours = written(json.loads(sent[0])["id"])
            backend.say(method=method, params=params(ours))
            backend.say(id=ours, result={})
            while not told or "id" not in told[-1]:
                told.append(await client.told.get())
            assert other.told.empty()

    asyncio.run(story())
    assert told == [
        {"jsonrpc": "2.0", "method": method, "params": params("own")},
        {"jsonrpc": "2.0", "id": "own", "result": {}},
    ]
