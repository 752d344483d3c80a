"""The one model of a JSON-RPC message: what any part of thv reads of it, decoded once and passed on beside its bytes.

A message is decoded strictly first, which is fast and copies nothing of the payload. What that refuses is read again
member by member, so that a wrong type, NaN or deep nesting in one place hides nothing elsewhere (see `json_repair`).
Reading never raises on bad input. This module knows shapes, not what they mean for a call: that is the ledger's.

`Raw` members are views, empty where the member is absent; each keeps its whole line in memory for as long as it lives.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, field
from msgspec.json import Decoder

from thv.core.json_repair import MAX_REPAIRS, JsonRepair, decode_deep, flatten
from thv.core.lenient_decoder import decode_leniently

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    OnStray: TypeAlias = Callable[[bytes | bytearray], None]

Id: TypeAlias = int | float | str
"""A request id or a progress token. `1` and `1.0` are one id, `1` and `"1"` are two (JSON-RPC 2.0, section 4)."""

PROTOCOL_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO_KEY: Final = "io.modelcontextprotocol/clientInfo"
CLIENT_CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"
"""Members of `_meta` (MCP 2026-07-28, "_meta")."""

MAX_ID_DIGITS: Final = 19
"""Digits of an id that is also looked for as the other type: as many as 64 bits have."""

_ABSENT: Final = Raw()

may_hold_message = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[\[{]").match
"""Whether a line begins as one does that holds a message; some servers write a byte order mark."""

BLANK: Final = b" \t\r\n"
"""What a blank line consists of."""


class AnyObject(Struct, frozen=True, gc=False):
    """A JSON object of which no member is read."""


class Implementation(Struct, frozen=True, gc=False):
    """`clientInfo` or `serverInfo`."""

    name: str | None = None
    version: str | None = None


class Meta(
    Struct,
    frozen=True,
    gc=False,
    rename={
        "progress_token": "progressToken",
        "protocol_version": PROTOCOL_VERSION_KEY,
        "client_info": CLIENT_INFO_KEY,
        "subscription": SUBSCRIPTION_KEY,
        "client_capabilities": CLIENT_CAPABILITIES_KEY,
    },
):
    """`_meta` of parameters or of a result: progress, trace context (SEP-414, W3C), and who asks since 2026-07-28."""

    progress_token: Id | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    protocol_version: str | None = None
    client_info: Implementation | None = None
    subscription: Id | None = None
    client_capabilities: AnyObject | None = None

    @property
    def has_client_capabilities(self) -> bool:
        """Whether the client says what it can do, be it nothing."""
        return self.client_capabilities is not None


class ErrorObject(Struct, frozen=True, gc=False):
    """`error` of a response. Whatever else stands there (a string, say) is read as an error without a code."""

    code: int | float | None = None
    message: str | None = None


class CallResult(Struct, frozen=True, gc=False, rename="camel"):
    """A `CallToolResult`, where it is inlined in a task."""

    is_error: bool | None = None


class Task(Struct, frozen=True, gc=False, rename="camel"):
    """A task: `params` of a task notification, the result of `tasks/get`, or the handle in a call's result.

    `result` and `error` are the inlined outcome of the 2026-07-28 extension `io.modelcontextprotocol/tasks`.
    """

    task_id: str | None = None
    status: str | None = None
    result: CallResult | None = None
    error: ErrorObject | None = None


class Params(Struct, frozen=True, gc=False, rename="camel"):
    """`params` of a request or a notification, of either side. `task` is there if the call is to become one."""

    name: str | None = None
    arguments: Raw = _ABSENT
    meta: Meta | None = field(default=None, name="_meta")
    uri: str | None = None
    task_id: str | None = None
    request_id: Id | None = None
    progress_token: Id | None = None
    protocol_version: str | None = None
    client_info: Implementation | None = None
    cursor: str | None = None
    task: AnyObject | None = None
    status: str | None = None
    result: CallResult | None = None
    error: ErrorObject | None = None


class ListCapability(Struct, frozen=True, gc=False, rename="camel"):
    """What a server can do with its tools."""

    list_changed: bool | None = None


class ServerCapabilities(Struct, frozen=True, gc=False):
    """`capabilities` of a server."""

    tools: ListCapability | None = None


class Result(Struct, frozen=True, gc=False, rename="camel"):
    """`result` of a response: a `CallToolResult`, a task handle of either era, a task, a page, or what was agreed."""

    content: Raw = _ABSENT
    is_error: bool | None = None
    meta: Meta | None = field(default=None, name="_meta")
    result_type: str | None = None
    task_id: str | None = None
    status: str | None = None
    result: CallResult | None = None
    error: ErrorObject | None = None
    task: Task | None = None
    protocol_version: str | None = None
    next_cursor: str | None = None
    tools: Raw = _ABSENT
    capabilities: ServerCapabilities | None = None


class Message(Struct, frozen=True, gc=False):
    """A request (`id` and `method`), a notification (`method`), or a response (`id`, and `result` or `error`).

    With a `method` it is no response, whatever its id: a server's requests may use the ids of a client's.
    """

    id: Id | UnsetType | None = UNSET
    method: str | None = None
    params: Params | None = None
    result: Result | UnsetType | None = UNSET
    error: ErrorObject | None = None

    @property
    def key(self) -> Id | None:
        """The id, or None where there is none that could be answered."""
        return None if self.id is UNSET else self.id

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


UNREADABLE: Final = Message()
"""Stands, by identity, for a line that was too large or too deep to be read at all."""


_STRICT = Decoder(Message)
decode_strictly = _STRICT.decode
"""Decodes one message, or raises what `read_line` is there to mend: ValueError, RecursionError."""
_RAW = Decoder(Raw)
_BATCH = Decoder(list[Raw])


def decode_lines(block: bytes | bytearray) -> tuple[Sequence[Message], Sequence[int]]:
    """The messages in a block of complete lines, each ended by a newline, and the bytes of each one's line.

    The newline is one of them, as everywhere where a line has one.

    Raises:
        ValueError, RecursionError: one of them is not one message, as strictly read; `read_sized_line` is for those.
    """
    lines = BytesIO(block).readlines()  # takes half of what `split` does
    return list(map(_STRICT.decode, lines)), list(map(len, lines))


def read_sized_line(line: bytes | bytearray) -> tuple[Sequence[Message], Sequence[int]]:
    """The messages as `read_line` gives them, and the bytes of each one's line; those of a batch share its line."""
    messages = read_line(line)
    count = len(messages)
    return messages, (len(line),) if count == 1 else [len(line) // max(1, count)] * count


def read_line(line: bytes | bytearray, on_stray: OnStray | None = None) -> Sequence[Message]:
    """The messages in one line, or in any JSON text: one, or those of a batch, or none.

    A line that is no JSON-RPC (a log, a blank line) gives nothing; one that is too deep to be read gives `UNREADABLE`.

    Args:
        line: with or without its newline.
        on_stray: called with a line that cannot begin a message, a blank one apart.
    """
    try:
        return (_STRICT.decode(line),)
    except (ValueError, RecursionError) as problem:  # every error of msgspec, and a bad UTF-8 name, is a ValueError
        if on_stray is not None and may_hold_message(line) is None and line.strip(BLANK):
            on_stray(line)
        return _read_tolerantly(line, _diagnosis(problem))


def read_message(text: bytes) -> Message | None:
    """The message that one JSON object is; None when it is none, or too deep to be read."""
    try:
        return _STRICT.decode(text)
    except (ValueError, RecursionError) as problem:
        if is_batch(text):
            return None
        found = _read_tolerantly(text, _diagnosis(problem))
        return found[0] if found and found[0] is not UNREADABLE else None


def read_parts(line: bytes) -> list[tuple[bytes, Message]]:
    """The messages in one line, each with its bytes: the line itself, or the elements of a batch without a newline."""
    try:
        return [(line, _STRICT.decode(line))]
    except (ValueError, RecursionError):
        if not is_batch(line):
            return [(line, message) for message in read_line(line)]
    return [(part, message) for part in split_batch(line) or () if (message := read_message(part)) is not None]


def twin(id_: Id) -> Id:
    """The same id as the other JSON type, `1` and `"1"`, or the id itself if there is none.

    Some servers answer the request 1 under the id "1", and official clients take it so.
    """
    if isinstance(id_, str):
        digits = id_.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= MAX_ID_DIGITS):
            return id_
        return int(id_) if str(int(id_)) == id_ else id_
    return str(int(id_)) if abs(id_) < 10**MAX_ID_DIGITS and id_ % 1 == 0 else id_


def is_batch(text: bytes | bytearray) -> bool:
    """Whether a JSON text is an array (MCP 2025-03-26, "Batching")."""
    return text[:64].removeprefix(BOM_UTF8).lstrip()[:1] == b"["


def split_batch(text: bytes) -> list[bytes] | None:
    """The elements of a JSON array, byte for byte; None when it is none."""
    try:
        return [bytes(element) for element in _BATCH.decode(text)]
    except RecursionError:
        return None
    except ValueError as problem:
        return _split_repaired(text, str(problem))


def _split_repaired(text: bytes, problem: str) -> list[bytes] | None:
    copy = JsonRepair(text)
    for _ in range(MAX_REPAIRS):
        if not copy.repair(problem):
            return None
        try:
            elements = _BATCH.decode(copy.text)
        except RecursionError:
            return None
        except ValueError as another:
            problem = str(another)
            continue
        end = 0
        found = []
        for element in map(bytes, elements):
            start = copy.text.index(element, end)  # a repair moves nothing
            end = start + len(element)
            found.append(text[start:end])
        return found
    return None


_DEEP: Final = "too deep"
_SOUND: Final = "well-formed as far as the decoder came: an array, or a member of a wrong type or with bad UTF-8"


def _diagnosis(problem: Exception) -> str:
    """What the decoder met, as a text: an exception kept would keep the frame that caught it, and the line with it."""
    if isinstance(problem, RecursionError):
        return _DEEP
    return str(problem) if type(problem) is DecodeError else _SOUND


def _read_tolerantly(text: bytes | bytearray, problem: str) -> list[Message]:
    """What can be read of a text in which the strict decoder met this problem."""
    if may_hold_message(text) is None:
        return []
    if text.startswith(BOM_UTF8):
        text, problem = text[len(BOM_UTF8) :], _SOUND
    copy = JsonRepair(text)
    for _ in range(MAX_REPAIRS):
        try:
            if problem == _DEEP:
                return decode_deep(_parts, copy.text)
            if problem == _SOUND:
                return _parts(copy.text)
        except (ValueError, RecursionError) as another:
            problem = _diagnosis(another)
        if problem == _DEEP:
            copy = JsonRepair(flatten(copy.text))
        if not copy.text or (problem != _DEEP and not copy.repair(problem)):
            break
        try:
            return [_STRICT.decode(copy.text)]
        except (ValueError, RecursionError) as another:
            problem = _diagnosis(another)
    return [UNREADABLE] if problem == _DEEP else []


def _parts(text: bytes | bytearray) -> list[Message]:
    # An array is a batch: each element counts. An array in an array is none.
    whole = _RAW.decode(text)
    parts = _BATCH.decode(whole) if _first_byte(whole) == b"[" else [whole]
    return [_object(part) for part in parts if _first_byte(part) == b"{"]


def _object(part: Raw) -> Message:
    try:
        return _STRICT.decode(part)
    except (ValueError, RecursionError):
        return decode_leniently(Message, part)


def _first_byte(part: Raw) -> bytes:
    return bytes(memoryview(part)[:1])
