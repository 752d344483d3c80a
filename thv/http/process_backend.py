"""A child process as the server behind HTTP: the same spawn, watchdog and orderly end as on the stdio relay.

Ended like there (MCP, "Lifecycle, Shutdown", stdio): stdin closed, SIGTERM after `EOF_GRACE`, SIGKILL after
`TERM_GRACE`, to the whole process group; whatever the server left running in it ends with it. Nothing here knows what a
line means.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.errors import ThvError
from thv.http.pipes import LineSink, LineSource
from thv.process.server_process import ServerProcess
from thv.relay.relay import EOF_GRACE, LAST_GRACE, POLL, TERM_GRACE

if TYPE_CHECKING:
    from thv.servers.launch_spec import LaunchSpec

KILLED = 128 + 9
"""The exit code of a server that even SIGKILL did not end in time: what it will have."""


class ProcessBackend:
    """One MCP server, as a child process that is reached by lines. Implements `thv.core.interfaces.Backend`.

    Args:
        spec: what to start.
    """

    def __init__(self, spec: LaunchSpec) -> None:
        self._spec = spec
        self._process: ServerProcess | None = None
        self._exited: asyncio.Future[None] | None = None
        self._exit_fd = -1
        self._asked_to_end = False
        self._closing: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, once it was started."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the server.

        Raises:
            ThvError: it cannot be started.
        """
        spec = self._spec
        try:
            process = ServerProcess.spawn(spec.executable, spec.argv, spec.env, spec.cwd)
        except OSError as error:  # no descriptor left
            raise ThvError(f"the system refuses what another server needs: {error.strerror}") from None
        try:
            process.watch()
            self._exited = asyncio.get_running_loop().create_future()
            self._source = LineSource(process.stdout)
            self._sink = LineSink(process.stdin)
            self._watch_exit(process)
        except BaseException:  # no descriptor or thread left
            process.kill()
            raise
        self._process = process

    async def send(self, line: bytes) -> None:
        """Hand one line, with its newline, to the server; waits while it does not read.

        Raises:
            OSError: the server reads no more.
        """
        await self._sink.write(line)

    async def receive(self) -> bytes:
        """The server's next line with its newline; empty once it has ended, or exited without closing its stdout.

        Raises:
            OSError: a line is larger than a line may be.
        """
        return await self._source.take()

    async def close(self) -> int:
        """End the server and everything it started; more than once is fine.

        Returns:
            Its exit code as a shell gives it: its own, or 128 + N if signal N ended it.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._end())
        return await asyncio.shield(self._closing)

    async def terminate(self) -> int:
        """The same without the time that a server has to notice the end of its input: somebody is waiting."""
        if self._process is not None and not self._has_exited():
            self._process.terminate()
            self._asked_to_end = True
        return await self.close()

    async def exited(self) -> None:
        """Wait until the server has exited: one that closed its stdout may live on."""
        if self._exited is not None:
            await asyncio.shield(self._exited)

    def _has_exited(self) -> bool:
        return self._exited is None or self._exited.done()

    async def _end(self) -> int:
        process = self._process
        if process is None:
            return 0
        self._sink.close()
        process.close_stdin()
        steps = ((EOF_GRACE, process.terminate), (TERM_GRACE, process.kill), (LAST_GRACE, None))
        for grace, remedy in steps[1:] if self._asked_to_end else steps:
            if await self._exits_within(grace):
                break
            if remedy is not None:
                remedy()
        self._source.finish()
        exit_code = KILLED
        if self._has_exited():
            exit_code = process.close()
            await self._end_the_rest(process)
        process.release()
        return exit_code

    async def _end_the_rest(self, process: ServerProcess) -> None:
        """End what the server started and left behind."""
        for grace, remedy in ((TERM_GRACE, process.terminate), (LAST_GRACE, process.kill)):
            if not process.has_live_descendants():
                return
            remedy()
            deadline = asyncio.get_running_loop().time() + grace
            while process.has_live_descendants() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(POLL)

    async def _exits_within(self, seconds: float) -> bool:
        if self._exited is not None and not self._exited.done():
            await asyncio.wait([self._exited], timeout=seconds)
        return self._has_exited()

    def _watch_exit(self, process: ServerProcess) -> None:
        """Notice when the server exits: by a descriptor where there is such a thing (Linux), else by a thread."""
        loop = asyncio.get_running_loop()
        if hasattr(os, "pidfd_open"):
            self._exit_fd = os.pidfd_open(process.pid)
            loop.add_reader(self._exit_fd, self._note_exit)
        else:
            threading.Thread(target=self._wait, args=(process, loop), daemon=True).start()

    def _wait(self, process: ServerProcess, loop: asyncio.AbstractEventLoop) -> None:
        process.wait()
        with suppress(RuntimeError):  # the loop is closed; nobody asks any more
            loop.call_soon_threadsafe(self._note_exit)

    def _note_exit(self) -> None:
        if self._exit_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._exit_fd)
            os.close(self._exit_fd)
            self._exit_fd = -1
        if self._exited is not None and not self._exited.done():
            self._exited.set_result(None)
            self._await_output(-1)

    def _await_output(self, seen: int) -> None:
        """What it wrote is still in the pipe; but a child of it that holds the pipe open must not hide its end."""
        source = self._source
        if source.ended:
            return
        if source.is_reading and source.bytes_read == seen:
            source.finish()
        else:
            asyncio.get_running_loop().call_later(EOF_GRACE, self._await_output, source.bytes_read)
