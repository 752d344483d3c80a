"""Whether the server answers: found out once with a process of its own, and again after a failure.

An orchestrator that probes `/health` every few seconds must not start a process each time: a server that has answered
counts as healthy until one fails.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from thv.core.message import read_message
from thv.core.revisions import WITH_SESSIONS
from thv.errors import ThvError

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.http.front.backend_connection import StoppableBackend

PROBE_TIMEOUT_S = 60.0
"""Seconds a server has to answer for the first time: a runner may have to fetch it."""

PROBE_INTERVAL_S = 5.0
"""Seconds between two attempts."""

INITIALIZE = (
    b'{"jsonrpc":"2.0","id":"thv-health","method":"initialize","params":{"protocolVersion":"%b",'
    b'"capabilities":{},"clientInfo":{"name":"thv-health","version":"1"}}}\n' % WITH_SESSIONS[-1].encode()
)
"""Any reply will do: a server without sessions refuses this, and has answered."""


class EndedEarlyError(ConnectionError):
    """The server ended before it answered.

    Attributes:
        exit_code: its own; None where that is not known.
    """

    def __init__(self, exit_code: int | None) -> None:
        ending = "" if exit_code is None else f" with exit code {exit_code}"
        super().__init__(f"it ended{ending} before it answered")
        self.exit_code = exit_code


class HealthCheck(Protocol):
    """Whether a server can be used."""

    @property
    def problem(self) -> str:
        """Why not, where it cannot."""

    def look(self) -> bool:
        """Whether it can, as far as is known; finds out if it is not known."""

    def failed(self, problem: str) -> None:
        """The server could not be used."""

    async def close(self) -> None:
        """Stop finding out."""


class Health:
    """Knows whether the server answers.

    Args:
        make_backend: makes what reaches a new server.
        warn: called once with each new reason why it does not.
        on_failed_start: called with the exit code of a server that ended before one ever answered.
    """

    def __init__(
        self,
        make_backend: Callable[[], StoppableBackend],
        *,
        warn: Callable[[str], None],
        on_failed_start: Callable[[int], None] | None = None,
    ) -> None:
        self._on_failed_start = on_failed_start
        self._make_backend = make_backend
        self._warn = warn
        self._probing: asyncio.Task[None] | None = None
        self._next_probe = 0.0
        self.is_ready = False
        self.problem = "the server has not answered yet"

    def look(self) -> bool:
        """Whether it answers, as far as is known; finds out if it is not known."""
        now = asyncio.get_running_loop().time()
        if not self.is_ready and self._probing is None and now >= self._next_probe:
            self._probing = asyncio.create_task(self._probe())
        return self.is_ready

    def failed(self, problem: str) -> None:
        """A server failed: it has to be proven again."""
        if self.problem != problem:
            self._warn(problem)
        self.is_ready, self.problem = False, problem

    async def close(self) -> None:
        """Stop finding out."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    async def _probe(self) -> None:
        backend = self._make_backend()
        try:
            await backend.start()
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await self._initialize(backend)
                self.is_ready, self.problem = True, ""
                self._on_failed_start = None
            finally:
                await backend.terminate()
        except TimeoutError:
            self.failed(f"the server did not answer within {PROBE_TIMEOUT_S:g} seconds")
        except ThvError as error:
            self.failed(str(error))
            self._fail_start(error.exit_code)
        except EndedEarlyError as error:
            self.failed(f"the server does not answer: {error}")
            self._fail_start(error.exit_code)
        except OSError as error:
            self.failed(f"the server does not answer: {error}")
        finally:
            self._next_probe = asyncio.get_running_loop().time() + PROBE_INTERVAL_S
            self._probing = None

    async def _initialize(self, backend: StoppableBackend) -> None:
        with suppress(OSError):  # it ended at once, which is reported below
            await backend.send(INITIALIZE)
        while line := await backend.receive():
            message = read_message(line)
            if message is not None and message.is_response:
                return
        raise EndedEarlyError(await backend.close())

    def _fail_start(self, exit_code: int | None) -> None:
        if self._on_failed_start is not None:
            self._on_failed_start(1 if exit_code is None else exit_code)
