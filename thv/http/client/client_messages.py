"""What the remote client has to know of a message: whom it answers, and what its HTTP headers repeat of it.

Promises: reading never raises on bad input; an id is kept as the bytes it came in. Pure, without I/O.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Raw, Struct, field
from msgspec.json import Decoder, encode

from thv.core import jsonrpc
from thv.core.jsonrpc import CONNECTION_CLOSED, MODERN_ERRORS, NAMED_BY, encode_header
from thv.core.message import UNREADABLE, is_batch, read_line, read_message, read_parts, twin
from thv.core.splice import ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.message import Id, Message

T = TypeVar("T")

LISTEN: Final = "subscriptions/listen"

OWN_ID: Final = "thv-tools-list"
"""The id of requests of our own. Each has an HTTP response to itself, so it cannot be taken for a client's."""

_ABSENT: Final = Raw()


class PendingRequest(Struct, frozen=True, gc=False):
    """One request that waits for its reply."""

    id: bytes
    key: Id
    method: str


class Sent(Struct, frozen=True):
    """A line of the client.

    Attributes:
        line: its bytes, without the newline.
        asks: the requests in it: one, none, or those of a batch.
        method: the method of a single request or notification.
        version: the protocol version that a request of 2026-07-28 or later carries in itself.
        name: what `Mcp-Name` is to repeat.
        cancels: the id that `notifications/cancelled` names.
        arguments: `params.arguments`, raw.
    """

    line: bytes
    asks: tuple[PendingRequest, ...] = ()
    method: str | None = None
    version: str | None = None
    name: str | None = None
    cancels: Id | None = None
    arguments: Raw = _ABSENT

    @property
    def is_modern(self) -> bool:
        """Whether it stands for itself: no session, no resumption (2026-07-28)."""
        return self.version is not None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that repeat a modern request."""
        if self.version is None:
            return {}
        headers = {"MCP-Protocol-Version": encode_header(self.version)}
        if self.method is not None:
            headers["Mcp-Method"] = encode_header(self.method)
        if self.name is not None:
            headers["Mcp-Name"] = encode_header(self.name)
        return headers


class _Params(Struct, frozen=True):
    meta: Raw = field(default=_ABSENT, name="_meta")


class _Request(Struct, frozen=True):
    params: _Params = _Params()


_REQUEST = Decoder(_Request)


def _read(decoder: Decoder[T], text: bytes) -> T | None:
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):
        return None


def read_client(line: bytes, messages: Sequence[Message] | None = None) -> Sent:
    """What one line of the client is; its newline and the white space around it are dropped.

    Args:
        line: the line.
        messages: what it says, if it was decoded already.
    """
    line = line.removeprefix(BOM_UTF8).strip()
    seen = read_line(line) if messages is None else messages
    if len(seen) != 1 or is_batch(line):
        asks = tuple(
            PendingRequest(encode(each.key), each.key, each.method)
            for each in seen
            if each.key is not None and each.method is not None
        )
        return Sent(line, asks, seen[0].method if len(seen) == 1 else None)
    message = seen[0]
    method, key, params = message.method, message.key, message.params
    if method is None:
        return Sent(line)
    named_by = NAMED_BY.get(method)
    return Sent(
        line,
        () if key is None else (PendingRequest(ID.raw(line, message) or encode(key), key, method),),
        method,
        version=None if message.meta is None else message.meta.protocol_version,
        name=None if named_by is None or params is None else getattr(params, named_by),
        cancels=params.request_id if params and method == "notifications/cancelled" and key is None else None,
        arguments=params.arguments if params else _ABSENT,
    )


def answered(messages: Sequence[Message]) -> list[Id | None]:
    """The ids that these messages reply to; None for a reply that names none, or that could not be read."""
    return [message.key for message in messages if message is UNREADABLE or message.is_response]


def answers(key: Id | None, ask: PendingRequest) -> bool:
    """Whether a reply with this id is the one to a request: its own id, or its twin. Without an id it answers any."""
    return key is None or ask.key in (key, twin(key))


def negotiated_version(messages: Sequence[Message]) -> str | None:
    """`result.protocolVersion` of the reply to `initialize`."""
    return next((message.result.protocol_version for message in messages if message.result), None)


def list_tools(call: Sent, cursor: str | None) -> Sent:
    """A `tools/list` of our own, asked as the client asked for `call`."""
    request = _read(_REQUEST, call.line) or _Request()
    params: dict[str, Any] = {"_meta": request.params.meta or {}}
    if cursor is not None:
        params["cursor"] = cursor
    return read_client(encode({"jsonrpc": "2.0", "id": OWN_ID, "method": "tools/list", "params": params}))


def next_cursor(line: bytes) -> str | None:
    """Where the list goes on, if it does."""
    reply = read_message(line)
    return reply.result.next_cursor if reply is not None and reply.result else None


def line_of_body(body: bytes) -> bytes:
    """The JSON of a body as one line without its newline; empty if it cannot be JSON-RPC."""
    text = body.removeprefix(BOM_UTF8).strip()
    return jsonrpc.one_line(text, end=b"") if text[:1] in {b"{", b"["} else b""


def parts_for(sent: Sent | None, line: bytes) -> list[bytes]:
    """What a server said, in the lines to hand on: the line itself, or the elements of an array that answers no batch.

    Only 2025-03-26 has batches; but over HTTP official clients take a reply in an array, which no line may be.

    Args:
        sent: what it answers; None for what the server sends of its own accord.
        line: its line, empty for nothing.
    """
    if sent is None or not is_batch(line) or is_batch(sent.line):
        return [line] if line else []
    return [part for part, _ in read_parts(line)]


def error_code(body: bytes) -> int | float | None:
    """The code of the error reply in a body, if it is one."""
    for message in read_line(body):
        if message.error is not None:
            return message.error.code
    return None


def is_modern_error(code: float | None) -> bool:
    """Whether only a server of 2026-07-28 or later says so (2026-07-28, "Error Codes")."""
    return code is not None and MODERN_ERRORS[0] <= code <= MODERN_ERRORS[1]


def error_reply(id_: bytes, sentence: str, *, code: int = CONNECTION_CLOSED, status: int | None = None) -> bytes:
    """An error reply of our own, in one line without its newline.

    Args:
        id_: the id as it came, in JSON.
        sentence: what failed.
        code: the JSON-RPC code.
        status: the HTTP status, if there was one.
    """
    data = None if status is None else {"httpStatus": status}
    return jsonrpc.error_reply(code, sentence, raw_id=id_, data=data)
