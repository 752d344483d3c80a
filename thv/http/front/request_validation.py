"""Checks that are made on an HTTP request to the MCP endpoint before a server sees any of it.

The rules are the specification's: content type, accepted types, revision, size, and since 2026-07-28 that the headers
repeat what the body says ("Server Validation") and that `_meta` says who asks ("Request Metadata").
"""

from __future__ import annotations

import asyncio
import re
from codecs import BOM_UTF8
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from thv.core.jsonrpc import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NAMED_BY,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
    decode_header,
    error_reply,
    one_line,
)
from thv.core.message import is_batch, read_message, split_batch
from thv.core.revisions import BATCHES_UP_TO, STATELESS, WITH_SESSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from thv.core.message import Id, Message
    from thv.http.server.request import HttpRequest

    Header = tuple[bytes, bytes]

MAX_BODY: Final = 16 << 20
"""Bytes of a POST's body: four times what most servers take."""

BODY_TIMEOUT_S: Final = 30.0
"""Between two pieces of a body, then 408: a client that stops sending must not hold memory."""

MAX_BATCH: Final = 1000
"""Messages of a batch: more would keep every other client waiting."""

REMOVED: Final = frozenset({"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""Methods that 2026-07-28 has no more. A server on stdio cannot see which revision is spoken, and might answer them."""

MAX_REMEMBERED: Final = 64
"""Values of headers whose meaning is remembered: a client sends the same ones with every request."""

_REFUSES = re.compile(rb"q[ \t]*=[ \t]*0(\.0*)?")

_REVISION = re.compile(r"\d{4}-\d\d-\d\d")


class RefusalError(Exception):
    """The request is answered at once.

    Args:
        status: the HTTP status.
        message: why, and what to do.
        code: the JSON-RPC error code in the body.
        id_: the request that it answers, if that is known.
        data: `error.data`.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: int = INVALID_REQUEST,
        id_: Id | None = None,
        data: Any = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = error_reply(code, message, id_, data=data)


class McpHeaders:
    """The headers of a request that have a meaning for MCP.

    Attributes:
        session: `Mcp-Session-Id`.
        version: `MCP-Protocol-Version`.
        method: `Mcp-Method`.
        name: `Mcp-Name`, decoded; None where that is broken, too.
        is_stateless: whether it speaks a revision without sessions, or one that is unknown.
        accepts_json, accepts_events: what it takes as an answer.
    """

    __slots__ = (
        "_has_name",
        "_headers",
        "accepts_events",
        "accepts_json",
        "is_stateless",
        "method",
        "name",
        "session",
        "version",
    )

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self._headers = headers
        self.session = self._text(b"mcp-session-id")
        self.version = self._text(b"mcp-protocol-version")
        self.method = self._text(b"mcp-method")
        name = self._text(b"mcp-name")
        self._has_name = name is not None
        self.name = None if name is None else decode_header(name)
        self.is_stateless = self.version is not None and self.version not in WITH_SESSIONS
        self.accepts_json, self.accepts_events = _accepted(headers.get(b"accept", b"*/*"))

    @property
    def last_event_id(self) -> str | None:
        """`Last-Event-ID`."""
        return self._text(b"last-event-id")

    @property
    def is_known_revision(self) -> bool:
        """Whether the version header, if there is one, names a revision that there is or may be."""
        return self.version is None or self.version in WITH_SESSIONS or _is_stateless_revision(self.version)

    def validate_post(self) -> None:
        """Refuse a POST whose body cannot be a message.

        Raises:
            RefusalError: 406, 413 or 415.
        """
        headers = self._headers
        coding = headers.get(b"content-encoding", b"identity")
        if not _is_json(headers.get(b"content-type", b"")) or coding.lower() != b"identity":
            raise RefusalError(415, "the body must be application/json, not compressed")
        if not (self.accepts_json or self.accepts_events):
            raise RefusalError(406, "Accept must list application/json and text/event-stream")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise _too_large()

    def validate_stateless(self, message: Message) -> None:
        """Refuse a request of a revision without sessions that does not say what it must, or says two things.

        Raises:
            RefusalError: 400 with -32020 (headers and body differ), -32022 (revision) or -32602 (`_meta`); 404 with
                -32601 (a method that was removed).
        """
        meta = message.meta
        version = None if meta is None else meta.protocol_version
        if version is None:
            if not self.is_known_revision:
                raise self._unsupported_version(message, self.version)
            raise _refusal(message, INVALID_PARAMS, "params._meta lacks io.modelcontextprotocol/protocolVersion")
        if self.version != version:
            raise self._differs(message, "MCP-Protocol-Version", is_there=self.version is not None)
        if version in WITH_SESSIONS:
            raise self._unsupported_version(message, version)
        if meta is None or not meta.has_client_capabilities:
            raise _refusal(message, INVALID_PARAMS, "params._meta lacks io.modelcontextprotocol/clientCapabilities")
        method = message.method or ""
        if self.method != method:
            raise self._differs(message, "Mcp-Method", is_there=self.method is not None)
        parameter = NAMED_BY.get(method)
        if parameter is not None:
            name = None if message.params is None else getattr(message.params, parameter)
            if self.name != name or (name is None and self._has_name):
                raise self._differs(message, "Mcp-Name", is_there=self._has_name)
        if method in REMOVED and _is_stateless_revision(version):
            raise RefusalError(
                404,
                f"revision {version} has no method {method}",
                code=METHOD_NOT_FOUND,
                id_=_id_of(message),
            )

    def mismatch(self, message: Message, problem: str) -> RefusalError:
        """The refusal of a request whose headers do not say what its body says."""
        return _refusal(message, HEADER_MISMATCH, f"Header mismatch: {problem}")

    def _unsupported_version(self, message: Message, version: str | None) -> RefusalError:
        data = {"supported": [*WITH_SESSIONS, STATELESS] if version not in WITH_SESSIONS else [STATELESS]}
        sentence = "this revision is not supported"
        if version in WITH_SESSIONS:
            sentence = f"revision {version} has sessions: begin with initialize"
        return _refusal(message, UNSUPPORTED_VERSION, sentence, data | {"requested": version})

    def _text(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def _differs(self, message: Message, header: str, *, is_there: bool) -> RefusalError:
        return self.mismatch(message, f"{header} {'does not match the body' if is_there else 'is missing'}")


@lru_cache(MAX_REMEMBERED)
def _accepted(accept: bytes) -> tuple[bool, bool]:
    """Whether `Accept` allows JSON, and events: the most specific range decides (RFC 9110, 12.5.1)."""
    wanted: dict[bytes, bool] = {}
    for item in accept.lower().split(b","):
        media, *parameters = (part.strip() for part in item.split(b";"))
        wanted[media] = wanted.get(media, False) or not any(map(_REFUSES.fullmatch, parameters))
    json, events = (b"application/json", b"application/*", b"*/*"), (b"text/event-stream", b"text/*", b"*/*")
    return next((wanted[each] for each in json if each in wanted), False), next(
        (wanted[each] for each in events if each in wanted), False
    )


@lru_cache(MAX_REMEMBERED)
def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def _is_stateless_revision(version: str) -> bool:
    return _REVISION.fullmatch(version) is not None and version > WITH_SESSIONS[-1]


def _id_of(message: Message) -> Id | None:
    return message.key


def _refusal(message: Message, code: int, sentence: str, data: Any = None) -> RefusalError:
    return RefusalError(400, sentence, code=code, id_=_id_of(message), data=data)


def take_whole_body(request: HttpRequest) -> bytes:
    """The body of a request that is whole.

    Raises:
        RefusalError: 413, it is too large.
    """
    body = request.take()
    if len(body) > MAX_BODY:
        raise _too_large()
    return body


async def read_body(request: HttpRequest) -> bytes:
    """The body of a request that is still to come.

    Raises:
        RefusalError: it is too large (413), or did not come (408).
        ConnectionError: the client left.
    """
    pieces = []
    size = 0
    while piece := await _read_in_time(request):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY:
            raise _too_large()
    return b"".join(pieces)


async def _read_in_time(request: HttpRequest) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        request.keep_alive = False
        raise RefusalError(408, "the body did not come") from None


def _too_large() -> RefusalError:
    return RefusalError(413, f"a body has at most {MAX_BODY >> 20} MiB")


def read_messages(body: bytes, version: str | None) -> tuple[list[tuple[bytes, Message]], bool]:
    """The messages of a body, each as one line; and whether they came as a batch.

    Raises:
        RefusalError: 400, the body is not a JSON-RPC message, or a batch in a revision without batches.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise RefusalError(400, "the body is not UTF-8", code=PARSE_ERROR) from None
    body = body.removeprefix(BOM_UTF8)  # says how a body is encoded: within a stream of lines it would be rubbish
    line = one_line(body)
    message = read_message(line)
    if message is not None:
        _check_message(message)
        return [(line, message)], False
    elements = split_batch(line) if is_batch(body) else None
    if elements is None:
        raise RefusalError(400, "the body is not JSON, or not a JSON-RPC message", code=PARSE_ERROR)
    if version is not None and version > BATCHES_UP_TO:
        raise RefusalError(400, f"revision {version} has no batches: send one message a POST")
    if len(elements) > MAX_BATCH:
        raise RefusalError(413, f"a batch has at most {MAX_BATCH} messages")
    messages = []
    for element in elements:
        message = read_message(element)
        if message is None:
            raise RefusalError(400, "an element of the batch is not a JSON-RPC message")
        _check_message(message)
        messages.append((element + b"\n", message))
    if not messages:
        raise RefusalError(400, "the batch is empty")
    return messages, True


def _check_message(message: Message) -> None:
    is_request_or_notification = message.method is not None and message.id is not None
    if not (is_request_or_notification or message.is_response):
        raise RefusalError(400, "the body is not a request, a notification or a response of JSON-RPC")
