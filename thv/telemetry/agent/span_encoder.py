"""Spans into the body of an OTLP request, byte for byte as the SDK's encoder makes it.

The SDK makes a protobuf message of every span and every attribute, and copies each into the next: that took three
quarters of the agent's time, and six times the memory of the body. Here they are bytes from the beginning, and an
attribute that many spans share is encoded once. The SDK still encodes the resource, the scope, and each span that has
what few have: links, a `tracestate`, attributes that are structures.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.exporter.otlp.proto.common import trace_encoder
from opentelemetry.trace import SpanKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

SHARED_ATTRIBUTES: Final = 256
"""Pairs of name and text that are kept encoded: a session has some ten that every span has, and one for each tool."""

# Tags of `Span` (opentelemetry/proto/trace/v1/trace.proto): the number of the field, and how its value is written.
_TRACE_ID: Final = b"\x0a\x10"  # with its length, as below
_SPAN_ID: Final = b"\x12\x08"
_PARENT: Final = b"\x22\x08"
_NAME: Final = b"\x2a"
_KIND: Final = {SpanKind.SERVER: b"\x30\x02", SpanKind.CLIENT: b"\x30\x03"}
_TIMES: Final = Struct("<BQBQ")
_START, _END = 0x39, 0x41
_ATTRIBUTE: Final = b"\x4a"
_DROPPED_ATTRIBUTES: Final = b"\x50"
_STATUS: Final = b"\x7a"
_FLAGS: Final = (b"\x85\x01\x00\x01\x00\x00", b"\x85\x01\x00\x03\x00\x00")
"""Whether the parent is remote is known; then, that it is."""

_FIRST: Final = b"\x0a"
_SECOND: Final = b"\x12"
"""The first two fields of a message, where they are messages or texts: the key and the value of an attribute, too."""

_INTEGER: Final = b"\x18"
"""The third field, where it is a number: an attribute's integer, or a status's code."""

_MORE: Final = 0x80


class SpansRequest:
    """Stands for the message that the SDK's exporter makes of a batch, of which it asks no more than this."""

    __slots__ = ("_body",)

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        self._body = encode_spans(spans)

    def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """The body of the request."""
        return self._body


def encode_spans(spans: Sequence[ReadableSpan]) -> bytes:
    """An `ExportTraceServiceRequest` with these spans, which have one resource and one scope."""
    if not spans:
        return b""
    around: Any = trace_encoder.encode_spans(spans[:1]).resource_spans[0]
    inside = around.scope_spans[0]
    Around, Inside = type(around), type(inside)  # noqa: N806 - they are classes
    in_scope = [Inside(scope=inside.scope).SerializeToString()]
    in_scope += [_delimited(_SECOND, _encoded(span)) for span in spans]
    in_scope.append(Inside(schema_url=inside.schema_url).SerializeToString())
    of_resource = (
        Around(resource=around.resource).SerializeToString(),
        _delimited(_SECOND, b"".join(in_scope)),
        Around(schema_url=around.schema_url).SerializeToString(),
    )
    return _delimited(_FIRST, b"".join(of_resource))


def _encoded(span: ReadableSpan) -> bytes:
    try:
        body = _common(span)
    except UnicodeEncodeError:  # the SDK leaves such an attribute out
        body = None
    if body is None:
        one: Any = trace_encoder.encode_spans((span,))
        body = one.resource_spans[0].scope_spans[0].spans[0].SerializePartialToString()
    return body


def _common(span: ReadableSpan) -> bytes | None:
    """A span as nearly all are; None for one that has more."""
    context, parent = span.get_span_context(), span.parent
    start, end = span.start_time, span.end_time
    if not (context and span.name and start and end) or span.links or span.events or context.trace_state:
        return None
    parts = [_TRACE_ID, context.trace_id.to_bytes(16, "big"), _SPAN_ID, context.span_id.to_bytes(8, "big")]
    if parent is not None:
        parts += (_PARENT, parent.span_id.to_bytes(8, "big"))
    parts += (_delimited(_NAME, span.name.encode()), _KIND[span.kind], _TIMES.pack(_START, start, _END, end))
    for name, value in (span.attributes or {}).items():
        if type(value) is str:
            parts.append(_text_attribute(name, value))
        elif type(value) is int and value >= 0:
            parts.append(_attribute(name, _INTEGER + _number(value)))
        else:
            return None
    if span.dropped_attributes:
        parts.append(_DROPPED_ATTRIBUTES + _number(span.dropped_attributes))
    status = span.status
    message = _delimited(_SECOND, status.description.encode()) if status.description else b""
    code = status.status_code.value
    parts.append(_delimited(_STATUS, message + _INTEGER + _number(code) if code else message))
    parts.append(_FLAGS[parent is not None and parent.is_remote])
    return b"".join(parts)


@lru_cache(SHARED_ATTRIBUTES)
def _text_attribute(name: str, value: str) -> bytes:
    return _attribute(name, _delimited(_FIRST, value.encode()))


def _attribute(name: str, value: bytes) -> bytes:
    return _delimited(_ATTRIBUTE, _delimited(_FIRST, name.encode()) + _delimited(_SECOND, value))


def _delimited(tag: bytes, body: bytes) -> bytes:
    return b"".join((tag, _number(len(body)), body))


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    if value < _MORE:
        return bytes((value,))
    digits = bytearray()
    while value >= _MORE:
        digits.append(value & (_MORE - 1) | _MORE)
        value >>= 7
    digits.append(value)
    return bytes(digits)
