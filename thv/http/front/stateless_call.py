"""One call of the revision without sessions, on a server that it shares, and the HTTP statuses of that revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.core.jsonrpc import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    error_reply,
)
from thv.http.front.response_writer import OK

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from thv.core.message import Id, Message
    from thv.http.front.event_store import EventStream
    from thv.http.front.pending_post import PendingPost
    from thv.http.front.shared_server import SharedServer

    Answered = Callable[[PendingPost], None]
    Work = Coroutine[object, object, None]

STATUS_OF: Mapping[float, int] = {
    METHOD_NOT_FOUND: 404,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
}
"""Statuses that the revision without sessions wants with certain errors (2026-07-28, "Request Metadata")."""


class StatelessCall:
    """One POST without a session, as a member of the server that it shares.

    Args:
        id_: the request's id.
        server: that server.
        send: answers the POST; what it is given is called once that is done or has failed.
        in_background: runs what need not be waited for.
    """

    __slots__ = ("_id", "_in_background", "_send", "_server", "pending")

    pending: PendingPost
    """Set before it joins the server."""

    def __init__(
        self,
        id_: Id | None,
        server: SharedServer,
        send: Callable[[Answered, PendingPost], None],
        in_background: Callable[[Work], None],
    ) -> None:
        self._id = id_
        self._server = server
        self._send = send
        self._in_background = in_background

    async def wait_sent(self, rest: Work) -> None:
        """Wait until the server has taken the request, or has ended."""
        try:
            await rest
        except OSError:
            self.end("the server ended")

    def answered(self, pending: PendingPost) -> None:
        """It is decided what goes out."""
        self._send(self._ended, pending)

    def reply(self, _id: Id, line: bytes, message: Message) -> EventStream | None:
        """The request was answered."""
        self.pending.reply(line, None if message.error is None else message.error.code or INTERNAL_ERROR)
        return self.pending.stream

    def status_of(self, message: Message) -> int:
        """An error has its own status, unless a stream is open."""
        return OK if self.pending.stream is not None else stateless_status(message)

    def related(self, _id: Id | None, line: bytes) -> EventStream | None:
        """A message that belongs to the request."""
        return self.pending.note(line)

    def unrelated(self, line: bytes) -> EventStream | None:
        """A message for every client, while this is the only one."""
        return self.pending.note(line)

    def end(self, reason: str) -> None:
        """The server is gone."""
        self.pending.fail(502, error_reply(INTERNAL_ERROR, reason, self._id))

    def _ended(self, _pending: PendingPost) -> None:
        if not self._server.leave_answered(self):
            self._in_background(self._server.leave(self))


def stateless_status(message: Message) -> int:
    """The status of a reply in a revision without sessions."""
    return OK if message.error is None else status_of(message.error.code or INTERNAL_ERROR, STATUS_OF)


def status_of(code: float | None, statuses: Mapping[float, int]) -> int:
    """The status of a reply with this error code, or with none."""
    return OK if code is None else statuses.get(code, OK)
