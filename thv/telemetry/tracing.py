"""Which requests become spans, and in which trace: W3C Trace Context, and head sampling as OpenTelemetry does it.

The client's `traceparent` is the parent where it is valid to the letter; its decision is followed if the sampler is
parent-based. A new trace is recorded if the last 64 bits of its id, taken as a number, lie below a share of all of them
(the sampler `traceidratio` of the SDKs, so that several of them agree). Baggage is not read. Knows nothing of MCP.
"""

from __future__ import annotations

import os
import re
from _random import Random
from math import log1p
from typing import Final

from msgspec import Struct

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED: Final = 1
"""The flag `sampled`: the caller records its span."""

_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_\-*/]{0,255}(?:@[a-z][a-z0-9_\-*/]{0,13})?)=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256})"
)
_MAX_MEMBERS: Final = 32
"""List members of a `tracestate` (W3C Trace Context, 3.3.1.1)."""


LONGEST_TRACESTATE: Final = 32_768
"""Characters of a `tracestate` that can be valid: 32 members of at most 527, and as much white space between them."""


_FOREVER: Final = 1 << 62
"""More traces than there will be."""


class Parent(Struct, array_like=True, frozen=True, gc=False):
    """The contents of a valid `traceparent`."""

    trace_id: bytes
    span_id: bytes
    sampled: bool


class SpanContext(Struct, array_like=True, frozen=True, gc=False):
    """Our own span: its ids, its parent's, and whether it is recorded."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    sampled: bool

    @property
    def traceparent(self) -> str:
        """The header by which others take this span for their parent."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{self.sampled:02x}"


def parse_traceparent(header: str) -> Parent | None:
    """Parse the header; None if it is not valid (W3C Trace Context, 3.2): upper case is not, nor are zeros."""
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    trace, span = bytes.fromhex(trace_id), bytes.fromhex(span_id)
    if not any(trace) or not any(span):
        return None
    return Parent(trace, span, bool(int(flags, 16) & _SAMPLED))


def valid_tracestate(header: str) -> str:
    """The header, or "" if any of it is not valid (W3C Trace Context, 3.3): then all of it is to be discarded."""
    keys = []
    for member in header.split(","):
        text = member.strip(" \t")
        if not text:
            continue
        match = _MEMBER.fullmatch(text)
        if match is None or match[1] in keys:
            return ""
        keys.append(match[1])
    return header if 0 < len(keys) <= _MAX_MEMBERS else ""


class Sampler:
    """Decides about each request as it begins.

    Which of the traces that begin here is recorded next is drawn ahead, as how many are passed over before it: that
    comes to the same as drawing each time (a geometric distribution), for a fraction of the time.

    Args:
        ratio: the share of traces to be recorded, from 0 to 1.
        parent_based: what the client decided is followed where there is a parent.
        propagate: make a context for what is not recorded, too, since it is to be passed on.
    """

    def __init__(self, ratio: float, *, parent_based: bool, propagate: bool) -> None:
        self._ratio = ratio
        self._bound = round(ratio * (1 << 64))
        self._parent_based = parent_based
        self._propagate = propagate
        random = Random(int.from_bytes(os.urandom(32), "little"))
        self._bits, self._random = random.getrandbits, random.random
        self.passed_over = 0 if propagate else self._draw()
        """How many requests without a parent need no decision: each is passed over."""

    def decide(self, parent: Parent | None) -> SpanContext | None:
        """The span of a request with this parent; None if it is neither recorded nor passed on."""
        if parent is None:
            if self._propagate:
                return self._root(self._bits(64))
            return None if self.passes_over() else self.recorded_root()
        sampled = parent.sampled if self._parent_based else int.from_bytes(parent.trace_id[8:], "big") < self._bound
        if not sampled and not self._propagate:
            return None
        return SpanContext(parent.trace_id, self._span_id(), parent.span_id, sampled)

    def passes_over(self) -> bool:
        """Whether the next trace that begins here is not recorded. Where contexts are passed on, `decide` says so."""
        if self.passed_over > 0:
            self.passed_over -= 1
            return True
        self.passed_over = self._draw()
        return False

    def recorded_root(self) -> SpanContext:
        """The span of a trace that begins here and is not passed over."""
        low = self._bits(64) * self._bound >> 64  # an id that `traceidratio` records
        return self._root(low)

    def _root(self, low: int) -> SpanContext:
        trace_id = (self._bits(64) << 64 | low or 1).to_bytes(16, "big")
        return SpanContext(trace_id, self._span_id(), None, low < self._bound)

    def _draw(self) -> int:
        """How many traces are not recorded before the next one that is."""
        if self._ratio >= 1:
            return 0
        if not self._bound:
            return _FOREVER
        return min(int(log1p(-self._random()) / log1p(-self._ratio)), _FOREVER)

    def _span_id(self) -> bytes:
        return (self._bits(64) or 1).to_bytes(8, "big")
