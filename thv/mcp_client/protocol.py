"""What an MCP client says and understands, without any input or output.

Two eras: up to 2025-11-25 a session begins with `initialize`; since 2026-07-28 every request carries its version and
`server/discover` asks which versions there are. `negotiate` finds out which era a server belongs to; it is a generator,
so that a blocking and an asyncio driver can both run it. Reading never raises on bad input.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from thv import __version__
from thv.core.frozen import Frozen
from thv.core.printable import one_line
from thv.core.surrogates import replace_surrogates
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

JsonObject: TypeAlias = dict[str, Any]

STATELESS_VERSIONS: Final = ("2026-07-28",)
"""Revisions in which each request names its version, newest first."""

HANDSHAKE_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Revisions that begin with `initialize`, newest first."""

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO_KEY: Final = "io.modelcontextprotocol/clientInfo"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
SERVER_INFO_KEY: Final = "io.modelcontextprotocol/serverInfo"
"""Members of `_meta` (MCP 2026-07-28, "Per-request protocol fields")."""

METHOD_NOT_FOUND: Final = -32601
UNSUPPORTED_VERSION: Final = -32022

MAX_INT_DIGITS: Final = 4000
"""Digits of an integer that Python converts; beyond 4 300 it refuses (`sys.set_int_max_str_digits`)."""

MAX_SHOWN: Final = 200
"""Characters that an error message shows of what a server sent."""


class McpClientError(ThvError):
    """The server cannot be used as an MCP server; the message says in what way."""


class ServerEndedError(McpClientError):
    """The server ended, or closed its output, before it answered.

    Attributes:
        stays: it closed its output only.
        has_read: it had read what it was sent, as far as is known.
    """

    def __init__(self, message: str, *, stays: bool = False, has_read: bool = True) -> None:
        super().__init__(message)
        self.stays = stays
        self.has_read = has_read


CLOSED_ITS_OUTPUT: Final = "the server closed its output before it answered, and did not exit"


class ReplyTimeoutError(McpClientError):
    """The server did not answer in time."""


class ProtocolViolationError(McpClientError):
    """The server sent something that the protocol does not allow."""


class JsonRpcError(McpClientError):
    """The server answered with a JSON-RPC error.

    Attributes:
        code: its code, or None if it has none.
        data: its `data`.
    """

    def __init__(self, error: object) -> None:
        members = error if isinstance(error, dict) else {"message": error}
        code = members.get("code")
        self.code: int | None = code if isinstance(code, int) else None
        self.data: Any = members.get("data")
        message = members.get("message")
        text = message if isinstance(message, str) else to_json(message) if message is not None else "no message"
        super().__init__(
            f"the server answered with error {'' if self.code is None else f'{self.code}: '}{shorten(text)}"
        )


class JsonNumber(float):
    """A number that keeps the text it was written with: a float has fewer digits than JSON may."""

    def __new__(cls, text: str) -> Self:
        """The number that `text` writes; NaN and the infinities, too, which are no JSON and are sent all the same."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def _integer(text: str) -> int | JsonNumber:
    return int(text) if len(text) <= MAX_INT_DIGITS else JsonNumber(text)


_decoder = json.JSONDecoder(
    parse_float=JsonNumber, parse_int=_integer, parse_constant=JsonNumber, strict=False
)  # not strict: control characters inside strings are what some servers send


def from_json(text: str) -> Any:
    """The decoded text.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it nests too deeply.
    """
    return _decoder.decode(text)


def to_json(value: Any, *, indent: str | None = None, start: str = "\n") -> str:
    """The value as JSON: numbers as they were written, NaN as null, control characters escaped.

    Args:
        value: what `from_json` gave, or plain Python values.
        indent: what each level is indented by; None for one line.
        start: what separates two members at this level.
    """
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, JsonNumber):
        return value.text if value.text[-1].isdigit() else "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    if isinstance(value, dict):
        parts, brackets = [(f"{_quoted(str(key))}: ", item) for key, item in value.items()], "{}"
    elif isinstance(value, list | tuple):
        parts, brackets = [("", item) for item in value], "[]"
    else:
        return json.dumps(value)
    if not parts:
        return brackets
    inner = "" if indent is None else start + indent
    body = ("," + (inner or " ")).join(key + to_json(item, indent=indent, start=inner) for key, item in parts)
    return f"{brackets[0]}{inner}{body}{'' if indent is None else start}{brackets[1]}"


_NUMBER: Final = re.compile("[0-9]{1,9}")
_CONTROLS: Final = re.compile("[\x7f-\x9f]")


def _quoted(text: str) -> str:
    """The text as a JSON string, without the control characters that JSON allows (RFC 8259 escapes only C0)."""
    quoted = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))
    return replace_surrogates(quoted)


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line. Everything beyond ASCII is escaped, so that half a surrogate pair can be sent, too."""
    return json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")).encode() + b"\n"


def shorten(text: str) -> str:
    """What an error message shows of a text: one line, cut to `MAX_SHOWN`."""
    line = one_line(text)
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"


def read_line(line: bytes) -> list[JsonObject] | None:
    """The messages of one line: one, those of a batch (2025-03-26), or none; None where it is unreadable JSON-RPC.

    Servers print logs to stdout, too: what is no JSON-RPC at all gives an empty list.
    """
    text = line.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    if text[:1] not in {"{", "["}:
        return []
    try:
        value = from_json(text)
    except (ValueError, RecursionError):
        return None if '"jsonrpc"' in text else []
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def reply_ids(line: bytes) -> list[object]:
    """The ids of the replies in a line that `read_line` cannot read, as far as the tolerant reader of `core` sees them.

    It reads what nests too deeply for the standard library.
    """
    from thv.core.message import read_line  # only here: msgspec costs as much as the rest of a session

    return [message.key for message in read_line(line) if message.method is None]


class Request(Frozen):
    """A request of the client, not numbered yet."""

    method: str
    params: JsonObject


class Reply(Frozen):
    """The server's reply to a request: a result, or an error.

    Attributes:
        method: of the request it answers.
        result: `result`, whatever it is; None with an error.
        error: the error, ready to be raised.
    """

    method: str
    result: Any = None
    error: JsonRpcError | None = None


class ServerIdentity(Frozen):
    """What negotiation found out.

    Attributes:
        version: the protocol revision both sides speak.
        capabilities: the server's.
        info: `serverInfo`, empty where the server does not say.
        instructions: the server's, or None.
    """

    version: str
    capabilities: JsonObject
    info: JsonObject
    instructions: str | None = None

    @property
    def is_stateless(self) -> bool:
        """Whether each request names its version."""
        return self.version in STATELESS_VERSIONS


def client_info() -> JsonObject:
    """`clientInfo`."""
    return {"name": "thv", "version": __version__}


def request_meta(version: str, capabilities: JsonObject) -> JsonObject:
    """`_meta` of every request since 2026-07-28."""
    return {VERSION_KEY: version, CLIENT_INFO_KEY: client_info(), CAPABILITIES_KEY: capabilities}


def negotiate(
    capabilities: JsonObject, *, discover: bool = True
) -> Generator[Request | None, Reply | None, ServerIdentity]:
    """Find the revision that both sides speak (MCP 2026-07-28, "stdio: Backward Compatibility").

    Yields a request to send, or None to wait on for a reply to an earlier one. Is sent the next reply, or None when the
    server kept silent for as long as the driver gives it. `server/discover` that is not answered is followed by
    `initialize`, and whichever is answered first counts: some older servers ignore what they do not know.

    Args:
        capabilities: the client's.
        discover: ask by `server/discover` first. Servers are met that end when `initialize` is not the first request.

    Returns:
        The server's identity. In the older era the driver then sends `notifications/initialized`.

    Raises:
        JsonRpcError: the server refused.
        ProtocolViolationError: what it answered makes no sense, or it speaks no revision that the client does.
        ReplyTimeoutError: it answered nothing.
    """
    reply: Reply | None = None
    version = STATELESS_VERSIONS[0]
    if discover:
        reply = yield Request("server/discover", {"_meta": request_meta(version, capabilities)})
        identity = _discovered(reply)
        if identity is not None:
            return identity
    reply = yield Request(
        "initialize",
        {"protocolVersion": HANDSHAKE_VERSIONS[0], "capabilities": capabilities, "clientInfo": client_info()},
    )
    while reply is not None and reply.method == "server/discover":
        identity = _discovered(reply)
        if identity is not None:
            return identity
        reply = yield None
    if reply is None:
        raise ReplyTimeoutError("the server did not answer the first request, initialize")
    if reply.error is not None:
        raise reply.error
    return _initialized(reply.result)


def _discovered(reply: Reply | None) -> ServerIdentity | None:
    """The identity in a reply to `server/discover`; None if the server has to be asked by `initialize`.

    Raises:
        JsonRpcError: it names the revisions that it speaks, and none of them is ours.
    """
    if reply is None:
        return None
    if reply.error is not None:
        data = reply.error.data
        supported = data.get("supported") if isinstance(data, dict) else None
        if reply.error.code == UNSUPPORTED_VERSION and isinstance(supported, list):
            known = {*STATELESS_VERSIONS, *HANDSHAKE_VERSIONS}
            if not known.intersection(each for each in supported if isinstance(each, str)):
                raise reply.error
        return None
    result = reply.result if isinstance(reply.result, dict) else {}
    versions = result.get("supportedVersions")
    if not isinstance(versions, list):
        return None
    for version in STATELESS_VERSIONS:
        if version in versions:
            return ServerIdentity(
                version,
                _object(result.get("capabilities")),
                _object(_object(result.get("_meta")).get(SERVER_INFO_KEY)),
                _text(result.get("instructions")),
            )
    return None


def _initialized(result: Any) -> ServerIdentity:
    if not isinstance(result, dict):
        raise ProtocolViolationError(f"the server answered initialize with {shorten(to_json(result))}")
    version = result.get("protocolVersion")
    if not isinstance(version, str):
        raise ProtocolViolationError("the server's reply to initialize has no protocolVersion")
    if version not in HANDSHAKE_VERSIONS:
        raise ProtocolViolationError(
            f"the server speaks MCP {shorten(version)}; thv speaks {', '.join(reversed(HANDSHAKE_VERSIONS))} and "
            f"{STATELESS_VERSIONS[0]}"
        )
    return ServerIdentity(
        version,
        _object(result.get("capabilities")),
        _object(result.get("serverInfo")),
        _text(result.get("instructions")),
    )


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def request_number(request_id: Any) -> int | None:
    """The number of the request that an id means: servers are met that send `"1"` or `1.0` for `1`."""
    if isinstance(request_id, bool):
        return None
    if isinstance(request_id, str):
        return int(request_id) if _NUMBER.fullmatch(request_id) else None
    if isinstance(request_id, float):
        return int(request_id) if request_id.is_integer() else None
    return request_id if isinstance(request_id, int) else None


def checked_result(result: JsonObject) -> JsonObject:
    """The result of a tool call, with a list of content.

    Raises:
        ProtocolViolationError: it is none, or a task.
    """
    if isinstance(result.get("task"), dict) or result.get("resultType") == "task":
        raise ProtocolViolationError("the server answered with a task, which was not asked for")
    content = result.get("content")
    if content is None and result.get("structuredContent") is not None:
        return {**result, "content": []}
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise ProtocolViolationError(f"the server's result has no list of content: {shorten(to_json(result))}")
    return result
