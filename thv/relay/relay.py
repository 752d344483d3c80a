"""The relay: a client on our stdin and stdout, a server process behind, and an orderly end whatever happens.

`thv.process.shutdown` says how a server is ended. Here: what counts as the client's leaving, which signals are
handed on, and that the server's last output is delivered before `run` returns.

The main thread only waits: it wakes when something ended, never in between.
"""

from __future__ import annotations

import _thread
import os
import time

from thv.process import shutdown
from thv.process.client_ends import has_reader, is_regular_file
from thv.process.main_thread_events import (
    CLIENT_EOF,
    CLIENT_GONE,
    CLIENT_HUNG_UP,
    ENDING_SIGNALS,
    EXITED,
    IGNORED_AT_START,
    SERVER_EOF,
    SERVER_STDIN_CLOSED,
)
from thv.process.server_process import grow_pipe
from thv.process.shutdown import EOF_GRACE, FIRST_PROCESS, POLL, REPLY_GRACE, ShutdownLadder
from thv.relay.pump import Pump, ignore, is_idle, wait_writable, wait_writable_watching
from thv.relay.traffic_queue import TrafficQueue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import TrafficObserver
    from thv.process.main_thread_events import Events
    from thv.process.server_process import ServerProcess

SIGINT = 2
"""What a terminal sends for Ctrl-C. (The `signal` module costs 5 ms before the spawn.)"""


EXIT_GRACE = 1.0
"""Seconds between the end of a server's output and its exit; then it closed its output and stays."""

LATE_OUTPUT_GRACE = 1.5
"""Seconds for what still holds the server's stdout when the server has exited at the end of its input, such as a filter
behind a shell's `exec > >(filter)`: less than the 2 s after which clients send a signal, which ends the wait."""


class Relay:
    """Relays one session.

    Args:
        server: the running server.
        events: what ended, and signals to thv.
        requests_are_open: whether the server still has requests to answer.
        output_closed: called once if the server closes its output and stays, though the client is there.
        client_disconnected: called once, at the client's EOF or a signal to thv, once the server has been told.
        rewrite: gives what is forwarded to the server in place of each chunk of the client's, an empty one being the
            end; it inspects the chunk itself, so no other inspector is given it.
        client_is_thv: the client is `thv mcp`. It gives a server that it asks to end as long as we do and then kills
            us: the server is asked once.

    Attributes:
        ended_by_server: once `run` has returned, whether the server ended while the client was there.
        ending_signal: the first signal to thv that asked it to end, or the handed on one that ended the server.
        unanswered: whether thv ended the server with requests open, though no signal had come.
        closed_output: whether the server closed its output while the client was there, and stayed until thv ended it.
        has_read: whether the server read what the client sent last before it ended, as far as the system tells.
    """

    def __init__(
        self,
        server: ServerProcess,
        events: Events,
        *,
        requests_are_open: Callable[[], bool],
        client_disconnected: Callable[[], None],
        output_closed: Callable[[], None] | None = None,
        rewrite: Callable[[bytes], bytes] | None = None,
        client_is_thv: bool = False,
    ) -> None:
        self._server = server
        self._requests_are_open = requests_are_open
        self._client_is_thv = client_is_thv
        self._client_disconnected = client_disconnected
        self._output_closed = output_closed
        self._events = events
        self._traffic = TrafficQueue(is_direct=rewrite is not None)
        self._client_to_server = Pump(
            0,
            server.stdin,
            ignore if rewrite is not None else self._traffic.on_client_data,
            inspect_before_forwarding=True,
            grow_pipe=grow_pipe,
            wait=self._wait_for_server,
            rewrite=rewrite,
        )
        self._server_to_client = Pump(
            server.stdout, 1, self._traffic.on_server_data, inspect_before_forwarding=False, grow_pipe=grow_pipe
        )
        self._client_is_there = True
        self._watching_client = True
        self._hung_up = False
        self._exited = False
        self._server_eof = False
        self._ladder = ShutdownLadder(server)
        self._signalled = False
        self._passed_on: set[int] = set()
        self._client_reads = True
        self._stdin_is_file = is_regular_file(0)
        self._read_before = 0
        self.ending_signal: int | None = None
        self.unanswered = self.closed_output = False
        self.has_read = True
        self._interrupts = 0
        self._has_terminal = os.isatty(0)
        self.ended_by_server = False

    @property
    def ended_by(self) -> str:
        """Who ended the session, once `run` has returned: `server`, `signal` (one to thv), or `client`."""
        return "server" if self.ended_by_server else "signal" if self._signalled else "client"

    @property
    def lost_output(self) -> OSError | None:
        """Why the client did not get what the server wrote, unless the client left: a full disk, for example."""
        error = self._server_to_client.sink_error
        return None if isinstance(error, BrokenPipeError | ConnectionResetError | None) else error

    def start(self) -> None:
        """Begin to relay. Returns at once; nothing slow happens before.

        Raises:
            RuntimeError: the system has no thread left.
        """
        for task in (self._pump_client_to_server, self._pump_server_to_client, self._await_exit):
            _thread.start_new_thread(task, ())

    def observe(self, observer: TrafficObserver, *, is_costly: bool = False) -> None:
        """Give the observer the session's traffic, from its first byte on; call it once.

        `is_costly`: see `TrafficQueue.begin`.
        """
        self._traffic.begin(observer, is_costly=is_costly)

    def activity(self) -> int:
        """A number that changes whenever something passes."""
        return self._client_to_server.chunks_read + self._server_to_client.chunks_read

    def run(self) -> int:
        """Wait for the session to end, end the server, deliver its last output. Call it on the main thread.

        Returns:
            The exit code of the server, or 128 + N if signal N ended it.
        """
        while self._client_is_there and not self._server_eof and not self._exited:
            forwarded = self._client_to_server.chunks_written
            is_quiet = not self._next(REPLY_GRACE if self._hung_up else None)
            if is_quiet and self._hung_up and forwarded == self._client_to_server.chunks_written:
                self._note_client_left()  # and the server does not read what it was sent
        self.ended_by_server = self._client_is_there
        stays = self.ended_by_server and self._stays()
        self.has_read = self._has_read()
        if stays and self._output_closed is not None:
            self._output_closed()
        if not self._ladder.has_started:  # the client left, or the server closed its stdout
            self._ladder.close_input()
        shutdown.run(self._ladder, lambda: self._exited, self._next, self._calls_are_open, self._is_at_work)
        self._deliver_last_output()
        self._traffic.close()
        is_waited_for = self._client_reads and not self._signalled and not self.ended_by_server
        self.unanswered = is_waited_for and self._ladder.was_ended and self._requests_are_open()
        self.closed_output = stays and self._ladder.was_signalled
        exit_code = self._server.reap() if self._exited else 128 + 9
        if exit_code - 128 in self._passed_on and self.ended_by_server:
            self._note_signal(exit_code - 128)
            self.ended_by_server = False
        if os.getpid() == FIRST_PROCESS:
            shutdown.run(self._ladder, lambda: not self._server.has_live_descendants(), _sleep_briefly)
        self._server.let_go()
        return exit_code

    def _pump_client_to_server(self) -> None:
        self._client_to_server.run()
        if not self._client_to_server.sink_gone:
            self._client_to_server.inspect(b"")  # before the end is acted upon, for what stands last may be a request
        self._events.put(SERVER_STDIN_CLOSED if self._client_to_server.sink_gone else CLIENT_EOF)

    def _pump_server_to_client(self) -> None:
        self._server_to_client.run()
        if self._server_to_client.sink_gone:
            self._events.put(CLIENT_GONE)
            self._server_to_client.drain()
        self._server_to_client.inspect(b"")  # likewise: what stands last may be a reply
        self._events.put(SERVER_EOF)

    def _await_exit(self) -> None:
        self._server.wait()
        self._events.put(EXITED)

    def _wait_for_server(self, fd: int) -> None:
        """Sleep until the server reads again. A client that is killed meanwhile could not be noticed by reading."""
        if self._watching_client:
            has_event, hung_up = wait_writable_watching(fd, 0)
            if not has_event:
                return
            self._watching_client = False
            if hung_up:
                self._events.put(CLIENT_HUNG_UP)
        wait_writable(fd)

    def _next(self, timeout: float | None) -> bool:
        """Sleep until something happens, at most `timeout` seconds, and take note of it; False if nothing did."""
        event = self._events.get(timeout)
        if event is None:
            return False
        if event < CLIENT_EOF:
            self._hand_on(event)
        elif event == SERVER_EOF:
            self._server_eof = True
            _replace_by_null(1)  # the client sees the end of our output now, not when we have tidied up
        elif event == EXITED:
            self._exited = True
        elif event == SERVER_STDIN_CLOSED:
            # The server reads no more: let the client's next write fail, as it would without us.
            _replace_by_null(0)
            self._events.watch_reader(1)  # its end of file will not come that way any more
        elif event == CLIENT_HUNG_UP:
            self._hung_up = True
        else:
            self._ladder.close_input()
            self._note_client_left()
        return True

    def _hand_on(self, number: int) -> None:
        """Hand a signal on to the server; a person's second Ctrl-C ends it at once.

        A client may send SIGINT more than once, and other signals after it, so only a terminal on stdin makes it a
        person's. A signal that asks for nothing in particular is the server's own affair: it may write its log anew.
        So is one that was ignored when thv was started.
        """
        if number not in ENDING_SIGNALS or number in IGNORED_AT_START:
            self._passed_on.add(number)
            if self._ladder.has_started:
                self._ladder.hand_on(number)  # it may begin another clean-up
            else:
                self._server.send_signal(number)
            return
        self._interrupts += number == SIGINT
        if number == SIGINT and self._interrupts > 1 and self._has_terminal:
            self._ladder.kill()
        else:
            self._ladder.hand_on(number, is_last=self._client_is_thv)
        self._note_signal(number)

    def _note_signal(self, number: int) -> None:
        self._signalled = True
        self.ending_signal = self.ending_signal or number
        self._note_client_left()

    def _note_client_left(self) -> None:
        if self._client_is_there:
            self._client_is_there = False
            self._traffic.catch_up()  # no more than that: other signals may follow
            self._client_disconnected()

    def _stays(self) -> bool:
        """Whether the server has ended its output only; waits for a moment, since nearly all exit with it."""
        end = time.monotonic() + EXIT_GRACE
        while not self._exited and self._client_is_there and (left := end - time.monotonic()) > 0:
            self._next(left)
        return not self._exited and self._client_is_there

    def _has_read(self) -> bool:
        pump = self._client_to_server
        return pump.chunks_written > 0 and not pump.sink_gone and not self._server.unread_input()

    def _calls_are_open(self) -> bool:
        if self._server_eof or self.ended_by_server:
            return False
        self._traffic.catch_up()
        return self._requests_are_open()

    def _is_at_work(self) -> bool:
        """Whether the server may need more time for open requests, though the client's input has ended.

        A server that has not said anything yet is starting. The end of a file is not a client that left. A client that
        is gone, or that sent a signal, does not wait.
        """
        self._client_reads = self._client_reads and not self._server_to_client.sink_gone and has_reader(1)
        if self._signalled or not self._client_reads:
            return False
        read, self._read_before = self._read_before, self._server_to_client.chunks_read
        return self._stdin_is_file or self._read_before == 0 or self._read_before > read

    def _deliver_last_output(self) -> None:
        """Wait for the server's stdout to end: what it wrote is the client's.

        What the server started may hold the pipe open. A client that is there may want what it prints, so its group is
        ended before thv leaves; a client that has left saw the server exit in its time, and it is left to the watchdog.
        """
        self._ladder.close_input()
        pump = self._server_to_client
        read, moved_at = pump.chunks_read, time.monotonic()
        while not self._server_eof:
            self._next(POLL)
            now = time.monotonic()
            is_pending = pump.chunks_read != pump.chunks_written
            if pump.chunks_read != read or (is_pending and self._client_is_there):
                read, moved_at = pump.chunks_read, now  # a client that reads slowly is waited for while it is there
            elif is_pending:
                if now - moved_at > (EOF_GRACE if self._signalled else REPLY_GRACE):
                    return
            elif now - moved_at > self._quiet_time() and is_idle(self._server.stdout) and not self._end_descendants():
                return

    def _quiet_time(self) -> float:
        """How long nothing may come from a server that has exited, until the rest of its group is not waited for."""
        if self._client_is_there:
            return EOF_GRACE
        # A wrapper may have exited before the server behind it answered its last calls.
        if self._signalled:
            return POLL
        if self._calls_are_open():
            return REPLY_GRACE
        return LATE_OUTPUT_GRACE if self._client_reads and has_reader(1) else POLL

    def _end_descendants(self) -> bool:
        """Go on ending what the server left in its group, for a client that is there; False if nothing can be done."""
        if not self._client_is_there or not self._exited:
            return False
        self._server.reap()  # now, or it would count as one that lives
        return self._server.has_live_descendants() and self._ladder.advance() is not None


def _sleep_briefly(seconds: float) -> None:
    time.sleep(min(seconds, POLL))


def _replace_by_null(fd: int) -> None:
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, fd)
    os.close(devnull)
