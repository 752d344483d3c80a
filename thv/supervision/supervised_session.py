"""One session of `thv run --restart` or `--call-timeout`: a stdio server that is watched, message by message.

What client and server say passes byte for byte, line by line. Only what was asked for is added: for a call without
progress a JSON-RPC error to the client and `notifications/cancelled` to the server; when the server dies under its
client, an error for each request that was open and, where the server declared it, `notifications/tools/list_changed`
once another one runs. The client's own `initialize` and `notifications/initialized` are repeated to that one, and its
reply to the first of them is dropped (MCP, "Lifecycle"). A 2026-07-28 client sends neither, so nothing is repeated. The
client's late answer to a question of the server that died is dropped, too: the new one did not ask.

A request is open, and its time runs, from the moment at which the client's line was read. While there is no server, or
it is not initialized again, lines wait, but for answers to its own questions (`ping`, say); what waits is not lost with
the server that died.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from thv.core.console import warn
from thv.core.jsonrpc import CONNECTION_CLOSED, REQUEST_TIMED_OUT, cancellation, error_reply
from thv.core.lines import MAX_MESSAGE
from thv.core.message import UNREADABLE, ErrorObject, Message
from thv.core.shell_words import shell_argument
from thv.errors import ThvError
from thv.http.process_backend import ProcessBackend
from thv.http.signals import install_signal_handlers
from thv.process.client_ends import has_reader, is_regular_file
from thv.process.shutdown import REPLY_GRACE
from thv.relay.line_streams import ClientGoneError, LineInput, LineOutput
from thv.supervision.client_line import ClientLine, as_batch, messages_of, with_newline
from thv.supervision.restart_policy import BackOff
from thv.supervision.server_questions import ServerQuestions
from thv.supervision.supervised_requests import INITIALIZE, SupervisedRequest, SupervisedRequests

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from thv.http.signals import EndRequested
    from thv.instrumentation.instrumentation import Instrumentation, SessionInstrumentation
    from thv.servers.launch_spec import LaunchSpec
    from thv.supervision.restart_policy import Policy

SIGNALLED: Final = 128
"""The exit code of a server that signal N ended is this and N."""

LIST_CHANGED: Final = Message(method="notifications/tools/list_changed")
LIST_CHANGED_LINE: Final = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n'


class SupervisedSession:
    """Runs one server for one client, and another in its place when it dies.

    Args:
        spec: what to start.
        policy: what was asked for.
        instrumentation: of this process.
        stdin: the descriptor from which the client's lines are read.
        stdout: the descriptor to which the server's are written.
    """

    def __init__(
        self, spec: LaunchSpec, policy: Policy, instrumentation: Instrumentation, *, stdin: int = 0, stdout: int = 1
    ) -> None:
        self._spec = spec
        self._policy = policy
        self._instrumentation = instrumentation
        self._stdin, self._stdout = stdin, stdout
        self._requests = SupervisedRequests()
        self._questions = ServerQuestions()
        self._initialize = self._initialized = b""  # what the client sent last, to be repeated
        self._initialize_request: SupervisedRequest | None = None
        self._awaited: SupervisedRequest | None = None  # the `initialize` that was repeated to a new server
        self._announces_tools = False
        self._back_off = BackOff(policy.restarts or 0)
        self._server_ended = False
        self._lost_output: OSError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.passed = 0

    async def run(self) -> int:
        """Run the session to its end. Call it on the main thread.

        Returns:
            The exit code of the last server, or 128 + N if signal N ended it; 1 where that is 0 and its messages could
            not be written to stdout.

        Raises:
            ThvError: the server cannot be started.
        """
        asked = self._asked = install_signal_handlers(is_relay=True)
        started_ns = time.time_ns()
        self._backend = await self._start_server()
        self._session: SessionInstrumentation = self._instrumentation.open_session(started_ns=started_ns)
        self._ready = asyncio.Event()
        self._ready.set()
        self._left = asyncio.Event()
        self._output = LineOutput(self._stdout)
        self._lines: asyncio.Queue[ClientLine | None] = asyncio.Queue()
        at_end = asyncio.Event()
        self._input = LineInput(self._stdin, self._client_sent, at_end.set)
        sending = self._begin(self._send_client_lines())
        tasks = [
            sending,
            self._begin(self._leave_at_end_of_input(at_end, sending)),
            self._begin(self._leave_on_signal(asked)),
        ]
        self._input.start()
        exit_code = None
        try:
            exit_code = await self._serve()
        finally:
            for task in tasks:
                task.cancel()
            self._note_end(exit_code, asked)
        if self._lost_output is not None:
            warn(f"messages of the server are lost: stdout cannot be written: {self._lost_output.strerror}")
            return exit_code or ThvError.exit_code
        return exit_code

    async def _start_server(self) -> ProcessBackend:
        backend = ProcessBackend(self._spec, self._calls_are_open, self._is_at_work)
        self._heard = self._heard_before = 0
        await backend.start()
        return backend

    def _calls_are_open(self) -> bool:
        return not self._server_ended and self._session.has_open_requests

    def _is_at_work(self) -> bool:
        """Whether the server may need more time for open requests, though the client's input has ended.

        One that has not said anything yet is starting; the end of a file is not a client that left.
        """
        if self._asked.is_set() or not has_reader(self._stdout):
            return False
        heard, self._heard_before = self._heard_before, self._heard
        return self._heard_before == 0 or self._heard_before > heard or is_regular_file(self._stdin)

    def _note_end(self, exit_code: int | None, asked: EndRequested) -> None:
        session, has_left = self._session, self._left.is_set()
        ended_by = (
            "thv" if exit_code is None else "server" if not has_left else "signal" if asked.is_set() else "client"
        )
        session.set_end(ended_by, exit_code, asked.signal_name if ended_by == "signal" else None)
        if exit_code and ended_by == "server" and self._policy.restarts is None and session.is_unanswered:
            why = f"thv why {shell_argument(self._spec.name)}"
            warn(f"{self._spec.name} ended with exit code {exit_code} before it answered anything: {why}")
        if has_left:
            session.close()
        else:
            session.server_exited()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # One server after the other.

    async def _serve(self) -> int:
        while True:
            await self._pump_server(self._backend)
            self._server_ended = True
            if self._policy.restarts is not None and not self._left.is_set():
                self._ready.clear()  # before anything else: what the client sends from now on is the next server's
            exit_code = await self._backend.close()
            if exit_code - SIGNALLED in self._asked.passed_on:  # the signal was sent to end it
                return exit_code
            if self._policy.restarts is None or self._left.is_set() or not await self._replace_server(exit_code):
                return exit_code

    async def _replace_server(self, exit_code: int) -> bool:
        """Start another server in the place of one that died; False if the session ends instead."""
        ended = f"{self._spec.name} ended with exit code {exit_code}"
        wait_s = self._back_off.next_wait()
        if wait_s is not None:
            await self._end_sent_requests(f"the server ended with exit code {exit_code} and is started again")
        while wait_s is not None:
            warn(f"{ended} and is started again")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), wait_s)
            if self._left.is_set():
                return False
            try:
                await self._initialize_again(await self._start_server())
            except ThvError as error:  # an upgrade may be replacing it just now
                warn(f"{self._spec.name} cannot be started again: {error}")
                wait_s = self._back_off.next_wait()
            else:
                return True
        await self._refuse_open_requests(f"the server ended with exit code {exit_code} and is not started again")
        why = f"thv why {shell_argument(self._spec.name)}"
        warn(f"{ended}; given up after {self._policy.restarts} restarts in a minute: {why}")
        return False

    async def _end_sent_requests(self, reason: str) -> None:
        """Answer what was lost with the server: not the client's `initialize`, since it is repeated."""
        if self._awaited is not None and self._awaited.is_ours:
            self._requests.close(self._awaited)
        self._awaited = None
        self._requests.forget_given_up()
        for request in self._requests.oldest_first():
            if request.is_sent and request in self._requests and request is not self._initialize_request:
                self._requests.close(request)
                error = ErrorObject(CONNECTION_CLOSED, f"{reason}; this request is lost")
                line = await self._refuse(request, error)
                self._session.on_server_message(line, Message(id=request.id, error=error))

    async def _refuse_open_requests(self, reason: str) -> None:
        """Answer everything, at the end of the session, which is when the instrumentation counts it."""
        for request in self._requests.oldest_first():
            if request in self._requests and not request.is_ours:
                self._requests.close(request)
                await self._refuse(request, ErrorObject(CONNECTION_CLOSED, reason))

    async def _initialize_again(self, backend: ProcessBackend) -> None:
        self._backend = backend
        self._server_ended = False
        self._questions.start_anew()
        self._session.note_restart()
        original = self._initialize_request
        if original is None:
            self._ready.set()
            return
        if original in self._requests:
            self._awaited = original
        else:  # it was answered, and must not be answered twice
            self._awaited = SupervisedRequest(self._initialize, Message(id=original.id), is_ours=True)
            self._requests.add(self._awaited)
        with suppress(OSError):  # it is dead already, which its output will tell
            await backend.send(self._initialize)

    async def _on_initialized_again(self, request: SupervisedRequest) -> None:
        """The new server has answered the repeated `initialize`."""
        self._awaited = None
        if self._initialized:
            try:
                await self._backend.send(self._initialized)
            except OSError:
                return
        self._ready.set()
        if self._announces_tools and request.is_ours:
            await self._write_to_client(LIST_CHANGED_LINE)
            self._session.on_server_message(LIST_CHANGED_LINE, LIST_CHANGED)

    # From the client.

    def _client_sent(self, as_read: bytes) -> None:
        """The client sent a line: what it asks is open from now on."""
        if not as_read:
            warn(f"a message of more than {MAX_MESSAGE >> 20} MiB was not sent to {self._spec.name}")
            self._input.done(as_read)
            return
        entry = ClientLine(as_read)
        for part, message in messages_of(entry.line):
            request = SupervisedRequest(part, message) if message.is_request else None
            if request is not None:
                self._requests.add(request)
                self._set_timer(request)
            elif message.method == "notifications/cancelled" and message.params is not None:
                self._requests.cancel(message.params.request_id)
            self._session.on_client_message(part, message)
            entry.parts.append((part, message, request))
        if self._awaited is not None and entry.is_answer:  # which the new server may want before it is initialized
            self._begin(self._send(entry))
        else:
            self._lines.put_nowait(entry)

    async def _send_client_lines(self) -> None:
        while True:
            entry = await self._lines.get()
            if entry is None:
                return
            while not self._ready.is_set():  # it may be cleared again before a task that waits for it runs
                await self._ready.wait()
            self.passed += 1
            await self._send(entry)

    async def _send(self, entry: ClientLine) -> None:
        line = b"" if entry.is_given_up else self._questions.without_strays(entry)
        if line:
            self._note_sent(entry)
            with suppress(OSError):  # the server ended; what was open is answered then
                await self._backend.send(line)
        self._input.done(entry.as_read)

    def _note_sent(self, entry: ClientLine) -> None:
        for part, message, request in entry.parts:
            if request is not None:
                request.is_sent = True
                if request.method == INITIALIZE:
                    self._initialize, self._initialized = with_newline(part), b""
                    self._initialize_request = request
            elif message.method == "notifications/initialized":
                self._initialized = with_newline(part)

    async def _leave_at_end_of_input(self, at_end: asyncio.Event, sending: asyncio.Task[None]) -> None:
        """The client closed its end: what it sent is sent on first, unless the server takes none of it for long."""
        await at_end.wait()
        self._lines.put_nowait(None)
        passed = -1
        while not sending.done() and passed != self.passed:
            passed = self.passed
            await asyncio.wait([sending], timeout=REPLY_GRACE)
        self._leave()

    async def _leave_on_signal(self, asked: asyncio.Event) -> None:
        await asked.wait()
        self._leave()

    def _leave(self) -> None:
        """The client left, or thv was told to end."""
        if not self._left.is_set():
            self._left.set()
            self._instrumentation.client_disconnected()
            self._begin(self._close_server())

    async def _close_server(self) -> None:
        await self._backend.close()

    # From the server.

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
            self._heard += 1
            await self._server_sent(line)

    async def _server_sent(self, line: bytes) -> None:
        parts = messages_of(line, self._session.on_stray_line)
        self._questions.note(message for _, message in parts)
        wanted = [(part, message) for part, message in parts if self._is_for_client(message)]
        awaited = self._awaited
        if wanted or not parts:
            await self._write_to_client(line if len(wanted) == len(parts) else as_batch(part for part, _ in wanted))
        for part, message in wanted:
            self._session.on_server_message(part, message)
        if awaited is not None and awaited not in self._requests:
            await self._on_initialized_again(awaited)

    def _is_for_client(self, message: Message) -> bool:
        """Takes note of a message; False if it is a reply that the client must not get."""
        if message is UNREADABLE:
            self._requests.forget_oldest_call()
        elif message.method == "notifications/progress" and message.params is not None:
            if message.params.progress_token is not None:
                for each in self._requests.with_token(message.params.progress_token):
                    self._set_timer(each)
        elif message.is_response:
            if self._requests.take_late(message):
                return False
            request = self._requests.answered_by(message)
            if request is not None:
                self._requests.close(request)
                if request is self._initialize_request and message.result:
                    capabilities = message.result.capabilities
                    tools = None if capabilities is None else capabilities.tools
                    self._announces_tools = tools is not None and tools.list_changed is True
                return not request.is_ours
        return True

    # To the client.

    def _set_timer(self, request: SupervisedRequest) -> None:
        if request.timer is not None:
            request.timer.cancel()
        if request.is_call and self._policy.call_timeout is not None:
            request.timer = asyncio.get_running_loop().call_later(
                self._policy.call_timeout, lambda: self._begin(self._time_out(request))
            )

    async def _time_out(self, request: SupervisedRequest) -> None:
        if request not in self._requests:
            return
        self._requests.give_up(request)
        reason = f"no reply and no progress for {self._policy.call_timeout:g} s (thv run --call-timeout)"
        if request.is_sent:  # not after the client's error, which has to wait for a client that does not read
            self._begin(self._cancel(self._backend, request, reason))
        error = ErrorObject(REQUEST_TIMED_OUT, reason)
        line = await self._refuse(request, error)
        self._session.on_call_timed_out(line, Message(id=request.id, error=error))

    async def _cancel(self, backend: ProcessBackend, request: SupervisedRequest, reason: str) -> None:
        with suppress(OSError):
            await backend.send(cancellation(Raw(request.raw_id), reason))

    async def _refuse(self, request: SupervisedRequest, error: ErrorObject) -> bytes:
        """Answer a request in the server's place; returns the line."""
        line = error_reply(int(error.code or 0), error.message or "", raw_id=request.raw_id) + b"\n"
        await self._write_to_client(line)
        return line

    async def _write_to_client(self, line: bytes) -> None:
        try:
            await self._output.write(line)
        except ClientGoneError as gone:
            if isinstance(gone.__cause__, OSError) and not isinstance(
                gone.__cause__, BrokenPipeError | ConnectionResetError
            ):
                self._lost_output = gone.__cause__
            self._leave()
