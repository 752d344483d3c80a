"""Joins lines, messages and the ledger: inspects both directions of a session, by chunks or message by message.

It never raises and never writes. A bug in inspection ends the inspection, not the session.
"""

from __future__ import annotations

from itertools import repeat
from time import perf_counter_ns, sleep
from typing import TYPE_CHECKING

from thv.core.jsonrpc import INTERNAL_ERROR
from thv.core.line_assembler import LineAssembler
from thv.core.message import (
    BLANK,
    UNREADABLE,
    ErrorObject,
    Message,
    Params,
    decode_lines,
    decode_strictly,
    may_hold_message,
    read_sized_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from thv.core.interfaces import PassedChunk, PassedMessage
    from thv.core.message import Id
    from thv.ledger.ledger import ToolCallLedger


SLOW_LINE = 1024
"""Bytes of a line that the strict decoder refused, from which on reading it takes long: some 20 µs a KiB at worst."""

LARGE_LINE = 64 << 10
"""Bytes of a line from which on reading it takes long: some 1 ms a MiB."""

WORTH_A_CALL = 16
"""Messages in one chunk that are passed on without being added to others."""

MANY = 1000
"""Messages that are passed on at once: some 0.5 MiB."""

WORK_NS = 300_000
PAUSE_S = 50e-6
"""After how many nanoseconds of looking at odd lines the threads that carry traffic are let run, and for how long. If
asked for the interpreter, a thread gives it away after 5 ms only, and a message needs it some eight times."""


class TrafficInspector:
    """Inspects one session; each direction may have a thread of its own.

    A transport uses either the methods for chunks or those for messages in one direction, since half a line may wait.
    Those for chunks are not called at the same time for one direction.

    Args:
        ledger: given what is seen. It is closed if inspection has to stop, so that the end of the session does not wait
            for replies that would not be seen.
        report: given one line, once, if inspection had to stop.
    """

    def __init__(self, ledger: ToolCallLedger, *, report: Callable[[str], None] | None = None) -> None:
        self._ledger = ledger
        self._report = report
        self._client_lines = LineAssembler()
        self._server_lines = LineAssembler()
        self._is_stopped = False
        self._worked_ns = 0  # with odd lines, since the last pause
        self._stray_lines = 0
        self._first_stray_ns: int | None = None

    def on_client_data(self, chunk: bytes, at_ns: int = 0) -> None:
        """The client sent a chunk, for a transport that forwards it only then.

        An empty chunk is the end. It ends a last line without newline, which a server that reads lines takes for whole.
        """
        self.on_traffic(((True, chunk, at_ns or perf_counter_ns()),))

    def on_traffic(self, traffic: Sequence[PassedChunk], *, is_patient: bool = True) -> int:
        """Look at what passed, in that order; returns how many chunks were looked at.

        That is all of them, but where one takes long and the caller is not patient: from that one on they are to be
        given again.
        """
        if self._is_stopped:
            return len(traffic)
        try:
            return self._look(traffic, is_patient=is_patient)
        except Exception as problem:  # noqa: BLE001 - a bug in inspection must not reach the transport
            self._stop(problem)
            return len(traffic)

    def _look(self, traffic: Sequence[PassedChunk], *, is_patient: bool) -> int:
        found: list[PassedMessage] = []
        looked_at = 0
        for is_client, chunk, at_ns in traffic:
            lines = self._client_lines if is_client else self._server_lines
            # One small line a read is what a session consists of, so it gets the shortest way.
            if not lines.pending and chunk.find(b"\n") == len(chunk) - 1:
                try:
                    found.append((is_client, decode_strictly(chunk), len(chunk), at_ns))
                    looked_at += 1
                    continue
                except (ValueError, RecursionError):
                    pass
            if not self._read_chunk(found, (is_client, chunk, at_ns), is_patient=is_patient):
                break
            looked_at += 1
            if len(found) >= MANY:
                self._ledger.passed(found)
                found = []
        if found:
            self._ledger.passed(found)
        return looked_at

    def _read_chunk(self, found: list[PassedMessage], passed: PassedChunk, *, is_patient: bool) -> bool:
        """Read a chunk that is no single sound line; False, and nothing was done, where that takes long."""
        is_client, chunk, at_ns = passed
        lines = self._client_lines if is_client else self._server_lines
        begun = chunk.find(b"\n") + 1 if lines.pending else 0  # the end of a line that began before
        end = chunk.rfind(b"\n") + 1
        if begun and lines.kept_bytes >= LARGE_LINE and not is_patient:
            return False
        messages: Sequence[Message] | None = None
        try:
            messages, sizes = decode_lines(chunk[begun:end])
        except (ValueError, RecursionError):
            if end - begun >= SLOW_LINE and not is_patient:
                return False
        if messages is None or not end:
            for block in lines.feed(chunk or b"\n"):
                self._read_block(found, (is_client, block, at_ns))
            return True
        if begun:
            for block in lines.feed(chunk[:begun]):
                self._read_block(found, (is_client, block, at_ns))
        self._add(found, is_client, messages, sizes, at_ns)
        if end < len(chunk):
            lines.feed(chunk[end:])
        return True

    def _read_block(self, found: list[PassedMessage], passed: tuple[bool, bytes | bytearray, int]) -> None:
        """Read whole lines, whatever is in them; none stands for one that was given up."""
        is_client, block, at_ns = passed
        if not block and not is_client:
            found.append((False, UNREADABLE, 0, at_ns))
            return
        lines: Iterable[bytes | bytearray] = (block,)
        if block.find(b"\n") != len(block) - 1:
            try:
                messages, sizes = decode_lines(block)
            except (ValueError, RecursionError):
                lines = block.split(b"\n")
            else:
                self._add(found, is_client, messages, sizes, at_ns)
                return
        for line in lines:
            if may_hold_message(line):
                found += zip(repeat(is_client), *self._read_line(line), repeat(at_ns))
            elif not is_client and line.strip(BLANK):
                self.on_stray_line(line, at_ns)

    def _add(
        self,
        found: list[PassedMessage],
        is_client: bool,
        messages: Sequence[Message],
        sizes: Sequence[int],
        at_ns: int,
    ) -> None:
        """Add messages to those that were found, or pass them on at once if they are many."""
        traffic = zip(repeat(is_client), messages, sizes, repeat(at_ns))
        if len(messages) < WORTH_A_CALL:
            found += traffic
            return
        if found:
            self._ledger.passed(found)
            found.clear()
        self._ledger.passed(traffic)

    def _read_line(self, line: bytes | bytearray) -> tuple[Sequence[Message], Sequence[int]]:
        """Read a line that begins as a message does, whatever is in it."""
        began_ns = perf_counter_ns()
        read = read_sized_line(line)
        self._worked_ns += perf_counter_ns() - began_ns
        if self._worked_ns > WORK_NS:
            sleep(PAUSE_S)
            self._worked_ns = 0
        return read

    def on_client_message(self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0) -> bytes:
        """The client sent a message, decoded already; not forwarded yet. Returns what to forward: its line."""
        if not self._is_stopped:
            try:
                self._ledger.passed(((True, message, len(line), at_ns or perf_counter_ns()),), scope=scope)
            except Exception as problem:  # noqa: BLE001 - as above
                self._stop(problem)
        return line

    def on_server_message(
        self, line: bytes, message: Message, *, scope: Hashable = None, at_ns: int = 0, http_status: int | None = None
    ) -> None:
        """The server sent a message, decoded already; forwarded already."""
        if not self._is_stopped:
            try:
                traffic = ((False, message, len(line), at_ns or perf_counter_ns()),)
                self._ledger.passed(traffic, scope=scope, http_status=http_status)
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
        """How many lines of the server were no JSON-RPC, and when the first passed, by `time.perf_counter_ns`."""
        return self._stray_lines, self._first_stray_ns

    def on_stray_line(self, _line: bytes | bytearray, at_ns: int = 0) -> None:
        """The server sent a line that is no JSON-RPC; for a transport that decodes messages itself."""
        if not self._stray_lines:
            self._first_stray_ns = at_ns or perf_counter_ns()
        self._stray_lines += 1

    def _stop(self, problem: Exception) -> None:
        already, self._is_stopped = self._is_stopped, True
        try:
            self._ledger.close("evicted")
            if self._report is not None and not already:
                self._report(f"tool calls are no longer counted in this session: {problem!r}")
        except Exception:  # noqa: BLE001, S110 - the transport must go on, and there is no one left to tell
            pass
