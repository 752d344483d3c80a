"""A child process as the server behind HTTP: the same spawn, watchdog and shutdown ladder as on the stdio relay.

Whatever the server left running in its process group is ended, too. Nothing here knows what a line means.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from thv.errors import ThvError
from thv.http.pipes import LineSink, LineSource
from thv.process import shutdown
from thv.process.server_process import ServerProcess
from thv.process.shutdown import POLL, REPLY_GRACE, ShutdownLadder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from thv.servers.launch_spec import LaunchSpec

KILLED = 128 + 9
"""The exit code of a server that even SIGKILL did not end in time: what it will have."""

OUTPUT_GRACE = 1.5
"""Seconds without output, after the server's exit, after which what it started and holds its stdout is not waited for:
clients want to know that their server is gone."""

SIGTERM = 15
"""Sent where thv itself decides that a server is to end now."""

_running: set[ProcessBackend] = set()
"""Every server that was started and has not been ended yet."""


def hand_on_to_servers(number: int, *, asks_to_end: bool = True) -> None:
    """Hand a signal to thv on to every server, as the client would have done without us."""
    for backend in tuple(_running):
        backend.send_signal(number, asks_to_end=asks_to_end)


class ProcessBackend:
    """One MCP server, as a child process that is reached by lines. Implements `thv.core.interfaces.Backend`.

    Args:
        spec: what to start.
        calls_are_open: whether it still has requests to answer, for which its end waits longer.
        is_at_work: whether it is seen to work on them, or is still starting.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        calls_are_open: Callable[[], bool] | None = None,
        is_at_work: Callable[[], bool] | None = None,
    ) -> None:
        self._spec = spec
        self._calls_are_open = calls_are_open
        self._is_at_work = is_at_work
        self._process: ServerProcess | None = None
        self._exited: asyncio.Future[None] | None = None
        self._exit_fd = -1
        self._ladder: ShutdownLadder | None = None
        self._exit_code: asyncio.Future[int] | None = None
        self._closing: asyncio.Task[None] | None = None

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
            self._exited = asyncio.get_running_loop().create_future()
            self._source = LineSource(process.stdout)
            self._sink = LineSink(process.stdin)
            self._watch_exit(process)
        except BaseException:  # no descriptor or thread left
            process.kill()
            raise
        self._process = process
        self._ladder = ShutdownLadder(_EndableProcess(process, self._sink))
        _running.add(self)

    async def send(self, line: bytes) -> None:
        """Write one line, with its newline, to the server; waits while it does not read.

        Raises:
            OSError: the server reads no more.
        """
        rest = self._sink.write(line)
        if rest is not None:
            await rest

    def begin_send(self, line: bytes) -> Awaitable[None] | None:
        """The same, without waiting; returns what is left to wait for, or None if the pipe took it at once."""
        return self._sink.write(line)

    async def receive(self) -> bytes:
        """The server's next line with its newline; empty once it has ended, or exited without closing its stdout.

        Raises:
            OSError: a line is larger than a line may be.
        """
        return await self._source.take()

    def receive_nowait(self) -> bytes | None:
        """The same, or None if there is no line yet."""
        return self._source.take_nowait()

    def set_on_ready(self, on_ready: Callable[[], None]) -> None:
        """Call this when there may be something for `receive_nowait`."""
        self._source.on_ready = on_ready

    async def close(self) -> int:
        """End the server; more than once is fine. What it started is ended, too, in the background.

        Returns:
            Its exit code as a shell gives it: its own, or 128 + N if signal N ended it.
        """
        if self._process is None:
            return 0
        if self._exit_code is None:
            self._exit_code = asyncio.get_running_loop().create_future()
            self._closing = asyncio.create_task(self._end(self._process, self._exit_code))
        return await asyncio.shield(self._exit_code)

    async def terminate(self) -> int:
        """End a server because thv ends: SIGTERM comes before the end of its input, and what it started ends, too.

        Where a signal was handed on to it, that signal is all it gets for now.
        """
        if self._ladder is not None and not self._ladder.was_signalled:
            self.send_signal(SIGTERM)
        exit_code = await self.close()
        if self._closing is not None:
            await asyncio.wait([self._closing])
        return exit_code

    def send_signal(self, number: int, *, asks_to_end: bool = True) -> None:
        """Send a signal to the server's process alone; where it asks to end, `close` then waits for what it does."""
        if self._ladder is None or self._process is None or self._has_exited():
            return
        if asks_to_end or self._ladder.has_started:
            self._ladder.hand_on(number)
        else:
            self._process.send_signal(number)

    async def exited(self) -> None:
        """Wait until the server has exited: one that closed its stdout may live on."""
        if self._exited is not None:
            await asyncio.shield(self._exited)

    def _has_exited(self) -> bool:
        return self._exited is None or self._exited.done()

    async def _end(self, process: ServerProcess, exit_code: asyncio.Future[int]) -> None:
        ladder = self._ladder
        assert ladder is not None  # noqa: S101  there is a process
        if not ladder.has_started:
            ladder.close_input()
        try:
            if await shutdown.run_on_asyncio(
                ladder, self._has_exited, self._await_exit, self._calls_are_open, self._is_at_work
            ):
                await self._deliver_last_output(ladder)
                self._source.finish()
                exit_code.set_result(process.reap())
                ladder.close_input()
                await shutdown.run_on_asyncio(ladder, lambda: not process.has_live_descendants(), _sleep_briefly)
        finally:
            self._sink.close()
            self._source.finish()
            if not exit_code.done():
                exit_code.set_result(KILLED)
            _running.discard(self)
            process.release()

    async def _deliver_last_output(self, ladder: ShutdownLadder) -> None:
        """Wait for what still holds the stdout of a server that has exited: a wrapper leaves before its server does.

        Only where a client that has closed its end reads on, and sent no signal.
        """
        source, loop = self._source, asyncio.get_running_loop()
        read, moved_at = source.bytes_read, loop.time()
        while self._calls_are_open is not None and not source.ended and not ladder.was_signalled:
            await asyncio.sleep(POLL)
            if source.bytes_read != read:
                read, moved_at = source.bytes_read, loop.time()
            is_awaited = self._calls_are_open() or not source.is_reading
            if loop.time() - moved_at > (REPLY_GRACE if is_awaited else OUTPUT_GRACE):
                return

    async def _await_exit(self, seconds: float) -> None:
        assert self._exited is not None  # noqa: S101  there is a process
        await asyncio.wait([self._exited], timeout=seconds)

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
        with suppress(RuntimeError):  # the loop is closed; the result is not needed
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
        if source.ended or (self._closing is not None and self._calls_are_open is not None):
            return
        if source.is_reading and source.bytes_read == seen:
            source.finish()
        else:
            asyncio.get_running_loop().call_later(OUTPUT_GRACE, self._await_output, source.bytes_read)


class _EndableProcess:
    """A process as the shutdown ladder sees it. Until its input is closed it can be written to, a signal or not."""

    def __init__(self, process: ServerProcess, sink: LineSink) -> None:
        self.send_signal = process.send_signal
        self.terminate = process.terminate
        self.kill = process.kill
        self._process = process
        self._sink = sink

    def close_stdin(self) -> None:
        """Close its input; what waits to be written there fails."""
        self._sink.close()
        self._process.close_stdin()


async def _sleep_briefly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, POLL))
