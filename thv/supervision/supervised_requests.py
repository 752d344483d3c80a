"""The requests of one client that a supervised session answers for: which are open, and which it gave up.

Ids are taken as the ledger takes them: one names the oldest request still open under it, and a reply under its twin of
the other type (`"1"` for `1`) belongs to it. What is remembered is bounded. Pure: the session sets the timers.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from thv.core.jsonrpc import SAYS_CANCELLED
from thv.core.message import Message, twin
from thv.core.splice import ID
from thv.ledger.ledger import MAX_OPEN

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from thv.core.message import Id

MAX_GIVEN_UP: Final = 4096
"""Replies that may still come to calls that timed out."""

INITIALIZE: Final = "initialize"
CALL: Final = "tools/call"


class SupervisedRequest:
    """One request of the client.

    Attributes:
        id: its id.
        raw_id: the same, byte for byte as the client wrote it.
        method: its method.
        token: the progress token that it carries.
        is_ours: the session sent it itself: its reply is not the client's.
        is_sent: the server was sent it: before that, only the session can answer.
        is_given_up: its time is over.
        timer: what gives it up.
    """

    __slots__ = ("id", "is_given_up", "is_ours", "is_sent", "method", "raw_id", "timer", "token")

    def __init__(self, part: bytes, message: Message, *, is_ours: bool = False) -> None:
        assert message.key is not None  # noqa: S101  it is a request
        self.id: Id = message.key
        self.raw_id = ID.raw(part, message) or b"null"
        self.method = message.method
        self.token = None if message.meta is None else message.meta.progress_token
        self.is_ours = self.is_sent = is_ours
        self.is_given_up = False
        self.timer: TimerHandle | None = None

    @property
    def is_call(self) -> bool:
        """Whether it calls a tool."""
        return self.method == CALL


class SupervisedRequests:
    """The open requests of one client, and the calls that were given up."""

    def __init__(self) -> None:
        self._by_age: dict[SupervisedRequest, None] = {}
        self._by_id: dict[Id, deque[SupervisedRequest]] = {}
        self._by_token: dict[Id, dict[SupervisedRequest, None]] = {}
        self._given_up: dict[Id, int] = {}

    def __contains__(self, request: SupervisedRequest | None) -> bool:
        return request in self._by_age

    def oldest_first(self) -> list[SupervisedRequest]:
        """All that are open, by age."""
        return list(self._by_age)

    def add(self, request: SupervisedRequest) -> None:
        """Remember a request; the oldest one is forgotten where there are too many."""
        self._by_age[request] = None
        self._by_id.setdefault(request.id, deque()).append(request)
        if request.token is not None:
            self._by_token.setdefault(request.token, {})[request] = None
        if len(self._by_age) > MAX_OPEN:
            self.close(next(iter(self._by_age)))

    def close(self, request: SupervisedRequest) -> None:
        """It is open no more."""
        if request not in self._by_age:
            return
        del self._by_age[request]
        same_id = self._by_id[request.id]
        same_id.remove(request)
        if not same_id:
            del self._by_id[request.id]
        if request.token is not None:
            same_token = self._by_token[request.token]
            del same_token[request]
            if not same_token:
                del self._by_token[request.token]
        if request.timer is not None:
            request.timer.cancel()

    def cancel(self, id_: Id | None) -> None:
        """The client waits for the request of this id no longer."""
        request = None if id_ is None else next(iter(self._by_id.get(id_, ())), None)
        if request is not None:
            self.close(request)

    def give_up(self, request: SupervisedRequest) -> None:
        """Its time is over: the reply that may still come is not the client's."""
        self.close(request)
        request.is_given_up = True
        if request.is_sent:
            self._given_up[request.id] = self._given_up.get(request.id, 0) + 1
            if len(self._given_up) > MAX_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]

    def forget_given_up(self) -> None:
        """No reply comes any more to what was given up."""
        self._given_up.clear()

    def answered_by(self, reply: Message) -> SupervisedRequest | None:
        """The open request that a reply is for."""
        id_ = reply.key
        if id_ is None:
            return None
        return self._oldest_sent(id_) or self._oldest_sent(twin(id_))

    def take_late(self, reply: Message) -> bool:
        """Whether this is the reply to a call that was given up. It guards once.

        The id may be in use again: then a reply belongs to the new request, unless it says that it was cancelled.
        """
        id_ = reply.key
        if id_ is None or not self._given_up:
            return False
        key = id_ if id_ in self._given_up else twin(id_)
        if key not in self._given_up:
            return False
        says_cancelled = reply.error is not None and reply.error.code in SAYS_CANCELLED
        if not says_cancelled and self.answered_by(reply) is not None:
            return False
        self._given_up[key] -= 1
        if not self._given_up[key]:
            del self._given_up[key]
        return True

    def with_token(self, token: Id) -> list[SupervisedRequest]:
        """The open requests whose progress is reported under this token, or its twin."""
        return [*self._by_token.get(token, ()), *(self._by_token.get(twin(token), ()) if twin(token) != token else ())]

    def forget_oldest_call(self) -> None:
        """A reply came that could not be read: whose it is cannot be known, and the oldest is the likeliest."""
        oldest = next((each for each in self._by_age if each.is_call and each.is_sent), None)
        if oldest is not None:
            self.close(oldest)

    def _oldest_sent(self, id_: Id) -> SupervisedRequest | None:
        return next((each for each in self._by_id.get(id_, ()) if each.is_sent), None)
