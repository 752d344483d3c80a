"""What a shared server knows of its clients, and of their requests that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec.json import encode

from thv.core.splice import ID

if TYPE_CHECKING:
    from collections.abc import Hashable

    from thv.core.interfaces import SessionInstrumentation
    from thv.core.message import Id, Message
    from thv.http.front.event_store import EventStream


class SharedClient(Protocol):
    """A client of the shared server, with ids of its own: a session, or a POST without one."""

    def reply(self, id_: Id, line: bytes, message: Message) -> EventStream | None:
        """A request of it was answered."""

    def related(self, id_: Id | None, line: bytes) -> EventStream | None:
        """A message that belongs to an open request of it."""

    def status_of(self, message: Message) -> int:
        """The HTTP status with which the reply reaches the client, if `reply` is called with it now."""

    def unrelated(self, line: bytes) -> EventStream | None:
        """A message for every client."""

    def end(self, reason: str) -> None:
        """The server is gone."""


class Membership:
    """What is known of a client: how it is instrumented, and its open requests by our ids.

    Args:
        instrumentation: passed all its messages.
        scope: tells its ids from those of other clients with the same instrumentation.
    """

    __slots__ = ("instrumentation", "open", "scope")

    def __init__(self, instrumentation: SessionInstrumentation, scope: Hashable) -> None:
        self.instrumentation = instrumentation
        self.scope = scope
        self.open: set[int] = set()


class RequestRoute:
    """Whose request it is that has one of our ids, and what the client calls it.

    Args:
        member: whose it is.
        message: the request.
        membership: of the client; None for a request of thv's own.
    """

    __slots__ = ("cancelled", "id", "member", "membership", "method", "raw_id", "raw_token")

    raw_id: bytes
    """Set before it is in use."""

    def __init__(self, member: SharedClient, message: Message, membership: Membership | None) -> None:
        token = None if message.meta is None else message.meta.progress_token
        self.member = member
        self.membership = membership
        id_ = message.key
        self.id: Id = 0 if id_ is None else id_
        self.raw_token = None if token is None else encode(token)
        self.method = message.method
        self.cancelled = False

    def renamed(self, line: bytes, new: bytes, message: Message) -> bytes:
        """The request with one of our ids; the client's own is kept."""
        line, raw_id = ID.exchanged(line, new, message)
        self.raw_id = raw_id or b"null"
        return line
