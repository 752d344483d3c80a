"""A container as a server: nothing is sent twice, nothing hangs, and whose process it is stays clear."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.operator.fake_attach import GENEROUS, TARGET, FakeAttach, credentials, failure, fake_attach, reached, until
from thv.errors import ThvError
from thv.operator.attach.container_backend import AttachBackend, AttachedServer
from thv.operator.attach.websocket_link import open_link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Story = Any


class Stage:
    """A fake API server and what keeps its container attached."""

    def __init__(self, api: FakeAttach, folder: Path, **options: Any) -> None:
        self.api = api
        self.said: list[str] = []
        self.folder = folder
        open_ = partial(open_link, reached(api, folder), TARGET, settle=0.05, lost_after=options.pop("lost_after", 60))
        options = {"doubt": 0.3, "patience": 5.0, **options}
        self.server = AttachedServer(open_, what=str(TARGET), warn=self.said.append, debug=self.said.append, **options)

    async def backend(self) -> AttachBackend:
        backend = self.server.backend()
        async with asyncio.timeout(GENEROUS):
            await backend.start()
        return backend

    async def answer(self, text: str) -> None:
        await self.api.link.write(text.encode() + b"\n")


def play(story: Callable[[Stage], Awaitable[None]], folder: Path, **options: Any) -> None:
    async def main() -> None:
        async with fake_attach() as api:
            stage = Stage(api, folder, **options)
            stage.server.start()
            try:
                async with asyncio.timeout(3 * GENEROUS):
                    await story(stage)
            finally:
                await stage.server.close()
            assert not stage.server.is_ready

    asyncio.run(main())


def request(id_: int | str, method: str = "tools/call", **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, **more}).encode() + b"\n"


def reply(id_: int | str, **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, **(more or {"result": {}})}).encode() + b"\n"


async def receive(backend: AttachBackend) -> bytes:
    async with asyncio.timeout(GENEROUS):
        return await backend.receive()


async def is_silent(backend: AttachBackend, seconds: float = 0.2) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await backend.receive()
    except TimeoutError:
        return True
    return False


def test_lines_come_whole_however_they_are_framed(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        lines = [reply(n, result={"text": "ä" * n}) for n in (1, 30, 500)]
        stream = b"".join(lines)
        await stage.api.link.write(*(stream[at : at + 7] for at in range(0, len(stream), 7)))
        await stage.api.link.write(stream)
        assert [await receive(backend) for _ in range(6)] == [*lines, *lines]

    play(story, tmp_path / "credentials")


def test_a_line_of_many_megabytes_passes_both_ways(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        large = request(1, params={"text": "x" * (8 << 20)})
        await backend.send(large)
        await until(lambda: len(stage.api.link.stdin) == len(large))
        assert stage.api.link.stdin == large
        answer = reply(1, result={"text": "y" * (8 << 20)})
        writing = asyncio.create_task(
            stage.api.link.write(*(answer[at : at + 30_000] for at in range(0, len(answer), 30_000)))
        )
        assert await receive(backend) == answer
        await writing

    play(story, tmp_path / "credentials")


def test_what_nobody_takes_stops_the_reading(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        line = (
            json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": "z" * 30_000}).encode() + b"\n"
        )
        writing = asyncio.create_task(stage.api.link.write(*[line] * 1000))
        done, _ = await asyncio.wait({writing}, timeout=0.5)
        assert not done
        for _ in range(1000):
            assert await receive(backend) == line
        await writing

    play(story, tmp_path / "credentials")


def test_a_dropped_link_is_replaced_and_what_is_sent_meanwhile_waits(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        await backend.send(request(1))
        await stage.api.attached(1)
        await until(lambda: stage.api.link.stdin)
        await stage.answer(reply(1).decode().strip())
        assert await receive(backend) == reply(1)
        stage.api.refusals = [(503, "restarting")] * 2
        stage.api.link.drop()
        await until(lambda: not stage.server.is_ready)
        assert "restarting" in stage.server.problem or "link" in stage.server.problem
        await backend.send(request(2))
        assert len(stage.api.links) == 2
        await until(lambda: stage.api.link.stdin)
        assert stage.api.link.stdin == request(2)  # nothing before it: nothing was in doubt
        await stage.answer(reply(2).decode().strip())
        assert await receive(backend) == reply(2)

    play(story, tmp_path / "credentials")


def test_what_is_sent_on_a_link_that_is_known_to_be_gone_goes_to_the_next_one(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        assert stage.server._link is not None
        stage.server._link._transport.abort()  # the loop knows, and nobody has been told yet
        await backend.send(request(1))
        await stage.api.attached(2)
        await until(lambda: stage.api.link.stdin == request(1))
        await stage.answer(reply(1).decode().strip())
        assert await receive(backend) == reply(1)

    play(story, tmp_path / "credentials", doubt=GENEROUS)


def test_an_open_request_is_answered_by_the_server_if_it_still_does(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        await backend.send(request(1))
        stage.api.link.drop()
        await stage.api.attached(2)
        await until(lambda: stage.server.is_ready)
        await stage.answer(reply(1).decode().strip())
        assert await receive(backend) == reply(1)
        assert await is_silent(backend, 0.6)  # twice as long as it would have been in doubt

    play(story, tmp_path / "credentials")


def test_an_open_request_whose_answer_is_lost_gets_an_error_once(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        await backend.send(request(1))
        await backend.send(request("one"))
        stage.api.link.drop()
        await stage.api.attached(2)
        await until(lambda: stage.server.is_ready)
        await backend.send(request(2))
        errors = [json.loads(await receive(backend)) for _ in range(2)]
        assert [error["id"] for error in errors] == [1, "one"]
        assert all("may have been carried out" in error["error"]["message"] for error in errors)
        await stage.answer(reply(1).decode().strip())  # too late: it was answered
        await stage.answer(reply(2).decode().strip())
        assert await receive(backend) == reply(2)
        assert b'"id": 1,' not in stage.api.link.stdin  # and not sent again

    play(story, tmp_path / "credentials")


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        link = await stage.api.attached(1)
        link.reads.clear()
        sending = asyncio.create_task(backend.send(request(1, params={"text": "x" * (32 << 20)})))
        await asyncio.wait({sending}, timeout=0.2)
        link.drop()
        link.reads.set()
        await sending
        await stage.api.attached(2)
        await backend.send(request(2))
        await until(lambda: stage.api.link.stdin.count(b"\n") == 2)
        assert stage.api.link.stdin == b"\n" + request(2)
        assert json.loads(await receive(backend))["id"] == 1

    play(story, tmp_path / "credentials")


def test_half_a_line_of_the_server_is_dropped_with_its_link(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        await stage.api.link.write(reply(1) + b'{"jsonrpc":"2.0","id":2,"res')
        assert await receive(backend) == reply(1)
        stage.api.link.drop()
        await stage.api.attached(2)
        await stage.api.link.write(b'ult":{}}\n' + reply(3))
        assert await receive(backend) == reply(3)

    play(story, tmp_path / "credentials")


def test_while_the_link_stays_down_requests_are_refused_with_the_reason(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        stage.api.is_refusing = 403, failure('pods "files-0" is forbidden')
        stage.api.link.drop()
        await until(lambda: "forbidden" in stage.server.problem)
        await asyncio.gather(*(backend.send(request(n)) for n in range(3)))
        for n in range(3):
            error = json.loads(await receive(backend))
            assert error["id"] == n
            assert "forbidden" in error["error"]["message"]
        await backend.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        with pytest.raises(ThvError, match="forbidden"):
            await stage.server.backend().start()

    play(story, tmp_path / "credentials", patience=0.3)


def test_a_silent_peer_is_replaced(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.backend()
        await stage.api.attached(2)
        assert any("silent" in said for said in stage.said)

    play(story, tmp_path / "credentials", lost_after=0.2)


def test_when_the_container_ends_so_does_everybodys_server_and_the_next_one_is_another(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        first, second = await stage.backend(), await stage.backend()
        await first.send(request(1))
        link = stage.api.link
        await link.write(b'{"jsonrpc":"2.0","method":"last"}')  # without a newline
        stage.api.refusals = [(400, failure("container mcp is not running"))] * 2
        await link.end({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}})
        for backend in (first, second):
            assert await receive(backend) == b'{"jsonrpc":"2.0","method":"last"}\n'
            assert await receive(backend) == b""
            with pytest.raises(OSError, match="ended"):
                await backend.send(request(2))
            assert await backend.close() == 7
        third = await stage.backend()
        assert len(stage.api.links) == 2
        await third.send(request(1))
        await until(lambda: stage.api.link.stdin == request(1))
        assert any("not running" in said for said in stage.said)
        await third.close()

    play(story, tmp_path / "credentials")


def test_a_container_that_ended_while_the_link_was_down_is_not_taken_for_the_next_one(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        stage.api.refusals = [(404, failure("container mcp not found"))]
        stage.api.link.drop()
        assert await receive(backend) == b""
        await stage.backend()

    play(story, tmp_path / "credentials")


def test_refused_at_first_it_is_not_ready_and_says_why_until_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_attach() as api:
            stage = Stage(api, tmp_path / "credentials")
            api.is_refusing = 400, failure("container mcp is waiting to start: ImagePullBackOff")
            stage.server.start()
            await until(lambda: len(api.seen) >= 4)
            assert "ImagePullBackOff" in stage.server.problem
            assert not stage.server.look()
            api.is_refusing = None
            await stage.backend()
            assert stage.server.look()
            assert sum("ImagePullBackOff" in said for said in stage.said) == 1  # told once, however often it was tried
            await stage.server.close()

    asyncio.run(main())


def test_without_a_token_it_is_not_ready_and_says_so_until_there_is_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_attach() as api:
            stage = Stage(api, tmp_path / "credentials")
            (stage.folder / "token").unlink()
            stage.server.start()
            await until(lambda: "token" in stage.server.problem)
            credentials(stage.folder, "token-2")
            await stage.backend()
            assert api.seen[-1][1] == "Bearer token-2"
            await stage.server.close()

    asyncio.run(main())


def test_a_container_that_ends_again_and_again_is_not_asked_without_pause(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_attach() as api:
            stage = Stage(api, tmp_path / "credentials")
            api.at_once = [b"\1", b'\3{"status":"Success"}']
            stage.server.start()
            await asyncio.sleep(1.0)
            await stage.server.close()
            assert 2 <= len(api.seen) <= 8  # 0, 0.1, 0.2, 0.4, … seconds apart, less up to a half

    asyncio.run(main())


GREETING = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}


def test_a_process_is_greeted_once_even_by_those_who_come_later(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.backend()
        await first.send(request(1, "initialize", params=GREETING))
        await stage.api.attached(1)
        await stage.answer(reply(1, result={"serverInfo": {"id": 1}}).decode().strip())
        await receive(first)
        initialized = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
        await first.send(initialized)
        await first.close()
        sent = request(1, "initialize", params=GREETING) + initialized
        await until(lambda: stage.api.link.stdin == sent)
        stage.api.link.drop()
        await stage.api.attached(2)
        second = await stage.backend()
        await second.send(request("a", "initialize", params=GREETING))
        assert json.loads(await receive(second)) == {"jsonrpc": "2.0", "id": "a", "result": {"serverInfo": {"id": 1}}}
        await second.send(initialized)
        await second.send(request("b"))
        await until(lambda: request("b") in stage.api.link.stdin)
        assert stage.api.link.stdin.strip() == request("b").strip()

    play(story, tmp_path / "credentials")


def test_a_server_that_refused_to_be_greeted_may_be_greeted_again(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        for id_ in (1, 2):
            await backend.send(request(id_, "initialize", params=GREETING))
            await until(lambda id_=id_: request(id_, "initialize", params=GREETING) in stage.api.link.stdin)  # type: ignore[misc]  # a default binds the loop's value
            await stage.answer(reply(id_, error={"code": -32602, "message": "no"}).decode().strip())
            assert json.loads(await receive(backend))["error"]["message"] == "no"

    play(story, tmp_path / "credentials")


def test_each_hears_its_own_answers_and_one_alone_is_asked(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        stateless, sessions = await stage.backend(), await stage.backend()
        await stateless.send(request(2))
        await sessions.send(request(1, "initialize", params=GREETING))
        asked = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "sampling/createMessage"})
        told = json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        await stage.api.link.write(reply(2) + reply(1))
        await stage.answer(f"[{told}, {asked}]")
        assert [await receive(stateless) for _ in range(2)] == [reply(2), told.encode() + b"\n"]
        assert [await receive(sessions) for _ in range(3)] == [
            reply(1),
            told.encode() + b"\n",
            asked.encode() + b"\n",
        ]
        await stage.answer('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}')
        await stage.answer("a log line")
        assert (await receive(sessions)).startswith(b'{"jsonrpc":"2.0","id":null')
        assert (await receive(stateless)).startswith(b'{"jsonrpc":"2.0","id":null')
        assert await receive(sessions) == b"a log line\n"
        assert await is_silent(stateless)

    play(story, tmp_path / "credentials")


def test_who_leaves_holds_nobody_up_and_leaves_the_container_alone(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        leaver, stayer = await stage.backend(), await stage.backend()
        await leaver.send(request(1))
        await stage.api.link.write(b'{"jsonrpc":"2.0","method":"big","params":"%b"}\n' % (b"x" * (2 << 20)))
        await receive(stayer)
        reading = asyncio.create_task(receive(stayer))
        assert await leaver.close() is None
        assert await leaver.terminate() is None
        await stage.answer('{"jsonrpc":"2.0","method":"next"}')
        assert await reading == b'{"jsonrpc":"2.0","method":"next"}\n'
        while await receive(leaver):
            pass
        assert stage.server.is_ready

    play(story, tmp_path / "credentials")


def test_who_waits_for_a_link_is_let_go_when_thv_stops(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = await stage.backend()
        stage.api.is_refusing = 503, "no"
        stage.api.link.drop()
        await until(lambda: not stage.server.is_ready)
        sending = asyncio.create_task(backend.send(request(1)))
        joining = asyncio.create_task(stage.server.backend().start())
        await asyncio.wait({sending, joining}, timeout=0.1)
        await stage.server.close()
        async with asyncio.timeout(GENEROUS):
            with pytest.raises(OSError, match="stopping"):
                await sending
            with pytest.raises(ThvError, match="stopping"):
                await joining

    play(story, tmp_path / "credentials", patience=10 * GENEROUS)


def test_a_backend_that_was_not_started_ends_at_once(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        backend = stage.server.backend()
        assert await backend.receive() == b""
        assert await backend.close() is None
        with pytest.raises(OSError, match="not started"):
            await backend.send(request(1))

    play(story, tmp_path / "credentials")
