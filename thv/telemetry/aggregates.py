"""The metrics of one run, as integers: what every request adds to, and a snapshot reads.

Promises: no request is lost, whatever becomes of spans; what a client can make up (names, URIs, methods, versions) is
cut to 128 bytes, only so many different values of it are kept, and all further ones are counted as `other`.
`status` is `success`, `error`, or `cancelled` for a request that its client cancelled or left open when it went.
"""

from __future__ import annotations

from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING, Final

from thv.telemetry.frames import HistogramPoint, SumPoint
from thv.telemetry.instruments import (
    ACTIVE_CONNECTIONS,
    CLIENT_OPERATION_DURATION,
    DURATION_BOUNDS,
    OPERATION_DURATION,
    REQUEST_DURATION,
    REQUESTS,
    SESSION_DURATION,
    TOOL_CALLS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from thv.core.interfaces import Outcome

    Key: TypeAlias = tuple[str, str | None, str | None, str | None, str | None, int | None]
    """Of a request: its method; the tool, prompt or resource that it is about; the protocol version; how it failed, if
    it did; the JSON-RPC code that it was answered with; the status of the HTTP response that brought the answer."""

SECOND: Final = 1_000_000_000
"""Nanoseconds: durations are counted in whole ones, so that a sum never loses any."""

LABEL_BYTES: Final = 128
"""UTF-8 bytes of a label's value that comes from a client."""

OTHER: Final = "other"
"""Stands for every value beyond those that are kept."""

MAX_METHODS: Final = 64
"""MCP has some 20; the rest is room for extensions."""

MAX_TARGETS: Final = 500
"""Tools, prompts and resource URIs. Servers offer tens of tools; URIs may be without end."""

MAX_VERSIONS: Final = 16
MAX_ERRORS: Final = 64

MAX_SERIES: Final = 2_000
"""Series of one instrument: the limit of OpenTelemetry's SDKs ("Cardinality limits")."""

MAX_SHORT_CUTS: Final = 4_096
"""Combinations of raw values whose series is found by one look-up; a few hundred are met in practice."""

_SHORT: Final = LABEL_BYTES // 4
"""Characters that surely take no more than LABEL_BYTES."""

_BOUNDS_NS: Final = tuple(round(bound * SECOND) for bound in DURATION_BOUNDS)

TOOL: Final = "gen_ai.tool.name"
PROMPT: Final = "gen_ai.prompt.name"
RESOURCE: Final = "mcp.resource.uri"
EXECUTE_TOOL: Final = "execute_tool"

_TARGETS: Final = {
    "tools/call": TOOL,
    "prompts/get": PROMPT,
    "resources/read": RESOURCE,
    "resources/subscribe": RESOURCE,
    "resources/unsubscribe": RESOURCE,
}

STATUS_OF: Final[dict[str | None, str]] = {None: "success", "cancelled": "cancelled", "abandoned": "cancelled"}
"""`error.type` -> `status`, where it is not `error`. A JSON-RPC error is one even where it is the caller's fault."""


def cut(value: str, limit: int = LABEL_BYTES) -> str:
    """As much of the value as takes at most `limit` bytes of UTF-8, whole characters only."""
    if len(value) * 4 <= limit:
        return value
    data = value[:limit].encode("utf-8", "replace")
    return data.decode() if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


class Histogram:
    """One series of durations."""

    __slots__ = ("attributes", "buckets", "count", "longest", "shortest", "total")

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self.count = 0
        self.total = 0
        self.shortest = 0
        self.longest = 0
        self.buckets = [0] * (len(_BOUNDS_NS) + 1)

    def add(self, duration: int, bucket: int) -> None:
        """Count one duration, in nanoseconds, that belongs to this bucket."""
        if not self.count or duration < self.shortest:
            self.shortest = duration
        if duration > self.longest:  # noqa: PLR1730 - max() costs three times as much, and this is the hot path
            self.longest = duration
        self.count += 1
        self.total += duration
        self.buckets[bucket] += 1

    def point(self, name: str) -> HistogramPoint:
        """The series as it stands."""
        return HistogramPoint(
            name,
            self.attributes,
            self.count,
            self.total / SECOND,
            self.shortest / SECOND,
            self.longest / SECOND,
            self.buckets.copy(),
        )


class _Values:
    """The values of one label that are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: set[str] = set()

    def bounded(self, value: str) -> str:
        value = cut(value)
        if value in self._kept:
            return value
        if len(self._kept) >= self._limit:
            return OTHER
        self._kept.add(value)
        return value


class Aggregates:
    """Counts for one process. Safe to use from several threads.

    Args:
        server: what the server is called.
        transport: how clients reach it: `stdio`, `streamable-http` or `sse`.
    """

    def __init__(self, server: str, transport: str) -> None:
        self._labels = {"server": server, "transport": transport}
        self._network = network_attributes(transport)
        self._http = {} if transport == "stdio" else {"method": "POST"}
        self._lock = Lock()
        self._short_cuts: dict[Key, tuple[Histogram, Histogram]] = {}
        self._operations: dict[frozenset[tuple[str, str]], Histogram] = {}
        self._client_operations: dict[frozenset[tuple[str, str]], Histogram] = {}
        self._requests: dict[frozenset[tuple[str, str]], Histogram] = {}
        self._sessions: dict[frozenset[tuple[str, str]], Histogram] = {}
        self._calls: dict[tuple[str, Outcome], int] = {}
        self._active: int | None = None
        self._methods = _Values(MAX_METHODS)
        self._targets = _Values(MAX_TARGETS)
        self._versions = _Values(MAX_VERSIONS)
        self._errors = _Values(MAX_ERRORS)
        self.changes = 0
        """A number that grows whenever something is counted."""

    def request(self, kind: Key, duration: int) -> None:
        """Count a request that ended, after so many nanoseconds."""
        method, target, version, error_type, code, status = kind
        if target is not None and len(target) > _SHORT:
            kind = (method, cut(target), version, error_type, code, status)
        bucket = bisect_left(_BOUNDS_NS, duration)
        with self._lock:
            pair = self._short_cuts.get(kind)
            if pair is None:
                pair = self._pair(kind)
            pair[0].add(duration, bucket)
            pair[1].add(duration, bucket)
            self.changes += 1

    def server_request(
        self, method: str, version: str | None, error_type: str | None, code: str | None, duration: int
    ) -> None:
        """Count a request that the server made of its client, answered after so many nanoseconds."""
        with self._lock:
            series = _series(self._client_operations, self._operation(method, version, error_type, code))
            series.add(duration, bisect_left(_BOUNDS_NS, duration))
            self.changes += 1

    def call(self, tool: str, outcome: Outcome) -> None:
        """Count the outcome of a tool call."""
        if len(tool) > _SHORT:
            tool = cut(tool)
        with self._lock:
            key = (tool, outcome)
            if key not in self._calls:
                key = (self._targets.bounded(tool), outcome)
            self._calls[key] = self._calls.get(key, 0) + 1
            self.changes += 1

    def session_opened(self) -> None:
        """Count a session that begins."""
        with self._lock:
            self._active = (self._active or 0) + 1
            self.changes += 1

    def session_closed(self, version: str | None, error_type: str | None, duration: int) -> None:
        """Count a session that ended after so many nanoseconds."""
        with self._lock:
            self._active = (self._active or 0) - 1
            attributes = {
                "mcp.protocol.version": None if version is None else self._versions.bounded(version),
                "error.type": error_type,
            }
            _series(self._sessions, attributes).add(duration, bisect_left(_BOUNDS_NS, duration))
            self.changes += 1

    def points(self) -> Iterator[HistogramPoint | SumPoint]:
        """Every series, one by one: a snapshot of many must not be one long step, so the lock is held for each only."""
        with self._lock:
            operations, requests = list(self._operations.values()), list(self._requests.values())
            sessions, calls, active = list(self._sessions.values()), list(self._calls.items()), self._active
            client_operations = list(self._client_operations.values())
        for name, many in (
            (OPERATION_DURATION.name, operations),
            (CLIENT_OPERATION_DURATION.name, client_operations),
            (SESSION_DURATION.name, sessions),
        ):
            for series in many:
                with self._lock:
                    point = series.point(name)
                yield point
        for series in requests:
            with self._lock:
                point = series.point(REQUEST_DURATION.name)
            yield point
            yield SumPoint(REQUESTS.name, point.attributes, point.count)
        for (tool, outcome), value in calls:
            yield SumPoint(TOOL_CALLS.name, {"server": self._labels["server"], "tool": tool, "status": outcome}, value)
        if active is not None:
            yield SumPoint(ACTIVE_CONNECTIONS.name, self._labels, active)

    def _pair(self, key: Key) -> tuple[Histogram, Histogram]:
        """The two series that requests with these raw values belong to."""
        method, target, version, error_type, code, status = key
        kind = target_kind(method) if target is not None else None
        target = None if target is None else self._targets.bounded(target)
        of_operation = {
            **self._operation(method, version, error_type, code),
            TOOL: target if kind == TOOL else None,
            PROMPT: target if kind == PROMPT else None,
            "gen_ai.operation.name": EXECUTE_TOOL if kind == TOOL else None,
        }
        of_request = {
            "mcp_method": of_operation["mcp.method.name"],
            "mcp_resource_id": target,
            "status": "error" if code is not None else STATUS_OF.get(error_type, "error"),
            "status_code": None if status is None else str(status),
            **self._http,
            **self._labels,
        }
        pair = (_series(self._operations, of_operation), _series(self._requests, of_request))
        if len(self._short_cuts) < MAX_SHORT_CUTS:
            self._short_cuts[key] = pair
        return pair

    def _operation(
        self, method: str, version: str | None, error_type: str | None, code: str | None
    ) -> dict[str, str | None]:
        """What the operations of both sides have. With the lock held."""
        return {
            "mcp.method.name": self._methods.bounded(method),
            "mcp.protocol.version": None if version is None else self._versions.bounded(version),
            "error.type": None if error_type is None else self._errors.bounded(error_type),
            "rpc.response.status_code": None if code is None else self._errors.bounded(code),
            **self._network,
        }


def target_kind(method: str) -> str | None:
    """The attribute under which the target of such a request stands on spans, or None if it has no target."""
    return _TARGETS.get(method)


def network_attributes(transport: str) -> dict[str, str]:
    """What the semantic conventions say of the transport."""
    if transport == "stdio":
        return {"network.transport": "pipe"}
    return {"network.transport": "tcp", "network.protocol.name": "http", "network.protocol.version": "1.1"}


def _series(many: dict[frozenset[tuple[str, str]], Histogram], attributes: dict[str, str | None]) -> Histogram:
    present = {name: value for name, value in attributes.items() if value is not None}
    key = frozenset(present.items())
    found = many.get(key)
    if found is None:
        if len(many) >= MAX_SERIES:
            present = dict.fromkeys(present, OTHER)
            key = frozenset(present.items())
            if key in many:
                return many[key]
        found = many[key] = Histogram(present)
    return found
