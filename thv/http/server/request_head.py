"""The head of a request: what it says, and the one that a client sends again but for its length. Without I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from thv.http.server.request_framing import BAD_REQUEST, by_name, framing_problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    Header = tuple[bytes, bytes]

MAX_LENGTH_DIGITS: Final = 6
"""Digits of the length of a body that comes in one read with its head."""

SPECIAL: Final = (b"expect", b"transfer-encoding", b"upgrade")
"""Headers that change what follows the head."""

_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]+)([^?#]*)(?:\?([^#]*))?")

_LENGTH: Final = re.compile(rb"\r\n(?i:content-length):[ \t]*([0-9]+)[ \t]*\r\n")


class ParsedHead:
    """What the head of a request says. It may be shared by several requests, so it is not changed.

    Attributes:
        method: in capitals, as HTTP methods are.
        path: the path of the target, not decoded.
        query: what follows its question mark.
        fields: the headers as they were spelled, in order, without the white space around their values.
        headers: the headers by their names in lower case; those given twice joined by a comma (RFC 9110, 5.2).
        speaks_1_1: whether the client speaks HTTP/1.1.
        keep_alive: whether the connection stays open after the response.
        findings: what a handler found out from all this but the length of the body, for the requests that follow.
    """

    __slots__ = ("fields", "findings", "headers", "keep_alive", "method", "path", "query", "speaks_1_1")

    def __init__(
        self,
        method: str,
        target: tuple[bytes, bytes],
        fields: list[Header],
        headers: dict[bytes, bytes],
        *,
        speaks_1_1: bool,
        keep_alive: bool,
    ) -> None:
        self.method = method
        self.path, self.query = target
        self.fields = fields
        self.headers = headers
        self.speaks_1_1 = speaks_1_1
        self.keep_alive = keep_alive
        self.findings: object = None

    def with_length(self, length: bytes) -> ParsedHead:
        """The same head with another `Content-Length`."""
        found = ParsedHead(
            self.method,
            (self.path, self.query),
            [(name, length if name.lower() == b"content-length" else value) for name, value in self.fields],
            self.headers | {b"content-length": length},
            speaks_1_1=self.speaks_1_1,
            keep_alive=self.keep_alive,
        )
        found.findings = self.findings
        return found


def read_head(
    method: bytes, target: bytes, fields: Iterable[Header], *, version: str, keep_alive: bool
) -> ParsedHead | tuple[int, str]:
    """What a head says, or why its request cannot be served: a status and a sentence.

    Args:
        method: the method, whose syntax llhttp has checked.
        target: the target of the request as it came.
        fields: the headers as they came.
        version: the version of HTTP, such as `1.1`.
        keep_alive: whether the client lets the connection stay open after the response.
    """
    stripped = [(name, value.strip(b" \t")) for name, value in fields]
    headers = by_name(stripped)
    path, _, query = target.partition(b"?")
    if path[:1] not in {b"/", b"*"}:
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            return BAD_REQUEST, "the target of the request is neither a path nor a URL of HTTP"
        # Whatever Host says, this is the name that the client used (RFC 9112, 3.2.2).
        headers[b"host"], path, query = absolute[1], absolute[2] or b"/", absolute[3] or b""
    problem = framing_problem(version, headers)
    if problem is not None:
        return problem
    speaks_1_1 = version == "1.1"
    return ParsedHead(
        method.decode("ascii"),
        (path, query),
        stripped,
        headers,
        speaks_1_1=speaks_1_1,
        keep_alive=speaks_1_1 and keep_alive,
    )


class RepeatedHead:
    """The latest head on a connection: one that is the same byte for byte, but for the length, need not be parsed.

    Only for requests that come whole in one read, on a connection where nothing else is under way.
    """

    __slots__ = ("_head", "_length", "_place", "_text")

    def __init__(self) -> None:
        self._head: ParsedHead | None = None
        self._text = b""
        self._length = 0
        self._place = (0, 0)

    def learn(self, data: bytes, head: ParsedHead) -> None:
        """`data` was parsed: it is one whole request with this head."""
        text = data[: data.find(b"\r\n\r\n") + 4]
        match = _LENGTH.search(text)
        if match is None or not head.keep_alive or not head.headers.keys().isdisjoint(SPECIAL):
            return
        length = match[1]
        if len(length) <= MAX_LENGTH_DIGITS and len(text) + int(length) == len(data):
            self._head, self._text, self._length, self._place = head, text, int(length), match.span(1)

    def find(self, data: bytes) -> tuple[ParsedHead, bytes] | None:
        """The head and the body of the request that `data` is, if its head is known."""
        head, text = self._head, self._text
        if head is None:
            return None
        if not data.startswith(text):
            return self._find_resized(data, head)
        body = data[len(text) :]
        return (head, body) if len(body) == self._length else None

    def _find_resized(self, data: bytes, head: ParsedHead) -> tuple[ParsedHead, bytes] | None:
        """The same where only the length differs; from then on this is the head that is known."""
        start, end = self._place
        before, after = self._text[:start], self._text[end:]
        if not data.startswith(before):
            return None
        end = data.find(after, start, start + MAX_LENGTH_DIGITS + len(after))
        length = data[start:end]
        body = data[end + len(after) :]
        if end < 0 or not length.isdigit() or int(length) != len(body):
            return None
        self._head = head = head.with_length(length)
        self._text, self._length, self._place = before + length + after, len(body), (start, end)
        return head, body


def size_of(fields: Iterable[Header]) -> int:
    """Bytes of the lines that hold these headers or trailers."""
    return sum(len(name) + len(value) + len(b": \r\n") for name, value in fields)
