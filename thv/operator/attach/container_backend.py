"""A container's process as the server behind HTTP: attached to, kept attached to, and left alone at the end.

All clients share one process and one link to it. While the link is down, senders wait; what was on its way
is in doubt and never sent again. Once the container has ended, everybody's server has ended, and the next one is
attached to as soon as it runs. Ready means attached. Nothing here starts or ends a container.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from thv.core.message import read_message
from thv.errors import ThvError
from thv.http.pipes import LineTooLongError
from thv.operator.attach.partial_lines import PartialLines
from thv.operator.attach.process_session import ProcessSession
from thv.operator.attach.websocket_link import ContainerEndedError, LinkDroppedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thv.operator.attach.process_session import LineQueue
    from thv.operator.attach.websocket_link import Link

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two attempts; twice as many each time, less up to half of it at random."""

STEADY = 5.0
"""Seconds after which a link that drops is no sign of trouble: the next attempt is made at once."""

DOUBT = 10.0
"""Seconds after a drop in which the server may still answer what was open; then it is taken to be lost.

Longer than most calls take, and shorter than clients wait for an answer.
"""

PATIENCE = 10.0
"""Seconds that a client waits for the link."""

STOPPING = "thv is stopping"


class AttachedServer:
    """Keeps one container attached. Its backends are the ways to use it.

    Args:
        open_link: attaches once; raises `ThvError` if that is refused.
        what: what people call the container.
        warn: told once of each new reason why it is not attached, and when it is again.
        debug: told what else happens.
        doubt, patience, steady: the constants of this module; tests make them small.
    """

    def __init__(
        self,
        open_link: Callable[[], Awaitable[Link]],
        *,
        what: str,
        warn: Callable[[str], None],
        debug: Callable[[str], None],
        doubt: float = DOUBT,
        patience: float = PATIENCE,
        steady: float = STEADY,
    ) -> None:
        self._open_link = open_link
        self._what = what
        self._say = warn
        self._debug = debug
        self._doubt = doubt
        self._patience = patience
        self._steady = steady
        self._pause = 0.0
        self._link: Link | None = None
        self._life: ProcessSession | None = None
        self._attached = asyncio.Event()
        self._writing = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._is_stopping = False
        self.problem = "not attached yet"

    @property
    def is_ready(self) -> bool:
        """Whether the container is attached at this moment."""
        return self._link is not None

    def look(self) -> bool:
        """The same, for a health check; begins to attach if that was not begun."""
        self.start()
        return self.is_ready

    def failed(self, problem: str) -> None:
        """Somebody could not use the server: whether it is attached is known better here."""
        self._debug(problem)

    def backend(self) -> AttachBackend:
        """A way to use the container's process."""
        return AttachBackend(self)

    def start(self) -> None:
        """Attach, and stay attached."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Leave the container."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._cancel_timers()
        self.problem = STOPPING
        self._is_stopping = True
        self._attached.set()  # nobody needs to wait for a link any more

    async def join(self) -> tuple[ProcessSession, LineQueue]:
        """Begin to use the process that runs now.

        Raises:
            ThvError: there is none within a while.
        """
        if not await self._is_attached() or self._life is None or self._is_stopping:
            raise ThvError(self.problem)
        return self._life, self._life.join()

    async def send(self, life: ProcessSession, inbox: LineQueue, line: bytes) -> None:
        """Hand on one line; waits while the link is down, for a while, and while the server does not read.

        Raises:
            OSError: the process has ended, or thv is stopping.
        """
        message = read_message(line)
        if life.ended is None and life.answered_here(inbox, message):
            return
        while True:
            attached = await self._is_attached()
            async with self._writing:
                if life.ended is not None or self._is_stopping:
                    raise BrokenPipeError(life.ended or STOPPING)
                if not attached:
                    life.refuse(inbox, message, self.problem)
                    return
                if self._link is None or self._link.is_closing:
                    self._unlink()  # whoever reads has not noticed yet
                    continue
                life.sending(inbox, message)
                try:
                    await self._link.write(line)
                except LinkDroppedError as dropped:
                    self._debug(str(dropped))  # whoever reads notices, too; what was on its way is in doubt
                return

    async def _is_attached(self) -> bool:
        if not self._attached.is_set():
            try:
                async with asyncio.timeout(self._patience):
                    await self._attached.wait()
            except TimeoutError:
                return False
        return True

    async def _keep(self) -> None:
        """Attach to one process after the other."""
        while True:
            link = await self._attach(None)
            life = self._life = ProcessSession(self._debug)
            try:
                await self._live(link, life)
            except ContainerEndedError as ended:
                self._over(life, str(ended), ended.exit_code)
            except LineTooLongError as error:
                self._over(life, f"the server wrote {error}", 1)

    async def _live(self, link: Link, life: ProcessSession) -> None:
        """Stay attached to one process until it ends."""
        lines = PartialLines()
        while True:
            try:
                await self._read(link, life, lines)
            except LinkDroppedError as dropped:
                self.problem = f"{self._what}: {dropped}"
                self._say(f"{self.problem}; attaching again")
            except ContainerEndedError:
                for line in lines.finish():
                    await life.received(line)
                raise
            finally:
                self._unlink()
                await link.close()
            self._give_up_later(life)
            link = await self._attach(life)

    async def _read(self, link: Link, life: ProcessSession, lines: PartialLines) -> None:
        lines.begin()
        if life.is_in_doubt:
            # A line may have been cut off: this one ends it, so that it spoils no other.
            await link.write(b"\n")
        self._link = link
        self._attached.set()
        began = asyncio.get_running_loop().time()
        try:
            while True:
                for line in lines.feed(await link.read()):
                    await life.received(line)
        finally:
            if asyncio.get_running_loop().time() - began >= self._steady:
                self._pause = 0.0

    async def _attach(self, life: ProcessSession | None) -> Link:
        """Attach, however often it takes.

        Raises:
            ContainerEndedError: the process that `life` is about is gone.
        """
        said = None
        while True:
            if self._pause:
                await asyncio.sleep(self._pause * random.uniform(0.5, 1))  # noqa: S311  no secret: it spreads load
            self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            try:
                link = await self._open_link()
            except ThvError as error:
                self.problem = f"cannot attach to {self._what}: {error}"
                if self.problem != said:
                    said = self.problem
                    self._say(said)
                if life is not None and isinstance(error, RefusedError) and error.no_container:
                    raise ContainerEndedError(str(error), 1) from None
            else:
                self._say(f"attached to {self._what}")
                return link

    def _unlink(self) -> None:
        self._link = None
        self._attached.clear()

    def _give_up_later(self, life: ProcessSession) -> None:
        up_to = life.dropped()
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            self._timers.discard(timer)
            life.give_up(up_to)

        timer = loop.call_later(self._doubt, give_up)
        self._timers.add(timer)

    def _over(self, life: ProcessSession, reason: str, exit_code: int | None) -> None:
        self._cancel_timers()
        self._life = None
        self.problem = f"{self._what}: {reason}"
        if life.ended is None:
            self._say(self.problem)
        life.end(reason, exit_code)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


class AttachBackend:
    """One way to use the process of an attached container. Implements `thv.core.interfaces.Backend`.

    Args:
        server: what is attached.
    """

    def __init__(self, server: AttachedServer) -> None:
        self._server = server
        self._used: tuple[ProcessSession, LineQueue] | None = None

    async def start(self) -> None:
        """Begin to use the process that runs now.

        Raises:
            ThvError: there is none within a while.
        """
        self._used = await self._server.join()

    async def send(self, line: bytes) -> None:
        """Hand on one line with its newline.

        Raises:
            OSError: the process has ended.
        """
        if self._used is None:
            raise BrokenPipeError("the server was not started")
        await self._server.send(*self._used, line)

    async def receive(self) -> bytes:
        """The next line with its newline; empty once the process has ended, or `close` was called."""
        return b"" if self._used is None else await self._used[1].take()

    async def close(self) -> int | None:
        """Use it no more. The process goes on: it is the container's.

        Returns:
            Its exit code if it has ended and that is known.
        """
        if self._used is None:
            return None
        life, inbox = self._used
        life.leave(inbox)
        return life.exit_code

    async def terminate(self) -> int | None:
        """The same: there is nothing to wait for."""
        return await self.close()
