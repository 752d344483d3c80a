"""The few members of a JSON-RPC message that say where it belongs, and how one of them is replaced in its bytes.

Reading is strict and fast first; what the fast decoder refuses (NaN, half a surrogate pair) the standard library reads.
Replacing changes one value and no other byte. Nothing here knows sessions or HTTP.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from thv.core.message import AnyObject

if TYPE_CHECKING:
    from collections.abc import Callable

Id: TypeAlias = int | float | str
"""A request id or a progress token. `1` and `1.0` are one id, `1` and `"1"` are two (JSON-RPC 2.0, section 4)."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

MAX_TRIES: Final = 8
"""Places looked at for the member to replace before the message is put together anew: each costs one decoding."""

MAX_ID_DIGITS: Final = 19
"""Digits of an id that is looked for as a number, too: as many as 64 bits have."""

NEAR_THE_START: Final = 64
"""Bytes within which most implementations write the id."""


class Meta(Struct, frozen=True, gc=False):
    """`_meta`: of a request's parameters, a notification's, or a result's."""

    progress_token: Id | None = msgspec.field(default=None, name="progressToken")
    protocol_version: str | None = msgspec.field(default=None, name="io.modelcontextprotocol/protocolVersion")
    subscription: Id | None = msgspec.field(default=None, name="io.modelcontextprotocol/subscriptionId")
    client_capabilities: AnyObject | None = msgspec.field(
        default=None, name="io.modelcontextprotocol/clientCapabilities"
    )

    @property
    def has_client_capabilities(self) -> bool:
        """Whether the client says what it can do, be it nothing."""
        return self.client_capabilities is not None


class Params(Struct, frozen=True, gc=False):
    """`params` of a request or a notification, of either side."""

    meta: Meta | None = msgspec.field(default=None, name="_meta")
    name: str | None = None
    uri: str | None = None
    task_id: str | None = msgspec.field(default=None, name="taskId")
    progress_token: Id | None = msgspec.field(default=None, name="progressToken")
    request_id: Id | None = msgspec.field(default=None, name="requestId")


class Result(Struct, frozen=True, gc=False):
    """`result` of a reply."""

    meta: Meta | None = msgspec.field(default=None, name="_meta")
    protocol_version: str | None = msgspec.field(default=None, name="protocolVersion")


class Error(Struct, frozen=True, gc=False):
    """`error` of a reply."""

    code: int | float | None = None


class Message(Struct, frozen=True, gc=False):
    """A request (`id` and `method`), a notification (`method`), or a response (`id`, and `result` or `error`)."""

    id: Id | UnsetType | None = UNSET
    method: str | None = None
    params: Params | None = None
    result: Result | UnsetType | None = UNSET
    error: Error | None = None

    @property
    def is_request(self) -> bool:
        """Whether an answer is due."""
        return self.method is not None and self.id is not UNSET and self.id is not None

    @property
    def is_response(self) -> bool:
        """Whether it is the answer to a request; an error may lack the id."""
        return self.method is None and (self.error is not None or (self.result is not UNSET and self.id is not UNSET))

    @property
    def meta(self) -> Meta | None:
        """`params._meta`."""
        return None if self.params is None else self.params.meta


_strict = msgspec.json.Decoder(Message).decode
_elements = msgspec.json.Decoder(list[Raw]).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def read(line: bytes | Raw) -> Message | None:
    """What stands in one JSON object; None when it is none. Never raises."""
    try:
        return _strict(line)
    except (ValueError, RecursionError):
        pass
    try:
        value = json.loads(bytes(line))
    except (ValueError, RecursionError):
        return None
    return _loosely(value) if isinstance(value, dict) else None


def split_batch(text: bytes) -> list[bytes] | None:
    """The elements of a JSON array, byte for byte; None when it is none."""
    try:
        return [bytes(element) for element in _elements(text)]
    except (ValueError, RecursionError):
        return None


def is_batch(text: bytes) -> bool:
    """Whether a JSON text is an array."""
    return text.lstrip()[:1] == b"["


def one_line(body: bytes) -> bytes:
    """A JSON text as one line with its newline. Outside strings a line break is white space, inside it is illegal."""
    if b"\n" in body or b"\r" in body:
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    return body + b"\n"


def error_reply(code: int, message: str, id_: Id | UnsetType | None = None, data: Any = None) -> bytes:
    """An error response of ours (JSON-RPC 2.0, section 5.1), without a newline."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return _encode({"jsonrpc": "2.0", "id": None if id_ is UNSET else id_, "error": error})


def encoded(id_: Id) -> bytes:
    """An id as JSON."""
    return _encode(id_)


def twin(id_: Id) -> Id:
    """The same id as the other JSON type, `1` and `"1"`: some servers answer so, and official clients take it."""
    if isinstance(id_, str):
        return int(id_) if id_.isascii() and id_.isdecimal() and str(int(id_[:MAX_ID_DIGITS])) == id_ else id_
    return str(int(id_)) if id_ == int(id_) else id_


def raw_id(line: bytes) -> bytes:
    """The id of a message, byte for byte as it stands there; ``null`` when there is none."""
    try:
        return bytes(_members(line).get("id", b"null"))
    except (ValueError, RecursionError):
        message = read(line)
        return b"null" if message is None or message.id is UNSET else _encode(message.id)


class Place:
    """One member that can be replaced in the bytes of a message.

    Args:
        path: the names that lead to it.
        get: reads it.
    """

    def __init__(self, path: tuple[str, ...], get: Callable[[Message], object]) -> None:
        self._path = path
        self._get = get
        self._name = b'"%b"' % path[-1].encode()
        self._pattern = re.compile(
            re.escape(self._name) + rb'[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*+)', re.DOTALL
        )

    def replaced(self, line: bytes, new: bytes, before: Message | None = None) -> bytes | None:
        """The message with this member's value replaced by the JSON text `new`; None when it has no such member.

        Where a text that looks like the member stands elsewhere, in a string or deeper, each candidate is tried: the
        one whose change is seen from the path is it. `before` is what the message says, if it was read already.
        """
        wanted = json.loads(new)
        before = before or read(line)
        if before is None or self._get(before) == wanted:
            return None if before is None else line
        for start, end in self._candidates(line):
            changed = b"%b%b%b" % (line[:start], new, line[end:])
            message = read(changed)
            if message is not None and self._get(message) == wanted:
                return changed
        try:
            changed = _rejoined(Raw(line), self._path, new) + b"\n"
        except (ValueError, KeyError, RecursionError):
            return None
        message = read(changed)
        return changed if message is not None and self._get(message) == wanted else None

    def _candidates(self, line: bytes) -> list[tuple[int, int]]:
        first = line.find(self._name)
        last = line.rfind(self._name)
        order = [first, last] if 0 <= first < NEAR_THE_START else [last, first]
        position = first
        while len(order) < MAX_TRIES and 0 <= position < last:
            position = line.find(self._name, position + 1)
            order.append(position)
        matches = (self._pattern.match(line, start) for start in order if start >= 0)
        return [match.span(1) for match in matches if match is not None]


def _rejoined(text: Raw, path: tuple[str, ...], new: bytes) -> bytes:
    """The object put together anew from the bytes of its members, with the one at the end of `path` replaced."""
    members: dict[str, bytes | Raw] = dict(_members(text))
    name, *rest = path
    members[name] = _rejoined(Raw(bytes(members[name])), tuple(rest), new) if rest else new
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(key), bytes(value)) for key, value in members.items())


def _meta_of(holder: Params | Result | UnsetType | None) -> Meta:
    return (holder.meta if isinstance(holder, Params | Result) else None) or _NO_META


OK: Final = 200
"""The status of a response that brings a reply (RFC 9110, 15.3.1)."""

_NO_META = Meta()
_NO_PARAMS = Params()
_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

ID = Place(("id",), lambda message: message.id)
REQUEST_TOKEN = Place(("params", "_meta", "progressToken"), lambda message: _meta_of(message.params).progress_token)
PROGRESS_TOKEN = Place(("params", "progressToken"), lambda message: (message.params or _NO_PARAMS).progress_token)
CANCELLED_ID = Place(("params", "requestId"), lambda message: (message.params or _NO_PARAMS).request_id)
SUBSCRIPTION = Place(("params", "_meta", _SUBSCRIPTION), lambda message: _meta_of(message.params).subscription)
RESULT_SUBSCRIPTION = Place(("result", "_meta", _SUBSCRIPTION), lambda message: _meta_of(message.result).subscription)


def _loosely(value: dict[str, Any]) -> Message:
    """What has the right type in an object that the decoder refused as a whole."""
    params, result, error = value.get("params"), value.get("result"), value.get("error")
    method = value.get("method")
    return Message(
        id=_id(value["id"]) if "id" in value else UNSET,
        method=(method if isinstance(method, str) else "") if method is not None else None,
        params=Params(
            meta=_loose_meta(params),
            name=_text(params.get("name")),
            uri=_text(params.get("uri")),
            task_id=_text(params.get("taskId")),
            progress_token=_id(params.get("progressToken")),
            request_id=_id(params.get("requestId")),
        )
        if isinstance(params, dict)
        else None,
        result=UNSET
        if "result" not in value
        else Result(meta=_loose_meta(result), protocol_version=_text(result.get("protocolVersion")))
        if isinstance(result, dict)
        else None,
        error=None if error is None else Error(code=_number(error.get("code")) if isinstance(error, dict) else None),
    )


def _loose_meta(holder: dict[str, Any]) -> Meta | None:
    meta = holder.get("_meta")
    if not isinstance(meta, dict):
        return None
    return Meta(
        progress_token=_id(meta.get("progressToken")),
        protocol_version=_text(meta.get("io.modelcontextprotocol/protocolVersion")),
        subscription=_id(meta.get(_SUBSCRIPTION)),
        client_capabilities=AnyObject()
        if isinstance(meta.get("io.modelcontextprotocol/clientCapabilities"), dict)
        else None,
    )


def _id(value: object) -> Id | None:
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
