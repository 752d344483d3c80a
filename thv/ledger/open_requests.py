"""The requests of one session that are not answered yet: which they are, how old, and what is remembered of each.

What is remembered is bounded in number, and short texts only: nothing that holds a line.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from thv.core.interfaces import ErrorSummary
    from thv.core.message import ErrorObject

    Key: TypeAlias = Hashable
    """What a request is known by: its id, or with a scope the pair of both."""

CALL: Final = 0
CALL_AS_TASK: Final = 1
TASK_RESULT: Final = 2
TASK_GET: Final = 3
TASK_CANCEL: Final = 4
OTHER: Final = 5
"""Kinds of requests."""

LAST_AWAITED: Final = TASK_GET
"""The kinds up to this one can bring an outcome, so the end of a session waits for their replies."""

NAME_CHARACTERS: Final = 128
"""Characters kept of a method and of a tool's or prompt's name; the specification recommends at most 128 for tools."""

MESSAGE_READ: Final = 1024
"""Characters kept of an error message until it is redacted and cut."""


class OpenRequest(Struct, gc=False, eq=False):
    """A request that was not answered yet."""

    serial: int
    kind: int
    task_id: str | None = None
    token: object = None  # what the request observer returned
    # The rest is for the request log.
    method: str = "tools/call"
    name: str | None = None
    started_ns: int = 0
    request_bytes: int = 0
    arguments: str | None = None
    result: str | None = None


def summarize_error(error: ErrorObject | None) -> ErrorSummary | None:
    """What the request log may keep of an error: never the line that it came in."""
    if error is None:
        return None
    code = error.code
    number = int(code) if code is not None and code % 1 == 0 and abs(code) < 1 << 53 else None
    return number, None if error.message is None else error.message[:MESSAGE_READ]


class OpenRequests:
    """Open requests by their keys. Where several have one key, the oldest is meant (some clients use id 1 only).

    Args:
        limit: how many are remembered.

    Attributes:
        by_key: one request, or the queue of those that share a key.
        behind: how many stand in a queue behind the oldest of their key.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.by_key: dict[Key, OpenRequest | deque[OpenRequest]] = {}
        self._by_age: list[tuple[Key, OpenRequest]] = []  # the youngest first
        self.behind = 0

    def __contains__(self, key: Key) -> bool:
        return key in self.by_key

    def __iter__(self) -> Iterator[tuple[Key, OpenRequest]]:
        for key, found in self.by_key.items():
            if isinstance(found, deque):
                for request in found:
                    yield key, request
            else:
                yield key, found

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self.by_key) + self.behind

    def oldest_first(self) -> list[OpenRequest]:
        """All of them by age."""
        return [request for _, request in sorted(self, key=age)]

    def clear(self) -> None:
        """Forget all of them."""
        self.by_key.clear()
        self._by_age.clear()
        self.behind = 0

    def add(self, key: Key, request: OpenRequest) -> OpenRequest | None:
        """Remember a request; returns the oldest one if it had to make room."""
        by_key = self.by_key
        if key in by_key:
            earlier = by_key[key]
            if isinstance(earlier, deque):
                earlier.append(request)
            else:
                by_key[key] = deque((earlier, request))
            self.behind += 1
        else:
            by_key[key] = request
        return self._drop_oldest() if self.count > self.limit else None

    def close(self, key: Key) -> OpenRequest | None:
        """The oldest request of this key, which is open no more; None if there is none."""
        request = self.by_key.pop(key, None)
        if request is None:
            return None
        if isinstance(request, deque):
            queue = request
            request = queue.popleft()
            if queue:
                self.by_key[key] = queue
                self.behind -= 1
        return request

    def drop_oldest_awaited(self) -> OpenRequest | None:
        """Forget the oldest of those that can bring an outcome."""
        oldest = min((entry for entry in self if entry[1].kind <= LAST_AWAITED), key=age, default=None)
        if oldest is not None and self._remove(*oldest):
            return oldest[1]
        return None

    def _drop_oldest(self) -> OpenRequest:
        """Forget the oldest, in constant time over the long run.

        `_by_age` is made when it is needed and has been used up, from everything open then; what was opened later is
        younger than all of it.
        """
        while True:
            if not self._by_age:
                self._by_age = sorted(self, key=age, reverse=True)
            key, request = self._by_age.pop()
            if self._remove(key, request):
                return request

    def _remove(self, key: Key, request: OpenRequest) -> bool:
        found = self.by_key.get(key)
        if isinstance(found, deque):
            if request not in found:
                return False
            found.remove(request)
            if found:
                self.behind -= 1
            else:
                del self.by_key[key]
        elif found is request:
            del self.by_key[key]
        else:
            return False
        return True


def age(entry: tuple[Key, OpenRequest]) -> int:
    """Sorts entries, the oldest first."""
    return entry[1].serial
