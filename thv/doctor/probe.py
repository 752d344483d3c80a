"""Starts one server as its client would, asks it for its tools, ends it again, and says what came.

Promises: never waits longer than it is given, leaves no process behind, keeps the server's stderr from ours.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from thv.core.jsonrpc import METHOD_NOT_FOUND
from thv.core.printable import one_line
from thv.doctor.findings import StartResult
from thv.errors import ThvError
from thv.mcp_client.process_connection import ProcessConnection
from thv.mcp_client.protocol import (
    JsonRpcError,
    McpClientError,
    Reply,
    ServerEndedError,
    encode,
    negotiate,
    read_line,
    request_meta,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thv.mcp_client.protocol import Request, ServerIdentity

STDERR_LINES: Final = 8
"""How much of the server's last words is shown: a traceback ends with what matters."""

_STACK_FRAME: Final = re.compile(rb"\s+at .*(?:\)|:\d+)(?: \{)?\s*$")
"""A line of a stack trace as Node.js writes it: below its error, which it would push out of the last words."""

SHOWN: Final = 160
"""Characters of one line of a server that are shown."""

MAX_LINE: Final = 16 << 20
"""Bytes of one line; a list of tools is far smaller."""

MAX_PAGES: Final = 100
"""Pages of a list of tools before it is taken to have no end."""

LAST_WORDS_S: Final = 5.0
"""Seconds for the last words of a server that has ended: something that left its group may still hold its stderr."""

LOOK_S: Final = 0.1
"""Seconds between two looks at whether the user still wants an answer."""

_starting: Final = threading.Lock()
"""Held while a server is started: that changes the working directory for a moment."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server: the command line, its whole environment and the folder."""

    argv: tuple[str, ...]
    executable: str
    env: Mapping[str, str]
    cwd: str


def probe(launch: Launch, timeout: float, stop: threading.Event) -> StartResult:
    """Start a server, ask it, and end it.

    Args:
        launch: how.
        timeout: seconds for the whole of it.
        stop: once another thread sets it, the server is ended, and what is returned says nothing.
    """
    started = time.monotonic()
    try:
        server = _Server(launch, started + timeout, stop)
    except (ThvError, ValueError) as error:  # the latter: a word or a variable that no system can pass on
        return StartResult(is_ready=False, seconds=0.0, problem=f"it cannot be started: {error}")
    tools: int | None = None
    exit_code: int | None = None
    problem = ""
    is_late = False
    try:
        tools = server.count_tools()
    except TimeoutError:
        is_late = True
        problem = f"no answer within {timeout:g} seconds"
    except ServerEndedError as error:
        problem = "it closed its output before it answered" if error.stays else "it ended before it answered"
        exit_code = None if error.stays else server.exit_code()
    except McpClientError as error:
        problem = str(error)
    seconds = time.monotonic() - started
    server.end(at_once=is_late)
    return StartResult(
        is_ready=not problem,
        seconds=seconds,
        tools=tools,
        problem=problem,
        exit_code=exit_code,
        stderr=tuple(server.last_words),
        stray=server.stray,
    )


class _Server:
    """One running server, and the thread that reads its stderr."""

    def __init__(self, launch: Launch, deadline: float, stop: threading.Event) -> None:
        self._deadline = deadline
        self._stop = stop
        stderr, child_stderr = os.pipe()
        try:
            with _starting:
                self._connection = ProcessConnection(
                    launch.executable, launch.argv, launch.env, launch.cwd, child_stderr
                )
        except BaseException:
            os.close(stderr)
            raise
        finally:
            os.close(child_stderr)
        self._is_over = threading.Event()
        self.last_words: deque[str] = deque(maxlen=STDERR_LINES)
        self.stray: str | None = None
        self._last_id = 0
        self._has_notified = False
        self._thread = threading.Thread(target=self._read_stderr, args=[stderr], daemon=True)
        self._thread.start()

    def count_tools(self) -> int:
        """Initialize a session and count the tools.

        Raises:
            TimeoutError: it did not answer in time, or the user wants no answer any more.
            ServerEndedError: it ended, or closed its output.
            McpClientError: it answered with an error, or with nothing that makes sense.
        """
        try:
            identity = self._initialize(discover=False)
        except JsonRpcError:  # a server of the newer era alone
            identity = self._initialize(discover=True)
        if not identity.is_stateless:
            self._has_notified = True
            self._send({"method": "notifications/initialized"})
        meta = {"_meta": request_meta(identity.version, {})} if identity.is_stateless else {}
        count = 0
        cursor: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            reply = self._ask("tools/list", {**cursor, **meta})
            if reply.error is not None:
                if reply.error.code == METHOD_NOT_FOUND and "tools" not in identity.capabilities:
                    return 0
                raise reply.error
            result = reply.result if isinstance(reply.result, dict) else {}
            tools = result.get("tools")
            if not isinstance(tools, list):
                raise McpClientError("its answer to tools/list is no list of tools")
            count += len(tools)
            if not isinstance(result.get("nextCursor"), str):
                break
            cursor = {"cursor": result["nextCursor"]}
        return count

    def exit_code(self) -> int | None:
        """The exit code of a server that has ended; minus N if signal N ended it."""
        code = self._connection.close()
        if code is not None and sys.platform != "win32" and code - 128 in signal.valid_signals():
            return 128 - code
        return code

    def end(self, *, at_once: bool) -> None:
        """End the server and all that it started; one that does not answer is not given time to end by itself."""
        self._connection.close(at_once=at_once, hurry=self._stop)
        self._thread.join(LAST_WORDS_S)
        self._is_over.set()

    def _initialize(self, *, discover: bool) -> ServerIdentity:
        negotiation = negotiate({}, discover=discover)
        request: Request | None = next(negotiation)
        while True:
            try:
                reply = None if request is None else self._ask(request.method, request.params)
                request = negotiation.send(reply)
            except StopIteration as done:
                identity: ServerIdentity = done.value
                return identity

    def _ask(self, method: str, params: Mapping[str, Any]) -> Reply:
        self._last_id += 1
        self._send({"id": self._last_id, "method": method, "params": dict(params)})
        while True:
            for message in self._next_messages():
                if "method" in message:
                    self._refuse(message)
                elif str(message.get("id")) == str(self._last_id) or self._is_about_the_request(message):
                    error = JsonRpcError(message["error"]) if message.get("error") is not None else None
                    return Reply(method, None if error else message.get("result"), error)

    def _is_about_the_request(self, message: Mapping[str, Any]) -> bool:
        """Whether it is an error without an id, before anything but requests was sent."""
        return message.get("id") is None and message.get("error") is not None and not self._has_notified

    def _refuse(self, message: Mapping[str, Any]) -> None:
        """Answer a request of the server: a ping, or what this client never said it could do."""
        if message.get("id") is None:
            return
        outcome = (
            {"result": {}}
            if message["method"] == "ping"
            else {"error": {"code": METHOD_NOT_FOUND, "message": "not offered"}}
        )
        self._send({"id": message["id"], **outcome})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._connection.send(encode(message))

    def _next_messages(self) -> Sequence[Mapping[str, Any]]:
        line = self._next_line()
        messages = read_line(line)
        if not messages and line.strip() and self.stray is None:
            self.stray = _shown(line)
        return messages or ()

    def _next_line(self) -> bytes:
        while True:
            if self._stop.is_set():
                raise TimeoutError
            left = self._deadline - time.monotonic()
            try:
                return self._connection.receive(min(max(left, 0.0), LOOK_S))
            except TimeoutError:
                if left <= 0:
                    raise

    def _read_stderr(self, descriptor: int) -> None:
        with open(descriptor, "rb") as stream:
            while line := _line(stream):
                if line.strip() and not _STACK_FRAME.match(line) and not self._is_over.is_set():
                    self.last_words.append(_shown(line))


def _line(stream: IO[bytes]) -> bytes:
    try:
        return stream.readline(MAX_LINE)
    except (OSError, ValueError):
        return b""


def _shown(line: bytes) -> str:
    text = one_line(line.decode("utf-8", "replace").strip())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
