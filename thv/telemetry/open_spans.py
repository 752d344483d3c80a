"""The ledger's tokens: what is kept of a request while it is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from thv.telemetry.aggregates import Combination
    from thv.telemetry.frames import Peer
    from thv.telemetry.tracing import Parent, SpanContext


class OpenSpan(Struct, gc=False, eq=False):
    """A request that has begun. Clients may have tens of thousands of them open."""

    began: int
    method: str
    target: str | None
    version: str | None
    counted: Combination | None


class SampledRequest(OpenSpan, gc=False, eq=False):
    """One with a span. `span` is None where a trace begins with it: its ids are drawn once they are needed."""

    client: str | None
    id: int | float | str | None
    span: SpanContext | None
    tracestate: str | None
    arguments: bytes | None
    peer: Peer | None = None
    link: Parent | None = None
    kind: Literal["server", "client"] = "server"
