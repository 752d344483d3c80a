"""The metrics of one run, as integers: what every request adds to, and a snapshot reads.

Promises: no request is lost, whatever becomes of spans; what a client can make up (names, URIs, methods, versions) is
cut to 128 bytes, only so many different values of it are kept, and all further ones are counted as `other`.
`status` is `success`, `error`, or `cancelled` for a request that its client cancelled or left open when it went.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import add
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

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

SHORT: Final = LABEL_BYTES // 4
"""Characters that surely take no more than LABEL_BYTES."""

COUNT_AT: Final = 256
"""Requests of one combination that may wait to be counted."""

_FOREVER: Final = 1 << 63
"""Longer than any duration."""

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


_ATTRIBUTES: TypeAlias = "frozenset[tuple[str, str]]"


class Durations:
    """Durations in nanoseconds, by buckets. How many there are is the sum of the buckets."""

    __slots__ = ("buckets", "longest", "shortest", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS_NS) + 1)
        self.total = 0
        self.shortest = _FOREVER
        self.longest = 0

    def add(self, durations: list[int]) -> None:
        """Count some. The list is sorted in place: that is faster than finding a bucket for each."""
        durations.sort()
        self.total += sum(durations)
        self.shortest = min(self.shortest, durations[0])
        self.longest = max(self.longest, durations[-1])
        before = 0
        for number, bound in enumerate(_BOUNDS_NS):
            if before == len(durations):
                return
            upto = bisect_right(durations, bound, before)
            self.buckets[number] += upto - before
            before = upto
        self.buckets[-1] += len(durations) - before

    def merge(self, other: Durations) -> None:
        """Add what another one has counted."""
        self.buckets = list(map(add, self.buckets, other.buckets))
        self.total += other.total
        self.shortest = min(self.shortest, other.shortest)
        self.longest = max(self.longest, other.longest)

    def point(self, name: str, attributes: dict[str, str]) -> HistogramPoint:
        """The series as it stands."""
        return HistogramPoint(
            name,
            attributes,
            sum(self.buckets),
            self.total / SECOND,
            self.shortest / SECOND,
            self.longest / SECOND,
            self.buckets.copy(),
        )


class Combination(Durations):
    """Requests with the same attributes everywhere: what a snapshot adds to one series of each instrument.

    The threads that carry traffic append to `pending` and to `outcomes`, those of tool calls, which needs no lock; what
    is appended is counted later, in one go.
    """

    __slots__ = ("calls", "operation", "outcomes", "pending", "request", "tool")

    def __init__(self, operation: _ATTRIBUTES, request: _ATTRIBUTES, tool: str) -> None:
        super().__init__()
        self.operation = operation
        self.request = request
        self.tool = tool
        self.pending: list[int] = []
        self.outcomes: list[Outcome] = []
        self.calls: dict[Outcome, int] = {}

    def count_pending(self) -> None:
        """Count what was appended. By one thread at a time; others may append meanwhile."""
        if durations := self.pending[:]:
            del self.pending[: len(durations)]
            self.add(durations)
        if outcomes := self.outcomes[:]:
            del self.outcomes[: len(outcomes)]
            for outcome in set(outcomes):
                self.calls[outcome] = self.calls.get(outcome, 0) + outcomes.count(outcome)


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
        self._short_cuts: dict[Key, Combination] = {}
        self._combinations: dict[tuple[_ATTRIBUTES, _ATTRIBUTES, str], Combination] = {}
        self._operations = _Series()
        self._requests = _Series()
        self._client_operations: dict[_ATTRIBUTES, Durations] = {}
        self._sessions: dict[_ATTRIBUTES, Durations] = {}
        self._active: int | None = None
        self._methods = _Values(MAX_METHODS)
        self._targets = _Values(MAX_TARGETS)
        self._versions = _Values(MAX_VERSIONS)
        self._errors = _Values(MAX_ERRORS)
        self.changed = False
        """Set whenever something is counted; to be unset before a snapshot is taken."""

    def request(self, kind: Key, duration: int) -> Combination:
        """Count a request that ended, after so many nanoseconds; returns what `call` needs."""
        found = self._short_cuts.get(kind)
        if found is None:
            with self._lock:
                found = self._combination(kind)
        pending = found.pending
        pending.append(duration)
        if len(pending) >= COUNT_AT:
            with self._lock:
                found.count_pending()
        self.changed = True
        return found

    def server_request(
        self, method: str, version: str | None, error_type: str | None, code: str | None, duration: int
    ) -> None:
        """Count a request that the server made of its client, answered after so many nanoseconds."""
        with self._lock:
            attributes = self._operation(method, version, error_type, code)
            self._client_operations.setdefault(_key(attributes), Durations()).add([duration])
            self.changed = True

    def call(self, request: Combination, outcome: Outcome) -> None:
        """Count the outcome of a tool call, which `request` was given for."""
        request.outcomes.append(outcome)
        self.changed = True

    def session_opened(self) -> None:
        """Count a session that begins."""
        with self._lock:
            self._active = (self._active or 0) + 1
            self.changed = True

    def session_closed(self, version: str | None, error_type: str | None, duration: int) -> None:
        """Count a session that ended after so many nanoseconds."""
        with self._lock:
            self._active = (self._active or 0) - 1
            attributes = {
                "mcp.protocol.version": None if version is None else self._versions.bounded(version),
                "error.type": error_type,
            }
            self._sessions.setdefault(_key(attributes), Durations()).add([duration])
            self.changed = True

    def points(self) -> Iterator[HistogramPoint | SumPoint]:
        """Every series, one by one: a snapshot of many must not be one long step, so the lock is held for each only."""
        with self._lock:
            combinations, active = list(self._combinations.values()), self._active
            sessions, client_operations = list(self._sessions.items()), list(self._client_operations.items())
        operations: dict[_ATTRIBUTES, Durations] = {}
        requests: dict[_ATTRIBUTES, Durations] = {}
        calls: dict[tuple[str, Outcome], int] = {}
        for one in combinations:
            with self._lock:
                one.count_pending()
                for outcome, count in one.calls.items():
                    calls[one.tool, outcome] = calls.get((one.tool, outcome), 0) + count
                operations.setdefault(one.operation, Durations()).merge(one)
                requests.setdefault(one.request, Durations()).merge(one)
        for name, many in (
            (OPERATION_DURATION.name, operations.items()),
            (CLIENT_OPERATION_DURATION.name, client_operations),
            (SESSION_DURATION.name, sessions),
        ):
            for attributes, series in many:
                with self._lock:
                    point = series.point(name, dict(attributes))
                yield point
        for attributes, series in requests.items():
            point = series.point(REQUEST_DURATION.name, dict(attributes))
            yield point
            yield SumPoint(REQUESTS.name, point.attributes, point.count)
        for (tool, outcome), value in calls.items():
            yield SumPoint(TOOL_CALLS.name, {"server": self._labels["server"], "tool": tool, "status": outcome}, value)
        if active is not None:
            yield SumPoint(ACTIVE_CONNECTIONS.name, self._labels, active)

    def _combination(self, key: Key) -> Combination:
        """What requests with these raw values are counted in. With the lock held."""
        method, target, version, error_type, code, status = key
        if target is not None and len(target) > SHORT:
            target = cut(target)
            key = (method, target, version, error_type, code, status)
            if (known := self._short_cuts.get(key)) is not None:
                return known
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
        all_of_it = (self._operations.bounded(of_operation), self._requests.bounded(of_request), target or "")
        found = self._combinations.get(all_of_it)
        if found is None:
            found = self._combinations[all_of_it] = Combination(*all_of_it)
        if len(self._short_cuts) < MAX_SHORT_CUTS:
            self._short_cuts[key] = found
        return found

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
    """The attributes of the transport (semantic conventions, "network")."""
    if transport == "stdio":
        return {"network.transport": "pipe"}
    return {"network.transport": "tcp", "network.protocol.name": "http", "network.protocol.version": "1.1"}


def _key(attributes: dict[str, str | None]) -> _ATTRIBUTES:
    return frozenset((name, value) for name, value in attributes.items() if value is not None)


class _Series:
    """The series of one instrument, a bounded number."""

    def __init__(self) -> None:
        self._known: set[_ATTRIBUTES] = set()

    def bounded(self, attributes: dict[str, str | None]) -> _ATTRIBUTES:
        """The attributes of a series; those of every series beyond `MAX_SERIES` are `OTHER`."""
        key = _key(attributes)
        if key not in self._known:
            if len(self._known) >= MAX_SERIES:
                return frozenset((name, OTHER) for name, _ in key)
            self._known.add(key)
        return key
