"""One server for many clients: ids and progress tokens are made unique on the way in, and restored on the way out.

Only those values change, byte for byte. A message that belongs to a request goes to the client that made it. What
belongs to none goes to every client where the server has sessions (`--shared`), and without sessions to the only client
there is, or to nobody: it might be another one's business. A question of the server goes to the client whose request is
the oldest one open.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from thv.http import wire
from thv.http.app.server_connection import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from thv.core.interfaces import SessionInstrumentation
    from thv.http.app.event_store import Stream
    from thv.http.app.server_connection import StoppableBackend
    from thv.http.wire import Id, Message, Place

FIRST_ID = 1 << 40
"""Our ids begin where no client's counter is, so that one is never taken for the other."""

_ids = itertools.count(FIRST_ID + (secrets.randbits(32) << 20))
"""One sequence for all, since several may lead to one process; begun anywhere, since a process may outlive us and still
answer those who were here before. Below 2**53: JSON's numbers are exact up to there.
"""


ROUTE_GRACE = 5.0
"""Seconds for which a reply to a cancelled request is still known: longer than its client is made to wait for one."""


class Member(Protocol):
    """A client of the shared server, with ids of its own: a session, or a POST without one."""

    def reply(self, id_: Id, line: bytes, message: Message) -> Stream | None:
        """A request of it was answered."""

    def related(self, id_: Id | None, line: bytes) -> Stream | None:
        """Something belongs to an open request of it."""

    def status_of(self, message: Message) -> int:
        """The HTTP status with which the reply reaches the client, if `reply` is called with it now."""

    def unrelated(self, line: bytes) -> Stream | None:
        """Something is said to every client."""

    def end(self, reason: str) -> None:
        """The server is gone."""


class _Route:
    """Whose request it is that has one of our ids, and what it called it."""

    __slots__ = ("account", "cancelled", "id", "member", "method", "raw_id", "raw_token")

    def __init__(self, member: Member, line: bytes, message: Message, account: SessionInstrumentation) -> None:
        token = None if message.meta is None else message.meta.progress_token
        self.member = member
        self.id: Id = message.id if isinstance(message.id, int | float | str) else 0
        self.raw_id = wire.raw_id(line)
        self.raw_token = None if token is None else wire.encoded(token)
        self.method = message.method
        self.account = account
        self.cancelled = False


class SharedServer:
    """A running server that several members use.

    Args:
        backend: how it is reached.
        has_sessions: clients begin with `initialize`; the first one's is passed on, the others get its result.
        on_end: told how the server ended, if nobody asked for it.
        warn: told what is worth knowing.
    """

    def __init__(
        self,
        backend: StoppableBackend,
        *,
        has_sessions: bool,
        on_end: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._server = Server(backend, self._deliver, self._ended, patience=0, warn=warn)
        self._loop = asyncio.get_running_loop()
        self.has_sessions = has_sessions
        self._on_end = on_end
        self._say = warn
        self._members: dict[Member, SessionInstrumentation] = {}
        self._routes: dict[int, _Route] = {}
        self._asked: dict[Id, Member] = {}
        self._greeting: asyncio.Future[bytes] | None = None
        self._greeted = False
        self._errands: set[asyncio.Task[None]] = set()
        self.last_used = self._loop.time()

    def members(self) -> list[Member]:
        """Who uses it."""
        return list(self._members)

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return not self._members

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        await self._server.start()

    async def close(self, *, hurry: bool = False) -> None:
        """End the server."""
        for account in set(self._members.values()):
            account.abandon()
        await self._server.close(hurry=hurry)

    def join(self, member: Member, account: SessionInstrumentation) -> None:
        """A client comes."""
        self._members[member] = account

    async def leave(self, member: Member) -> None:
        """A client goes: what it still waits for is cancelled."""
        self._members.pop(member, None)
        self.last_used = self._loop.time()
        for question in [id_ for id_, asked in self._asked.items() if asked is member]:
            del self._asked[question]
            await self._send_or_forget(wire.error_reply(wire.INTERNAL_ERROR, "the client left", question) + b"\n")
        for ours in [ours for ours, route in self._routes.items() if route.member is member]:
            if self._routes[ours].method == "initialize" and self._greeting is not None and not self._greeting.done():
                continue  # others wait for the answer
            route = self._routes.pop(ours)
            line = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}\n' % ours
            await self._send_or_forget(route.account.outgoing(line))

    async def send(self, member: Member, line: bytes, message: Message) -> None:
        """Hand on one line of a client.

        Raises:
            OSError: the server has ended.
        """
        account = self._members[member]
        if message.is_request:
            await self._send_request(member, line, message, account)
        elif message.is_response:
            if isinstance(message.id, int | float | str) and self._asked.get(message.id) is member:
                del self._asked[message.id]
                await self._server.send(account.outgoing(line))
        elif message.method == "notifications/cancelled" and message.params is not None:
            theirs = message.params.request_id
            for ours, route in self._routes.items():
                if route.member is member and route.id == theirs and not route.cancelled:
                    route.cancelled = True
                    self._loop.call_later(ROUTE_GRACE, self._routes.pop, ours, None)
                    changed = self._changed(wire.CANCELLED_ID, line, b"%d" % ours)
                    await self._server.send(account.outgoing(changed))
                    break
        elif message.method != "notifications/initialized" or not self._greeted:
            self._greeted = self._greeted or message.method == "notifications/initialized"
            await self._server.send(account.outgoing(line))

    async def _send_request(
        self, member: Member, line: bytes, message: Message, account: SessionInstrumentation
    ) -> None:
        ours = next(_ids)
        route = _Route(member, line, message, account)
        changed = self._changed(wire.ID, line, b"%d" % ours, message)
        if route.raw_token is not None:
            changed = self._changed(wire.REQUEST_TOKEN, changed, b"%d" % ours)
        if message.method == "initialize" and self.has_sessions:
            if self._greeting is not None and not (self._greeting.done() and self._greeting.cancelled()):
                account.from_client(changed)
                self._in_background(self._greet_again(route, ours, self._greeting))
                return
            self._greeting = self._loop.create_future()
        self._routes[ours] = route
        await self._server.send(account.outgoing(changed))

    async def _greet_again(self, route: _Route, ours: int, greeting: asyncio.Future[bytes]) -> None:
        """Answer another client's `initialize` as the first one was answered."""
        try:
            answer = await asyncio.shield(greeting)
        except asyncio.CancelledError:
            if not greeting.cancelled():
                raise
            if route.member not in self._members:
                return
            answer = wire.error_reply(wire.INTERNAL_ERROR, "the server refused the first client; try again") + b"\n"
        line = wire.ID.replaced(answer, b"%d" % ours) or answer
        message = wire.read(line)
        if message is not None:
            self._loop.call_soon(route.account.from_response, line, route.member.status_of(message))
            self._reply(route, line, message)

    def _deliver(self, line: bytes, message: Message) -> Stream | None:
        if message.is_response:
            return self._answered(line, message)
        if message.method is None:
            return None
        params = message.params
        if message.is_request:
            return self._asks(line, message)
        if params is not None and message.method == "notifications/progress":
            return self._related(wire.PROGRESS_TOKEN, params.progress_token, line, token=True)
        if params is not None and message.method == "notifications/cancelled" and params.request_id in self._routes:
            return self._related(wire.CANCELLED_ID, params.request_id, line)
        if message.meta is not None and message.meta.subscription is not None:
            return self._related(wire.SUBSCRIPTION, message.meta.subscription, line)
        if self.has_sessions or len(self._members) == 1:
            for member, account in list(self._members.items()):
                self._loop.call_soon(account.from_server, line)
                stream = member.unrelated(line)
                if stream is not None and stream.is_full:
                    stream.detach()  # nobody else shall wait for a slow client
        return None

    def _answered(self, line: bytes, message: Message) -> Stream | None:
        route = self._routes.pop(message.id, None) if isinstance(message.id, int) else None
        if route is None:
            return None  # cancelled, or never asked
        if self._greeting is not None and not self._greeting.done() and route.method == "initialize":
            if message.error is None:
                self._greeting.set_result(line)
            else:
                self._greeting.cancel()
        self._loop.call_soon(route.account.from_response, line, route.member.status_of(message))
        if route.method == "subscriptions/listen" and isinstance(message.result, wire.Result) and message.result.meta:
            line = wire.RESULT_SUBSCRIPTION.replaced(line, route.raw_id) or line
        return self._reply(route, line, message)

    def _reply(self, route: _Route, line: bytes, message: Message) -> Stream | None:
        """Hand on a reply; `message` is what it says, with our id or theirs."""
        return route.member.reply(route.id, self._changed(wire.ID, line, route.raw_id, message), message)

    def _related(self, place: Place, value: Id | None, line: bytes, *, token: bool = False) -> Stream | None:
        route = self._routes.get(value) if isinstance(value, int) else None
        if route is None:
            return None  # its request was answered, or its client is gone
        self._loop.call_soon(route.account.from_server, line)
        theirs = route.raw_token if token else route.raw_id
        return route.member.related(route.id, line if theirs is None else self._changed(place, line, theirs))

    def _asks(self, line: bytes, message: Message) -> Stream | None:
        """The server asks a client: the one whose request is the oldest open, or else the first that is there."""
        route = next((route for route in self._routes.values() if not route.cancelled), None)
        member = route.member if route is not None else next(iter(self._members), None)
        if not isinstance(message.id, int | float | str):
            return None
        if member is None or not self.has_sessions:
            refusal = wire.error_reply(wire.INTERNAL_ERROR, "no client is there to be asked", message.id)
            self._in_background(self._send_or_forget(refusal + b"\n"))
            return None
        self._asked[message.id] = member
        self._loop.call_soon(self._members[member].from_server, line)
        return member.related(route.id, line) if route is not None else member.unrelated(line)

    def _changed(self, place: Place, line: bytes, new: bytes, message: Message | None = None) -> bytes:
        """The line with one value replaced; as it is where it says that already, or cannot be changed."""
        return place.replaced(line, new, message) or line

    def _in_background(self, errand: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _send_or_forget(self, line: bytes) -> None:
        with suppress(OSError):  # it ended: nobody is left to be told
            await self._server.send(line)

    def _ended(self, reason: str) -> None:
        for account in set(self._members.values()):
            self._loop.call_soon(account.server_exited)
        if self._greeting is not None and not self._greeting.done():
            self._greeting.cancel()
        self._on_end(reason)
