"""One request to a collector, with OTLP's retries: what a transport reports, and what follows from it.

Nothing here knows HTTP or gRPC.
"""

from __future__ import annotations

from random import uniform
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from threading import Event

    from thv.telemetry.agent.export_errors import Cause

FIRST_PAUSE_S = 1.0
"""Before the first retry; doubled for each further one (OTLP, "Failures": exponential backoff with jitter)."""

JITTER = 0.2
"""Share of a pause by which it varies, so that many clients do not come back at once."""

LONGEST_HOLD_OFF_S = 60.0
"""Most seconds that a `Retry-After` is obeyed: beyond it, asking again costs a server less than lost spans cost us."""

SHORTEST_TRY_S = 0.05
"""A request with less time than this could not even connect."""


class Delivery(Struct, frozen=True):
    """What became of one request.

    `cause` is None when it was taken; `rejected` is then how many spans or points the server took back (OTLP, "Partial
    Success"). `again` says that a retry may help, `after_s` when the server wants it.
    """

    cause: Cause | None = None
    again: bool = False
    after_s: float | None = None
    rejected: int = 0


class Transport(Protocol):
    """One way to one endpoint. Used by one thread."""

    def post(self, body: bytes, timeout_s: float) -> Delivery:
        """Send an encoded export request; never raises for what a network or a server does."""

    def close(self) -> None:
        """Let go of the connection."""


class Sender:
    """Sends requests one after the other, each with retries for at most `timeout_s` seconds.

    Args:
        transport: the way there.
        timeout_s: seconds for one request with its retries.
        ending: once set, nothing waits any more: what is left gets one try.
    """

    def __init__(self, transport: Transport, timeout_s: float, ending: Event) -> None:
        self._transport = transport
        self._timeout_s = timeout_s
        self._ending = ending
        self._not_before = 0.0

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

    def send(self, body: bytes) -> Delivery:
        """Deliver `body`, or say why that failed in the end."""
        self._ending.wait(max(0.0, self._not_before - monotonic()))
        until = monotonic() + self._timeout_s
        pause = FIRST_PAUSE_S
        while True:
            last = self._ending.is_set()
            delivery = self._transport.post(body, max(SHORTEST_TRY_S, until - monotonic()))
            if not delivery.again or last:
                return delivery
            wait = pause * uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter is no secret
            if delivery.after_s is not None:
                wait = min(delivery.after_s, LONGEST_HOLD_OFF_S)
                self._not_before = monotonic() + wait
            if monotonic() + wait > until:
                return delivery
            self._ending.wait(wait)
            pause *= 2
