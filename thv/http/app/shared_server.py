"""One server for many clients: ids and progress tokens are made unique on the way in, and restored on the way out.

Only those values change, byte for byte. A message that belongs to a request goes to the client that made it. A message
that belongs to no request goes to every client where the server has sessions (`--shared`), and without sessions only if
there is a single client: it might concern another one. A request of the server goes to the client whose own request has
been open longest.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from thv.http import wire
from thv.http.app.server_connection import ServerConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from thv.core.interfaces import SessionInstrumentation
    from thv.http.app.event_store import EventStream
    from thv.http.app.server_connection import StoppableBackend
    from thv.http.wire import Id, Message, Place

FIRST_ID = 1 << 40
"""Our ids begin where no client's counter is, so that one is never taken for the other."""

_ids = itertools.count(FIRST_ID + (secrets.randbits(32) << 20))
"""One sequence for all, since several may lead to one process; begun anywhere, since a process may outlive us and still
answer the clients that were here before. Below 2**53: JSON's numbers are exact up to there.
"""


ROUTE_GRACE_S = 5.0
"""How long a reply to a cancelled request is still recognised: longer than its client is made to wait for one."""


class Member(Protocol):
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


class _Route:
    """Whose request it is that has one of our ids, and what the client calls it."""

    __slots__ = ("cancelled", "id", "instrumentation", "member", "method", "raw_id", "raw_token")

    def __init__(
        self, member: Member, line: bytes, message: Message, instrumentation: SessionInstrumentation | None
    ) -> None:
        token = None if message.meta is None else message.meta.progress_token
        self.member = member
        self.id: Id = message.id if isinstance(message.id, int | float | str) else 0
        self.raw_id = wire.raw_id(line)
        self.raw_token = None if token is None else wire.encoded(token)
        self.method = message.method
        self.instrumentation = instrumentation
        self.cancelled = False


class SharedServer:
    """A running server that several members use.

    Args:
        backend: how it is reached.
        has_sessions: clients begin with `initialize`; the first one's is passed on, the others get its result.
        on_end: called with the reason if the server ended while it was needed.
        warn: called with lines for the user.

    Attributes:
        on_tools: called with each reply to `tools/list`, and with None when the tools have changed.
    """

    def __init__(
        self,
        backend: StoppableBackend,
        *,
        has_sessions: bool,
        on_end: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._connection = ServerConnection(backend, self._deliver, self._ended, write_timeout=0, warn=warn)
        self._loop = asyncio.get_running_loop()
        self.has_sessions = has_sessions
        self.on_tools: Callable[[bytes | None], None] | None = None
        self._on_end = on_end
        self._members: dict[Member, SessionInstrumentation] = {}
        self._routes: dict[int, _Route] = {}
        self._asked: dict[Id, Member] = {}
        self._initializing: asyncio.Future[bytes] | None = None
        self._is_initialized = False
        self._background_tasks: set[asyncio.Task[None]] = set()
        self.last_used = self._loop.time()

    def members(self) -> list[Member]:
        """Its clients, and thv itself while it waits for an answer."""
        return list(dict.fromkeys((*self._members, *(route.member for route in self._routes.values()))))

    @property
    def is_idle(self) -> bool:
        """Whether no client uses it."""
        return not self._members

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        await self._connection.start()

    async def close(self, *, hurry: bool = False) -> None:
        """End the server."""
        for instrumentation in set(self._members.values()):
            instrumentation.abandon()
        await self._connection.close(hurry=hurry)

    def join(self, member: Member, instrumentation: SessionInstrumentation) -> None:
        """A client comes."""
        self._members[member] = instrumentation

    async def leave(self, member: Member) -> None:
        """A client goes: its open requests are cancelled."""
        self._members.pop(member, None)
        self.last_used = self._loop.time()
        if self._asked:
            for question in [id_ for id_, asked in self._asked.items() if asked is member]:
                del self._asked[question]
                await self._send_or_forget(wire.error_reply(wire.INTERNAL_ERROR, "the client left", question) + b"\n")
        for ours in [ours for ours, route in self._routes.items() if route.member is member]:
            await self._cancel(ours)

    async def _cancel(self, ours: int) -> None:
        initializing = self._initializing
        if self._routes[ours].method == "initialize" and initializing is not None and not initializing.done():
            return  # other clients wait for the answer
        route = self._routes.pop(ours)
        line = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}\n' % ours
        await self._send_or_forget(line if route.instrumentation is None else route.instrumentation.outgoing(line))

    async def send(self, member: Member, line: bytes, message: Message) -> None:
        """Hand on one line of a client.

        Raises:
            OSError: the server has ended.
        """
        instrumentation = self._members[member]
        if message.is_request:
            await self._send_request(member, line, message, instrumentation)
        elif message.is_response:
            if isinstance(message.id, int | float | str) and self._asked.get(message.id) is member:
                del self._asked[message.id]
                await self._connection.send(instrumentation.outgoing(line))
        elif message.method == "notifications/cancelled" and message.params is not None:
            theirs = message.params.request_id
            for ours, route in self._routes.items():
                if route.member is member and route.id == theirs and not route.cancelled:
                    route.cancelled = True
                    self._loop.call_later(ROUTE_GRACE_S, self._routes.pop, ours, None)
                    changed = _changed(wire.CANCELLED_ID, line, b"%d" % ours)
                    await self._connection.send(instrumentation.outgoing(changed))
                    break
        elif message.method != "notifications/initialized" or not self._is_initialized:
            self._is_initialized = self._is_initialized or message.method == "notifications/initialized"
            await self._connection.send(instrumentation.outgoing(line))

    async def ask(self, member: Member, line: bytes, message: Message) -> None:
        """Send a request of thv's own, which is not instrumented; `leave` withdraws it.

        Raises:
            OSError: the server has ended.
        """
        ours = next(_ids)
        self._routes[ours] = _Route(member, line, message, None)
        await self._connection.send(_changed(wire.ID, line, b"%d" % ours, message))

    async def _send_request(
        self, member: Member, line: bytes, message: Message, instrumentation: SessionInstrumentation
    ) -> None:
        ours = next(_ids)
        route = _Route(member, line, message, instrumentation)
        changed = _changed(wire.ID, line, b"%d" % ours, message)
        if route.raw_token is not None:
            changed = _changed(wire.REQUEST_TOKEN, changed, b"%d" % ours)
        if message.method == "initialize" and self.has_sessions:
            initializing = self._initializing
            if initializing is not None and not (initializing.done() and initializing.cancelled()):
                instrumentation.from_client(changed)
                self._in_background(self._initialize_again(route, ours, initializing))
                return
            self._initializing = self._loop.create_future()
        self._routes[ours] = route
        await self._connection.send(instrumentation.outgoing(changed))

    async def _initialize_again(self, route: _Route, ours: int, initializing: asyncio.Future[bytes]) -> None:
        """Answer another client's `initialize` as the first one was answered."""
        try:
            answer = await asyncio.shield(initializing)
        except asyncio.CancelledError:
            if not initializing.cancelled():
                raise
            if route.member not in self._members:
                return
            answer = wire.error_reply(wire.INTERNAL_ERROR, "the server refused the first client; try again") + b"\n"
        line = wire.ID.replaced(answer, b"%d" % ours) or answer
        message = wire.read(line)
        if message is not None:
            self._inspect_reply(route, line, message)
            self._reply(route, line, message)

    def _deliver(self, line: bytes, message: Message) -> EventStream | None:
        if message.is_response:
            return self._answered(line, message)
        if message.method is None:
            return None
        if message.is_request:
            return self._asks(line, message)
        return self._notified(line, message)

    def _notified(self, line: bytes, message: Message) -> EventStream | None:
        params = message.params
        if params is not None and message.method == "notifications/progress":
            return self._related(wire.PROGRESS_TOKEN, params.progress_token, line, token=True)
        if params is not None and message.method == "notifications/cancelled" and params.request_id in self._routes:
            return self._related(wire.CANCELLED_ID, params.request_id, line)
        if message.method == "notifications/tools/list_changed" and self.on_tools is not None:
            self.on_tools(None)
        if message.meta is not None and message.meta.subscription is not None:
            return self._related(wire.SUBSCRIPTION, message.meta.subscription, line)
        if self.has_sessions or len(self._members) == 1:
            for member, instrumentation in list(self._members.items()):
                self._loop.call_soon(instrumentation.from_server, line)
                stream = member.unrelated(line)
                if stream is not None and stream.is_full:
                    stream.detach()  # a slow client must not make the others wait
        return None

    def _answered(self, line: bytes, message: Message) -> EventStream | None:
        id_ = wire.twin(message.id) if isinstance(message.id, str) else message.id
        route = self._routes.pop(id_, None) if isinstance(id_, int) else None
        if route is None:
            return None  # cancelled, or never asked
        if route.method == "initialize" and self._initializing is not None and not self._initializing.done():
            if message.error is None:
                self._initializing.set_result(line)
            else:
                self._initializing.cancel()
        if route.method == "tools/list" and self.on_tools is not None:
            self.on_tools(line)
        self._inspect_reply(route, line, message)
        if route.method == "subscriptions/listen" and isinstance(message.result, wire.Result) and message.result.meta:
            line = wire.RESULT_SUBSCRIPTION.replaced(line, route.raw_id) or line
        return self._reply(route, line, message)

    def _inspect_reply(self, route: _Route, line: bytes, message: Message) -> None:
        if route.instrumentation is not None:
            # Inspected after it was handed on: inspection must not delay it.
            self._loop.call_soon(route.instrumentation.from_response, line, route.member.status_of(message))

    def _reply(self, route: _Route, line: bytes, message: Message) -> EventStream | None:
        """Hand on a reply; `message` is what it says, with our id or the client's."""
        return route.member.reply(route.id, _changed(wire.ID, line, route.raw_id, message), message)

    def _related(self, place: Place, value: Id | None, line: bytes, *, token: bool = False) -> EventStream | None:
        route = self._routes.get(value) if isinstance(value, int) else None
        if route is None:
            return None  # its request was answered, or its client is gone
        if route.instrumentation is not None:
            self._loop.call_soon(route.instrumentation.from_server, line)
        theirs = route.raw_token if token else route.raw_id
        return route.member.related(route.id, line if theirs is None else _changed(place, line, theirs))

    def _asks(self, line: bytes, message: Message) -> EventStream | None:
        """A request of the server: for the client whose own has been open longest, or else the first that is there."""
        route = next((route for route in self._routes.values() if not route.cancelled), None)
        member = route.member if route is not None else next(iter(self._members), None)
        if not isinstance(message.id, int | float | str):
            return None
        if member is None or member not in self._members or not self.has_sessions:
            refusal = wire.error_reply(wire.INTERNAL_ERROR, "no client is there to be asked", message.id)
            self._in_background(self._send_or_forget(refusal + b"\n"))
            return None
        self._asked[message.id] = member
        self._loop.call_soon(self._members[member].from_server, line)
        return member.related(route.id, line) if route is not None else member.unrelated(line)

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    async def _send_or_forget(self, line: bytes) -> None:
        with suppress(OSError):  # the server has ended, so this no longer matters
            await self._connection.send(line)

    def _ended(self, reason: str) -> None:
        for instrumentation in set(self._members.values()):
            self._loop.call_soon(instrumentation.server_exited)
        if self._initializing is not None and not self._initializing.done():
            self._initializing.cancel()
        self._on_end(reason)


def _changed(place: Place, line: bytes, new: bytes, message: Message | None = None) -> bytes:
    """The line with one value replaced; unchanged where it says that already, or cannot be changed."""
    return place.replaced(line, new, message) or line
