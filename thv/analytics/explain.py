"""Decodes the body of a report byte by byte: what each field is, why it is there, and the whole as OTLP/JSON.

Every byte belongs to exactly one field, so nothing can hide between them. Knows the fields of a report and no others.
Opens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from thv.analytics.history import minute_of

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, LENGTH_DELIMITED = 0, 1, 2
"""The wire types that occur (Protocol Buffers, "Encoding", "Message Structure")."""

WIRE_TYPES = {
    **dict.fromkeys(("aggregation_temporality", "is_monotonic"), VARINT),
    **dict.fromkeys(("start_time_unix_nano", "time_unix_nano", "as_int"), FIXED64),
}
"""Field -> its wire type, where that is not `LENGTH_DELIMITED`."""

TYPE_BITS = 3
SEVEN_BITS = 0x7F
MORE = 0x80
FIXED64_BYTES = 8
DELTA = 1
"""`AggregationTemporality` (OTLP, metrics.proto)."""


class _Kind(NamedTuple):
    """A field of an OTLP message: its name, its message type if it is one, whether it repeats, why a report has it."""

    name: str
    message: str | None
    repeated: bool
    why: str


MESSAGES = {
    "ExportMetricsServiceRequest": {
        1: _Kind(
            "resource_metrics", "ResourceMetrics", True, "All that is reported. OTLP lists it by what produced it."
        ),
    },
    "ResourceMetrics": {
        1: _Kind("resource", "Resource", False, "What produced it: empty, so no machine, program, version or user."),
        2: _Kind("scope_metrics", "ScopeMetrics", True, "The metrics of one instrumentation scope; there is no other."),
    },
    "Resource": {},
    "ScopeMetrics": {
        1: _Kind("scope", "InstrumentationScope", False, "Which part of the program counted."),
        2: _Kind("metrics", "Metric", True, "The only metric."),
    },
    "InstrumentationScope": {
        1: _Kind("name", None, False, "A fixed name, without a version: the same on every machine."),
    },
    "Metric": {
        1: _Kind("name", None, False, "Its name, which never changes."),
        7: _Kind("sum", "Sum", False, "Its kind: a sum."),
    },
    "Sum": {
        1: _Kind(
            "data_points",
            "NumberDataPoint",
            True,
            "One point for each status that occurred; none for a count of zero.",
        ),
        2: _Kind("aggregation_temporality", None, False, "The counts are those since the last report, not a total."),
        3: _Kind("is_monotonic", None, False, "What is counted never becomes less."),
    },
    "NumberDataPoint": {
        2: _Kind("start_time_unix_nano", None, False, "One minute before the next field: never the true start."),
        3: _Kind("time_unix_nano", None, False, "When the report was made, cut down to the whole minute."),
        6: _Kind("as_int", None, False, "How many tool calls ended so since the last report."),
        7: _Kind("attributes", "KeyValue", True, "The only attribute."),
    },
    "KeyValue": {
        1: _Kind("key", None, False, "The attribute's name, which never changes."),
        2: _Kind("value", "AnyValue", False, "The attribute's value."),
    },
    "AnyValue": {
        1: _Kind("string_value", None, False, "How these calls ended: success or error, and nothing else."),
    },
}
"""Message -> the fields of it that a report has, by number, as in the OTLP definitions."""


class Field(NamedTuple):
    """One protobuf field as it stands in the bytes.

    Attributes:
        offset: where it begins in the body.
        depth: how many messages it is inside of.
        number: its number in the OTLP definition.
        name: its name there.
        value: its value in words; of a message, how long it is. The message's own fields follow.
        why: what it is for.
        raw: its bytes; of a message, its number and its length only.
        content: its value as OTLP/JSON has it; None for a message.
        repeated: whether the OTLP definition has a list here.
    """

    offset: int
    depth: int
    number: int
    name: str
    value: str
    why: str
    raw: bytes
    content: str | bool | None
    repeated: bool


def fields(body: bytes) -> list[Field]:
    """The fields of an encoded `ExportMetricsServiceRequest`, in the order of the bytes.

    Raises ValueError or LookupError for what `otlp.encode` cannot have made.
    """
    return list(_fields(body, 0, len(body), "ExportMetricsServiceRequest", 0))


def to_json(body: bytes) -> dict[str, Any]:
    """The same message as OTLP/JSON has it (OTLP specification, "JSON Protobuf Encoding").

    Raises ValueError or LookupError, as `fields`.
    """
    root: dict[str, Any] = {}
    inside = [root]
    for field in fields(body):
        del inside[field.depth + 1 :]
        value: Any = {} if field.content is None else field.content
        head, *words = field.name.split("_")
        name = head + "".join(word.capitalize() for word in words)
        if field.repeated:
            inside[-1].setdefault(name, []).append(value)
        else:
            inside[-1][name] = value
        if field.content is None:
            inside.append(value)
    return root


def _fields(body: bytes, position: int, end: int, message: str, depth: int) -> Iterator[Field]:
    while position < end:
        begin = position
        tag, position = _varint(body, position)
        number = tag >> TYPE_BITS
        kind = MESSAGES[message][number]
        wire_type = WIRE_TYPES.get(kind.name, LENGTH_DELIMITED)
        if tag & ((1 << TYPE_BITS) - 1) != wire_type:
            raise ValueError(f"the wire type of {kind.name} at byte {begin}")
        content: str | bool | None
        length = 0
        if wire_type == VARINT:
            content, value, position = _varint_content(kind.name, body, position)
        elif wire_type == FIXED64:
            content = str(int.from_bytes(body[position : position + FIXED64_BYTES], "little"))
            is_time = kind.name.endswith("_unix_nano")
            value = f"{content} ({minute_of(int(content))})" if is_time else content
            position += FIXED64_BYTES
        else:
            length, position = _varint(body, position)
            content = None if kind.message else body[position : position + length].decode()
            value = f"{length} bytes" if content is None else content
            position += 0 if content is None else length
        yield Field(begin, depth, number, kind.name, value, kind.why, body[begin:position], content, kind.repeated)
        if content is None and kind.message:
            yield from _fields(body, position, position + length, kind.message, depth + 1)
            position += length


def _varint_content(name: str, body: bytes, position: int) -> tuple[str | bool, str, int]:
    """The content and the words of the two numbers that a report has."""
    number, position = _varint(body, position)
    if number != DELTA:  # which is `true`, too
        raise ValueError(f"{name} is {number}")
    if name == "is_monotonic":
        return True, f"{number} (true)", position
    word = "AGGREGATION_TEMPORALITY_DELTA"
    return word, f"{number} ({word})", position


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & SEVEN_BITS) << shift
        shift += SEVEN_BITS.bit_length()
        if not byte & MORE:
            return value, position
