"""A head that a client sends again is not parsed again, and nothing else about the connection changes by that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from tests.http.server.test_http_connection import chunked, post
from thv.http.server.http_connection import HttpConnection
from thv.http.server.request_head import ParsedHead, RepeatedHead

if TYPE_CHECKING:
    from thv.http.server.request import HttpRequest

GET = b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n"
OTHER = post(b"{}", b"Mcp-Name: other\r\n")
TWICE = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nA: 1\r\nContent-Length: 2\r\n\r\n{}"
ZEROS = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 002\r\n\r\n{}"
LATER = b"POST /mcp?q HTTP/1.1\r\nHost: localhost\r\nContent-Length:  %d \r\nA: Content-Length: 7\r\na: 2\r\n\r\n%b"
ABSOLUTE = b"POST http://other/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"

KNOWN: dict[str, tuple[int, list[bytes]]] = {
    "the same": (2, [post(b"{}"), post(b"{}"), post(b"[]")]),
    "another length": (3, [post(b"{}"), post(b"{    }"), post(b"x" * 12345), post(b"{}")]),
    "no body": (2, [post(b"{}"), post(b""), post(b"")]),
    "a body that is a request": (2, [post(b"{}"), post(GET), post(post(b"{}"))]),
    "a length between other headers": (2, [LATER % (2, b"{}"), LATER % (3, b"{ }"), LATER % (2, b"[]")]),
    "an absolute target": (1, [ABSOLUTE % (2, b"{}"), ABSOLUTE % (3, b"{ }")]),
    "another request between": (0, [post(b"{}"), OTHER, post(b"{}")]),
    "a GET between": (1, [post(b"{}"), GET, post(b"{}")]),
    "chunks between": (1, [post(b"{}"), chunked(b"{}"), post(b"{ }")]),
    "two at once": (0, [post(b"{}"), post(b"{}") + post(b"[]")]),
    "two at once at first": (0, [post(b"{}") + post(b"{}"), post(b"[]")]),
    "one and a half": (0, [post(b"{}"), post(b"{}") + post(b"[]")[:20], post(b"[]")[20:]]),
    "in two pieces": (1, [post(b"{}"), post(b"{}")[:30], post(b"{}")[30:], post(b"[]")]),
    "a body in two pieces": (1, [post(b"{}"), post(b"12345678")[:-4], b"5678", post(b"[]")]),
    "a line break before": (1, [post(b"{}"), b"\r\n", post(b"{}"), post(b"{ }")]),
    "blank lines before the first": (0, [b"\r\n\r\n" + post(b"{}"), post(b"{}")]),
    "zeros": (1, [ZEROS, ZEROS]),
    "a length given twice": (0, [TWICE, TWICE]),
    "no number": (0, [post(b"{}"), post(b"{}").replace(b"Length: 2", b"Length: +2")]),
    "a length that is too short": (0, [post(b"{}"), post(b"{}") + b"x"]),
    "the end of the connection": (0, [post(b"{}", b"Connection: close\r\n"), post(b"{}", b"Connection: close\r\n")]),
    "an upgrade": (0, [post(b"{}", b"Connection: upgrade\r\nUpgrade: x\r\n")] * 2),
    "an expectation": (0, [post(b"{}", b"Expect: 100-continue\r\n")] * 2),
    "HTTP/1.0": (0, [b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n1"] * 2),
}


class Connected:
    """A connection whose transport, clock and handler are the test's: a request is answered as soon as it is whole."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.connections: set[HttpConnection] = set()
        self.runner: Any = self
        self.unanswered: list[HttpRequest] = []
        self.seen: list[object] = []
        transport = Mock(write=self.seen.append)
        transport.is_closing = lambda: transport.close.called
        transport.get_extra_info.return_value = None
        connection = HttpConnection(self, Mock(time=lambda: 0.0))
        connection.connection_made(transport)
        for piece in pieces:
            connection.data_received(piece)
            while self.unanswered and self.unanswered[0].is_whole:
                self.answer(self.unanswered.pop(0))
            self.seen += [connection.deadline, transport.close.called]

    def run(self, request: HttpRequest) -> None:
        """A request begins."""
        self.unanswered.append(request)

    run_later = run

    def answer(self, request: HttpRequest) -> None:
        """Answer it, and note all that it said."""
        head = request.head
        self.seen += [head.method, head.path, head.query, head.fields, head.headers, head.speaks_1_1, head.keep_alive]
        body = request.take()
        self.seen += [body, request.trailers]
        request.respond(200, (), body)


@pytest.mark.parametrize(("count", "pieces"), KNOWN.values(), ids=KNOWN)
def test_a_head_that_is_known_changes_nothing(count: int, pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[ParsedHead] = []
    find = RepeatedHead.find

    def count_found(self: RepeatedHead, data: bytes) -> tuple[ParsedHead, bytes] | None:
        known = find(self, data)
        if known is not None:
            found.append(known[0])
        return known

    monkeypatch.setattr(RepeatedHead, "find", count_found)
    with_it = Connected([*pieces, GET])
    monkeypatch.setattr(RepeatedHead, "find", lambda *_: None)
    assert with_it.seen == Connected([*pieces, GET]).seen
    assert len(found) == count


def test_what_a_handler_found_out_stays_with_the_head() -> None:
    head = ParsedHead(
        "POST", (b"/mcp", b""), [(b"Content-Length", b"2")], {b"content-length": b"2"}, speaks_1_1=True, keep_alive=True
    )
    repeated = RepeatedHead()
    repeated.learn(post(b"{}"), head)
    head.findings = "found"
    assert repeated.find(post(b"[]")) == (head, b"[]")
    longer, body = repeated.find(post(b"[   ]")) or (head, b"")
    assert (longer.findings, longer.fields, longer.headers) == (
        "found",
        [(b"Content-Length", b"5")],
        {b"content-length": b"5"},
    )
    assert body == b"[   ]"
    assert head.headers == {b"content-length": b"2"}
