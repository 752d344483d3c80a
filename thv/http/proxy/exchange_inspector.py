"""Inspects one exchange of the reverse proxy, and passes its session's instrumentation what it reads.

A request's messages are passed on before its end is sent, a response's after they were forwarded, whether they come as
JSON or as an event stream, compressed or not. A request that will not be answered counts as the error that the client
sees. Inspection is bounded in memory; what is forwarded is not. Each message is decoded once.
"""

from __future__ import annotations

import time
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from thv.core.jsonrpc import CONNECTION_CLOSED, error_reply
from thv.core.message import read_parts
from thv.http.proxy.body_reader import EVENT_STREAM, Body, ReplyReader, media_type

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextvars import Context

    from thv.core.message import Id, Message
    from thv.http.proxy.body_reader import Headers
    from thv.http.proxy.proxy_sessions import ProxySession, Sessions
    from thv.http.server.request import HttpRequest

SESSION_ID = b"mcp-session-id"

REPLY_COMES_ELSEWHERE = 202
"""The legacy transport accepts a request and answers it on its event stream."""

NOT_FOUND, FIRST_FAILURE = 404, 400


class ExchangeInspector:
    """Inspects nothing: what is no MCP, and what could not be understood."""

    def request_data(self, data: bytes) -> None:
        """A piece of the request's body."""

    def request_end(self, data: bytes) -> None:
        """Its last piece; it is not sent yet."""

    def response(self, status: int, headers: Headers) -> None:
        """The head of the response; names are in lower case."""

    def response_data(self, data: Sequence[bytes]) -> None:
        """Pieces of its body, forwarded already."""

    def response_end(self, data: Sequence[bytes]) -> None:
        """Its last pieces, forwarded already: it is whole."""

    def broke(self, status: int) -> None:
        """The server gave no answer, or half of one; the client got this status if no response had begun."""

    def client_left(self) -> None:
        """The client did not wait for the end."""

    def error_reply(self, _problem: str) -> bytes:
        """The body of the answer that the proxy gives in the server's place; empty if JSON is nothing for this one."""
        return b""


def inspector_for(request: HttpRequest, sessions: Sessions) -> ExchangeInspector:
    """What inspects the exchange that begins with this request."""
    name = request.headers.get(SESSION_ID, b"").decode("latin-1")
    if request.method == "POST":
        coding = request.headers.get(b"content-encoding", b"").lower()
        return PostInspector(sessions, name or _legacy_name(_target(request)), coding, is_named=bool(name))
    if request.method == "GET":
        return StreamInspector(sessions, name, _target(request))
    if request.method == "DELETE" and name:
        return DeleteInspector(sessions, name)
    return ExchangeInspector()


def _target(request: HttpRequest) -> bytes:
    return request.path + (b"?" + request.query if request.query else b"")


class PostInspector(ExchangeInspector):
    """Inspects messages that a client posts, and the replies to them."""

    def __init__(self, sessions: Sessions, name: str, coding: bytes, *, is_named: bool) -> None:
        self._sessions = sessions
        self._is_legacy = not is_named and sessions.known(name)
        self._name = name if is_named or self._is_legacy else ""
        self._session: ProxySession | None = None
        self._begins = False
        self._held: tuple[list[tuple[bytes, Message]], int, Context] | None = None
        self._is_unnamed = True
        self._body = Body(coding)
        self._reply: ReplyReader | None = None
        self._status = 0
        self._asked: list[Id] = []
        self._is_batch = False
        self._unanswered: list[Id] = []

    def request_data(self, data: bytes) -> None:
        """Part of the messages."""
        self._body.feed(data)

    def request_end(self, data: bytes) -> None:
        """All of the messages."""
        if data:
            self._body.feed(data)
        line = self._body.line()
        if line is None:
            return
        parts = read_parts(line)
        self._is_batch = len(parts) != 1 or parts[0][0] is not line
        self._begins = not self._name and any(message.method == "initialize" for _, message in parts)
        self._asked = [id_ for _, message in parts if message.is_request and (id_ := message.key) is not None]
        self._unanswered = list(self._asked)
        if self._begins:
            self._held = parts, time.perf_counter_ns(), copy_context()
        elif self._name:
            session = self._session = self._sessions.get(self._name)
            for part, message in parts:
                session.instrumentation.on_client_message(part, message)
        else:
            for part, message in parts:
                self._sessions.sessionless.on_client_message(part, message, exchange=self)

    def _open(self, name: str | None) -> None:
        """Begin the session, now that it is known what it is called."""
        if self._held is not None and self._session is None:
            parts, at_ns, context = self._held
            self._session = self._sessions.open(name)
            # This runs in the context of the request that opened the connection to the target.
            tell = partial(self._session.instrumentation.on_client_message, at_ns=at_ns)
            for part, message in parts:
                context.run(tell, part, message)

    def response(self, status: int, headers: Headers) -> None:
        """How the server answers."""
        self._status = status
        self._reply = ReplyReader.to(headers, self._on_line)
        if not self._begins:
            return
        name = headers.get(SESSION_ID, b"").decode("latin-1") if status < FIRST_FAILURE else ""
        self._open(name or None)
        if self._session is not None and name:
            self._is_unnamed = False
            self._sessions.add(name, self._session).exchanges += 1

    def response_data(self, data: Sequence[bytes]) -> None:
        """Part of the replies."""
        if self._reply is not None:
            for piece in data:
                self._reply.feed(piece)

    def response_end(self, data: Sequence[bytes]) -> None:
        """All of them."""
        reply = self._reply
        if reply is not None:
            for piece in data:
                reply.feed(piece)
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
        """Without a session the reply cannot be asked for again; with one, the session's end decides."""
        self._open(None)
        if self._session is None or self._begins:
            self._cancel()
        self._leave()

    def error_reply(self, problem: str) -> bytes:
        """One error for each request."""
        replies = [error_reply(CONNECTION_CLOSED, problem, id_) for id_ in self._asked]
        if not replies:
            return error_reply(CONNECTION_CLOSED, problem)
        return b"[%b]" % b",".join(replies) if self._is_batch else replies[0]

    def _on_line(self, line: bytes) -> None:
        session = self._session
        for part, message in read_parts(line):
            if self._status >= FIRST_FAILURE and message.is_response and message.error is None:
                continue  # no client takes a result from an HTTP error
            if self._unanswered and message.is_response and (id_ := message.key) in self._unanswered:
                self._unanswered.remove(id_)
            if session is not None:
                session.instrumentation.on_server_message(part, message, http_status=self._status)
            else:
                self._sessions.sessionless.on_server_message(part, message, exchange=self, http_status=self._status)

    def _take_unanswered(self) -> list[Id]:
        unanswered, self._unanswered = self._unanswered, []
        return unanswered

    def _fail(self, *, for_good: bool) -> None:
        if not self._unanswered:
            return
        session, ids = self._session, self._take_unanswered()
        if session is None:
            for id_ in ids:
                self._sessions.sessionless.on_request_failed(id_, exchange=self, http_status=self._status)
        elif for_good:
            session.fail(ids, self._status)
        else:
            session.unanswered.update(ids)

    def _cancel(self) -> None:
        for id_ in self._take_unanswered():
            if self._session is not None:
                self._session.instrumentation.on_request_cancelled(id_)
            else:
                self._sessions.sessionless.on_request_cancelled(id_, exchange=self)

    def _leave(self) -> None:
        session, self._session = self._session, None
        self._reply = None  # they know each other: what is left would wait for the garbage collector
        if session is None:
            self._sessions.leave_sessionless(self, self._asked)
        elif self._begins and self._is_unnamed:
            session.instrumentation.close()  # answered without a session: there is nothing more to it
        else:
            self._sessions.leave(session)


class StreamInspector(ExchangeInspector):
    """Inspects the event stream of a session: streamable HTTP's, a resumed one, or that of the legacy transport."""

    def __init__(self, sessions: Sessions, name: str, target: bytes) -> None:
        self._sessions = sessions
        self._name = name
        self._target = target
        self._is_legacy = not name
        self._session: ProxySession | None = sessions.get(name) if name and sessions.known(name) else None
        self._reply: ReplyReader | None = None
        self._status = 0
        self._failed = False

    def response(self, status: int, headers: Headers) -> None:
        """How the server answers."""
        self._status = status
        if status < FIRST_FAILURE and media_type(headers) == EVENT_STREAM:
            self._reply = ReplyReader.to(headers, self._on_line, self._on_endpoint if self._is_legacy else None)
            if self._name and self._session is None:
                self._session = self._sessions.get(self._name)
        self._failed = status >= FIRST_FAILURE

    def response_data(self, data: Sequence[bytes]) -> None:
        """Part of the stream."""
        if self._reply is not None:
            for piece in data:
                self._reply.feed(piece)

    def response_end(self, data: Sequence[bytes]) -> None:
        """The server closed it."""
        self.response_data(data)
        self._end(by_server=True)

    def broke(self, status: int) -> None:
        """The server is gone, or was not there."""
        self._status = self._status or status
        self._failed = self._failed or self._reply is None
        self._end(by_server=True)

    def client_left(self) -> None:
        """The client closed it."""
        self._end(by_server=False)

    def _on_line(self, line: bytes) -> None:
        session = self._session
        if session is not None:
            for part, message in read_parts(line):
                if message.is_response and message.key is not None:
                    session.unanswered.discard(message.key)
                session.instrumentation.on_server_message(part, message, http_status=self._status)

    def _on_endpoint(self, data: bytes) -> None:
        if self._session is None:
            where = urljoin(self._target.decode("latin-1"), data.decode("utf-8", "replace").strip())
            self._name = _legacy_name(where.encode())
            self._sessions.add(self._name, self._sessions.open(None))
            self._session = self._sessions.get(self._name)

    def _end(self, *, by_server: bool) -> None:
        session, self._session = self._session, None
        self._reply = None  # as above
        if session is None:
            return
        if self._failed:  # it cannot be resumed
            session.fail(list(session.unanswered), self._status)
            session.unanswered.clear()
        self._sessions.leave(session)
        if self._is_legacy and by_server:
            self._sessions.server_left(self._name)
        elif self._is_legacy:
            self._sessions.drop(self._name)


class DeleteInspector(ExchangeInspector):
    """Notices whether a session ends."""

    def __init__(self, sessions: Sessions, name: str) -> None:
        self._sessions = sessions
        self._name = name
        self._is_over = False

    def response(self, status: int, headers: Headers) -> None:  # noqa: ARG002  the base class has it
        """How the server answers."""
        self._is_over = status < FIRST_FAILURE or status == NOT_FOUND

    def response_end(self, data: Sequence[bytes]) -> None:  # noqa: ARG002  as above
        """The session is over, if the server agreed."""
        if self._is_over:
            self._sessions.drop(self._name)


def _legacy_name(target: bytes | str) -> str:
    """What a session of the legacy transport goes by: where its messages are posted to. No session id holds a blank."""
    parts = urlsplit(target if isinstance(target, str) else target.decode("latin-1"))
    return f"POST {parts.path}?{parts.query}"
