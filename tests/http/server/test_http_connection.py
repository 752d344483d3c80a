"""HTTP/1.1 on a socket: one request, one response, whatever the bytes look like and however they are cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.sink import PATIENCE
from thv.errors import ThvError
from thv.http.server.handler_runner import HandlerRunner
from thv.http.server.http_connection import FAR_FUTURE
from thv.http.server.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thv.http.server.request import HttpRequest

    Story = Callable[["Served"], Awaitable[None]]

JSON = b"Content-Type: application/json\r\n"


class Served:
    """A listener whose handler answers with what it understood, and keeps it."""

    listener: Listener

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.bodies: list[bytes] = []
        self.warnings: list[str] = []
        self.hold: asyncio.Event | None = None
        self.starts_reading: asyncio.Event | None = None
        self.reads_body = True

    async def handle(self, request: HttpRequest) -> None:
        self.requests.append(request)
        if request.path == b"/broken":
            raise RuntimeError("as it was told")
        body = b""
        if self.starts_reading is not None:
            await self.starts_reading.wait()
        if self.reads_body:
            while piece := await request.read():
                body += piece
        self.bodies.append(body)
        if self.hold is not None:
            await self.hold.wait()
        request.respond(200, (), b"%b %b %b" % (request.method.encode(), request.path, body))

    async def exchange(self, *pieces: bytes, answers: int | None = None) -> bytes:
        """Send pieces one after the other; what comes back, until the end or so many answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            data = b""
            while answers is None or data.count(b"HTTP/1.1 ") - data.count(b"HTTP/1.1 100") < answers:
                chunk = await reader.read(65536)
                if not chunk:
                    break
                data += chunk
            return data
        finally:
            writer.close()


def play(story: Story) -> Served:
    served = Served()

    async def run() -> None:
        served.listener = Listener(served.handle, "127.0.0.1", 0, port_option="--port", warn=served.warnings.append)
        await served.listener.start()
        try:
            async with asyncio.timeout(60):
                await story(served)
        finally:
            await served.listener.close()

    asyncio.run(run())
    return served


def post(body: bytes, fields: bytes = b"", target: bytes = b"/mcp") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        target,
        JSON,
        fields,
        len(body),
        body,
    )


def chunked(body: bytes, fields: bytes = b"") -> bytes:
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n%bTransfer-Encoding: chunked\r\n\r\n" % fields
    return b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)


INNER = b"GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n"

UPGRADES = {
    "none": b"",
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "keep-alive too": b"Connection: keep-alive, upgrade\r\nUpgrade: foo/1\r\n",
    "no Connection": b"Upgrade: h2c\r\n",
    "two lines": b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
}


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("framed", [post, chunked])
def test_upgrade_is_ignored_and_the_body_is_never_taken_for_a_request(
    upgrade: bytes, framed: Callable[[bytes, bytes], bytes]
) -> None:
    whole = framed(INNER, upgrade)

    async def story(served: Served) -> None:
        head, _, body = whole.partition(b"\r\n\r\n")
        for pieces in ([whole], [head + b"\r\n\r\n", body], [whole[:9], whole[9:-3], whole[-3:]]):
            served.bodies.clear()
            answer = await served.exchange(*pieces, post(b"second"), answers=2)
            assert (served.bodies, answer.count(b"HTTP/1.1 200 OK")) == ([INNER, b"second"], 2)
        for pieces in ([bytes([byte]) for byte in whole],):
            served.bodies.clear()
            await served.exchange(*pieces[:1], b"".join(pieces[1:]), answers=1)
            assert served.bodies == [INNER]

    play(story)


def test_upgraded_requests_can_follow_each_other_in_one_write() -> None:
    async def story(served: Served) -> None:
        upgrade = UPGRADES["h2c"]
        get = b"GET /1 HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES["websocket"] + b"\r\n"
        answer = await served.exchange(post(b"0", upgrade) + get + chunked(b"2", upgrade) + post(b"3"), answers=4)
        assert served.bodies == [b"0", b"", b"2", b"3"]
        assert [request.path for request in served.requests] == [b"/mcp", b"/1", b"/mcp", b"/mcp"]
        assert answer.count(b"HTTP/1.1 200 OK") == 4

    play(story)


def test_an_upgrade_that_ends_the_connection_ends_it_after_the_answer() -> None:
    async def story(served: Served) -> None:
        answer = await served.exchange(post(b"0", b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n") + post(b"1"))
        assert (served.bodies, answer.count(b"HTTP/1.1 ")) == ([b"0"], 1)
        assert b"connection: close" in answer

    play(story)


def test_pipelined_requests_are_answered_in_order_one_after_the_other() -> None:
    async def story(served: Served) -> None:
        answer = await served.exchange(b"".join(post(b"%d" % number) for number in range(300)), answers=300)
        assert served.bodies == [b"%d" % number for number in range(300)]
        positions = [answer.find(b"POST /mcp %d" % number) for number in range(300)]
        assert positions == sorted(positions)

    play(story)


@pytest.mark.parametrize(("size", "status"), [(60 << 10, 200), (64 << 10, 400)])
def test_trailers_that_come_in_one_read_with_their_body_are_bounded_too(size: int, status: int) -> None:
    async def story(served: Served) -> None:
        body = chunked(b"{}").removesuffix(b"\r\n")
        answer = await served.exchange(body + b"X: " + bytes(size).replace(b"\0", b"x") + b"\r\n\r\n", answers=1)
        assert answer.startswith(b"HTTP/1.1 %d " % status)

    play(story)


def test_what_follows_a_request_that_ends_the_connection_is_not_answered() -> None:
    async def story(served: Served) -> None:
        answer = await served.exchange(post(b"0", b"Connection: close\r\n") + post(b"1"))
        assert (served.bodies, answer.count(b"HTTP/1.1 ")) == ([b"0"], 1)

    play(story)


def test_garbage_after_a_request_does_not_take_its_answer_away() -> None:
    async def story(served: Served) -> None:
        answer = await served.exchange(post(b"0") + b"\x00garbage\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 400 Bad Request" in answer

    play(story)


def test_a_client_that_waits_for_100_gets_it_once_the_body_is_wanted() -> None:
    async def story(served: Served) -> None:
        whole = post(b"body", b"Expect: 100-continue\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
        writer.write(whole[:-4])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(whole[-4:])
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()

    play(story)


EXPECTATIONS = {
    "twice": (b"Expect: 100-continue\r\nEXPECT: 100-Continue\r\n", b"1.1", 1),
    "in a list with gaps": (b"Expect: , 100-continue,\t,\r\n", b"1.1", 1),
    "empty": (b"Expect:\r\n", b"1.1", 0),
    "of HTTP/1.0": (b"Expect: 100-continue\r\n", b"1.0", 0),
}


@pytest.mark.parametrize(("fields", "version", "interim"), EXPECTATIONS.values(), ids=EXPECTATIONS)
def test_an_expectation_is_met_however_it_is_written_and_only_in_http_1_1(
    fields: bytes, version: bytes, interim: int
) -> None:
    async def story(served: Served) -> None:
        whole = post(b"body", fields).replace(b"HTTP/1.1", b"HTTP/" + version)
        answer = await served.exchange(whole[:-4], whole[-4:], answers=1)
        assert answer.count(b"HTTP/1.1 100 Continue\r\n\r\n") == interim
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1

    play(story)


def test_a_client_whose_request_is_refused_gets_no_100() -> None:
    async def story(served: Served) -> None:
        served.reads_body = False
        answer = await served.exchange(post(b"body", b"Expect: 100-continue\r\n")[:-4], answers=1)
        assert answer.startswith(b"HTTP/1.1 200 OK")

    play(story)


REFUSED = {
    "a length and chunks": (
        400,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    "chunks and a length": (
        400,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    ),
    "two lengths": (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"),
    "chunks in HTTP/1.0": (400, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a coding that is not undone": (
        501,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked twice": (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "an expectation": (417, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\nContent-Length: 0\r\n\r\n"),
    "a bare line feed": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "a folded line": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
    "a blank before the colon": (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    "a NUL": (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"),
    "a tunnel": (400, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"),
    "another scheme": (400, b"GET ftp://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a head over the bound in one write": (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
    "a target over the bound in one write": (431, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "many lines over the bound": (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"),
    "a bad chunk": (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"),
}


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
def test_what_is_ambiguous_or_no_http_is_refused_and_ends_the_connection(status: int, data: bytes) -> None:
    async def story(served: Served) -> None:
        for pieces in ([data], [data[:12], data[12:]]):
            answer = await served.exchange(*pieces)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"connection: close" in answer

    assert not [body for body in play(story).bodies if body]


def test_the_name_in_an_absolute_target_counts_as_the_host() -> None:
    async def story(served: Served) -> None:
        get = b"GET http://evil.example:80/mcp?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await served.exchange(get, answers=1)
        request = served.requests[0]
        assert (request.path, request.query, request.headers[b"host"]) == (b"/mcp", b"a=b", b"evil.example:80")

    play(story)


def test_headers_given_twice_are_joined_and_lose_the_blanks_around_their_values() -> None:
    async def story(served: Served) -> None:
        fields = b"Accept:  application/json \t\r\nACCEPT: text/event-stream\r\nMcp-Name:\t tool  \r\n"
        await served.exchange(post(b"", fields), answers=1)
        headers = served.requests[0].headers
        assert headers[b"accept"] == b"application/json, text/event-stream"
        assert headers[b"mcp-name"] == b"tool"

    play(story)


def test_a_large_body_waits_for_its_reader() -> None:
    async def story(served: Served) -> None:
        served.starts_reading = asyncio.Event()
        body = b"x" * (4 << 20)
        sending = asyncio.create_task(served.exchange(post(body), answers=1))
        while not served.requests:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert served.requests[0]._unread < 1 << 20, "it is not read into memory"
        served.starts_reading.set()
        await sending
        assert served.bodies == [body]

    play(story)


def test_a_body_that_is_not_read_does_not_become_the_next_request() -> None:
    async def story(served: Served) -> None:
        served.reads_body = False
        answer = await served.exchange(post(INNER * 100), post(b"next"), answers=2)
        assert [request.path for request in served.requests] == [b"/mcp", b"/mcp"]
        assert answer.count(b"HTTP/1.1 200 OK") == 2

    play(story)


def test_a_client_that_leaves_is_reported_once() -> None:
    async def story(served: Served) -> None:
        served.hold = asyncio.Event()
        _, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
        writer.write(post(b"0"))
        while not served.bodies:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.001)
        left: list[bool] = []
        served.requests[0].on_disconnect = lambda: left.append(True)
        writer.close()
        while not left:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.001)
        served.hold.set()
        await asyncio.sleep(0.01)
        assert (left, served.requests[0].is_disconnected) == ([True], True)

    play(story)


def test_a_handler_that_fails_takes_only_its_request_with_it() -> None:
    async def story(served: Served) -> None:
        assert (await served.exchange(post(b"0", target=b"/broken"))).startswith(b"HTTP/1.1 500 ")
        assert (await served.exchange(post(b"1"), answers=1)).startswith(b"HTTP/1.1 200 ")

    assert ["as it was told" in line for line in play(story).warnings] == [True]


def test_a_head_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thv.http.server.http_connection.HEAD_TIMEOUT_S", 0.05)
    monkeypatch.setattr("thv.http.server.listener.SWEEP_INTERVAL_S", 0.02)

    async def story(served: Served) -> None:
        assert await served.exchange(b"GET / HTTP/1.1\r\nHost: ") == b""
        assert await served.exchange() == b""

    play(story)


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na"


@pytest.mark.parametrize(
    "pieces", [(b"\r\n0\r\n", b"X-Trailer"), (b"\r\n0\r\n", b"X: y\r\n"), (b"\r\n", b"1;b="), (b"\r\n", b"0"), (b"\r",)]
)
def test_trailers_and_lines_around_a_chunk_that_do_not_end_are_given_up(
    pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thv.http.server.http_connection.HEAD_TIMEOUT_S", 0.05)
    monkeypatch.setattr("thv.http.server.listener.SWEEP_INTERVAL_S", 0.02)

    async def story(served: Served) -> None:
        assert await served.exchange(CHUNKED, *pieces) == b""

    play(story)


def test_only_a_line_that_was_begun_has_to_end_in_time_and_no_pause_between_chunks() -> None:
    async def story(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.listener.port)
        for piece, is_bounded in (
            (CHUNKED, False),
            (b"\r", True),
            (b"\n", False),
            (b"1;b=", True),
            (b"c\r\nb\r\n", False),
            (b"0\r\n", True),
        ):
            writer.write(piece)
            async with asyncio.timeout(PATIENCE):
                while [one.deadline < FAR_FUTURE for one in served.listener.connections] != [is_bounded]:  # noqa: ASYNC110  none tells it
                    await asyncio.sleep(0)
        served.hold = asyncio.Event()
        writer.write(b"X: y\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            while not served.bodies:  # noqa: ASYNC110  as above
                await asyncio.sleep(0)
        assert [one.deadline for one in served.listener.connections] == [FAR_FUTURE], "the answer has its time"
        served.hold.set()
        assert (await reader.readuntil(b"POST / ab")).startswith(b"HTTP/1.1 200 ")
        writer.close()

    play(story)


def test_http_1_0_gets_a_body_that_ends_with_the_connection() -> None:
    async def story(served: Served) -> None:
        answer = await served.exchange(b"GET /old HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        assert answer.endswith(b"GET /old ")
        assert b"connection: close" in answer

    play(story)


def test_head_is_answered_without_a_body() -> None:
    async def story(served: Served) -> None:
        answer = await served.exchange(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + post(b"1"), answers=2)
        first, _, rest = answer.partition(b"\r\n\r\n")
        assert b"content-length: 7" in first
        assert rest.startswith(b"HTTP/1.1 200 OK")

    play(story)


def test_a_handler_that_need_not_wait_is_a_plain_function() -> None:
    async def story(served: Served) -> None:
        def answer(request: HttpRequest) -> None:
            if request.path == b"/broken":
                raise RuntimeError("as it was told")
            if request.path != b"/silent":
                request.respond(200, (), request.path)

        served.listener.runner = HandlerRunner(answer, served.warnings.append)
        assert (await served.exchange(post(b"", target=b"/a") + post(b"", target=b"/b"), answers=2)).count(
            b"200 OK"
        ) == 2
        assert (await served.exchange(post(b"", target=b"/broken"))).startswith(b"HTTP/1.1 500 ")
        assert await served.exchange(post(b"", target=b"/silent")) == b""

    assert len(play(story).warnings) == 1


NO_ADDRESS = {
    "an empty part": ("a..b", "there is no such name"),
    "a part that is too long": ("a" * 64, "there is no such name"),
    "a name with a port": ("127.0.0.1:80", "there is no such name"),
    "another machine's": ("192.0.2.1", "it is no address of this machine"),
}


@pytest.mark.parametrize(("host", "reason"), NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_an_address_that_cannot_be_listened_on_is_said_with_the_option_that_names_it(host: str, reason: str) -> None:
    async def scenario() -> None:
        listener = Listener(lambda _: None, host, 0, port_option="--port", warn=list[str]().append)
        with pytest.raises(ThvError, match=f"cannot listen on {host} port 0: {reason}; --host names another"):
            await listener.start()

    asyncio.run(scenario())
