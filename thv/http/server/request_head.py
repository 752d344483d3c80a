"""The head of a request, and the one that a client sends again: most send the same with each, but for its length."""

from __future__ import annotations

import re
from typing import Final

Header = tuple[bytes, bytes]

MAX_LENGTH_DIGITS: Final = 6
"""Digits of the length of a body that comes in one read with its head."""

SPECIAL: Final = (b"expect", b"transfer-encoding", b"upgrade")
"""Headers that change what follows the head."""

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


class RepeatedHead:
    """The latest head on a connection: one that is the same byte for byte, but for the length, need not be parsed.

    Only for requests that come whole in one read, on a connection where nothing else is under way.
    """

    __slots__ = ("_after", "_before", "_head", "_length")

    def __init__(self) -> None:
        self._head: ParsedHead | None = None
        self._before = self._length = self._after = b""

    def learn(self, data: bytes, head: ParsedHead) -> None:
        """`data` was parsed: it is one whole request with this head."""
        text = data[: data.find(b"\r\n\r\n") + 4]
        match = _LENGTH.search(text)
        if match is None or not head.keep_alive or not head.headers.keys().isdisjoint(SPECIAL):
            return
        length = match[1]
        if len(length) <= MAX_LENGTH_DIGITS and len(text) + int(length) == len(data):
            self._head = head
            self._before, self._length, self._after = text[: match.start(1)], length, text[match.end(1) :]

    def find(self, data: bytes) -> tuple[ParsedHead, bytes] | None:
        """The head and the body of the request that `data` is, if its head is known."""
        head, before = self._head, self._before
        if head is None or not data.startswith(before):
            return None
        start, after = len(before), self._after
        end = data.find(after, start, start + MAX_LENGTH_DIGITS + len(after))
        if end < 0:
            return None
        length = data[start:end]
        body = data[end + len(after) :]
        if not length.isdigit() or int(length) != len(body):
            return None
        if length != self._length:
            self._head = head = head.with_length(length)
            self._length = length
        return head, body
