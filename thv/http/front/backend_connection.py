"""A server behind HTTP: its lines are read, one by one, and handed to the client they are meant for.

Promises: a server that ends is noticed, and everyone who waits for it gets its exit code; output that is not a message
is dropped (an HTTP client has no place for it) and reported under --debug. Each line is instrumented once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec.json import encode

from thv.core.jsonrpc import addressed
from thv.core.message import read_message, read_parts
from thv.http.front.event_store import WRITE_TIMEOUT_S
from thv.http.front.response_writer import OK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thv.core.interfaces import Backend, SessionInstrumentation
    from thv.core.message import Id, Message
    from thv.http.front.event_store import EventStream
    from thv.http.front.http_session import HttpSession
    from thv.http.front.inspection_queue import InspectionQueue
    from thv.http.server.handler_runner import Work

    class StoppableBackend(Backend, Protocol):
        """A backend that can be ended at once."""

        async def terminate(self) -> int | None:
            """End the server without waiting for it to notice the end of its input."""


@runtime_checkable
class PushingBackend(Protocol):
    """A backend that sends and receives without a task, which is sooner than one that waits would run."""

    def begin_send(self, line: bytes) -> Awaitable[None] | None:
        """Hand on one line; returns what is left to wait for. Both raise OSError once the server has ended."""

    def receive_nowait(self) -> bytes | None:
        """The next line; empty at the end, None if there is none yet. Raises OSError for a line that is too long."""

    def set_on_ready(self, on_ready: Callable[[], None]) -> None:
        """Call this when there may be something for `receive_nowait`."""


LAST_WORDS_S = 3.0
"""Between a server that reads no more and its end, which gives the reason."""

MAX_SHOWN = 200
"""Characters shown of a line that is not a message."""


class BackendConnection:
    """Reads one server to its end.

    Args:
        backend: how it is reached.
        deliver: handed each message; returns the stream to wait for, if that is full.
        on_end: called once if the server ended while it was needed, with the reason.
        write_timeout: seconds for which a slow client may pause the server; 0 for not at all.
        warn: called with lines for the user.
    """

    def __init__(
        self,
        backend: StoppableBackend,
        deliver: Callable[[bytes, Message], EventStream | None],
        on_end: Callable[[str], None],
        *,
        write_timeout: float = WRITE_TIMEOUT_S,
        warn: Callable[[str], None],
    ) -> None:
        self._backend = backend
        self._deliver = deliver
        self._on_end = on_end
        self._write_timeout = write_timeout
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._reading: asyncio.Task[None] | None = None
        self._pushing = backend if isinstance(backend, PushingBackend) else None
        self._idle: asyncio.Future[EventStream | None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        await self._backend.start()
        if self._pushing is not None:
            self._pushing.set_on_ready(self._on_lines)
        self._reading = asyncio.create_task(self._read())

    def send(self, line: bytes) -> Work | None:
        """Hand on one line; returns what is left to do, if the server does not take it at once.

        Raises:
            OSError: the server has ended; `on_end` was called with the reason, if that is known. All that raises it is
                what is returned.
        """
        if self._pushing is None:
            return self._send(self._backend.send(line))
        try:
            rest = self._pushing.begin_send(line)
        except OSError as error:
            return self._fail(error)
        return None if rest is None else self._send(rest)

    async def _send(self, rest: Awaitable[None]) -> None:
        try:
            await rest
        except OSError as error:
            await self._fail(error)

    async def _fail(self, error: OSError) -> None:
        """Wait for the reason."""
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=LAST_WORDS_S)
        raise error

    async def close(self, *, hurry: bool = False) -> None:
        """End the server, and wait for its end."""
        self._closing = True
        if hurry:
            await self._backend.terminate()
        else:
            await self._backend.close()
        if self._reading is not None and self._reading is not asyncio.current_task():
            await self._reading

    async def _read(self) -> None:
        problem = ""
        try:
            while line := await self._next_line():
                full = self._pass_on(line)
                if full is not None:
                    await full.wait_drained(self._write_timeout)
        except OSError as error:
            problem = f": it wrote {error}"
        if self._closing:
            return
        exit_code = await self._backend.close()
        if not self._closing:
            ending = "" if exit_code is None else f" with exit code {exit_code}"
            self._on_end(f"the server ended{ending}{problem}")

    async def _next_line(self) -> bytes:
        """The next line that `_on_lines` has not passed on; empty at the end."""
        pushing = self._pushing
        if pushing is None:
            return await self._backend.receive()
        while (line := pushing.receive_nowait()) is None:
            self._idle = self._loop.create_future()
            full = await self._idle
            if full is not None:
                await full.wait_drained(self._write_timeout)
        return line

    def _on_lines(self) -> None:
        """Lines came: pass them on at once, while the reading task is idle. It wakes for a full stream, and the end."""
        idle, pushing = self._idle, self._pushing
        if idle is None or pushing is None:
            return
        full = None
        try:
            while full is None:
                line = pushing.receive_nowait()
                if line is None:
                    return
                if not line:
                    break
                full = self._pass_on(line)
        except OSError:
            pass  # the task meets it again
        self._idle = None
        if not idle.done():
            idle.set_result(full)

    def _pass_on(self, line: bytes) -> EventStream | None:
        """Hand on what a line says; returns a stream that is full."""
        message = read_message(line)
        if message is not None:
            stream = self._deliver(line, message)
            return stream if stream is not None and stream.is_full else None
        full = None
        for part, message in read_parts(line):
            stream = self._deliver(part if part is line else part + b"\n", message)
            full = stream if stream is not None and stream.is_full else full
            line = b""
        if line.strip():
            self._warn(f"the server wrote a line that is not a message: {_shown(line)}")
        return full


class DedicatedServer:
    """The link of a session that has a server of its own: lines pass unchanged.

    Args:
        session: whose server it is.
        backend: how it is reached.
        instrumentation: passed every line.
        inspections: where the server's lines wait to be passed to it.
        warn: called with lines for the user.
    """

    def __init__(
        self,
        session: HttpSession,
        backend: StoppableBackend,
        instrumentation: SessionInstrumentation,
        inspections: InspectionQueue,
        warn: Callable[[str], None],
    ) -> None:
        self._session = session
        self._instrumentation = instrumentation
        self._inspections = inspections
        self._loop = asyncio.get_running_loop()
        self._connection = BackendConnection(backend, self._deliver, self._ended, warn=warn)

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        await self._connection.start()

    def send(self, line: bytes, message: Message) -> Work | None:
        """Hand on one line of the client; returns what is left to do, if the server does not take it at once.

        Raises:
            OSError: the server has ended. All that raises it is what is returned.
        """
        return self._connection.send(self._instrumentation.on_client_message(line, message))

    async def close(self, *, hurry: bool) -> None:
        """The session is over: end its server."""
        self._session.note_end(self._instrumentation)
        self._instrumentation.close()
        await self._connection.close(hurry=hurry)

    def _deliver(self, line: bytes, message: Message) -> EventStream | None:
        session = self._session
        if message.key is None and message.is_response:
            line, message = name_request(line, message, session.only_request)
        self._inspections.add(self._instrumentation, line, message, http_status=OK)
        if message.is_response:
            id_ = message.key
            return None if id_ is None else session.reply(id_, line, message)
        if message.method is None:
            return None
        if message.method == "notifications/progress" and message.params is not None:
            return session.related(session.token_owner(message.params.progress_token), line)
        return session.unrelated(line)

    def _ended(self, reason: str) -> None:
        self._instrumentation.set_end("server", detail=reason)
        self._loop.call_soon(self._instrumentation.server_exited)
        self._session.server_failed = self._session.version is None
        self._session.end(reason)


def name_request(line: bytes, message: Message, only: Id | None) -> tuple[bytes, Message]:
    """An error reply of a server that could not read the id (JSON-RPC 2.0, section 5), as the one to the open request.

    Args:
        line: a reply that names no request.
        message: what it says.
        only: the request that is open, if there is just one: with several it stays unknown which one is meant.
    """
    named = None if only is None or message.error is None else addressed(line, encode(only))
    found = None if named is None else read_message(named)
    return (line, message) if named is None or found is None else (named + b"\n", found)


def _shown(line: bytes) -> str:
    return line[:MAX_SHOWN].decode("utf-8", "replace").rstrip()
