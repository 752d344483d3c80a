"""One finished request as the journal keeps it, and the encoding of a batch of them.

Requests are stored by the batch, as one MessagePack array in one row: a batch costs a seventh of the same requests as
rows of their own (0.3 µs instead of 2.2 µs a request), takes no more room, and is read back at 0.2 µs a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct
from msgspec.msgpack import Decoder, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

SUCCESS: Final = 0
ERROR: Final = 1
CANCELLED: Final = 2
CLIENT_CLOSED: Final = 3
SERVER_EXITED: Final = 4
EVICTED: Final = 5
TIMED_OUT: Final = 6

STATUS_NAMES: Final = ("success", "error", "cancelled", "client_closed", "server_exited", "evicted", "timed_out")
"""How a request ended, by its number. `evicted`: too many were open, or its reply could not be read. `server_exited`
and `timed_out` are failures, as `error` is; the others were never answered and count as neither."""

FAILURES: Final = frozenset({ERROR, SERVER_EXITED, TIMED_OUT})
COUNTED: Final = FAILURES | {SUCCESS}
"""What a share of failures is computed from (the ledger's outcomes)."""

TOOL_CALL: Final = "tools/call"

MESSAGE_CHARACTERS: Final = 200
"""Characters kept of an error message."""

NAME_CHARACTERS: Final = 128
"""Characters kept of a method, and of a tool's or prompt's name: the specification recommends at most 128 for tools."""


class CallRecord(Struct, frozen=True, gc=False, array_like=True):
    """A request that ended. Sizes are bytes of the message's line.

    A successful tool call is stored as its first four fields, in a dozen bytes. New fields go to the end and need a
    default: a journal outlives the version that wrote it.
    """

    duration_us: int
    name: str | None  # of the tool or prompt
    request_bytes: int
    response_bytes: int
    status: int = SUCCESS
    method: str = TOOL_CALL
    code: int | None = None  # of the JSON-RPC error
    message: str | None = None  # of the JSON-RPC error, redacted and cut
    arguments: str | None = None  # the last two only with --journal-capture
    result: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure."""
        return self.status in FAILURES

    @property
    def is_tool_call(self) -> bool:
        """Whether it is a call, as everywhere in thv."""
        return self.method == TOOL_CALL

    @property
    def is_counted(self) -> bool:
        """Whether it is a call that has an outcome: what the ledger counts."""
        return self.method == TOOL_CALL and self.status in COUNTED


class Chunk(Struct, frozen=True, gc=False, array_like=True):
    """Requests that ended in the same moment, in microseconds since the epoch."""

    ended_us: int
    records: list[CallRecord]


class EncodedBatch(NamedTuple):
    """Requests ready to be stored."""

    first_us: int
    last_us: int
    requests: int
    records: bytes


class OpenShown(Struct, frozen=True, gc=False, array_like=True):
    """A request that is not answered yet, as the store keeps it."""

    started_us: int
    method: str
    name: str | None


ARRAY_16: Final = 0xDC
ARRAY_32: Final = 0xDD
FIXED_ARRAY_COUNT: Final = 0x0F

_ENCODER: Final = Encoder()
_DECODER: Final = Decoder(list[Chunk])
_OPEN_DECODER: Final = Decoder(list[OpenShown])


def encode_batch(chunks: Sequence[Chunk | tuple[int, Sequence[tuple[object, ...]]]]) -> bytes:
    """The chunks as one value for the store. A tuple has the fields of a chunk or of a record, in their order."""
    return _ENCODER.encode(chunks)


def join_batches(batches: Sequence[bytes]) -> bytes:
    """Several encoded batches as one (MessagePack, "Array format family": a header with the count, the elements)."""
    if len(batches) == 1:
        return batches[0]
    count = 0
    bodies = []
    for batch in batches:
        if batch[0] == ARRAY_16:
            count += int.from_bytes(batch[1:3])
            bodies.append(batch[3:])
        else:
            count += batch[0] & FIXED_ARRAY_COUNT
            bodies.append(batch[1:])
    return b"".join((bytes((ARRAY_32,)), count.to_bytes(4), *bodies))


def join(batches: list[EncodedBatch]) -> EncodedBatch:
    """The batches as one, to be one row of the store."""
    return EncodedBatch(
        min(batch.first_us for batch in batches),
        max(batch.last_us for batch in batches),
        sum(batch.requests for batch in batches),
        join_batches([batch.records for batch in batches]),
    )


def decode_batch(data: object) -> list[Chunk]:
    """The chunks of a stored batch; none if it was damaged on the disk, where a column can hold any type."""
    try:
        return _DECODER.decode(data) if isinstance(data, bytes) else []
    except ValueError:
        return []


def encode_open(requests: Sequence[OpenShown]) -> bytes:
    """The open requests as one value for the store."""
    return _ENCODER.encode(requests)


def decode_open(data: object) -> list[OpenShown]:
    """The open requests of a stored session; none if the column holds anything else."""
    try:
        return _OPEN_DECODER.decode(data) if isinstance(data, bytes) else []
    except ValueError:
        return []


def cut(text: str, limit: int) -> str:
    """`text` in at most `limit` characters, an ellipsis in the place of what is left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
