"""Looks at one exchange of the reverse proxy, and shows its session's account what passes.

A request's messages are shown before its end is sent, a response's after they were handed on, whether it is JSON or an
event stream, compressed or not. What nobody will answer any more is shown as the error that the client sees. Looking
is bounded in memory; what is forwarded is not.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from msgspec import UnsetType

from thv.http import wire
from thv.http.proxy.body_reader import EVENT_STREAM, Body, Reply, media_type, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thv.http.proxy.body_reader import Headers
    from thv.http.proxy.proxy_sessions import Session, Sessions
    from thv.http.wire import Id, Message

SESSION_ID = b"mcp-session-id"

REPLY_COMES_ELSEWHERE = 202
"""The legacy transport accepts a request and answers it on its event stream."""

NOT_FOUND, FIRST_FAILURE = 404, 400

UNREACHABLE = -32000
"""The code of the proxy's own errors: the one that the SDKs use for a connection that is gone."""


class ExchangeInspector:
    """Looks at nothing: what is no MCP, and what could not be understood."""

    def request_data(self, data: bytes) -> None:
        """A piece of the request's body."""

    def request_end(self) -> None:
        """Its end; it is not sent yet."""

    def response(self, status: int, headers: Headers) -> None:
        """The head of the response; names are in lower case."""

    def response_data(self, data: bytes) -> None:
        """A piece of its body, handed on already."""

    def response_end(self) -> None:
        """The response is whole."""

    def broke(self, status: int) -> None:
        """The server gave no answer, or half of one; the client was told, by this status if no response had begun."""

    def client_left(self) -> None:
        """The client did not wait for the end."""

    def error_reply(self, _problem: str) -> bytes:
        """The body of the answer that the proxy gives in the server's place; empty if JSON is nothing for this one."""
        return b""


def watch_for(method: bytes, target: bytes, headers: Headers, sessions: Sessions) -> ExchangeInspector:
    """What looks at an exchange that begins with this request."""
    name = value_of(headers, SESSION_ID)
    if method == b"POST":
        return PostWatch(sessions, name, target, value_of(headers, b"content-encoding"))
    if method == b"GET":
        return StreamWatch(sessions, name, target)
    if method == b"DELETE" and name:
        return DeleteWatch(sessions, name)
    return ExchangeInspector()


class PostWatch(ExchangeInspector):
    """Looks at messages that a client posts, and at the replies to them."""

    def __init__(self, sessions: Sessions, name: str, target: bytes, coding: str) -> None:
        self._sessions = sessions
        self._name = name
        self._is_legacy = not name and sessions.known(legacy := _legacy_name(target))
        if self._is_legacy:
            self._name = legacy
        self._session: Session | None = None
        self._begins = False
        self._held: tuple[bytes, int] | None = None
        self._unnamed = True
        self._body = Body(coding)
        self._reply: Reply | None = None
        self._status = 0
        self._asked: list[Id] = []
        self._is_batch = False
        self._waiting: dict[Id, deque[str]] = {}

    def request_data(self, data: bytes) -> None:
        """Part of the messages."""
        self._body.feed(data)

    def request_end(self) -> None:
        """All of the messages."""
        line = self._body.line()
        if line is None:
            return
        self._is_batch = wire.is_batch(line)
        parts = (wire.split_batch(line) or []) if self._is_batch else [line]
        messages = [(part, message) for part in parts if (message := wire.read(part)) is not None]
        self._begins = not self._name and any(message.method == "initialize" for _, message in messages)
        if self._name:
            self._session = self._sessions.get(self._name)
        for part, message in messages:
            id_ = _id_of(message)
            if message.method is not None and id_ is not None:
                self._ask(part, id_)
            elif self._session is None and not self._begins:
                self._notify(part, message)
        if self._begins:
            self._held = line, time.perf_counter_ns()
        elif self._session is not None:
            self._session.account.from_client(line)

    def _open(self, name: str | None) -> None:
        """Open the account of the session that begins here, now that it is known what the session is called."""
        if self._held is not None and self._session is None:
            line, passed_at = self._held
            self._session = self._sessions.open(name)
            self._session.show_late(line, passed_at)

    def _notify(self, part: bytes, message: Message) -> None:
        common = self._sessions.common
        if message.method != "notifications/cancelled":
            common.account.from_client(wire.one_line(part.rstrip(b"\n")))
        elif message.params is not None and message.params.request_id is not None:
            common.cancelled_by_notification(message.params.request_id)

    def _ask(self, part: bytes, id_: Id) -> None:
        self._asked.append(id_)
        is_common = self._session is None and not self._begins
        name = self._sessions.common.begin(wire.one_line(part.rstrip(b"\n")), id_) if is_common else ""
        self._waiting.setdefault(id_, deque()).append(name)

    def response(self, status: int, headers: Headers) -> None:
        """How the server answers."""
        self._status = status
        self._reply = Reply.to(headers, self._show)
        name = value_of(headers, SESSION_ID) if status < FIRST_FAILURE else ""
        self._open(name or None)
        if self._begins and self._session is not None and name:
            self._unnamed = False
            self._sessions.add(name, self._session).exchanges += 1

    def response_data(self, data: bytes) -> None:
        """Part of the replies."""
        if self._reply is not None:
            self._reply.feed(data)

    def response_end(self) -> None:
        """All of them."""
        reply = self._reply
        if reply is not None:
            reply.end()
        if self._status >= FIRST_FAILURE:
            self._fail(for_good=True)
        elif reply is not None and not reply.is_readable:
            self._cancel()
        elif self._status != REPLY_COMES_ELSEWHERE and not self._is_legacy:
            self._fail(for_good=reply is None or not reply.is_resumable)
        self._leave()
        if self._status == NOT_FOUND and self._name:
            self._sessions.drop(self._name)

    def broke(self, status: int) -> None:
        """Nothing, or half of them."""
        self._status = self._status or status
        self._open(None)
        self._fail(for_good=self._reply is None or not self._reply.is_resumable)
        self._leave()

    def client_left(self) -> None:
        """Without a session nobody can ask for the reply again; with one, the session's end decides."""
        self._open(None)
        if self._session is None or self._begins:
            self._cancel()
        self._leave()

    def error_reply(self, problem: str) -> bytes:
        """One error for each request."""
        replies = [wire.error_reply(UNREACHABLE, problem, id_) for id_ in self._asked]
        if not replies:
            return wire.error_reply(UNREACHABLE, problem)
        return b"[%b]" % b",".join(replies) if self._is_batch else replies[0]

    def _show(self, line: bytes) -> None:
        for part in (wire.split_batch(line) or []) if wire.is_batch(line) else [line]:
            message = wire.read(part)
            if message is None:
                continue
            id_ = _id_of(message) if message.is_response else None
            names = self._waiting.get(id_) if id_ is not None else None
            name = names.popleft() if names else ""
            if id_ is not None and not names:
                self._waiting.pop(id_, None)
            if name and id_ is not None:
                self._sessions.common.reply(wire.one_line(part.rstrip(b"\n")), id_, name, self._status)
            elif self._session is None and not message.is_response:
                self._sessions.common.account.from_server(wire.one_line(part.rstrip(b"\n")))
        if self._session is not None:
            self._session.account.from_response(line, self._status)

    def _take_waiting(self) -> Iterator[tuple[Id, str]]:
        waiting, self._waiting = self._waiting, {}
        return ((id_, name) for id_, names in waiting.items() for name in names)

    def _fail(self, *, for_good: bool) -> None:
        session = self._session
        if session is None:
            for id_, name in self._take_waiting():
                self._sessions.common.fail(id_, name, self._status)
        else:
            ids = {id_ for id_, _ in self._take_waiting()}
            if for_good:
                session.fail(ids, self._status)
            else:
                session.unanswered |= ids

    def _cancel(self) -> None:
        for id_, name in self._take_waiting():
            if name:
                self._sessions.common.cancel(id_, name)
            elif self._session is not None:
                cancelled = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%b}}\n'
                self._session.account.from_client(cancelled % wire.encoded(id_))

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if self._begins and self._unnamed:
            session.account.abandon()  # answered without a session: there is nothing more to it
        else:
            self._sessions.leave(session)


class StreamWatch(ExchangeInspector):
    """Looks at the event stream of a session: streamable HTTP's, a resumed one, or that of the legacy transport."""

    def __init__(self, sessions: Sessions, name: str, target: bytes) -> None:
        self._sessions = sessions
        self._name = name
        self._target = target
        self._is_legacy = not name
        self._session: Session | None = sessions.get(name) if name and sessions.known(name) else None
        self._reply: Reply | None = None
        self._status = 0
        self._failed = False

    def response(self, status: int, headers: Headers) -> None:
        """How the server answers."""
        self._status = status
        if status < FIRST_FAILURE and media_type(headers) == EVENT_STREAM:
            self._reply = Reply.to(headers, self._show, self._show_endpoint if self._is_legacy else None)
            if self._name and self._session is None:
                self._session = self._sessions.get(self._name)
        self._failed = status >= FIRST_FAILURE

    def response_data(self, data: bytes) -> None:
        """Part of the stream."""
        if self._reply is not None:
            self._reply.feed(data)

    def response_end(self) -> None:
        """The server closed it."""
        self._end(by_server=True)

    def broke(self, status: int) -> None:
        """The server is gone, or was not there."""
        self._status = self._status or status
        self._failed = self._failed or self._reply is None
        self._end(by_server=True)

    def client_left(self) -> None:
        """The client closed it."""
        self._end(by_server=False)

    def _show(self, line: bytes) -> None:
        if self._session is not None:
            for part in (wire.split_batch(line) or []) if wire.is_batch(line) else [line]:
                message = wire.read(part)
                id_ = _id_of(message) if message is not None and message.is_response else None
                if id_ is not None:
                    self._session.unanswered.discard(id_)
            self._session.account.from_response(line, self._status)

    def _show_endpoint(self, data: bytes) -> None:
        if self._session is None:
            where = urljoin(self._target.decode("latin-1"), data.decode("utf-8", "replace").strip())
            self._name = _legacy_name(where.encode())
            self._sessions.add(self._name, self._sessions.open(None))
            self._session = self._sessions.get(self._name)

    def _end(self, *, by_server: bool) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if self._failed:  # it cannot be resumed
            session.fail(session.unanswered, self._status)
            session.unanswered = set()
        self._sessions.leave(session)
        if self._is_legacy and by_server:
            self._sessions.server_left(self._name)
        elif self._is_legacy:
            self._sessions.drop(self._name)


class DeleteWatch(ExchangeInspector):
    """Looks whether a session ends."""

    def __init__(self, sessions: Sessions, name: str) -> None:
        self._sessions = sessions
        self._name = name
        self._is_over = False

    def response(self, status: int, headers: Headers) -> None:  # noqa: ARG002  the signature is Watch's
        """How the server answers."""
        self._is_over = status < FIRST_FAILURE or status == NOT_FOUND

    def response_end(self) -> None:
        """The session is over, if the server agreed."""
        if self._is_over:
            self._sessions.drop(self._name)


def _id_of(message: Message) -> Id | None:
    return None if isinstance(message.id, UnsetType) else message.id


def _legacy_name(target: bytes | str) -> str:
    """What a session of the legacy transport goes by: where its messages are posted to. No session id holds a blank."""
    parts = urlsplit(target if isinstance(target, str) else target.decode("latin-1"))
    return f"POST {parts.path}?{parts.query}"
