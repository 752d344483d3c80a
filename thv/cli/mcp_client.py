"""A client session with a server that `thv run` has started: the official SDK on one side, our own child on the other.

The child is started before the SDK is imported, so the server starts meanwhile; its stderr is ours. The session ends
the way the specification says: input closed first, then signals. Every failure leaves here as one `ThvError`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar

from thv.errors import CommandNotFoundError, NotExecutableError, ThvError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp import Client
    from mcp.shared.message import SessionMessage

    Incoming = SessionMessage | Exception

T = TypeVar("T")

CHUNK: Final = 65536
"""Bytes read at once: a Linux pipe holds no more."""

SLOW_START: Final = 2.0
"""Seconds after which a person wants to know why nothing happens yet."""

GRACE: Final = 20.0
"""Seconds thv gets to end after its input is closed: its own shutdown takes at most 13."""

KILL_GRACE: Final = 5.0
"""Seconds thv gets to end after SIGTERM: its own shutdown then takes 3."""


class ServerEndedError(ThvError):
    """The server ended before it answered.

    Attributes:
        is_told: the reason is already on stderr, in one line of the child's own.
    """

    def __init__(self, code: int) -> None:
        self.exit_code = 128 - code if code < 0 else code or 1
        self.is_told = code in {CommandNotFoundError.exit_code, NotExecutableError.exit_code}
        super().__init__(f"the server ended before it answered (exit code {self.exit_code if code else 0})")


def talk(run_words: Sequence[str], starting: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Start a server through `thv run`, do something with it, and end it.

    Args:
        run_words: the command line after ``thv run``.
        starting: what is being started, for the person who waits.
        work: what to do with the connected client.

    Returns:
        What `work` returned.

    Raises:
        ThvError: the SDK is not installed, the server ended, or it answered with a JSON-RPC error.
    """
    return asyncio.run(_talk([sys.executable, "-P", "-m", "thv", "run", *run_words], starting, work))


async def _talk(argv: list[str], starting: str, work: Callable[[Client], Awaitable[T]]) -> T:
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    grace = 0.0  # after a failure or Ctrl-C nobody waits for replies any more
    try:
        result = await _use(process, starting, work)
        grace = GRACE
    except Exception as failure:  # whatever the SDK raises becomes one line
        if _stdout(process).at_eof():
            raise ServerEndedError(await _end(process, grace=GRACE)) from failure
        raise _told(_cause(failure)) from failure
    finally:
        await _end(process, grace=grace)
    return result


async def _use(process: Process, starting: str, work: Callable[[Client], Awaitable[T]]) -> T:
    async with AsyncExitStack() as stack:
        with _explained_if_slow(starting):
            try:
                from mcp import Client
            except ImportError as error:
                raise ThvError('the client needs the MCP SDK: pip install "thv[client]"') from error
            client = await stack.enter_async_context(Client(_transport(process)))
        return await work(client)


@contextmanager
def _explained_if_slow(starting: str) -> Iterator[None]:
    """Show on a terminal what is being waited for. It takes a thread: importing the SDK holds the event loop up."""
    is_started = threading.Event()

    def explain() -> None:
        if is_started.wait(SLOW_START) or not sys.stderr.isatty():
            return
        from rich.console import Console

        with Console(stderr=True, markup=False).status(f"starting {starting}"):
            is_started.wait()

    thread = threading.Thread(target=explain, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_started.set()
        thread.join()


@asynccontextmanager
async def _transport(
    process: Process,
) -> AsyncIterator[tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]]:
    """The two streams the SDK talks through, joined to the child's pipes."""
    from anyio import create_memory_object_stream

    to_client, incoming = create_memory_object_stream["Incoming"](0)
    outgoing, to_server = create_memory_object_stream["SessionMessage"](0)
    pumps = [
        asyncio.create_task(_read(_stdout(process), to_client)),
        asyncio.create_task(_write(process, to_server)),
    ]
    try:
        yield incoming, outgoing
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for stream in (to_client, incoming, outgoing, to_server):
            stream.close()


async def _read(stdout: asyncio.StreamReader, to_client: MemoryObjectSendStream[Incoming]) -> None:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    async with to_client:
        async for line in _lines(stdout):
            # Servers print logs to stdout, too; what is no message is not for us.
            with suppress(ValueError):
                await to_client.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))


async def _lines(stdout: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, of any length: `readline` gives up at 64 KiB."""
    begun: list[bytes] = []
    while chunk := await stdout.read(CHUNK):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        for other in others:
            yield b"".join(begun)
            begun = [other]


async def _write(process: Process, to_server: MemoryObjectReceiveStream[SessionMessage]) -> None:
    stdin = process.stdin
    assert stdin is not None  # noqa: S101 - it was asked for as a pipe
    with suppress(ConnectionError):  # the server is gone: reading says so
        async for message in to_server:
            stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await stdin.drain()


def _stdout(process: Process) -> asyncio.StreamReader:
    assert process.stdout is not None  # noqa: S101 - it was asked for as a pipe
    return process.stdout


async def _end(process: Process, *, grace: float) -> int:
    """Close the child's input and wait until it is gone; its exit code.

    Args:
        process: the child.
        grace: seconds before it is told with a signal.
    """
    if process.stdin is not None:
        process.stdin.close()
    for seconds, tell in ((grace, process.terminate), (KILL_GRACE, process.kill)):
        waiter = asyncio.create_task(_drained(process))
        done, _ = await asyncio.wait({waiter}, timeout=seconds)
        if done:
            return waiter.result()
        waiter.cancel()
        with suppress(ProcessLookupError):
            tell()
    return await process.wait()


async def _drained(process: Process) -> int:
    """Wait for the end of the child, throwing away what it still says so that it cannot block on it."""
    while await _stdout(process).read(CHUNK):
        pass
    return await process.wait()


def _cause(error: Exception) -> Exception:
    """The one error inside the groups that task groups make of it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _told(error: Exception) -> ThvError:
    """The error as one line."""
    if isinstance(error, ThvError):
        return error
    from mcp import MCPError

    said = " ".join(str(error).split())
    if isinstance(error, MCPError):
        return ThvError(f"the server answered with error {error.code}: {said}")
    return ThvError(f"the server does not keep to the protocol: {said}")
