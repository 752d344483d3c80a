"""What an HTTP request to the MCP endpoint says, and what the specification makes of its headers.

Every rule here answers a request before a server sees it: content type, accepted types, revision, body size, and in the
newest revision that the headers say what the body says (MCP 2026-07-28, "Server Validation").
"""

from __future__ import annotations

import asyncio
import binascii
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from thv.http import wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from thv.http.wire import Id, Message

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]

MAX_BODY = 16 << 20
"""Bytes of a POST's body: four times what most servers take."""

BODY_PATIENCE = 30.0
"""Seconds between two pieces of a body, then 408: a client that sends nothing more shall not hold memory."""

MAX_BATCH = 1000
"""Messages of a batch: more would keep everybody else waiting."""

WITH_SESSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions that begin with `initialize`, oldest first. Later ones have no sessions."""

BATCHES_UP_TO = "2025-03-26"
"""The last revision with JSON-RPC batches, and the one that a client without a version header is taken to speak."""

NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods that require `Mcp-Name`, and the parameter that it repeats."""

_REVISION = re.compile(r"\d{4}-\d\d-\d\d")
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")


class RefusalError(Exception):
    """The request is answered at once.

    Args:
        status: the HTTP status.
        message: why, and what to do.
        code: the JSON-RPC error code that the body has.
        id_: the request that it answers, if that is known.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: int = wire.INVALID_REQUEST,
        id_: Id | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = wire.error_reply(code, message, id_)


class McpHeaders:
    """The headers that matter, read once.

    Raises:
        RefusalError: the revision is none that there is.
    """

    def __init__(self, scope: Scope) -> None:
        headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self._headers = headers
        session = headers.get(b"mcp-session-id")
        self.session = None if session is None else session.decode("latin-1")
        last = headers.get(b"last-event-id")
        self.last_event_id = None if last is None else last.decode("latin-1")
        self.origin = headers.get(b"origin")
        version = headers.get(b"mcp-protocol-version")
        self.version = None if version is None else version.decode("latin-1")
        if self.version is not None and not _REVISION.fullmatch(self.version):
            raise RefusalError(400, "the MCP-Protocol-Version header names no revision of the protocol")
        self.is_stateless = self.version is not None and self.version > WITH_SESSIONS[-1]
        if not self.is_stateless and self.version is not None and self.version not in WITH_SESSIONS:
            raise RefusalError(400, f"MCP-Protocol-Version {self.version} is not supported; {WITH_SESSIONS[-1]} is")
        accept = headers.get(b"accept", b"*/*").lower()
        anything = b"*/*" in accept
        self.accepts_json = anything or b"application/json" in accept or b"application/*" in accept
        self.accepts_events = anything or b"text/event-stream" in accept or b"text/*" in accept

    def check_post(self) -> None:
        """Refuse what cannot be a message.

        Raises:
            RefusalError: 406, 413 or 415.
        """
        headers = self._headers
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json" or headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RefusalError(415, "the body must be application/json, not compressed")
        if not (self.accepts_json or self.accepts_events):
            raise RefusalError(406, "Accept must list application/json and text/event-stream")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise _too_large()

    def check_mirrors(self, message: Message) -> None:
        """In the newest revision the headers repeat what the body says; no other header may stand for another body.

        Raises:
            RefusalError: 400, HeaderMismatch.
        """
        version = None if message.meta is None else message.meta.protocol_version
        self._check("MCP-Protocol-Version", self.version, version, message)
        if message.method is not None and message.is_request:
            self._check("Mcp-Method", self._text(b"mcp-method"), message.method, message)
            parameter = NAMED.get(message.method)
            if parameter is not None:
                said = None if message.params is None else getattr(message.params, parameter)
                self._check("Mcp-Name", _decoded(self._text(b"mcp-name")), said, message)

    def _text(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def _check(self, header: str, value: str | None, said: str | None, message: Message) -> None:
        if value is None or value != said:
            id_ = message.id if isinstance(message.id, int | float | str) else None
            what = "is missing" if value is None else "does not match the body"
            raise RefusalError(400, f"Header mismatch: {header} {what}", code=wire.HEADER_MISMATCH, id_=id_)


def _decoded(value: str | None) -> str | None:
    """A header value without the encoding that keeps it within ASCII ("Value Encoding")."""
    match = None if value is None else _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        return b64decode(match[1], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        RefusalError: it is too large (413), or did not come (408).
        ConnectionError: the client is gone.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return _bounded(message["body"])
    pieces = []
    size = 0
    while message["type"] == "http.request":
        pieces.append(message["body"])
        size += len(message["body"])
        if size > MAX_BODY:
            raise _too_large()
        if not message.get("more_body"):
            return b"".join(pieces)
        try:
            async with asyncio.timeout(BODY_PATIENCE):
                message = await receive()
        except TimeoutError:
            raise RefusalError(408, "the body did not come", headers=((b"connection", b"close"),)) from None
    raise ConnectionError("the client is gone")


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_BODY:
        raise _too_large()
    return body


def _too_large() -> RefusalError:
    return RefusalError(413, f"a body has at most {MAX_BODY >> 20} MiB", headers=((b"connection", b"close"),))


def read_messages(body: bytes, version: str | None) -> tuple[list[tuple[bytes, Message]], bool]:
    """The messages of a body, each as one line; and whether they came as a batch.

    Raises:
        RefusalError: 400, the body is no JSON-RPC message, or a batch where there are none any more.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise RefusalError(400, "the body is not UTF-8", code=wire.PARSE_ERROR) from None
    line = wire.one_line(body)
    message = wire.read(line)
    if message is not None:
        _check_message(message)
        return [(line, message)], False
    elements = wire.split_batch(line) if wire.is_batch(body) else None
    if elements is None:
        raise RefusalError(400, "the body is not JSON, or no JSON-RPC message", code=wire.PARSE_ERROR)
    if version is not None and version > BATCHES_UP_TO:
        raise RefusalError(400, f"revision {version} has no batches: send one message a POST")
    if len(elements) > MAX_BATCH:
        raise RefusalError(413, f"a batch has at most {MAX_BATCH} messages")
    messages = []
    for element in elements:
        message = wire.read(element)
        if message is None:
            raise RefusalError(400, "an element of the batch is no JSON-RPC message")
        _check_message(message)
        messages.append((element + b"\n", message))
    if not messages:
        raise RefusalError(400, "the batch is empty")
    return messages, True


def _check_message(message: Message) -> None:
    is_notification = message.method is not None and message.id is UNSET
    if not (message.is_request or message.is_response or is_notification):
        raise RefusalError(400, "the body is neither a request nor a notification nor a response of JSON-RPC")
