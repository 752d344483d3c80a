"""A supervised session in this process, with a real server: what it decodes, and what it does with what it drops."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.decodes import counted_decodes
from tests.e2e.harness import PATIENCE, scripted
from thv.core.lines import LineSplitter
from thv.instrumentation.instrumentation import Instrumentation
from thv.relay import line_streams
from thv.servers.resolve import resolve
from thv.supervision import restart_policy, supervised_session
from thv.supervision.restart_policy import Policy
from thv.supervision.supervised_session import SupervisedSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import EllipsisType

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="threads read the pipes there, and are not counted")

INITIALIZE = b'{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}\n'


def call(id_: int, name: str, more: str = "") -> bytes:
    line = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s"%s}}\n'
    return (line % (id_, name, more)).encode()


class SkippableLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock the test can put forward."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


async def skip(seconds: float) -> None:
    """Let so much time pass at once, and what is due then be done."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippableLoop)
    loop.skipped += seconds
    await asyncio.sleep(0)


class Client:
    """Two pipes to a session; it decodes nothing by itself."""

    def __init__(self) -> None:
        self.stdin, self._to = os.pipe()
        self._from, self.stdout = os.pipe()
        self._rest = b""

    def send(self, data: bytes) -> None:
        os.write(self._to, data)

    async def read(self) -> bytes:
        """The next line."""
        while b"\n" not in self._rest:
            self._rest += await asyncio.to_thread(os.read, self._from, 65536)
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def leave(self) -> None:
        os.close(self._to)

    def close(self) -> None:
        for fd in (self.stdin, self._from, self.stdout):
            os.close(fd)


def play(directory: Path, policy: Policy, story: Callable[[Client], Awaitable[None]], *plan: str) -> int:
    """Run a session beside its client's story; returns the exit code."""
    spec = resolve(None, scripted("fickle.py", str(directory / "lives"), *plan), environ=os.environ)
    client = Client()

    async def scenario() -> int:
        instrumentation = Instrumentation(activity=lambda: 0, journal=("fickle", False))
        session = SupervisedSession(spec, policy, instrumentation, stdin=client.stdin, stdout=client.stdout)
        running = asyncio.create_task(session.run())
        await story(client)
        client.leave()
        code = await running
        instrumentation.close()
        return code

    try:
        with asyncio.Runner(loop_factory=SkippableLoop) as runner:
            return runner.run(scenario())
    finally:
        client.close()


def received(directory: Path, life: int) -> list[bytes]:
    """What the server read in one of its lives."""
    path = directory / "lives.log"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line.partition(b" ")[2] for line in lines if line.startswith(b"%d " % life)]


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.to_thread(time.sleep, 0.005)


PLAIN = call(2, "x", ',"_meta":{"progressToken":2}')


@pytest.mark.parametrize(
    ("line", "decodes"),
    [
        (PLAIN, 2),
        (PLAIN.replace(b'"x"', b'"twin"'), 2),
        (PLAIN.replace(b'"x"', b'"progress"'), 2),  # the request, and the notification: there is no reply
    ],
    ids=["a call", "a call answered under the twin of its id", "a call with progress"],
)
def test_a_call_costs_two_decodings_the_request_and_what_the_server_says(
    tmp_path: Path, line: bytes, decodes: int
) -> None:
    counted = []

    async def story(client: Client) -> None:
        client.send(call(1, "x"))
        await client.read()
        with counted_decodes() as count:
            client.send(line)
            await client.read()
            for _ in range(3):
                await asyncio.sleep(0)  # what is inspected after it was forwarded is inspected
        counted.append(count.lines)

    play(tmp_path, Policy(5, 60), story)
    assert counted == [decodes]


def test_a_line_over_the_limit_is_reported_and_nothing_else_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(line_streams, "LineSplitter", lambda: LineSplitter(1000))
    seen: list[Any] = []

    async def story(client: Client) -> None:
        client.send(call(1, "x") + call(2, "x" * 2000) + call(3, "x"))
        seen.extend([json.loads(await client.read())["id"] for _ in range(2)])

    play(tmp_path, Policy(5, None), story)
    assert seen == [1, 3]
    assert "a message of more than 256 MiB was not sent to" in capfd.readouterr().err


def test_the_end_of_input_ends_a_session_whose_next_server_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client sent is waited for no longer than replies are."""
    monkeypatch.setattr(supervised_session, "REPLY_GRACE", 0.1)

    async def story(client: Client) -> None:
        client.send(INITIALIZE)
        await client.read()
        client.send(call(1, "die"))
        await client.read()
        client.send(call(2, "x"))

    assert play(tmp_path, Policy(5, None), story, "1:hang") in {0, 3}


async def error_of(client: Client) -> tuple[int, int]:
    """Id and code of the error that comes next."""
    error = json.loads(await client.read())
    return error["id"], error["error"]["code"]


@pytest.mark.parametrize("token", ["1.5", '"p"', "7", '"\\u0070"'])
def test_progress_under_any_token_keeps_a_call_open(tmp_path: Path, token: str) -> None:
    with_token = f',"_meta":{{"progressToken":{token}}}'

    async def story(client: Client) -> None:
        client.send(call(1, "hang", with_token) + call(2, "hang") + call(3, "x"))
        assert json.loads(await client.read())["id"] == 3
        await skip(59)
        client.send(call(4, "progress", with_token))
        assert b"notifications/progress" in await client.read()
        await skip(2)
        assert await error_of(client) == (2, -32001)
        await skip(57)
        client.send(call(5, "x"))
        assert json.loads(await client.read())["id"] == 5
        await skip(2)
        assert {await error_of(client), await error_of(client)} == {(1, -32001), (4, -32001)}

    play(tmp_path, Policy(None, 60), story)


@pytest.mark.parametrize("name", ["hang", "late"])
def test_the_id_of_a_call_that_timed_out_can_be_used_again(tmp_path: Path, name: str) -> None:
    """Whether its reply never comes or still does: each of the two gets one answer."""

    async def story(client: Client) -> None:
        client.send(call(1, name))
        await until(lambda: len(received(tmp_path, 0)) == 1)
        await skip(61)
        assert await error_of(client) == (1, -32001)
        client.send(call(1, "x") + call(2, "x"))
        replies = [json.loads(await client.read()) for _ in range(2)]
        assert [(reply["id"], "result" in reply) for reply in replies] == [(1, True), (2, True)]

    play(tmp_path, Policy(None, 60), story)


def test_a_late_reply_is_taken_out_of_a_batch(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        client.send(call(1, "batched"))
        await until(lambda: len(received(tmp_path, 0)) == 1)
        await skip(61)
        assert await error_of(client) == (1, -32001)
        client.send(call(2, "x") + call(3, "x"))
        assert await client.read() == b'[{"jsonrpc":"2.0","id":2,"result":{"content":[],"life":0}}]'
        assert json.loads(await client.read())["id"] == 3

    play(tmp_path, Policy(None, 60), story)


def test_a_call_that_waits_for_the_next_server_times_out_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_session, "REPLY_GRACE", 0.1)

    async def story(client: Client) -> None:
        client.send(INITIALIZE)
        await client.read()
        client.send(call(1, "die"))
        assert await error_of(client) == (1, -32000)
        await until(lambda: received(tmp_path, 1) == [INITIALIZE])  # which it does not answer
        client.send(call(2, "x"))
        failing = asyncio.create_task(error_of(client))
        while not failing.done():  # its time runs once it was read
            await skip(61)
            await asyncio.to_thread(time.sleep, 0.005)
        assert await failing == (2, -32001)

    play(tmp_path, Policy(5, 60), story, "1:hang")
    assert received(tmp_path, 1) == [INITIALIZE]


def test_a_client_that_leaves_while_a_restart_is_waited_for_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart_policy, "BACK_OFF_S", (1e9,))

    async def story(client: Client) -> None:
        client.send(call(1, "die"))
        assert await error_of(client) == (1, -32000)

    assert play(tmp_path, Policy(5, None), story) == 3


def answer(id_: str) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":{"action":"accept"}}\n' % id_.encode()


async def ask(client: Client, number: int, id_: str) -> None:
    """Let the server ask a question under this id."""
    client.send(call(number, "ask " + id_.replace('"', '\\"')))
    assert b'"id":%b,"method":"elicitation/create"' % id_.encode() in await client.read()


async def die(client: Client, number: int, *lost: int) -> None:
    """Let the server die; calls that it did not answer are lost with it."""
    client.send(call(number, "die"))
    for each in (*lost, number):
        assert await error_of(client) == (each, -32000)


REFUSAL = b'{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"x"}}\n'
MINE, NOT_MINE = answer("8")[:-1], answer("7")[:-1]


@pytest.mark.parametrize(
    ("asked", "late", "passed"),
    [
        ("7", answer("7"), []),
        ("7", answer('"7"'), []),
        ("7", answer("7.0"), []),
        ('"q"', answer('"q"'), []),
        ("7", REFUSAL, []),
        ("7", b"[%b, %b]\n" % (MINE, NOT_MINE), [b"[%b]\n" % MINE]),
        ("7", b"[%b]\n" % NOT_MINE, []),
        ("7", answer("8"), [answer("8")]),
        ("7", answer('"8"'), [answer('"8"')]),
        ("7", b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}\n', ...),  # to no question in particular
        ("7", b"no message\n", ...),
    ],
)
def test_an_answer_reaches_only_the_server_that_asked(
    tmp_path: Path, asked: str, late: bytes, passed: list[bytes] | EllipsisType
) -> None:
    async def story(client: Client) -> None:
        await ask(client, 1, asked)
        await die(client, 2, 1)
        await ask(client, 3, "8")
        client.send(late + call(4, "x"))
        assert json.loads(await client.read())["id"] == 4

    play(tmp_path, Policy(5, None), story)
    lines = received(tmp_path, 1)
    assert lines[1:-1] == ([late] if passed is ... else passed)


def test_an_answer_that_comes_while_no_server_runs_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_policy, "BACK_OFF_S", (60,))

    async def story(client: Client) -> None:
        await ask(client, 1, "7")
        await die(client, 2, 1)
        client.send(answer("7") + call(3, "x"))
        reply = asyncio.create_task(client.read())
        while not reply.done():
            await skip(61)
            await asyncio.to_thread(time.sleep, 0.005)
        assert json.loads(await reply)["id"] == 3

    play(tmp_path, Policy(5, None), story)
    assert received(tmp_path, 1) == [call(3, "x")]


def test_a_server_that_asks_before_it_is_initialized_again_gets_its_answer(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        client.send(INITIALIZE)
        await client.read()
        client.send(call(1, "die"))
        assert await error_of(client) == (1, -32000)
        assert json.loads(await client.read()) == {"jsonrpc": "2.0", "id": "p", "method": "ping"}
        client.send(call(2, "x") + answer('"q"') + answer('"p"'))
        assert b"list_changed" in await client.read()
        assert json.loads(await client.read())["id"] == 2

    play(tmp_path, Policy(5, None), story, "1:ask")
    assert received(tmp_path, 1) == [INITIALIZE, call(2, "x")]  # and the answer, which it does not note


def test_a_server_that_was_not_restarted_gets_every_answer(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        client.send(answer("7") + call(1, "x"))
        await client.read()

    play(tmp_path, Policy(5, None), story)
    assert received(tmp_path, 0) == [answer("7"), call(1, "x")]
