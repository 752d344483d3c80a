"""One session of `thv run --restart` or `--call-timeout`: a stdio server that is watched, message by message.

What client and server say passes byte for byte, line by line. Only what was asked for is added: for a call without
progress a JSON-RPC error to the client and `notifications/cancelled` to the server; when the server dies under its
client, an error for each request that was open and, where the server declared it, `notifications/tools/list_changed`
once another one runs. The client's own `initialize` and `notifications/initialized` are repeated to that one, and its
reply to the first of them is dropped (MCP, "Lifecycle"). A 2026-07-28 client sends neither, so nothing is repeated.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct, field
from msgspec.json import Decoder

from thv.core.console import warn
from thv.http.client.stdio_bridge import ClientGoneError, LineInput, LineOutput
from thv.http.process_backend import ProcessBackend
from thv.http.signals import install_signal_handlers

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from thv.instrumentation.instrumentation import Instrumentation, SessionInstrumentation
    from thv.servers.launch_spec import LaunchSpec

SERVER_ENDED: Final = -32000
"""JSON-RPC 2.0, section 5.1: the first of the codes that are the implementation's own."""

TIMED_OUT: Final = -32001
"""What the official SDKs report for a request that timed out."""

WINDOW_S: Final = 60.0
"""Restarts are given up after so many within this time."""

BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before each restart within the window; the last one for all further ones."""

MAX_FORGOTTEN: Final = 4096
"""Replies that may still come to calls that timed out."""

INITIALIZE: Final = "initialize"


_ABSENT: Final = Raw()


class _Meta(Struct, gc=False):
    progress_token: int | str | None = field(default=None, name="progressToken")


class _Params(Struct, gc=False):
    meta: _Meta | None = field(default=None, name="_meta")
    request_id: int | float | str | None = field(default=None, name="requestId")
    progress_token: int | str | None = field(default=None, name="progressToken")


class _Message(Struct, gc=False):
    id: int | float | str | None = None
    method: str | None = None
    params: _Params | None = None
    result: Raw = _ABSENT
    error: Raw = _ABSENT


_ONE: Final = Decoder(_Message)
_MANY: Final = Decoder(list[_Message])


class Policy:
    """What was asked for.

    Attributes:
        restarts: restarts within a minute, after which it is given up; None for none at all.
        call_timeout: seconds a tool call may take without progress; None for no limit.
    """

    __slots__ = ("call_timeout", "restarts")

    def __init__(self, restarts: int | None, call_timeout: float | None) -> None:
        self.restarts = restarts
        self.call_timeout = call_timeout


class _Open:
    __slots__ = ("is_call", "timer", "token")

    def __init__(self, *, is_call: bool, token: int | str | None) -> None:
        self.is_call = is_call
        self.token = token
        self.timer: asyncio.TimerHandle | None = None


class SupervisedSession:
    """Runs one server for one client, and another in its place when it dies.

    Args:
        spec: what to start.
        policy: what was asked for.
        instrumentation: of this process.
    """

    def __init__(self, spec: LaunchSpec, policy: Policy, instrumentation: Instrumentation) -> None:
        self._spec = spec
        self._policy = policy
        self._instrumentation = instrumentation
        self._session: SessionInstrumentation = instrumentation.open_session()
        self._open: dict[int | float | str, _Open] = {}
        self._forgotten: deque[int | float | str] = deque(maxlen=MAX_FORGOTTEN)
        self._initialize: bytes | None = None
        self._initialize_id: int | float | str | None = None
        self._initialized: bytes | None = None
        self._announces_tools = False
        self._swallows: int | float | str | None = None
        self._deaths: deque[float] = deque()
        self._client_left = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.passed = 0

    async def run(self) -> int:
        """Run the session to its end. Call it on the main thread.

        Returns:
            The exit code of the last server, or 128 + N if signal N ended it.

        Raises:
            ThvError: the server cannot be started.
        """
        asked = install_signal_handlers()
        self._backend = ProcessBackend(self._spec)
        await self._backend.start()
        self._ready = asyncio.Event()
        self._ready.set()
        self._output = LineOutput(1)
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._input = LineInput(0, self._lines.put_nowait, lambda: self._lines.put_nowait(None))
        self._input.start()
        upward = self._start(self._pump_client())
        leaving = self._start(self._leave_on_signal(asked))
        try:
            exit_code = await self._serve()
        finally:
            for task in (upward, leaving):
                task.cancel()
        ended_by = "server" if not self._client_left else "signal" if asked.is_set() else "client"
        self._session.set_end(ended_by, exit_code, asked.signal_name if ended_by == "signal" else None)
        if self._client_left:
            self._session.close()
        else:
            self._session.server_exited()
        return exit_code

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self) -> int:
        while True:
            await self._pump_server(self._backend)
            exit_code = await self._backend.close()
            if self._client_left or self._policy.restarts is None:
                return exit_code
            wait_s = self._back_off()
            await self._end_open_requests(exit_code, again=wait_s is not None)
            if wait_s is None:
                warn(
                    f"{self._spec.name} ended with exit code {exit_code}; given up after "
                    f"{self._policy.restarts} restarts in a minute: thv why {self._spec.name}"
                )
                return exit_code
            warn(f"{self._spec.name} ended with exit code {exit_code} and is started again")
            self._ready.clear()
            await asyncio.sleep(wait_s)
            if self._has_left():
                return exit_code
            await self._start_again()

    def _has_left(self) -> bool:
        return self._client_left

    def _back_off(self) -> float | None:
        """How long to wait before the next start; None to give up."""
        now = time.monotonic()
        while self._deaths and now - self._deaths[0] > WINDOW_S:
            self._deaths.popleft()
        if len(self._deaths) >= (self._policy.restarts or 0):
            return None
        wait_s = BACK_OFF_S[min(len(self._deaths), len(BACK_OFF_S) - 1)]
        self._deaths.append(now)
        return wait_s

    async def _start_again(self) -> None:
        backend = ProcessBackend(self._spec)
        await backend.start()
        self._backend = backend
        self._session.note_restart()
        if self._initialize is None:
            self._ready.set()
            return
        if self._initialize_id not in self._open:  # it was answered, and must not be answered twice
            self._swallows = self._initialize_id
        try:
            await backend.send(self._initialize)
        except OSError:
            return  # it is dead already, which its output will tell
        if self._swallows is None:
            self._ready.set()

    async def _greeted(self) -> None:
        """The new server has answered the repeated `initialize`."""
        self._swallows = None
        if self._initialized is not None:
            try:
                await self._backend.send(self._initialized)
            except OSError:
                return
        self._ready.set()
        if self._announces_tools:
            await self._tell_client({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})

    async def _end_open_requests(self, exit_code: int, *, again: bool) -> None:
        then = "is started again; this request is lost" if again else "is not started again"
        for id_ in list(self._open):
            if again and id_ == self._initialize_id:
                continue  # it is repeated, and its answer is the client's
            self._close(id_)
            await self._refuse(id_, SERVER_ENDED, f"the server ended with exit code {exit_code} and {then}")

    async def _pump_client(self) -> None:
        while (line := await self._lines.get()) is not None:
            await self._ready.wait()
            self.passed += 1
            for message in _messages(line):
                self._client_sent(message, line)
            self._session.on_client_data(line)
            with suppress(OSError):  # it ended; what was open is answered then
                await self._backend.send(line)
            self._input.done(line)
        self._leave()

    async def _leave_on_signal(self, asked: asyncio.Event) -> None:
        await asked.wait()
        self._leave()

    def _leave(self) -> None:
        """The client left, or thv was told to end."""
        if not self._client_left:
            self._client_left = True
            self._instrumentation.client_disconnected()
            self._ready.set()
            self._start(self._close_backend())

    async def _close_backend(self) -> None:
        await self._backend.close()

    async def _pump_server(self, backend: ProcessBackend) -> None:
        while True:
            try:
                line = await backend.receive()
            except OSError as error:
                warn(f"{self._spec.name}: it wrote {error}")
                return
            if not line:
                return
            self.passed += 1
            await self._server_sent(line)

    async def _server_sent(self, line: bytes) -> None:
        for message in _messages(line):
            id_ = message.id
            if message.method is not None or id_ is None or not (message.result or message.error):
                if message.method == "notifications/progress" and message.params is not None:
                    self._progress(message.params.progress_token)
            elif id_ == self._swallows:
                await self._greeted()
                return
            elif id_ in self._forgotten:
                self._forgotten.remove(id_)
                return  # the client has its error already
            else:
                if id_ == self._initialize_id and message.result:
                    self._announces_tools = _announces_tools(message.result)
                self._close(id_)
        await self._write_to_client(line)
        self._session.on_server_data(line)

    def _client_sent(self, message: _Message, line: bytes) -> None:
        id_, params = message.id, message.params
        if message.method == "notifications/cancelled" and params is not None and params.request_id is not None:
            self._close(params.request_id)
        elif message.method == "notifications/initialized":
            self._initialized = line
        elif message.method is not None and id_ is not None:
            token = None if params is None or params.meta is None else params.meta.progress_token
            request = self._open[id_] = _Open(is_call=message.method == "tools/call", token=token)
            if message.method == INITIALIZE:
                self._initialize, self._initialize_id = line, id_
            self._set_timer(id_, request)

    def _progress(self, token: int | str | None) -> None:
        for id_, request in self._open.items():
            if token is not None and request.token == token:
                self._set_timer(id_, request)

    def _set_timer(self, id_: float | str, request: _Open) -> None:
        if request.timer is not None:
            request.timer.cancel()
        if request.is_call and self._policy.call_timeout is not None:
            loop = asyncio.get_running_loop()
            request.timer = loop.call_later(
                self._policy.call_timeout, lambda: self._start(self._time_out(id_, request))
            )

    async def _time_out(self, id_: float | str, request: _Open) -> None:
        if self._open.get(id_) is not request:
            return
        self._close(id_)
        self._forgotten.append(id_)
        seconds = f"{self._policy.call_timeout:g}"
        reason = f"no reply and no progress for {seconds} s (thv run --call-timeout)"
        cancelled = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": id_, "reason": reason},
        }
        error = _line({"jsonrpc": "2.0", "id": id_, "error": {"code": TIMED_OUT, "message": reason}})
        await self._write_to_client(error)
        self._session.on_call_timed_out(error)
        try:
            await self._backend.send(_line(cancelled))
        except OSError:
            return

    async def _refuse(self, id_: float | str, code: int, text: str) -> None:
        await self._tell_client({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": text}})

    async def _tell_client(self, message: Mapping[str, object]) -> None:
        line = _line(message)
        await self._write_to_client(line)
        self._session.on_server_data(line)

    async def _write_to_client(self, line: bytes) -> None:
        try:
            await self._output.write(line)
        except ClientGoneError:
            self._leave()

    def _close(self, id_: float | str) -> None:
        request = self._open.pop(id_, None)
        if request is not None and request.timer is not None:
            request.timer.cancel()


def _messages(line: bytes) -> list[_Message]:
    """What a line holds: one message, a batch, or nothing that concerns us."""
    start = line.lstrip()[:1]
    try:
        return [_ONE.decode(line)] if start == b"{" else _MANY.decode(line) if start == b"[" else []
    except (ValueError, RecursionError):
        return []


def _announces_tools(result: Raw) -> bool:
    found: object = json.loads(bytes(memoryview(result)))
    for key in ("capabilities", "tools", "listChanged"):
        found = found.get(key) if isinstance(found, dict) else None
    return found is True


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
