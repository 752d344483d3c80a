"""The few members of a JSON-RPC message that decide a tool call's outcome, and how a line becomes them.

A line is first decoded strictly (fast, and nothing of the payload is kept). What that refuses is read again member by
member, so that a wrong type, NaN or deep nesting in one place hides nothing elsewhere. Reading never raises on bad
input. This module knows shapes, not what they mean for a call: that is the ledger's.
"""

from __future__ import annotations

import re
from time import perf_counter_ns
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Id: TypeAlias = int | float | str
"""A request id. `1` and `1.0` are one id, `1` and `"1"` are two (JSON-RPC 2.0, section 4)."""

MEND_UP_TO = 1 << 20
"""Bytes of a line that nests deeper than the decoder goes, up to which it is flattened and read again: about 0.2 s."""

KEEP_DEPTH = 6
"""Nesting that flattening keeps. A batch, its message, the result, the task's result and one more need five."""

_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*+[\[{]")
"""How a line begins that can hold a message; some servers write a byte order mark."""


class AnyObject(Struct, frozen=True, gc=False):
    """A JSON object of which no member is read."""


class ClientParams(Struct, frozen=True, gc=False, rename="camel"):
    """`params` of what a client sends: `tools/call`, `tasks/*` or `notifications/cancelled`."""

    task_id: str | None = None
    request_id: Id | None = None
    task: AnyObject | None = None
    name: str | None = None


class ClientMessage(Struct, frozen=True, gc=False):
    """A line from the client: a request (`id` and `method`), a notification (`method`), or else a response."""

    id: Id | None = None
    method: str | None = None
    params: ClientParams | None = None


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


class Result(Task, frozen=True, gc=False, rename="camel"):
    """`result` of a response: a `CallToolResult`, a task handle of either era, or a task (`tasks/get`)."""

    is_error: bool | None = None
    result_type: str | None = None
    task: Task | None = None


class ServerMessage(Struct, frozen=True, gc=False):
    """A line from the server. With `method` it is a request or a notification, and no response whatever its id."""

    id: Id | None = None
    method: str | None = None
    result: Result | UnsetType | None = UNSET
    error: ErrorObject | None = None
    params: Task | None = None


UNREADABLE = ServerMessage()
"""Stands, by identity, for a line from the server that was too large or too deep to be read at all."""

Message = TypeVar("Message")
T = TypeVar("T")


class LineReader(Generic[Message]):
    """Turns complete lines into messages. Lines that are no JSON-RPC (logs, blank lines) give nothing.

    Args:
        strict: decodes one line into a message, or raises.
        loose: reads what it can of one JSON object that `strict` refused.
        unreadable: what a line that must be given up gives.

    Attributes:
        stray_lines: how many lines could not begin a JSON-RPC message, blank ones apart.
        first_stray_ns: when the first of them was read, by `time.perf_counter_ns`.
    """

    def __init__(
        self,
        strict: Callable[[bytes | bytearray | Raw], Message],
        loose: Callable[[Raw], Message],
        *unreadable: Message,
    ) -> None:
        self._strict = strict
        self._loose = loose
        self.unreadable = list(unreadable)
        self.stray_lines = 0
        self.first_stray_ns: int | None = None

    def read(self, block: bytes | bytearray) -> Sequence[Message]:
        """The messages in a block of complete lines, each ended by a newline, in their order."""
        if block.find(b"\n") == len(block) - 1:
            return self.read_one(block)
        lines = block.split(b"\n")
        del lines[-1]
        try:
            return list(map(self._strict, lines))
        except (ValueError, RecursionError):
            return [message for line in lines for message in self.read_one(line)]

    def read_with_sizes(self, block: bytes | bytearray) -> tuple[Sequence[Message], Sequence[int]]:
        """The messages as `read` gives them, and the bytes of each one's line; those of a batch share its line."""
        if block.find(b"\n") == len(block) - 1:
            messages = self.read_one(block)
            return messages, [len(block) // max(1, len(messages))] * len(messages)
        lines = block.split(b"\n")
        del lines[-1]
        try:
            return list(map(self._strict, lines)), list(map(len, lines))
        except (ValueError, RecursionError):
            several: list[Message] = []
            sizes: list[int] = []
            for line in lines:
                messages = self.read_one(line)
                several += messages
                sizes += [len(line) // max(1, len(messages))] * len(messages)
            return several, sizes

    def read_one(self, line: bytes | bytearray) -> Sequence[Message]:
        """The messages in one line: one, or those of a batch, or none."""
        try:
            return (self._strict(line),)
        except (ValueError, RecursionError):  # every error of msgspec, and a bad UTF-8 name, is a ValueError
            return self._read_tolerantly(line)

    def _read_tolerantly(self, text: bytes | bytearray) -> list[Message]:
        start = _START.match(text)
        if start is None:
            self._note_stray(text)
            return []
        text = text.removeprefix(_BOM)
        mended = flattened = False
        while True:
            try:
                return self._parts(text)
            except ValueError:
                if mended:
                    return []
                text = _mended(text)
                mended = True
            except RecursionError:
                if flattened or len(text) > MEND_UP_TO:
                    return self.unreadable
                text = _flattened(text)
                flattened = True

    def _note_stray(self, text: bytes | bytearray) -> None:
        if text.strip(_BLANK):
            if not self.stray_lines:
                self.first_stray_ns = perf_counter_ns()
            self.stray_lines += 1

    def _parts(self, text: bytes | bytearray) -> list[Message]:
        # An array is a batch (2025-03-26): each element counts. An array in an array is none.
        whole = _RAW.decode(text)
        parts = _BATCH.decode(whole) if _first_byte(whole) == b"[" else [whole]
        return [self._object(part) for part in parts if _first_byte(part) == b"{"]

    def _object(self, part: Raw) -> Message:
        try:
            return self._strict(part)
        except (ValueError, RecursionError):
            return self._loose(part)


_RAW = Decoder(Raw)
_BATCH = Decoder(list[Raw])
_ABSENT = Raw()


class _LooseClient(Struct, frozen=True, gc=False):
    id: Raw = _ABSENT
    method: Raw = _ABSENT
    params: Raw = _ABSENT


class _LooseParams(Struct, frozen=True, gc=False, rename="camel"):
    task_id: Raw = _ABSENT
    request_id: Raw = _ABSENT
    task: Raw = _ABSENT
    name: Raw = _ABSENT


class _LooseError(Struct, frozen=True, gc=False):
    code: Raw = _ABSENT
    message: Raw = _ABSENT


class _LooseServer(Struct, frozen=True, gc=False):
    id: Raw = _ABSENT
    method: Raw = _ABSENT
    result: Raw = _ABSENT
    error: Raw = _ABSENT
    params: Raw = _ABSENT


class _LooseResult(Struct, frozen=True, gc=False, rename="camel"):
    task_id: Raw = _ABSENT
    status: Raw = _ABSENT
    result: Raw = _ABSENT
    error: Raw = _ABSENT
    is_error: Raw = _ABSENT
    result_type: Raw = _ABSENT
    task: Raw = _ABSENT


_ID = Decoder(int | float | str)
TEXT = Decoder(str)
_TRUTH = Decoder(bool)
_NUMBER = Decoder(int | float)
_LOOSE_ERROR = Decoder(_LooseError)
_OBJECT = Decoder(AnyObject)
_LOOSE_CLIENT = Decoder(_LooseClient)
_LOOSE_PARAMS = Decoder(_LooseParams)
_LOOSE_SERVER = Decoder(_LooseServer)
_LOOSE_RESULT = Decoder(_LooseResult)


def _first_byte(part: Raw) -> bytes:
    return bytes(memoryview(part)[:1])


def read_part(decoder: Decoder[T], part: Raw) -> T | None:
    """The part as the decoder's type, or None when it is absent, null, or of another type."""
    try:
        return decoder.decode(part)
    except (ValueError, RecursionError):
        return None


def _is_there(part: Raw) -> bool:
    return _first_byte(part) not in {b"", b"n"}


def _read_method(part: Raw) -> str | None:
    """A method that is no string still makes the line a request or a notification: of a method nobody knows."""
    return (read_part(TEXT, part) or "") if _is_there(part) else None


def _read_error(part: Raw) -> ErrorObject | None:
    if not _is_there(part):
        return None
    seen = read_part(_LOOSE_ERROR, part)
    return ErrorObject() if seen is None else ErrorObject(read_part(_NUMBER, seen.code), read_part(TEXT, seen.message))


def loose_client(line: Raw) -> ClientMessage:
    """What can be read of a line from the client."""
    seen = _LOOSE_CLIENT.decode(line)
    params = read_part(_LOOSE_PARAMS, seen.params)
    return ClientMessage(
        id=read_part(_ID, seen.id),
        method=_read_method(seen.method),
        params=None
        if params is None
        else ClientParams(
            task_id=read_part(TEXT, params.task_id),
            request_id=read_part(_ID, params.request_id),
            task=read_part(_OBJECT, params.task),
            name=read_part(TEXT, params.name),
        ),
    )


def _loose_result(part: Raw) -> Result | None:
    seen = read_part(_LOOSE_RESULT, part)
    if seen is None:
        return None
    inner = _loose_result(seen.result)
    return Result(
        task_id=read_part(TEXT, seen.task_id),
        status=read_part(TEXT, seen.status),
        result=None if inner is None else CallResult(is_error=inner.is_error),
        error=_read_error(seen.error),
        is_error=read_part(_TRUTH, seen.is_error),
        result_type=read_part(TEXT, seen.result_type),
        task=_loose_result(seen.task),
    )


def loose_server(line: Raw) -> ServerMessage:
    """What can be read of a line from the server."""
    seen = _LOOSE_SERVER.decode(line)
    return ServerMessage(
        id=read_part(_ID, seen.id),
        method=_read_method(seen.method),
        result=_loose_result(seen.result) if _first_byte(seen.result) else UNSET,
        error=_read_error(seen.error),
        params=_loose_result(seen.params),
    )


# What json.dumps and JSON.stringify write and the decoder refuses: NaN and Infinity outside any string, half a
# surrogate pair inside one. A string that only looks like that is changed too, and nobody reads it: no id looks so.
# Each begins with its mark, so that looking for it is quick, and a lookbehind says what must stand before.
_MENDS = (
    (b"NaN", re.compile(rb"NaN(?<=[\[:,\s]NaN)(?=[\],}\s])"), b"0"),
    (b"Infinity", re.compile(rb"Infinity(?<=[\[:,\s-]Infinity)(?=[\],}\s])"), b"0"),
    (b"\\u", re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"), rb"\\ufffd"),
    (b"\\u", re.compile(rb"\\u[dD][c-fC-F]..(?<!\\u[dD][89abAB]..\\u....)", re.DOTALL), rb"\\ufffd"),
)
_NESTING = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def _mended(text: bytes | bytearray) -> bytes | bytearray:
    for mark, pattern, replacement in _MENDS:
        if mark in text:
            text = pattern.sub(replacement, text)
    return text


def _flattened(text: bytes | bytearray) -> bytes:
    """The same JSON with everything deeper than KEEP_DEPTH left out."""
    kept = bytearray()
    depth = start = 0
    for token in _NESTING.finditer(text):
        first = token[0]
        if first in {b"{", b"["}:
            depth += 1
            if depth == KEEP_DEPTH:
                kept += text[start : token.end()]
        elif first in {b"}", b"]"}:
            if depth == KEEP_DEPTH:
                start = token.start()
            depth -= 1
    if depth < KEEP_DEPTH:
        kept += text[start:]
    return bytes(kept)


def client_reader() -> LineReader[ClientMessage]:
    """A reader for what the client sends."""
    return LineReader(Decoder(ClientMessage).decode, loose_client)


def server_reader() -> LineReader[ServerMessage]:
    """A reader for what the server sends; a line given up gives `UNREADABLE`."""
    return LineReader(Decoder(ServerMessage).decode, loose_server, UNREADABLE)
