"""One client session, blocking: connect, list, call, close. Every reply has a deadline, and every failure is one error.

Nothing a server does raises anything but `McpClientError`. Requests of the server are answered: `ping` with a result,
`elicitation/create` by asking the user where there is one to ask, everything else with an error.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

from thv.core.frozen import Frozen
from thv.mcp_client import SERVER_ENDED
from thv.mcp_client.protocol import (
    CLOSED_ITS_OUTPUT,
    METHOD_NOT_FOUND,
    JsonObject,
    JsonRpcError,
    McpClientError,
    ProtocolViolationError,
    Reply,
    ReplyTimeoutError,
    Request,
    ServerEndedError,
    ServerIdentity,
    checked_result,
    encode,
    negotiate,
    read_line,
    reply_ids,
    request_meta,
    request_number,
    shorten,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.mcp_client.process_connection import Connection

DISCOVER_TIMEOUT_S: Final = 5.0
"""Seconds for `server/discover` before `initialize` is sent, too: some older servers ignore what they do not know."""

STRAY_REPLY_GRACE_S: Final = 5.0
"""Seconds for the right reply once a wrong one came: an id never asked for, or a reply that cannot be read."""

IDLE_INTERVAL_S: Final = 0.5
"""Seconds between two calls of `on_wait`."""

MAX_PAGES: Final = 100
"""Pages of a list: a server whose pages never end must not keep anybody waiting for ever."""

MAX_INPUT_ROUNDS: Final = 10
"""Times that one call may ask for input (2026-07-28, multi round-trip requests); official clients have the same."""

PROGRESS_TOKEN: Final = 1
"""The progress token of a call: it has to differ from those of other open calls, and there are none."""

MAX_LINE_SHOWN: Final = 800
"""Bytes looked at for what an error message shows of a line."""

INPUT_RETRY_DELAY_S: Final = 0.1
"""Seconds before a call is repeated for a server that asked for time rather than input."""


class ToolList(Frozen):
    """The tools of a server, as it sent them.

    Attributes:
        tools: each a JSON object with a `name`.
        problem: why the list is not complete; None if it is.
    """

    tools: list[JsonObject]
    problem: str | None = None


class Callbacks(Frozen):
    """What a session tells its user, and asks them. All are optional.

    Attributes:
        on_notification: a notification came: its method and `params`.
        on_wait: nothing came for a while; the seconds since the request. Called every `IDLE_INTERVAL_S`.
        elicit: answers `elicitation/create`: its `params` become a result. Its time does not count against a deadline.
    """

    on_notification: Callable[[str, JsonObject], None] | None = None
    on_wait: Callable[[float], None] | None = None
    elicit: Callable[[JsonObject], JsonObject] | None = None


class ClientSession:
    """A session with one server.

    Used as a context manager it ends the server, at once if an error leaves the block or KeyboardInterrupt comes
    meanwhile.

    Args:
        start: starts the server. Called by `connect`; twice for a server that reads the first request and ends.
        timeout: seconds for each reply; None for as long as it takes.
        callbacks: what to tell the user.
    """

    def __init__(
        self, start: Callable[[], Connection], *, timeout: float | None, callbacks: Callbacks | None = None
    ) -> None:
        self._start = start
        self._connection: Connection | None = None
        self._timeout = timeout
        self._callbacks = callbacks or Callbacks()
        self._capabilities: JsonObject = {"elicitation": {"form": {}, "url": {}}} if self._callbacks.elicit else {}
        self._last_id = 0
        self._open: dict[int, str] = {}  # the method of each request that has no reply yet
        self._stray: McpClientError | None = None  # what a wrong reply means if the right one does not follow
        self._stray_at = 0.0
        self._printed = ""  # by the server since the request, without being a message: the first such line
        self._asked_s = 0.0  # seconds spent on asking the user
        self._has_heard = False
        self._has_notified = False  # an error without an id may be what the server says of a notification
        self._server_end: JsonObject = {}
        self.identity: ServerIdentity | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            self.close(at_once=error_type is not None)
        except KeyboardInterrupt:
            if error_type is None:  # else it is the second
                self.close(at_once=True)
            raise

    def connect(self, *, extra_s: float = 0.0, discover: bool = True) -> ServerIdentity:
        """Start the server, find the protocol revision and begin the session.

        A server that reads `server/discover` and ends without a word is started once more and asked by `initialize`:
        some older ones end when that is not the first request. One that ends without reading it just does not work, and
        is started once.

        Args:
            extra_s: seconds to wait on top of the timeout: for a server that has to be downloaded first.
            discover: begin with `server/discover`; else only the older era is tried.

        Raises:
            ThvError: the server cannot be started.
            McpClientError: it cannot be used.
        """
        self._connection = self._start()
        try:
            self.identity = self._negotiate(extra_s, discover=discover)
        except ServerEndedError as error:
            if self._has_heard or error.stays or not error.has_read or not discover:
                raise
            self.close(at_once=True)
            self._server_end = {}
            self._connection = self._start()
            self.identity = self._negotiate(extra_s, discover=False)
        if not self.identity.is_stateless:
            self._notify("notifications/initialized")
        return self.identity

    def request(self, method: str, params: JsonObject) -> Any:
        """Send a request; returns its `result`, whatever that is.

        Raises:
            McpClientError: it was answered with an error, or not at all.
        """
        assert self.identity is not None, "connect first"  # noqa: S101  a mistake of the caller
        if self.identity.is_stateless:
            meta = request_meta(self.identity.version, self._capabilities)
            params = {**params, "_meta": {**params.get("_meta", {}), **meta}}
        self._printed = ""
        number = self._send(Request(method, params))
        try:
            reply = self._await_reply(self._timeout)
        except BaseException:
            self._cancel(number)
            raise
        if reply is None:
            self._cancel(number)
            raise self._timed_out(self._timeout)
        if reply.error is not None:
            raise reply.error
        return reply.result

    def list_tools(self, *, until: str | None = None) -> ToolList:
        """The tools of the server, all pages of the list.

        Args:
            until: stop once a tool of this name was seen.

        Raises:
            McpClientError: the server does not say, or what it says is no list of tools.
        """
        tools: list[JsonObject] = []
        cursors: set[str] = set()
        params: JsonObject = {}
        for _ in range(MAX_PAGES):
            page = self.request("tools/list", params)
            found = page.get("tools") if isinstance(page, dict) else None
            if not isinstance(found, list) or not all(
                isinstance(tool, dict) and isinstance(tool.get("name"), str) for tool in found
            ):
                raise ProtocolViolationError(
                    f"the server's reply to tools/list is not a list of tools: {shorten(to_json(page))}"
                )
            tools += found
            cursor = page.get("nextCursor")
            if cursor is None or (until is not None and any(tool["name"] == until for tool in found)):
                return ToolList(tools)
            if not isinstance(cursor, str):
                return ToolList(
                    tools, f"the server's list of tools breaks off: {shorten(to_json(cursor))} is no cursor"
                )
            if cursor in cursors:
                return ToolList(tools, "the server's list of tools does not end: it gives the same cursor again")
            cursors.add(cursor)
            params = {"cursor": cursor}
        return ToolList(tools, f"the server's list of tools does not end: stopped after {MAX_PAGES} pages")

    def call_tool(self, name: str, arguments: JsonObject) -> JsonObject:
        """Call a tool; returns the `CallToolResult` as the server sent it, with a `content` list.

        Raises:
            McpClientError: it was answered with an error, with nothing usable, or not at all.
        """
        params: JsonObject = {"name": name, "arguments": arguments, "_meta": {"progressToken": PROGRESS_TOKEN}}
        for _ in range(MAX_INPUT_ROUNDS):
            result = self.request("tools/call", params)
            if not isinstance(result, dict):
                raise ProtocolViolationError(f"the server answered tools/call with {shorten(to_json(result))}")
            if result.get("resultType") != "input_required":
                return checked_result(result)
            params.update(self._requested_input(result))
        raise ProtocolViolationError(f"the server asked for input {MAX_INPUT_ROUNDS} times and did not finish the call")

    def close(self, *, at_once: bool = False) -> int | None:
        """End the session and the server; returns its exit code where there is one. May be called twice."""
        return self._connection.close(at_once=at_once) if self._connection is not None else None

    def _negotiate(self, extra_s: float, *, discover: bool) -> ServerIdentity:
        limit = None if self._timeout is None else self._timeout + extra_s
        started = time.monotonic()
        self._open.clear()
        negotiation = negotiate(self._capabilities, discover=discover)
        request = next(negotiation)
        try:
            while True:
                if request is not None:
                    self._send(request)
                is_probe = request is not None and request.method == "server/discover"
                left = None if limit is None else limit - (time.monotonic() - started)
                if is_probe:
                    left = DISCOVER_TIMEOUT_S if left is None else min(left, DISCOVER_TIMEOUT_S)
                request = negotiation.send(self._await_reply(left, is_probe=is_probe))
        except StopIteration as done:
            identity: ServerIdentity = done.value
        except ReplyTimeoutError:
            raise self._timed_out(limit) from None
        self._open.clear()  # `initialize` may still be answered
        return identity

    def _send(self, request: Request) -> int:
        self._last_id += 1
        self._open[self._last_id] = request.method
        self._write({"id": self._last_id, "method": request.method, "params": request.params})
        return self._last_id

    def _notify(self, method: str, **members: JsonObject) -> None:
        self._has_notified = True
        self._write({"method": method, **members})

    def _write(self, message: JsonObject) -> None:
        if self._connection is not None:
            self._connection.send(encode(message))

    def _cancel(self, number: int) -> None:
        if self._open.pop(number, None) is not None:
            params = {"requestId": number, "reason": "the client no longer waits"}
            self._notify("notifications/cancelled", params=params)

    def _await_reply(self, timeout: float | None, *, is_probe: bool = False) -> Reply | None:
        """The next reply to an open request; None if there was none in time.

        Args:
            timeout: seconds.
            is_probe: a stray reply is no reason to give up yet.
        """
        assert self._connection is not None, "connect first"  # noqa: S101  a mistake of the caller
        started = time.monotonic()
        self._forget_earlier_requests()
        while True:
            now = time.monotonic() - self._asked_s
            left = None if timeout is None else started + timeout - now
            if self._stray is not None and not is_probe:
                grace = self._stray_at + STRAY_REPLY_GRACE_S - time.monotonic()
                if grace <= 0:
                    raise self._stray
                left = grace if left is None else min(left, grace)
            if left is not None and left <= 0:
                return None
            try:
                line = self._connection.receive(IDLE_INTERVAL_S if left is None else min(left, IDLE_INTERVAL_S))
            except TimeoutError:
                if self._callbacks.on_wait is not None:
                    self._callbacks.on_wait(now - started)
                continue
            except ServerEndedError as error:
                raise self._stray or self._how_it_ended(error) from None
            reply = self._take(line)
            if reply is not None:
                return reply

    def _how_it_ended(self, error: ServerEndedError) -> ServerEndedError:
        """The error with what a relay of our own knows: its end is all that the connection sees."""
        if self._server_end.get("stays") is True:
            return ServerEndedError(CLOSED_ITS_OUTPUT, stays=True)
        error.has_read = self._server_end.get("hasRead", error.has_read) is True
        return error

    def _timed_out(self, limit: float | None) -> ReplyTimeoutError:
        hint = f"; on stdout, where only JSON-RPC belongs, it wrote: {self._printed}" if self._printed else ""
        return ReplyTimeoutError(f"the server did not answer within {limit:g} seconds{hint}")

    def _forget_earlier_requests(self) -> None:
        self._asked_s = 0.0
        self._stray = None

    def _take(self, line: bytes) -> Reply | None:
        messages = read_line(line)
        if messages is None:
            if any(request_number(number) in self._open for number in reply_ids(line)):
                raise ProtocolViolationError("the server's reply cannot be read: it nests too deeply, or is not JSON")
            start = shorten(line[:MAX_LINE_SHOWN].decode("utf-8", "replace"))
            self._suspect(ProtocolViolationError(f"the server sent JSON-RPC that cannot be read: {start}"))
            return None
        if not messages and not self._printed:
            self._printed = shorten(line[:MAX_LINE_SHOWN].decode("utf-8", "replace"))
        first: Reply | None = None
        for message in messages:
            if message.get("method") == SERVER_ENDED:
                params = message.get("params")
                self._server_end = params if isinstance(params, dict) else {}
                continue
            self._has_heard = True
            if isinstance(message.get("method"), str):
                self._answer_or_tell(message)
            elif "result" in message or "error" in message:
                first = first or self._match(message)
        return first

    def _match(self, message: JsonObject) -> Reply | None:
        number = request_number(message.get("id"))
        error = JsonRpcError(message["error"]) if message.get("error") is not None else None
        if error is not None and message.get("id") is None and len(self._open) == 1 and not self._has_notified:
            (number,) = self._open  # the only thing it can be about
        method = self._open.pop(number, None) if number is not None else None
        if method is not None:
            return Reply(method, None if error else message.get("result"), error)
        if number is None or not 0 < number <= self._last_id:  # else late: it was cancelled, or answered twice
            request_id = shorten(to_json(message.get("id")))
            unknown = ProtocolViolationError(f"the server answered a request that was never made: id {request_id}")
            self._suspect(error if error is not None and message.get("id") is None else unknown)
        return None

    def _suspect(self, problem: McpClientError) -> None:
        if self._stray is None:
            self._stray, self._stray_at = problem, time.monotonic()

    def _answer_or_tell(self, message: JsonObject) -> None:
        method = message["method"]
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if message.get("id") is None:
            if self._callbacks.on_notification is not None:
                self._callbacks.on_notification(method, params)
            return
        reply: JsonObject = {"id": message["id"]}
        try:
            reply["result"] = self._fulfil(method, params)
        except ProtocolViolationError as error:
            reply["error"] = {"code": METHOD_NOT_FOUND, "message": str(error)}
        self._write(reply)

    def _fulfil(self, method: str, params: JsonObject) -> JsonObject:
        """The result of a request of the server.

        Raises:
            ProtocolViolationError: this client never said that it could do that.
        """
        if method == "ping":
            return {}
        if method == "elicitation/create":
            if self._callbacks.elicit is None:
                return {"action": "decline"}
            started = time.monotonic()
            try:
                return self._callbacks.elicit(params)
            finally:
                self._asked_s += time.monotonic() - started
        raise ProtocolViolationError(f"the server asks for {shorten(method)}, which this client does not offer")

    def _requested_input(self, result: JsonObject) -> JsonObject:
        """The members of `params` that answer a result `input_required` (2026-07-28)."""
        requests = result.get("inputRequests")
        state = result.get("requestState")
        if state is not None and not isinstance(state, str):
            raise ProtocolViolationError(f"the server's requestState is no text: {shorten(to_json(state))}")
        if requests and not (
            isinstance(requests, dict)
            and all(isinstance(each, dict) and isinstance(each.get("method"), str) for each in requests.values())
        ):
            raise ProtocolViolationError(f"the server's inputRequests are no requests: {shorten(to_json(requests))}")
        if not requests and state is None:
            raise ProtocolViolationError("the server asks for input without saying which")
        answers: JsonObject = {}
        for key, request in (requests or {}).items():
            params = request.get("params")
            answers[key] = self._fulfil(request["method"], params if isinstance(params, dict) else {})
        if not answers:
            time.sleep(INPUT_RETRY_DELAY_S)
        members: JsonObject = {"inputResponses": answers} if answers else {}
        return members | ({"requestState": state} if isinstance(state, str) else {})
