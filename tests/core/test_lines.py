"""Lines come out whole, once and in order, whatever the chunks were, and none is longer than it may be."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thv.core.lines import LineSplitter

DOCS = Path(__file__).parents[2] / "docs"

CHUNKS = st.lists(
    st.lists(st.sampled_from([b"\n", b"\r", b"a", b"", b"bcd", b"\xff"]), max_size=6).map(b"".join), max_size=12
)


@given(CHUNKS)
def test_the_lines_are_those_of_the_stream(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    rest = splitter.finish()
    *whole, last = b"".join(chunks).split(b"\n")
    assert lines == [line + b"\n" for line in whole]
    assert (rest or b"") == last
    assert splitter.finish() is None


@given(CHUNKS, st.integers(1, 6))
def test_a_line_that_is_too_long_is_an_empty_one_in_its_place(chunks: list[bytes], limit: int) -> None:
    splitter = LineSplitter(limit)
    lines = []
    for chunk in chunks:
        lines += splitter.feed(chunk)
        assert splitter.pending <= limit
    *whole, last = b"".join(chunks).split(b"\n")
    assert lines == [line + b"\n" if len(line) <= limit else b"" for line in whole]
    assert splitter.is_too_long == (len(last) > limit)
    assert splitter.finish() == (b"" if len(last) > limit else last or None)


def test_a_line_that_is_too_long_is_known_before_it_ends() -> None:
    splitter = LineSplitter(limit=3)
    assert splitter.feed(b"abc") == []
    assert not splitter.is_too_long
    assert splitter.feed(b"d") == []
    assert (splitter.is_too_long, splitter.pending) == (True, 0)


def test_a_message_may_have_the_256_mib_that_the_pages_name() -> None:
    assert LineSplitter().limit == 256 * 1024 * 1024
    promises = [
        ("http.md", r"\| line of the server \| (\d+) MiB, then its session ends \|"),
        ("http.md", r"A message may have (\d+) MiB\."),
        ("journal.md", r"A line of more than (\d+) MiB is not\s+passed"),
    ]
    for page, promise in promises:
        assert re.findall(promise, (DOCS / page).read_text("utf-8")) == ["256"], (page, promise)


@pytest.mark.parametrize("module", ["thv.core.lines", "thv.core.net.loopback", "thv.core.net.urls"])
def test_these_can_be_imported_before_anything_slow(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == ["__future__", *accumulate(module.split("."), "{}.{}".format)]
