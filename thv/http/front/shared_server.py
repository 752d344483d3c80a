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
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from thv.core.jsonrpc import INTERNAL_ERROR, cancellation, error_reply
from thv.core.message import read_message, twin
from thv.core.splice import CANCELLED_ID, ID, PROGRESS_TOKEN, REQUEST_TOKEN, RESULT_SUBSCRIPTION, SUBSCRIPTION
from thv.http.front.backend_connection import BackendConnection, name_request
from thv.http.front.shared_client import Membership, RequestRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from thv.core.interfaces import SessionInstrumentation
    from thv.core.message import Id, Message
    from thv.core.splice import Member as MessageMember
    from thv.http.front.backend_connection import StoppableBackend
    from thv.http.front.event_store import EventStream
    from thv.http.front.inspection_queue import InspectionQueue
    from thv.http.front.shared_client import SharedClient
    from thv.http.server.handler_runner import Work

FIRST_ID = 1 << 40
"""Our ids begin where no client's counter is, so that one is never taken for the other."""

_ids = itertools.count(FIRST_ID + (secrets.randbits(32) << 20))
"""One sequence for all, since several may lead to one process; begun anywhere, since a process may outlive us and still
answer the clients that were here before. Below 2**53: JSON's numbers are exact up to there."""

ROUTE_GRACE_S = 5.0
"""How long a reply to a cancelled request is still recognised: longer than its client is made to wait for one."""


class SharedServer:
    """A running server that several members use.

    Args:
        backend: how it is reached.
        inspections: where its lines wait to be inspected.
        has_sessions: clients begin with `initialize`; the first one's is passed on, the others get its result.
        on_end: called with the reason if the server ended while it was needed.
        warn: called with lines for the user.

    Attributes:
        on_tools: called with each reply to `tools/list`, and with None when the tools have changed.
    """

    def __init__(
        self,
        backend: StoppableBackend,
        inspections: InspectionQueue,
        *,
        has_sessions: bool,
        on_end: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._connection = BackendConnection(backend, self._deliver, self._ended, write_timeout=0, warn=warn)
        self._inspections = inspections
        self._loop = asyncio.get_running_loop()
        self.has_sessions = has_sessions
        self.on_tools: Callable[[Message | None], None] | None = None
        self._on_end = on_end
        self._members: dict[SharedClient, Membership] = {}
        self._routes: dict[int, RequestRoute] = {}
        self._asked: dict[Id, SharedClient] = {}
        self._initializing: asyncio.Future[bytes] | None = None
        self._is_initialized = False
        self._background_tasks: set[asyncio.Task[None]] = set()
        self.last_used = self._loop.time()

    def members(self) -> list[SharedClient]:
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
        for instrumentation in self._instrumentations():
            instrumentation.close()
        await self._connection.close(hurry=hurry)

    def join(self, member: SharedClient, instrumentation: SessionInstrumentation, *, scope: Hashable = None) -> None:
        """A client comes.

        Args:
            member: the client.
            instrumentation: passed all its messages, as the client has them: with its own ids.
            scope: tells its ids from those of other clients with the same instrumentation.
        """
        self._members[member] = Membership(instrumentation, scope)

    def call(
        self,
        member: SharedClient,
        instrumentation: SessionInstrumentation,
        line: bytes,
        message: Message,
        *,
        scope: Hashable,
    ) -> Work | None:
        """A client comes with its first message, a request: what `join` and `send` would do.

        Raises:
            OSError: the server has ended.
        """
        membership = self._members[member] = Membership(instrumentation, scope)
        return self._send_request(member, line, message, membership)

    def leave_answered(self, member: SharedClient) -> bool:
        """A client goes that waits for nothing any more; False, and nothing happens, if it does wait."""
        membership = self._members.get(member)
        if membership is None:
            return True
        if membership.open or self._asked:
            return False
        del self._members[member]
        self.last_used = self._loop.time()
        return True

    async def leave(self, member: SharedClient) -> None:
        """A client goes: its open requests are cancelled."""
        membership = self._members.pop(member, None)
        self.last_used = self._loop.time()
        for question in [id_ for id_, asked in self._asked.items() if asked is member]:
            del self._asked[question]
            await self._send_or_forget(error_reply(INTERNAL_ERROR, "the client left", question) + b"\n")
        for ours in list(membership.open) if membership is not None else []:
            await self._cancel(ours, membership)

    async def withdraw(self, member: SharedClient) -> None:
        """Cancel thv's own requests."""
        for ours in [ours for ours, route in self._routes.items() if route.member is member]:
            await self._cancel(ours, None)

    async def _cancel(self, ours: int, membership: Membership | None) -> None:
        route = self._routes.get(ours)
        initializing = self._initializing
        if route is None:
            return
        if route.method == "initialize" and initializing is not None and not initializing.done():
            return  # other clients wait for the answer
        del self._routes[ours]
        if membership is not None:
            membership.open.discard(ours)
            membership.instrumentation.on_request_cancelled(route.id, scope=membership.scope)
        await self._send_or_forget(cancellation(ours))

    def send(self, member: SharedClient, line: bytes, message: Message) -> Work | None:
        """Hand on one line of a client; returns what is left to do, if the server does not take it at once.

        Raises:
            OSError: the server has ended.
        """
        membership = self._members[member]
        if message.is_request:
            return self._send_request(member, line, message, membership)
        if message.is_response:
            question = message.key
            if question is not None and self._asked.get(question) is not member:
                question = twin(question)
            if question is None or self._asked.get(question) is not member:
                return None
            del self._asked[question]
        elif message.method == "notifications/cancelled" and message.params is not None:
            return self._send_cancellation(membership, line, message)
        elif message.method == "notifications/initialized":
            if self._is_initialized:
                return None
            self._is_initialized = True
        return self._connection.send(_inspected(membership, line, message))

    def _send_cancellation(self, membership: Membership, line: bytes, message: Message) -> Work | None:
        theirs = None if message.params is None else message.params.request_id
        for ours in sorted(membership.open):
            route = self._routes[ours]
            if route.id == theirs and not route.cancelled:
                route.cancelled = True
                self._loop.call_later(ROUTE_GRACE_S, self._forget, ours)
                line = _inspected(membership, line, message)
                return self._connection.send(CANCELLED_ID.replaced(line, b"%d" % ours, message))
        return None

    async def ask(self, member: SharedClient, line: bytes, message: Message) -> None:
        """Send a request of thv's own, which is not instrumented; `withdraw` cancels it.

        Raises:
            OSError: the server has ended.
        """
        ours = next(_ids)
        self._routes[ours] = route = RequestRoute(member, message, None)
        rest = self._connection.send(route.renamed(line, b"%d" % ours, message))
        if rest is not None:
            await rest

    def _send_request(self, member: SharedClient, line: bytes, message: Message, membership: Membership) -> Work | None:
        ours = next(_ids)
        route = RequestRoute(member, message, membership)
        line = _inspected(membership, line, message)
        if message.method == "initialize" and self.has_sessions:
            initializing = self._initializing
            if initializing is not None and not (initializing.done() and initializing.cancelled()):
                route.raw_id = ID.raw(line, message) or b"null"
                self._in_background(self._initialize_again(route, initializing))
                return None
            self._initializing = self._loop.create_future()
        new = b"%d" % ours
        line = route.renamed(line, new, message)
        if route.raw_token is not None:
            line = REQUEST_TOKEN.replaced(line, new, message)
        self._routes[ours] = route
        membership.open.add(ours)
        return self._connection.send(line)

    async def _initialize_again(self, route: RequestRoute, initializing: asyncio.Future[bytes]) -> None:
        """Answer another client's `initialize` as the first one was answered."""
        try:
            answer = await asyncio.shield(initializing)
        except asyncio.CancelledError:
            if not initializing.cancelled():
                raise
            if route.member not in self._members:
                return
            answer = error_reply(INTERNAL_ERROR, "the server refused the first client; try again", 0) + b"\n"
        message = read_message(answer)
        if message is not None:
            self._reply(route, answer, message)

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
            return self._related(PROGRESS_TOKEN, params.progress_token, line, message, is_token=True)
        if params is not None and message.method == "notifications/cancelled" and self._route(params.request_id):
            return self._related(CANCELLED_ID, params.request_id, line, message)
        if message.method == "notifications/tools/list_changed" and self.on_tools is not None:
            self.on_tools(None)
        if message.meta is not None and message.meta.subscription is not None:
            return self._related(SUBSCRIPTION, message.meta.subscription, line, message)
        if self.has_sessions or len(self._members) == 1:
            for member, membership in list(self._members.items()):
                self._inspect(membership, line, message)
                stream = member.unrelated(line)
                if stream is not None and stream.is_full:
                    stream.detach()  # a slow client must not make the others wait
        return None

    def _answered(self, line: bytes, message: Message) -> EventStream | None:
        if message.key is None and len(self._routes) == 1:
            line, message = name_request(line, message, next(iter(self._routes)))
        ours = _ours(message.key)
        route = None if ours is None else self._forget(ours)
        if route is None:
            return None  # cancelled, or never asked
        if route.method == "initialize" and self._initializing is not None and not self._initializing.done():
            if message.error is None:
                self._initializing.set_result(line)
            else:
                self._initializing.cancel()
        if route.method == "tools/list" and self.on_tools is not None:
            self.on_tools(message)
        return self._reply(route, line, message)

    def _forget(self, ours: int) -> RequestRoute | None:
        route = self._routes.pop(ours, None)
        if route is not None and route.membership is not None:
            route.membership.open.discard(ours)
        return route

    def _reply(self, route: RequestRoute, line: bytes, message: Message) -> EventStream | None:
        """Hand on a reply as the client has to see it: with its own id."""
        result = None if message.result is UNSET else message.result
        if route.method == "subscriptions/listen" and result is not None and result.meta is not None:
            line = RESULT_SUBSCRIPTION.replaced(line, route.raw_id, message)
        line, _ = ID.exchanged(line, route.raw_id, message, trusted=True)
        message = replace(message, id=route.id)
        if route.membership is not None:
            self._inspect(route.membership, line, message, http_status=route.member.status_of(message))
        return route.member.reply(route.id, line, message)

    def _route(self, value: Id | None) -> RequestRoute | None:
        ours = _ours(value)
        return None if ours is None else self._routes.get(ours)

    def _inspect(
        self, membership: Membership, line: bytes, message: Message, *, http_status: int | None = None
    ) -> None:
        self._inspections.add(membership.instrumentation, line, message, membership.scope, http_status)

    def _related(
        self, place: MessageMember, value: Id | None, line: bytes, message: Message, *, is_token: bool = False
    ) -> EventStream | None:
        route = self._route(value)
        if route is None:
            return None  # its request was answered, or its client is gone
        theirs = route.raw_token if is_token else route.raw_id
        if theirs is not None:
            line = place.replaced(line, theirs, message)
        if route.membership is not None:
            self._inspect(route.membership, line, message)
        return route.member.related(route.id, line)

    def _asks(self, line: bytes, message: Message) -> EventStream | None:
        """A request of the server: for the client whose own has been open longest, or else the first that is there."""
        open_routes = (route for route in self._routes.values() if not route.cancelled and route.membership is not None)
        route = next(open_routes, None)
        member = route.member if route is not None else next(iter(self._members), None)
        question = message.key
        if question is None:
            return None
        membership = None if member is None else self._members.get(member)
        if member is None or membership is None or not self.has_sessions:
            refusal = error_reply(INTERNAL_ERROR, "no client is there to be asked", question)
            self._in_background(self._send_or_forget(refusal + b"\n"))
            return None
        self._asked[question] = member
        self._inspect(membership, line, message)
        return member.related(route.id, line) if route is not None else member.unrelated(line)

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

    async def _send_or_forget(self, line: bytes) -> None:
        with suppress(OSError):  # the server has ended, so this no longer matters
            rest = self._connection.send(line)
            if rest is not None:
                await rest

    def _instrumentations(self) -> set[SessionInstrumentation]:
        return {membership.instrumentation for membership in self._members.values()}

    def _ended(self, reason: str) -> None:
        for instrumentation in self._instrumentations():
            self._loop.call_soon(instrumentation.server_exited)
        if self._initializing is not None and not self._initializing.done():
            self._initializing.cancel()
        self._on_end(reason)


def _ours(value: Id | None) -> int | None:
    """The id of ours that a server means, which may write it as a string or with a fraction; None if it is none."""
    if isinstance(value, str):
        value = twin(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def _inspected(membership: Membership, line: bytes, message: Message) -> bytes:
    """The line as it is to be forwarded."""
    return membership.instrumentation.on_client_message(line, message, scope=membership.scope)
