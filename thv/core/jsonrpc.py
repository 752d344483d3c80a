"""JSON-RPC as thv writes it: error codes, error replies, and values for the headers that repeat a message. Pure."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET, Raw, Struct
from msgspec.json import Decoder, encode

if TYPE_CHECKING:
    from msgspec import UnsetType

    from thv.core.message import Id

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
"""JSON-RPC 2.0, section 5.1."""

CONNECTION_CLOSED: Final = -32000
"""A server that cannot be reached or is gone: the code that the official SDKs use."""

RESOURCE_NOT_FOUND: Final = -32002
"""MCP, "Resources", "Error Handling"."""

MODERN_ERRORS: Final = (-32099, -32020)
"""The least and the largest of the codes that MCP keeps for itself since 2026-07-28 ("Error Codes")."""

REQUEST_TIMED_OUT: Final = -32001
"""A request that was given up: the code that the official SDKs use."""

HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
"""MCP 2026-07-28, "Server Validation": a client answers them by asking again, with other headers or another version."""

URL_ELICITATION_REQUIRED: Final = -32042
"""MCP 2025-11-25, "URL Mode Elicitation": the client asks again once its user has been to a URL."""

REQUEST_CANCELLED: Final = -32800
"""The code by which LSP, and servers that follow it, say that a request was cancelled."""

NOT_FINAL: Final = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION, URL_ELICITATION_REQUIRED})
"""Errors after which a client asks once more: not the outcome of a call."""

SAYS_CANCELLED: Final = frozenset({0, REQUEST_CANCELLED})
"""Codes of the late reply to a cancelled request: 0 is python-sdk 1.x's."""

NAMED_BY: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "task_id",
    "tasks/update": "task_id",
    "tasks/cancel": "task_id",
}
"""Method -> the attribute of `Params` that `Mcp-Name` repeats (2026-07-28, "Standard Request Headers", and the
extension `io.modelcontextprotocol/tasks`)."""

_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=")


def error_reply(
    code: int, message: str, id_: Id | UnsetType | None = None, *, raw_id: bytes | None = None, data: Any = None
) -> bytes:
    """An error reply of ours (JSON-RPC 2.0, section 5.1), without a newline.

    Args:
        code: its code.
        message: one sentence.
        id_: the request's id.
        raw_id: the same as JSON, byte for byte as it came; instead of `id_`.
        data: more about the error.
    """
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    id_json = Raw(raw_id) if raw_id is not None else None if id_ is UNSET else id_
    return encode({"jsonrpc": "2.0", "id": id_json, "error": error})


class _ErrorReply(Struct, frozen=True):
    error: Raw = Raw()


_ERROR_REPLY: Final = Decoder(_ErrorReply)


def addressed(body: bytes, raw_id: bytes) -> bytes | None:
    """An error reply that names no id, as the one to a request; None if the body is no such reply.

    Args:
        body: the reply.
        raw_id: the id of the request, in JSON.
    """
    try:
        reply = _ERROR_REPLY.decode(body)
    except (ValueError, RecursionError):
        return None
    if bytes(memoryview(reply.error)[:1]) != b"{":
        return None
    return encode({"jsonrpc": "2.0", "id": Raw(raw_id), "error": reply.error})


def cancellation(id_: Id | Raw, reason: str | None = None) -> bytes:
    """The notification that cancels a request (MCP, "Cancellation"), as a line. A raw id stays as it came."""
    params: dict[str, Any] = {"requestId": id_}
    if reason is not None:
        params["reason"] = reason
    return encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}) + b"\n"


def one_line(text: bytes, *, end: bytes = b"\n") -> bytes:
    """A JSON text as one line. Outside strings a line break is white space, inside it is illegal.

    Args:
        text: the JSON.
        end: what ends the line.
    """
    if text.find(b"\n") >= 0 or text.find(b"\r") >= 0:  # `in` would first try to take it for a number
        text = text.rstrip(b"\r\n").replace(b"\n", b" ").replace(b"\r", b" ")
    return text + end


def encode_header(text: str) -> str:
    """A text as a header may carry it (2026-07-28, "Value Encoding"): as it is, or ``=?base64?…?=``."""
    plain = all(" " <= character <= "~" for character in text) and text == text.strip()
    if plain and not (text.startswith("=?base64?") and text.endswith("?=")):
        return text
    return f"=?base64?{b64encode(text.encode('utf-8', 'surrogatepass')).decode()}?="


def decode_header(value: str) -> str | None:
    """The text that a header carries; None if its encoding is broken."""
    match = _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        data = b64decode(match[1], validate=True)
        return data.decode() if b64encode(data).decode() == match[1] else None
    except (binascii.Error, ValueError):
        return None
