"""A remote server as if it were a local one: a client on two descriptors, an HTTP server behind.

Promises: every request of the client is answered once, by the server or by an error that says what failed; what the
server says reaches the client as whole lines, in the order of each stream, and no faster than it reads. The session
outlives a server that is away for a while. It ends when the client leaves: replies on their way are waited for.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from thv.auth.authorizer import Authorizer
from thv.auth.login_options import LoginOptions
from thv.core.jsonrpc import PARSE_ERROR
from thv.core.lines import MAX_MESSAGE
from thv.core.message import is_batch, read_line
from thv.errors import ThvError
from thv.http.client.client_messages import LISTEN, error_reply, read_client
from thv.http.client.client_state import PostExchange
from thv.http.client.http_client import HttpClient, RemoteError
from thv.http.client.legacy_sse import HttpSse
from thv.http.client.streamable_http import NotStreamableError, StreamableHttp
from thv.process.client_ends import has_reader, is_regular_file
from thv.process.shutdown import REPLY_GRACE, WORK_GRACE
from thv.relay.line_streams import TOO_LONG, ClientGoneError, LineInput, LineOutput
from thv.servers.remote_spec import may_log_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from thv.core.interfaces import SessionInstrumentation
    from thv.core.message import Id, Message
    from thv.http.client.client_messages import Sent
    from thv.http.client.client_state import Tell
    from thv.servers.remote_spec import RemoteSpec

CLOSE_TIMEOUT_S: Final = 1.0
"""Seconds that the server has to take note of the end."""

NOTIFY_TIMEOUT_S: Final = 5.0
"""Seconds that later messages wait for a notification to be taken, so that the order is kept."""

CANCELLED_LINGER_S: Final = 10.0
"""Seconds that a server has to answer a cancelled request all the same, as some do; then its connection is closed."""

OUTPUT_POLL_S: Final = 0.05
"""Seconds between two looks at whether a slow client has taken what was in hand."""


class RemoteClient:
    """One session with a remote server.

    Args:
        spec: the server.
        instrumentation: passed all traffic.
        environ: where proxies are named.
        warn: called with lines for the user.
        debug: report what is done, too.
        client_disconnected: called once, when the client left or `stop` was called.
        stdin, stdout: the client's descriptors.

    Raises:
        ThvError: a setting of the connection cannot be used.
    """

    def __init__(
        self,
        spec: RemoteSpec,
        instrumentation: SessionInstrumentation,
        *,
        environ: Mapping[str, str],
        warn: Tell,
        debug: bool = False,
        client_disconnected: Callable[[], None] = lambda: None,
        stdin: int = 0,
        stdout: int = 1,
    ) -> None:
        self._http = HttpClient(spec, environ, _authorizer(spec, environ, warn))
        self._instrumentation = instrumentation
        self._name = spec.name
        self._report = warn
        self._debug: Tell = warn if debug else _ignore
        self._client_gone = client_disconnected
        self._stdin, self._stdout = stdin, stdout
        self._last_complaint = ""
        self._open: dict[Id, tuple[asyncio.Task[None], PostExchange]] = {}
        self._tasks: dict[asyncio.Task[None], PostExchange] = {}
        self._stopped: int | None = None
        self._lost_output = False
        self.passed = 0

    async def run(self) -> int:
        """Run the session to its end.

        Returns:
            0, 128 + N if `stop` was called with N, or 1 if messages could not be written to stdout.
        """
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._end = asyncio.Event()  # at once: there is nothing left to wait for
        self._eof = asyncio.Event()
        self._output = LineOutput(self._stdout)
        self._input = LineInput(self._stdin, self._lines.put_nowait, self._at_eof)
        self._server: StreamableHttp | HttpSse = StreamableHttp(
            self._http, self._deliver, warn=self._warn, debug=self._debug
        )
        self._input.start()
        dispatcher = asyncio.create_task(self._dispatch())
        ended, eof = asyncio.create_task(self._end.wait()), asyncio.create_task(self._eof.wait())
        await asyncio.wait({eof, ended, dispatcher}, return_when=asyncio.FIRST_COMPLETED)
        self._client_gone()
        await self._last_replies(dispatcher, ended)
        tasks = [dispatcher, ended, eof, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._instrumentation.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._server.close()
                await self._http.close()
        except TimeoutError:
            self._debug("the server took no note of the end in time")
        if dispatcher.done() and not dispatcher.cancelled():
            dispatcher.result()
        if self._stopped is not None:
            return 128 + self._stopped
        return ThvError.exit_code if self._lost_output else 0

    def stop(self, signal: int) -> None:
        """End the session now. To be called in the loop."""
        self._stopped = signal
        self._end.set()

    def activity(self) -> int:
        """A number that changes whenever something passes."""
        return self.passed

    def _at_eof(self) -> None:
        self._lines.put_nowait(None)
        self._eof.set()

    async def _last_replies(self, dispatcher: asyncio.Task[None], ended: asyncio.Task[bool]) -> None:
        """Wait for the replies on their way, and for a client that is slow to take them.

        The end of a file is not a client that left, so a server is then given the time that it needs.
        """
        grace = WORK_GRACE if is_regular_file(self._stdin) else REPLY_GRACE
        deadline = time.monotonic() + grace
        given = self._output.given
        while not ended.done():
            unanswered = {
                task: each
                for task, each in self._tasks.items()
                if each.waiting and not each.is_cancelled and each.sent.method != LISTEN
            }
            waiting = {*unanswered, *(() if dispatcher.done() else (dispatcher,))}
            in_hand = self._output.taken != self._output.given
            now = time.monotonic()
            if self._output.given != given:
                given, deadline = self._output.given, now + grace
            if not waiting and not in_hand:
                return
            if now >= deadline:
                if waiting and has_reader(self._stdout):
                    self._report(
                        f"{self._name} did not answer everything: it was silent for {grace:.0f} s after the end of the "
                        "input"
                    )
                return
            # A request is over with its replies, however long the server keeps the stream open after them.
            open_exchanges = [each for each in unanswered.values() if not each.settled.is_set()]
            settled = {asyncio.create_task(each.settled.wait()) for each in open_exchanges}
            await asyncio.wait(
                {*waiting, *settled, ended},
                timeout=OUTPUT_POLL_S if in_hand else deadline - now,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in settled:
                task.cancel()

    # From the client.

    async def _dispatch(self) -> None:
        """Send the client's lines off, in order: requests in parallel, anything else one after the other."""
        while (line := await self._lines.get()) is not None:
            self.passed += 1
            if line is TOO_LONG or not line.strip():
                self._input.done(line)
                if line is TOO_LONG:
                    sentence = f"a message of more than {MAX_MESSAGE >> 20} MiB was not sent"
                    self._warn(sentence)
                    await self._deliver(error_reply(b"null", sentence, code=PARSE_ERROR))
                continue
            sent = self._inspected(line if line.endswith(b"\n") else line + b"\n")
            if sent.cancels is not None and await self._cancel(sent.cancels):
                self._input.done(line)
            elif sent.asks:
                task = self._begin(sent, line)
                if sent.method == "initialize":
                    await asyncio.wait({task})  # everything else depends on what it brings
            else:
                task = asyncio.create_task(self._notify(sent, line))
                self._tasks[task] = PostExchange(sent)
                task.add_done_callback(self._forget)
                await asyncio.wait({task}, timeout=NOTIFY_TIMEOUT_S)

    def _inspected(self, line: bytes) -> Sent:
        """What a line of the client is, decoded once and inspected; with our trace context, if that is passed on."""
        messages = read_line(line)
        if len(messages) == 1 and not is_batch(line):
            return read_client(self._instrumentation.on_client_message(line, messages[0]), messages)
        return read_client(self._instrumentation.rewrite_client_data(line), messages)

    def _begin(self, sent: Sent, line: bytes) -> asyncio.Task[None]:
        exchange = PostExchange(sent)
        task = asyncio.create_task(self._request(exchange, line))
        self._tasks[task] = exchange
        for ask in sent.asks:
            self._open[ask.key] = task, exchange
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        exchange = self._tasks.pop(task)
        for ask in exchange.sent.asks:
            if self._open.get(ask.key, (None,))[0] is task:
                del self._open[ask.key]
        if not task.cancelled():
            task.exception()  # it was reported where it happened

    async def _cancel(self, key: Id) -> bool:
        """Heed a cancellation before it is sent; whether it needs not be sent."""
        task, exchange = self._open.get(key, (None, None))
        if task is None or exchange is None:
            return not self._server.has_session  # the server could make nothing of it
        if exchange.sent.is_modern and isinstance(self._server, StreamableHttp):
            task.cancel()  # closing the response is how 2026-07-28 cancels over HTTP
            return True
        try:
            async with asyncio.timeout(NOTIFY_TIMEOUT_S):
                await exchange.on_its_way.wait()  # or it would come before what it cancels
        except TimeoutError:
            pass
        exchange.cancelled.add(key)
        if exchange.is_cancelled:
            # The message tells the server, which may leave the response open for ever.
            asyncio.get_running_loop().call_later(CANCELLED_LINGER_S, task.cancel)
        return False

    async def _request(self, exchange: PostExchange, line: bytes) -> None:
        try:
            if exchange.sent.method == "initialize":
                await self._initialize(exchange)
            else:
                await self._server.request(exchange)
            self._last_complaint = ""
        except RemoteError as problem:
            await self._fail(exchange, problem.sentence, problem.status)
        except Exception as error:  # noqa: BLE001  a bug of ours must not leave the client waiting
            await self._fail(exchange, f"thv failed to carry the request: {error!r}", None)
        finally:
            exchange.on_its_way.set()
            self._input.done(line)

    async def _fail(self, exchange: PostExchange, sentence: str, status: int | None) -> None:
        if exchange.is_cancelled:
            return
        self._warn(sentence)
        while exchange.waiting:
            ask = exchange.waiting[0]
            if ask.key not in exchange.cancelled:
                await self._deliver(error_reply(ask.id, sentence, status=status))
            del exchange.waiting[0]

    async def _initialize(self, exchange: PostExchange) -> None:
        server = self._server
        try:
            await server.initialize(exchange)
        except NotStreamableError as error:
            older = HttpSse(self._http, self._deliver, warn=self._warn, debug=self._debug)
            try:
                await older.open()
            except RemoteError:
                if isinstance(server, StreamableHttp) and await server.explained(exchange, error.body):
                    return
                raise error.problem from None
            self._debug("the server speaks the older HTTP+SSE transport")
            self._server = older
            await older.initialize(exchange)

    async def _notify(self, sent: Sent, line: bytes) -> None:
        try:
            await self._server.notify(sent)
        except RemoteError as problem:
            self._warn(problem.sentence)
        finally:
            self._input.done(line)

    # To the client, and to the user.

    async def _deliver(self, line: bytes, messages: Sequence[Message] | None = None) -> None:
        whole = line + b"\n"
        try:
            await self._output.write(whole)
        except ClientGoneError as gone:
            if not isinstance(gone.__cause__, BrokenPipeError | ConnectionResetError):
                self._lost_output = True
                self._warn(f"messages of the server are lost: stdout cannot be written: {gone.__cause__}")
            self._end.set()
            await asyncio.get_running_loop().create_future()  # until we are cancelled: the client is gone
        self.passed += 1
        for message in read_line(whole) if messages is None else messages:
            self._instrumentation.on_server_message(whole, message)

    def _warn(self, sentence: str) -> None:
        """Report it to the user, unless it is what was reported last."""
        if sentence != self._last_complaint:
            self._last_complaint = sentence
            self._report(sentence)


def _authorizer(spec: RemoteSpec, environ: Mapping[str, str], warn: Tell) -> Authorizer | None:
    """What logs the user in; None where that is not to be."""
    if not may_log_in(spec):
        return None
    options = LoginOptions(client_id=spec.client_id)
    return Authorizer(spec.url, options, environ=environ, ca_file=spec.ca_file, warn=warn)


def _ignore(_sentence: str) -> None:
    """Discard it."""
