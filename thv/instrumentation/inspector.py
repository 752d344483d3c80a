"""Joins framing, messages and the ledger: shown both directions of a session, it keeps the ledger.

It never raises and never writes. A bug in looking ends the looking, not the session.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Generic

from thv.core.lines import LineAssembler
from thv.core.message import LineReader, Message, client_reader, server_reader
from thv.ledger.ledger import NO_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import Look
    from thv.core.message import ClientMessage, ServerMessage
    from thv.ledger.ledger import ToolCallLedger


class TrafficInspector:
    """Looks at the bytes of one session. Neither direction raises, and each may have a thread of its own.

    Args:
        ledger: told what was seen. It is abandoned if looking has to stop, so that nobody waits for replies unseen.
        report: told in one line, once, that looking had to stop.
        readers: what reads the lines of the client and of the server, where more is wanted than the ledger needs.
        measures: tell the ledger when messages passed and how large they are.
    """

    from_client: Look
    """Shown what the client sent, before it is forwarded: afterwards a reply could overtake its request.

    An empty chunk is the end. It ends a last line without newline, which a server that reads lines takes for whole.
    """

    from_server: Look
    """Shown what the server sent, after it was forwarded: looking must not delay it."""

    def __init__(
        self,
        ledger: ToolCallLedger,
        *,
        report: Callable[[str], None] | None = None,
        readers: tuple[LineReader[ClientMessage], LineReader[ServerMessage]] | None = None,
        measures: bool = False,
    ) -> None:
        client, server = readers or (client_reader(), server_reader())
        self._ledger = ledger
        self._report = report
        make = _MeasuredDirection if measures else _Direction
        self._client = make(client, ledger.client_sent, self._stop)
        self._server = make(server, ledger.server_sent, self._stop)
        self.from_client = self._client.see
        self.from_server = self._server.see

    def passed_at(self, time_ns: int | None) -> None:
        """What is shown from now on passed then, by `time.perf_counter_ns`; None: it passes as it is shown."""
        now = perf_counter_ns if time_ns is None else lambda: time_ns
        self._client.now = self._server.now = now

    def stray_lines(self) -> tuple[int, int | None]:
        """How many lines of the server were no JSON-RPC, and when the first was read."""
        reader = self._server.reader
        return reader.stray_lines, reader.first_stray_ns

    def _stop(self, problem: Exception) -> None:
        already = self._client.stopped
        self._client.stopped = self._server.stopped = True
        try:
            self._ledger.abandon()
            if self._report is not None and not already:
                self._report(f"tool calls are no longer counted in this session: {problem!r}")
        except Exception:  # noqa: BLE001, S110 - the relay must go on, and there is nobody left to tell
            pass


class _Direction(Generic[Message]):
    """One direction: its half-read line, how its lines are read, and who is told of the messages."""

    def __init__(
        self,
        reader: LineReader[Message],
        tell: Callable[..., None],
        stop: Callable[[Exception], None],
    ) -> None:
        self._lines = LineAssembler()
        self.reader = reader
        self._tell = tell
        self._stop = stop
        self.stopped = False
        self.now: Callable[[], int] = perf_counter_ns

    def see(self, chunk: bytes) -> None:
        if self.stopped:
            return
        try:
            if not self._lines.pending and chunk.find(b"\n") == len(chunk) - 1:
                # One small line a read is what a session consists of, so it gets the shortest way.
                self._tell(self.reader.read_one(chunk))
                return
            for block in self._lines.feed(chunk or b"\n"):
                self._tell(self.reader.read(block) if block else self.reader.unreadable)
        except Exception as problem:  # noqa: BLE001 - a bug in looking must not reach the relay
            self._stop(problem)


class _MeasuredDirection(_Direction[Message]):
    """One that also tells when messages passed and how large they are."""

    def see(self, chunk: bytes) -> None:
        if self.stopped:
            return
        try:
            if not self._lines.pending and chunk.find(b"\n") == len(chunk) - 1:
                messages = self.reader.read_one(chunk)
                count = len(messages)
                self._tell(messages, (len(chunk),) if count == 1 else [len(chunk) // (count or 1)] * count, self.now())
                return
            for block in self._lines.feed(chunk or b"\n"):
                if block:
                    self._tell(*self.reader.read_with_sizes(block), self.now())
                else:
                    self._tell(self.reader.unreadable, NO_SIZES, self.now())
        except Exception as problem:  # noqa: BLE001 - a bug in looking must not reach the relay
            self._stop(problem)
