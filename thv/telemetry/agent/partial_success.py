"""The answer to a request that was taken (OTLP, "Partial Success"). Both signals encode it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf has no stubs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from thv.telemetry.frames import Signal

HIDDEN = "[hidden]"


SHORTEST_SECRET = 3
"""Characters of a user or a path that is hidden: without fewer a message would not be readable, nor a secret be one."""


def partial_success(answer: bytes, signal: Signal) -> tuple[int, str]:
    """How many spans or points were rejected, and the collector's message, without what it was told in confidence."""
    if not answer:
        return 0, ""
    try:
        partial: Any = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return 0, ""  # taken all the same: the status said so
    message: str = partial.error_message
    for secret in _secrets(signal) if message else ():
        message = message.replace(secret, HIDDEN)
    return max(0, partial.rejected_spans), message


def _secrets(signal: Signal) -> list[str]:
    """Values of headers, credentials without their scheme (`Bearer`), and the endpoint's user, password and path."""
    values = [value for value in signal.headers.values() if value]
    parts = urlsplit(signal.endpoint)
    path = parts.path.removesuffix("/v1/traces").removesuffix("/v1/metrics").strip("/")
    others = [value.rpartition(" ")[2] for value in values]
    others += [part for given in (parts.username, parts.password, path) if given for part in (given, unquote(given))]
    values += [other for other in others if len(other) >= SHORTEST_SECRET]
    return sorted(values, key=len, reverse=True)  # one that is a part of another would leave the rest of that
