"""A batch gives back what was put into it, joined with others or not; a damaged one gives nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thv.journal.call_record import CallRecord, Chunk, decode_batch, encode_batch, join_batches

US = st.integers(0, 1 << 53)
RECORDS = st.builds(
    CallRecord, US, st.none() | st.text(max_size=20), US, US, st.integers(0, 6), st.text(max_size=20), st.none() | US
)
CHUNKS = st.builds(Chunk, US, st.lists(RECORDS, max_size=5))


@given(st.lists(st.lists(CHUNKS, min_size=1, max_size=20), min_size=1, max_size=4))
def test_joined_batches_are_read_in_their_order(batches: list[list[Chunk]]) -> None:
    joined = join_batches([encode_batch(batch) for batch in batches])
    assert decode_batch(joined) == [chunk for batch in batches for chunk in batch]


def test_a_successful_call_takes_a_dozen_bytes() -> None:
    record = (1500, "echo", 110, 80)
    one, two = (len(encode_batch([(1_795_000_000_000_000, [record] * count)])) for count in (1, 2))
    assert two - one <= 16


@given(st.binary(max_size=50))
def test_bytes_that_are_no_batch_give_nothing(data: bytes) -> None:
    assert isinstance(decode_batch(data), list)


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    later = (5, "t", 1, 2, 0, "tools/call", None, None, None, None, "new", 7)
    assert decode_batch(encode_batch([(9, [later])])) == [Chunk(9, [CallRecord(5, "t", 1, 2)])]
