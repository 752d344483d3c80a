"""The names by which the HTTP parts know `core.message`, `core.jsonrpc` and `core.splice`, until they import those."""

from __future__ import annotations

from typing import Final

from msgspec.json import encode

from thv.core.jsonrpc import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    PARSE_ERROR,
    UNSUPPORTED_VERSION,
    error_reply,
    one_line,
)
from thv.core.message import ErrorObject as Error
from thv.core.message import Id, Message, Result, is_batch, read_message, split_batch, twin
from thv.core.splice import CANCELLED_ID, ID, PROGRESS_TOKEN, REQUEST_TOKEN, RESULT_SUBSCRIPTION, SUBSCRIPTION
from thv.core.splice import Member as Place

__all__ = [
    "CANCELLED_ID",
    "HEADER_MISMATCH",
    "ID",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "MISSING_CAPABILITY",
    "OK",
    "PARSE_ERROR",
    "PROGRESS_TOKEN",
    "REQUEST_TOKEN",
    "RESULT_SUBSCRIPTION",
    "SUBSCRIPTION",
    "UNSUPPORTED_VERSION",
    "Error",
    "Id",
    "Message",
    "Place",
    "Result",
    "encoded",
    "error_reply",
    "is_batch",
    "one_line",
    "raw_id",
    "read",
    "split_batch",
    "twin",
]

OK: Final = 200
read = read_message
encoded = encode


def raw_id(line: bytes) -> bytes:
    """The id of a message, byte for byte as it stands there; ``null`` when there is none."""
    message = read_message(line)
    return (None if message is None else ID.raw(line, message)) or b"null"
