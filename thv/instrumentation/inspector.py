"""Joins lines, messages and the ledger: inspects both directions of a session, by chunks or message by message.

It never raises and never writes. A bug in inspection ends the inspection, not the session.
"""

from __future__ import annotations

from itertools import repeat
from time import perf_counter_ns
from typing import TYPE_CHECKING

from thv.core.jsonrpc import INTERNAL_ERROR
from thv.core.line_assembler import LineAssembler
from thv.core.message import (
    UNREADABLE,
    ErrorObject,
    Message,
    Params,
    decode_strictly,
    read_line,
    read_lines,
    read_sized_lines,
)
from thv.ledger.ledger import NO_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from thv.core.message import Id
    from thv.ledger.ledger import ToolCallLedger


class TrafficInspector:
    """Inspects one session; each direction may have a thread of its own.

    A transport uses either the methods for chunks or those for messages in one direction, since half a line may wait.

    Args:
        ledger: given what is seen. It is closed if inspection has to stop, so that the end of the session does not wait
            for replies that would not be seen.
        report: given one line, once, if inspection had to stop.
        is_timed: tell the ledger when messages passed.
        is_sized: tell it how large they are, too.
    """

    def __init__(
        self,
        ledger: ToolCallLedger,
        *,
        report: Callable[[str], None] | None = None,
        is_timed: bool = False,
        is_sized: bool = False,
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._is_timed = is_timed
        self._is_sized = is_sized
        self._client_lines = LineAssembler()
        self._server_lines = LineAssembler()
        self._is_stopped = False
        self._stray_lines = 0
        self._first_stray_ns: int | None = None

    def on_client_data(self, chunk: bytes, at_ns: int = 0) -> None:
        """The client sent a chunk. It is inspected before it is forwarded: later, a reply could overtake its request.

        An empty chunk is the end. It ends a last line without newline, which a server that reads lines takes for whole.
        """
        if self._is_stopped:
            return
        try:
            if not at_ns and self._is_timed:
                at_ns = perf_counter_ns()
            lines, ledger = self._client_lines, self._ledger
            if not lines.pending and chunk.find(b"\n") == len(chunk) - 1:
                # One small line a read is what a session consists of, so it gets the shortest way.
                try:
                    message = decode_strictly(chunk)
                except (ValueError, RecursionError):
                    ledger.client_sent(read_line(chunk), repeat(len(chunk)), at_ns)
                else:
                    ledger.client_sent((message,), (len(chunk),), at_ns)
                return
            for block in lines.feed(chunk or b"\n"):
                if self._is_sized:
                    ledger.client_sent(*read_sized_lines(block), at_ns)
                else:
                    ledger.client_sent(read_lines(block), NO_SIZES, at_ns)
        except Exception as problem:  # noqa: BLE001 - a bug in inspection must not reach the transport
            self._stop(problem)

    def on_server_data(self, chunk: bytes, at_ns: int = 0, http_status: int | None = None) -> None:
        """The server sent a chunk. It is inspected after it was forwarded, so that it is not delayed."""
        if self._is_stopped:
            return
        try:
            if not at_ns and self._is_timed:
                at_ns = perf_counter_ns()
            lines, ledger = self._server_lines, self._ledger
            if not lines.pending and chunk.find(b"\n") == len(chunk) - 1:
                try:
                    message = decode_strictly(chunk)
                except (ValueError, RecursionError):
                    messages = read_line(chunk, self.on_stray_line)
                    ledger.server_sent(messages, repeat(len(chunk)), at_ns, http_status=http_status)
                else:
                    ledger.server_sent((message,), (len(chunk),), at_ns, http_status=http_status)
                return
            for block in lines.feed(chunk or b"\n"):
                if not block:
                    ledger.server_sent((UNREADABLE,), NO_SIZES, at_ns)
                elif self._is_sized:
                    ledger.server_sent(*read_sized_lines(block, self.on_stray_line), at_ns, http_status=http_status)
                else:
                    ledger.server_sent(read_lines(block, self.on_stray_line), NO_SIZES, at_ns, http_status=http_status)
        except Exception as problem:  # noqa: BLE001 - as above
            self._stop(problem)

    def on_client_message(self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0) -> bytes:
        """The client sent a message, decoded already; not forwarded yet. Returns what to forward: its line."""
        if not self._is_stopped:
            try:
                if not at_ns and self._is_timed:
                    at_ns = perf_counter_ns()
                self._ledger.client_sent((message,), (len(line),), at_ns, scope=scope)
            except Exception as problem:  # noqa: BLE001 - as above
                self._stop(problem)
        return line

    def on_server_message(
        self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0, http_status: int | None = None
    ) -> None:
        """The server sent a message, decoded already; forwarded already."""
        if not self._is_stopped:
            try:
                if not at_ns and self._is_timed:
                    at_ns = perf_counter_ns()
                self._ledger.server_sent((message,), (len(line),), at_ns, scope=scope, http_status=http_status)
            except Exception as problem:  # noqa: BLE001 - as above
                self._stop(problem)

    def on_request_cancelled(self, id_: Id, *, scope: Hashable = None) -> None:
        """The client waits for this request no longer, without having said so in a message."""
        message = Message(method="notifications/cancelled", params=Params(request_id=id_))
        TrafficInspector.on_client_message(self, b"", message, scope=scope)

    def on_request_failed(self, id_: Id, *, scope: Hashable = None, http_status: int | None = None) -> None:
        """The transport answered this request with an error, in the server's place."""
        reply = Message(id=id_, error=ErrorObject(INTERNAL_ERROR))
        self.on_server_message(b"", reply, scope=scope, http_status=http_status)

    def stray_lines(self) -> tuple[int, int | None]:
        """How many lines of the server were no JSON-RPC, and when the first was read, by `time.perf_counter_ns`."""
        return self._stray_lines, self._first_stray_ns

    def on_stray_line(self, _line: bytes | bytearray) -> None:
        """The server sent a line that is no JSON-RPC; for a transport that decodes messages itself."""
        if not self._stray_lines:
            self._first_stray_ns = perf_counter_ns()
        self._stray_lines += 1

    def _stop(self, problem: Exception) -> None:
        already, self._is_stopped = self._is_stopped, True
        try:
            self._ledger.close("evicted")
            if self._report is not None and not already:
                self._report(f"tool calls are no longer counted in this session: {problem!r}")
        except Exception:  # noqa: BLE001, S110 - the transport must go on, and there is no one left to tell
            pass
