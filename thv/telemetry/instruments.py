"""The names and numbers of the user's metrics: what the recorder counts into and the agent describes to a collector.

`mcp.*` are the OpenTelemetry semantic conventions for MCP (status: development); `toolhive_*` keeps the dashboards of
ToolHive working. One table, read by both sides; nothing here counts.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

SCOPE: Final = "thv"
"""The instrumentation scope of everything that is sent."""

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The release of the semantic conventions that the names are of, as far as they are stable."""

DURATION_BOUNDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the buckets of every duration, in seconds, inclusive (semantic conventions for MCP, "Metrics")."""


class Kind(Enum):
    """What the points of an instrument are."""

    HISTOGRAM = "histogram"
    COUNTER = "counter"
    UP_DOWN_COUNTER = "up-down counter"


class Instrument(Struct, frozen=True):
    """One metric: `unit` in UCUM, `bounds` empty unless it is a histogram."""

    name: str
    kind: Kind
    unit: str
    description: str
    bounds: tuple[float, ...] = ()

    @property
    def monotonic(self) -> bool:
        """Whether a sum only grows."""
        return self.kind is Kind.COUNTER


OPERATION_DURATION: Final = Instrument(
    "mcp.server.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "How long a request took, from when it was received until its reply was handed on.",
    DURATION_BOUNDS,
)
CLIENT_OPERATION_DURATION: Final = Instrument(
    "mcp.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "How long a client took for a request of the server: sampling, elicitation, roots.",
    DURATION_BOUNDS,
)
SESSION_DURATION: Final = Instrument(
    "mcp.server.session.duration", Kind.HISTOGRAM, "s", "How long an MCP session lasted.", DURATION_BOUNDS
)
REQUESTS: Final = Instrument("toolhive_mcp_requests", Kind.COUNTER, "1", "Requests of MCP clients that ended.")
REQUEST_DURATION: Final = Instrument(
    "toolhive_mcp_request_duration", Kind.HISTOGRAM, "s", "How long requests of MCP clients took.", DURATION_BOUNDS
)
TOOL_CALLS: Final = Instrument("toolhive_mcp_tool_calls", Kind.COUNTER, "1", "Tool calls by their real outcome.")
ACTIVE_CONNECTIONS: Final = Instrument(
    "toolhive_mcp_active_connections", Kind.UP_DOWN_COUNTER, "1", "MCP sessions open now."
)

INSTRUMENTS: Final = {
    instrument.name: instrument
    for instrument in (
        OPERATION_DURATION,
        CLIENT_OPERATION_DURATION,
        SESSION_DURATION,
        REQUESTS,
        REQUEST_DURATION,
        TOOL_CALLS,
        ACTIVE_CONNECTIONS,
    )
}
"""Every instrument, by its name."""
