"""Starts one server as its client would, asks it for its tools, ends it again, and says what came.

Promises: never waits longer than it is given, leaves no process behind, keeps the server's stderr from ours.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from thv.core.jsonrpc import METHOD_NOT_FOUND
from thv.core.printable import one_line
from thv.doctor.findings import StartResult
from thv.mcp_client.protocol import JsonRpcError, McpClientError, Reply, encode, negotiate, read_line, request_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thv.mcp_client.protocol import Request, ServerIdentity

STDERR_LINES: Final = 8
"""How much of the server's last words is shown: a traceback ends with what matters."""

SHOWN: Final = 160
"""Characters of one line of a server that are shown."""

MAX_LINE: Final = 16 << 20
"""Bytes of one line; a list of tools is far smaller."""

MAX_PAGES: Final = 100
"""Pages of a list of tools before it is taken to have no end."""

CLOSE_S: Final = 6.0
"""Seconds a server has to end once its input is closed, and again after SIGTERM: thv's own ladder begins with 5."""

EXIT_S: Final = 2.0
"""Seconds between the end of a server's output and its own; interpreters tidy up."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server: the command line, its whole environment and the folder."""

    argv: tuple[str, ...]
    executable: str
    env: Mapping[str, str]
    cwd: str


class _EndedError(Exception):
    """The server closed its output."""


def probe(launch: Launch, timeout: float) -> StartResult:
    """Start a server, ask it, and end it.

    Args:
        launch: how.
        timeout: seconds for the whole of it.
    """
    started = time.monotonic()
    try:
        server = _Server(launch, started + timeout)
    except OSError as error:
        return StartResult(is_ready=False, seconds=0.0, problem=f"it cannot be started: {error.strerror or error}")
    tools: int | None = None
    exit_code: int | None = None
    problem = ""
    is_late = False
    try:
        tools = server.count_tools()
    except TimeoutError:
        is_late = True
        problem = f"no answer within {timeout:g} seconds"
    except _EndedError:
        exit_code = server.wait_for_exit()
        problem = "it closed its output before it answered" if exit_code is None else "it ended before it answered"
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
    """One running server and the threads that read from it."""

    def __init__(self, launch: Launch, deadline: float) -> None:
        self._deadline = deadline
        self._process = subprocess.Popen(
            launch.argv,
            executable=launch.executable,
            env=dict(launch.env),
            cwd=launch.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue(64)
        self._is_over = threading.Event()
        self.last_words: deque[str] = deque(maxlen=STDERR_LINES)
        self.stray: str | None = None
        self._last_id = 0
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def count_tools(self) -> int:
        """Initialize a session and count the tools.

        Raises:
            TimeoutError: it did not answer in time.
            _EndedError: it closed its output.
            McpClientError: it answered with an error, or with nothing that makes sense.
        """
        try:
            identity = self._initialize(discover=False)
        except JsonRpcError:  # a server of the newer era alone
            identity = self._initialize(discover=True)
        if not identity.is_stateless:
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

    def wait_for_exit(self) -> int | None:
        """The exit code of a server that has closed its output; None if it goes on running."""
        try:
            code = self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            return None
        self._threads[1].join(EXIT_S)  # its last words
        return code

    def end(self, *, at_once: bool) -> None:
        """End the server and all that it started; one that does not answer is not given time to end by itself."""
        self._is_over.set()
        process = self._process
        with contextlib.suppress(OSError, ValueError):
            if process.stdin is not None:
                process.stdin.close()
        if at_once:
            process.terminate()
        for escalate in (process.terminate, process.kill):
            try:
                process.wait(CLOSE_S)
                break
            except subprocess.TimeoutExpired:
                escalate()
        process.wait()
        _kill_group(process.pid)
        for thread in self._threads:
            thread.join(CLOSE_S)
        for stream in (process.stdout, process.stderr):
            if stream is not None and not any(thread.is_alive() for thread in self._threads):
                stream.close()

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
                elif str(message.get("id")) == str(self._last_id):
                    error = JsonRpcError(message["error"]) if message.get("error") is not None else None
                    return Reply(method, None if error else message.get("result"), error)

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
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError, ValueError):  # it has ended: the reader finds out
                stdin.write(encode(message))
                stdin.flush()

    def _next_messages(self) -> Sequence[Mapping[str, Any]]:
        try:
            line = self._lines.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            raise _EndedError
        messages = read_line(line)
        if not messages and line.strip() and self.stray is None:
            self.stray = _shown(line)
        return messages or ()

    def _read_stdout(self) -> None:
        stream = self._process.stdout
        while stream is not None and (line := _line(stream)):
            if not self._is_over.is_set():
                self._put(line)
        self._put(None)

    def _put(self, line: bytes | None) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(queue.Full):
                self._lines.put(line, timeout=0.1)
                return

    def _read_stderr(self) -> None:
        stream = self._process.stderr
        while stream is not None and (line := _line(stream)):
            if line.strip() and not self._is_over.is_set():
                self.last_words.append(_shown(line))


def _line(stream: IO[bytes]) -> bytes:
    try:
        return stream.readline(MAX_LINE)
    except (OSError, ValueError):
        return b""


def _shown(line: bytes) -> str:
    text = one_line(line.decode("utf-8", "replace").strip())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _kill_group(pid: int) -> None:
    """What the server left behind; it has had its time."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
