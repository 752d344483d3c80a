"""The answer to a request that was taken (OTLP, "Partial Success"). Both signals encode it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf has no stubs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "[hidden]"


def partial_success(answer: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    """How many spans or points were rejected, and the collector's message, without any value of `headers` in it."""
    if not answer:
        return 0, ""
    try:
        partial: Any = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return 0, ""  # taken all the same: the status said so
    message: str = partial.error_message
    for value in headers.values():
        if value:
            message = message.replace(value, HIDDEN)
    return max(0, partial.rejected_spans), message
