"""A server behind HTTP: what it says is read, line by line, and handed to whom it is meant for.

Promises: a server that ends is noticed, and whoever waits for it is told with what it ended; what it printed that is no
message is dropped (an HTTP client has no place for it) and said under --debug. Who counts sees each line once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from thv.http import wire
from thv.http.app.event_store import STALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import Backend, SessionInstrumentation
    from thv.http.app.event_store import Stream
    from thv.http.app.http_session import Session
    from thv.http.wire import Message

    class StoppableBackend(Backend, Protocol):
        """A backend that can be ended at once."""

        async def terminate(self) -> int:
            """End the server without waiting for it to notice the end of its input."""


LAST_WORDS = 3.0
"""Seconds between a server that reads no more and its end, which says why."""

MAX_SHOWN = 200
"""Characters shown of a line that is no message."""


class Server:
    """Reads one server to its end.

    Args:
        backend: how it is reached.
        deliver: handed each message; returns the stream to wait for, if that is full.
        on_end: told, once, that the server ended while it was needed, and how.
        patience: seconds that the server waits for a slow client before that is cut off.
        warn: told what is worth knowing.
    """

    def __init__(
        self,
        backend: StoppableBackend,
        deliver: Callable[[bytes, Message], Stream | None],
        on_end: Callable[[str], None],
        *,
        patience: float = STALL,
        warn: Callable[[str], None],
    ) -> None:
        self._backend = backend
        self._deliver = deliver
        self._on_end = on_end
        self._patience = patience
        self._say = warn
        self._reading: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        await self._backend.start()
        self._reading = asyncio.create_task(self._read())

    async def send(self, line: bytes) -> None:
        """Hand on one line.

        Raises:
            OSError: the server has ended; whoever has to know has been told how, if that is known.
        """
        try:
            await self._backend.send(line)
        except OSError:
            if self._reading is not None:
                await asyncio.wait([self._reading], timeout=LAST_WORDS)
            raise

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
            while line := await self._backend.receive():
                await self._take(line)
        except OSError as error:
            problem = f": it wrote {error}"
        if self._closing:
            return
        exit_code = await self._backend.close()
        if not self._closing:
            self._on_end(f"the server ended with exit code {exit_code}{problem}")

    async def _take(self, line: bytes) -> None:
        message = wire.read(line)
        if message is not None:
            await self._pass(line, message)
            return
        for element in (wire.split_batch(line) if wire.is_batch(line) else None) or ():
            message = wire.read(element)
            if message is not None:
                await self._pass(element + b"\n", message)
                line = b""
        if line.strip():
            self._say(f"the server wrote what is no message: {line[:MAX_SHOWN].decode('utf-8', 'replace').rstrip()}")

    async def _pass(self, line: bytes, message: Message) -> None:
        stream = self._deliver(line, message)
        if stream is not None and stream.is_full:
            await stream.room(self._patience)


class OwnServer:
    """The link of a session that has a server of its own: lines pass as they are.

    Args:
        session: whose server it is.
        backend: how it is reached.
        account: shown every line.
        warn: told what is worth knowing.
    """

    def __init__(
        self, session: Session, backend: StoppableBackend, account: SessionInstrumentation, warn: Callable[[str], None]
    ) -> None:
        self._session = session
        self._account = account
        self._loop = asyncio.get_running_loop()
        self._server = Server(backend, self._deliver, self._ended, warn=warn)

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        await self._server.start()

    async def send(self, line: bytes, message: Message) -> None:  # noqa: ARG002  a link may have to know what it sends
        """Hand on one line of the client.

        Raises:
            OSError: the server has ended.
        """
        await self._server.send(self._account.outgoing(line))

    async def close(self, *, hurry: bool) -> None:
        """The session is over: end its server."""
        self._account.abandon()
        await self._server.close(hurry=hurry)

    def _deliver(self, line: bytes, message: Message) -> Stream | None:
        session = self._session
        self._loop.call_soon(
            self._account.from_response, line, wire.OK
        )  # after whoever waits for the line has handed it on
        if message.is_response:
            return session.reply(message.id, line, message) if isinstance(message.id, int | float | str) else None
        if message.method is None:
            return None
        if message.method == "notifications/progress" and message.params is not None:
            return session.related(session.token_owner(message.params.progress_token), line)
        return session.unrelated(line)

    def _ended(self, reason: str) -> None:
        self._loop.call_soon(self._account.server_exited)
        self._session.server_failed = self._session.version is None
        self._session.end(reason)
