"""Takes the body of a report apart, byte by byte, and says in words what each field is and why it is there.

Every byte belongs to exactly one field, so nothing can hide between them. Reads what it is given; opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from thv.analytics.history import minute_of

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED = 0, 1, 2
"""The wire types that occur (Protocol Buffers, "Encoding", "Message Structure")."""

TYPE_BITS = 3
SEVEN_BITS = 0x7F
MORE = 0x80
FIXED64_BYTES = 8

WHY = {
    "ExportMetricsServiceRequest.resource_metrics": "All that is reported. OTLP lists it by what produced it.",
    "ResourceMetrics.resource": "What produced it: empty, so no machine, program, version or user.",
    "ResourceMetrics.scope_metrics": "The metrics of one instrumentation scope; there is no other.",
    "ScopeMetrics.scope": "Which part of the program counted.",
    "InstrumentationScope.name": "A fixed name, without a version: the same on every machine.",
    "ScopeMetrics.metrics": "The only metric.",
    "Metric.name": "Its name, which never changes.",
    "Metric.sum": "Its kind: a sum.",
    "Sum.data_points": "One point for each status that occurred; none for a count of zero.",
    "NumberDataPoint.start_time_unix_nano": "One minute before the next field: never the true start.",
    "NumberDataPoint.time_unix_nano": "When the report was made, cut down to the whole minute.",
    "NumberDataPoint.as_int": "How many tool calls ended so since the last report.",
    "NumberDataPoint.attributes": "The only attribute.",
    "KeyValue.key": "The attribute's name, which never changes.",
    "KeyValue.value": "The attribute's value.",
    "AnyValue.string_value": "How these calls ended: success or error, and nothing else.",
    "Sum.aggregation_temporality": "The counts are those since the last report, not a total.",
    "Sum.is_monotonic": "What is counted never becomes less.",
}
"""Every field that a report has, by its name in the OTLP definitions, and why it has it."""


@dataclass(frozen=True, slots=True)
class Field:
    """One protobuf field as it stands in the bytes.

    Attributes:
        offset: where it begins in the body.
        depth: how many messages it is inside of.
        number: its number in the OTLP definition.
        name: its name there.
        value: its value in words; of a message, how long it is. The message's own fields follow.
        why: what it is for.
        raw: its bytes; of a message, its number and its length only.
    """

    offset: int
    depth: int
    number: int
    name: str
    value: str
    why: str
    raw: bytes


def fields(body: bytes) -> list[Field]:
    """The fields of an encoded `ExportMetricsServiceRequest`, in the order of the bytes.

    Raises ValueError or LookupError for what `wire.encode` cannot have made.
    """
    return list(_fields(body, 0, len(body), ExportMetricsServiceRequest.DESCRIPTOR, 0))


def _fields(body: bytes, position: int, end: int, message: Any, depth: int) -> Iterator[Field]:
    while position < end:
        begin = position
        tag, position = _varint(body, position)
        field = message.fields_by_number[tag >> TYPE_BITS]
        kind = tag & ((1 << TYPE_BITS) - 1)
        is_message = False
        if kind == VARINT:
            number, position = _varint(body, position)
            value = _named(field, number)
        elif kind == FIXED64:
            value = _fixed(field, int.from_bytes(body[position : position + FIXED64_BYTES], "little"))
            position += FIXED64_BYTES
        elif kind == LENGTH_DELIMITED:
            length, position = _varint(body, position)
            is_message = field.message_type is not None
            value = f"{length} bytes" if is_message else body[position : position + length].decode()
            position += 0 if is_message else length
        else:
            raise ValueError(f"wire type {kind} at byte {begin}")
        why = WHY[f"{message.name}.{field.name}"]
        yield Field(begin, depth, field.number, field.name, value, why, body[begin:position])
        if is_message:
            yield from _fields(body, position, position + length, field.message_type, depth + 1)
            position += length


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & SEVEN_BITS) << shift
        shift += SEVEN_BITS.bit_length()
        if not byte & MORE:
            return value, position


def _named(field: Any, number: int) -> str:
    if field.enum_type is not None:
        return f"{number} ({field.enum_type.values_by_number[number].name})"
    return f"{number} (true)" if number == 1 else str(number)


def _fixed(field: Any, number: int) -> str:
    return f"{number} ({minute_of(number)})" if field.name.endswith("_unix_nano") else str(number)
