"""Lines come out whole whatever the chunks were, and a large one costs neither memory nor time out of proportion."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core import line_assembler
from thv.core.line_assembler import GIANT, LineAssembler

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in chunks of these sizes, over and over."""
    chunks, at, turn = [], 0, 0
    while at < len(data):
        chunks.append(data[at : at + sizes[turn % len(sizes)]])
        at += len(chunks[-1])
        turn += 1
    return chunks


def lines_of(assembler: LineAssembler, chunks: list[bytes]) -> list[bytes]:
    return [
        line for chunk in chunks for block in assembler.feed(chunk) for line in bytes(block).splitlines(keepends=True)
    ]


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)

NEAR_JSON = st.lists(
    st.sampled_from(
        [b'"', b"\\", b"\\\\", b'\\"', b"\n", b"\r\n", b"{", b"}", b"a", b"\xff", "é".encode(), b'"' + b"x" * 30]
    )
    | st.binary(max_size=6)
).map(b"".join)


@given(data=NEAR_JSON, sizes=SIZES)
def test_the_lines_are_those_of_a_split_whatever_the_chunks(data: bytes, sizes: list[int]) -> None:
    assembler = LineAssembler()
    seen = b"".join(bytes(block) for chunk in cut(data, sizes) for block in assembler.feed(chunk))
    whole, newline, rest = data.rpartition(b"\n")
    assert seen == whole + newline
    assert assembler.pending == bool(rest)


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.text(max_size=5)
    | st.text(alphabet='ab"\\/\n\té😀', min_size=10, max_size=90),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def without_giants(value: Any, giant: int) -> Any:
    """What must be left of a value: a string that is surely kept stays, one that may be dropped is cut to nothing."""
    if isinstance(value, str):
        return value if len(json.dumps(value)) <= giant else ""
    if isinstance(value, list):
        return [without_giants(item, giant) for item in value]
    if isinstance(value, dict):
        return {key: without_giants(item, giant) for key, item in value.items()}
    return value


@given(
    value=JSON_VALUES, sizes=SIZES, elide_after=st.integers(1, 60), giant=st.integers(8, 30), ascii_only=st.booleans()
)
def test_elision_changes_nothing_but_the_content_of_giant_strings(
    value: Any, sizes: list[int], elide_after: int, giant: int, ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b"\n"
    assembler = LineAssembler(elide_after=elide_after, giant=giant)
    (line,) = [bytes(block) for chunk in cut(text, sizes) for block in assembler.feed(chunk)]
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert without_giants(json.loads(line), giant) == without_giants(json.loads(text), giant)
    assert len(line) <= len(text)


@given(
    data=NEAR_JSON, sizes=SIZES, elide_after=st.integers(1, 30), giant=st.integers(2, 20), max_kept=st.integers(10, 60)
)
def test_elision_never_loses_or_invents_a_line(
    data: bytes, sizes: list[int], elide_after: int, giant: int, max_kept: int
) -> None:
    assembler = LineAssembler(elide_after=elide_after, giant=giant, max_kept=max_kept)
    ended = 0
    for chunk in cut(data, sizes):
        for block in assembler.feed(chunk):
            assert not block or block.endswith(b"\n")
            ended += block.count(b"\n") if block else 1
    assert ended == data.count(b"\n")


STRINGS: dict[str, Callable[[int], bytes]] = {
    "plain": lambda size: b"a" * size,
    "quotes": lambda size: b'\\"' * (size // 2),
    "backslashes": lambda size: b"\\\\" * (size // 2),
    "backslashes before the end": lambda size: b"a" * size + b"\\\\" * 7,
    "json in json": lambda size: b'{\\"key\\": \\"C:\\\\\\\\dir\\\\\\\\\\"}, ' * (size // 32),
    "unicode escapes": lambda size: b"\\u00e9" * (size // 6),
    "utf-8": lambda size: "é😀".encode() * (size // 6),
    "invalid utf-8": lambda size: b"\xff\xfe" * (size // 2),
    "brackets": lambda size: b"[{" * (size // 2),
}


@pytest.mark.parametrize("chunk_size", [4_093, 65_536, MIB])
@pytest.mark.parametrize("kind", STRINGS)
def test_what_follows_a_giant_string_is_seen_exactly(kind: str, chunk_size: int) -> None:
    start, end = b'{"id":7,"result":{"content":[{"text":"', b'"}],"isError":true}}\r\n'
    line = start + STRINGS[kind](3 * MIB) + end
    assembler = LineAssembler()
    (seen,) = lines_of(assembler, cut(line, [chunk_size]))
    assert len(seen) <= MIB + 2 * chunk_size
    assert seen.startswith(start)
    assert seen.endswith(end)
    assert lines_of(assembler, [b'{"id":8}\n']) == [b'{"id":8}\n']


def test_every_giant_string_of_a_line_is_dropped() -> None:
    image = b'{"data":"' + b"A" * (8 * GIANT) + b'"}'
    line = b"[" + b",".join([image] * 64) + b"]\n"
    (seen,) = lines_of(LineAssembler(), cut(line, [65_536]))
    assert len(json.loads(seen)) == 64
    assert len(seen) < len(line) // 3


def peak_memory(assembler: LineAssembler, piece: bytes, times: int, end: bytes) -> int:
    tracemalloc.start()
    try:
        for _ in range(times):
            assert assembler.feed(piece) == []
        assert len(assembler.feed(end)) == 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_text_of_256_mib_is_looked_at_in_two_mib() -> None:
    assembler = LineAssembler()
    assembler.feed(b'{"id":1,"result":{"content":[{"type":"text","text":"')
    assert peak_memory(assembler, b"a" * 65_536, 4_096, b'"}]}}\n') < 2 * MIB


@pytest.mark.parametrize("piece", [b"[1.25]," * 9_000, b'{"k":"v"},' * 6_000, b"\xff\x00{[" * 16_000])
def test_a_line_that_cannot_be_shortened_is_given_up_at_the_limit(piece: bytes) -> None:
    assembler = LineAssembler(max_kept=4 * MIB)
    assembler.feed(b"[")
    # The buffer is allocated a little ahead, and is copied when it has to move.
    assert peak_memory(assembler, piece, 500, b"1]\n") < 10 * MIB
    assert assembler.feed(b"{}\n") == [b"{}\n"]


def test_a_line_given_up_is_an_empty_block_in_its_place() -> None:
    assembler = LineAssembler(max_kept=10)
    assert assembler.feed(b"{}\n123456789") == [b"{}\n"]
    assert assembler.feed(b"0123") == []
    assert assembler.feed(b"456\n[]\n{") == [b"", b"[]\n"]
    assert assembler.feed(b"}\n") == [b"{}\n"]


@pytest.mark.parametrize("chunk_size", [1, 7, 300])
def test_each_byte_of_a_line_is_lexed_a_few_times_however_small_the_chunks(
    chunk_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lexed = 0
    original = line_assembler._end_of_whole_strings

    def counting(text: bytearray, start: int) -> int:
        nonlocal lexed
        lexed += len(text) - start
        return original(text, start)

    monkeypatch.setattr(line_assembler, "_end_of_whole_strings", counting)
    line = b"[" + b'"%s\\"",' % (b"x" * 100) * 2_000 + b'""]\n'  # an escaped quote may stand in a giant string
    assert lines_of(LineAssembler(elide_after=1_000, giant=200), cut(line, [chunk_size])) == [line]
    assert len(line) <= lexed < 4 * len(line), "lexing from the start each time would be hundreds of times the line"
