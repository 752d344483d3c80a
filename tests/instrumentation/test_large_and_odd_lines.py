"""Looking is cheap, whatever passes: NaN, half surrogates and deep nesting cost what other lines of that size cost.

Time is held by the number of passes over a line, not by a clock: each is linear, and takes about a millisecond a MiB.
"""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from tests.decodes import counted_decodes, counted_tokens
from thv.core import json_repair
from thv.instrumentation.inspector import TrafficInspector
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import Outcome

MIB = 1 << 20
CHUNK = 64 << 10


def column(cell: bytes, size: int) -> bytes:
    return b"[" + b", ".join([cell] * (size // (len(cell) + 2))) + b"]"


KINDS: dict[str, Callable[[int], bytes]] = {
    "numbers": lambda size: column(b"1.2345", size),
    "a table with gaps": lambda size: column(b"NaN, 1.5, NaN", size),
    "gaps of all kinds": lambda size: column(b"NaN, Infinity, -Infinity, 1", size),
    "one gap at the end": lambda size: column(b"1.2345", size)[:-1] + b", NaN]",
    "half emojis": lambda size: column(rb'"\ud800"', size),
    "half emojis of both spellings": lambda size: column(rb'"\uDE00 \ud83d"', size),
    "one half emoji at the end": lambda size: column(b'"abcd"', size)[:-1] + rb', "\ud83d"]',
    "one text of half emojis": lambda size: b'"' + rb"\ud83d" * (size // 6) + b'"',
    "one text of half emojis and quotes": lambda size: b'"' + rb"\ud83d\"" * (size // 8) + b'"',
    "gaps and half emojis": lambda size: column(rb'NaN, "\ud83d", 1.5', size),
    "rows": lambda size: column(rb'{"a": NaN, "b": "x", "c": -Infinity}', size),
}


def reply(content: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":{"c":%b},"isError":true}}\n' % content


def request(content: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t","arguments":{"c":%b}},"id":1}\n' % content


CALL, ANSWER = request(b"1"), reply(b"1")


def chunks(line: bytes) -> list[bytes]:
    return [line[at : at + CHUNK] for at in range(0, len(line), CHUNK)]


def outcomes_of(*steps: tuple[str, list[bytes]]) -> tuple[list[Outcome], int]:
    """The outcomes, and the most memory that the inspection took at once."""
    outcomes: list[Outcome] = []
    inspector = TrafficInspector(ToolCallLedger([outcomes.extend]))
    tracemalloc.start()
    try:
        for side, pieces in steps:
            for piece in pieces:
                inspector.on_traffic([(side == "client", piece, 1)])
        return outcomes, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1 * MIB, 8 * MIB], ids=["1 MiB", "8 MiB"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_large_line_takes_at_most_three_times_its_size(kind: str, size: int, side: str) -> None:
    content = KINDS[kind](size)
    if side == "server":
        line = reply(content)
        outcomes, peak = outcomes_of(("client", [CALL]), ("server", chunks(line)))
    else:
        line = request(content)
        outcomes, peak = outcomes_of(("client", chunks(line)), ("server", [ANSWER]))
    assert outcomes == ["error"]
    assert peak < 3 * len(line)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_line_is_passed_over_a_few_times_and_by_no_pattern(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = reply(KINDS[kind](2 * MIB))
    monkeypatch.setattr(
        json_repair, "_NUMBERS", {mark: (Never(), by) for mark, (_, by) in json_repair._NUMBERS.items()}
    )
    monkeypatch.setattr(json_repair, "_HIGH", Never())
    monkeypatch.setattr(json_repair, "_LOW", Never())
    with counted_decodes() as decodes:
        outcomes, _ = outcomes_of(("client", [CALL]), ("server", chunks(line)))
    assert outcomes == ["error"]
    # Each piece of a giant string is read once or twice, which is as much as the line once or twice.
    assert decodes.lines <= 6 + (2 * len(chunks(line)) if "one text" in kind else 0)


class Never:
    """Stands for a pattern that takes ten times as long as a decoder."""

    def sub(self, *_: Any) -> bytes:
        raise AssertionError("a pattern was run over a large text")


@pytest.mark.parametrize("depth", [1_000, 4_000, 20_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"a": [', b"] }")])
def test_deep_nesting_is_read(depth: int, opening: bytes, closing: bytes) -> None:
    content = opening * depth + b"1" + closing * depth
    line = reply(content)
    outcomes, peak = outcomes_of(("client", [CALL]), ("server", [line]), ("client", [CALL]), ("server", [ANSWER]))
    assert outcomes == ["error", "error"]
    assert peak < 3 * len(line) + 64 * 1024


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="later Pythons count C levels apart")
def test_a_thousand_levels_are_decoded_and_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_text: bytes) -> None:
        raise AssertionError("flattened")

    monkeypatch.setattr("thv.core.message.flatten", refuse)
    limit = sys.getrecursionlimit()
    outcomes, _ = outcomes_of(("client", [CALL]), ("server", [reply(b"[" * 3_000 + b"]" * 3_000)]))
    assert outcomes == ["error"]
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize(
    ("text", "looked", "flat"),
    [
        (b"[" * 60_000, 2, b"[" * 6),
        (b'{"":' * 60_000, 2, b'{"":' * 5 + b"{"),
        (b'"x",' * 60_000 + b"[" * 60_000, 10_000, b""),
        (b"[1,[" * 60_000, 10_000, b""),
    ],
)
def test_what_would_take_long_to_take_apart_is_given_up(text: bytes, looked: int, flat: bytes) -> None:
    with counted_tokens() as count:
        assert json_repair.flatten(text) == flat
    assert count.looked == looked
