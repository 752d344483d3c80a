"""The relay: a client on our stdin and stdout, a server process behind, and an orderly end whatever happens.

The end (MCP, "Lifecycle, Shutdown", stdio): client EOF → the server's stdin is closed → wait while calls are open, at
most `REPLY_GRACE`, else `EOF_GRACE` → SIGTERM → `TERM_GRACE` → SIGKILL, each to the whole process group. A signal to
thv goes straight to SIGTERM, a second one to SIGKILL. The server's last output is delivered before `run` returns.

The main thread only waits: it wakes when something ended, never in between.
"""

from __future__ import annotations

import _thread
import os
import time

from thv.process.events import CLIENT_EOF, CLIENT_GONE, CLIENT_HUNG_UP, EXITED, SERVER_DEAF, SERVER_EOF, SIGNALLED
from thv.process.server_process import grow_pipe
from thv.relay.early_traffic import EarlyTrafficBuffer
from thv.relay.pump import Pump, ignore, wait_writable, wait_writable_watching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from thv.core.interfaces import Look
    from thv.process.events import Events
    from thv.process.server_process import ServerProcess

EOF_GRACE = 1.5
"""Seconds a server has to exit after its stdin was closed and no call is open."""

REPLY_GRACE = 10.0
"""Seconds to wait, after the client's EOF, for calls that are still open: replies in flight are not lost."""

TERM_GRACE = 1.5
"""Seconds between SIGTERM and SIGKILL; also for output that a dead server's children hold back."""

LAST_GRACE = 1.0
"""Seconds for the system to carry out SIGKILL; after them thv leaves, and the watchdog goes on trying."""

POLL = 0.05
"""Seconds between two looks at open calls, during the shutdown only."""


class Relay:
    """Relays one session.

    Args:
        server: the running server.
        events: where what ends is told, and signals to thv.
        awaiting_reply: how many calls the server still has to answer.
        client_disconnected: called once, at the client's EOF or a signal to thv, before anything is ended.
        rewrite: gives what is forwarded to the server in place of each chunk of the client's, an empty one being the
            end; it looks at the chunk itself, so nobody else is shown it.

    Attributes:
        ended_by_server: once `run` has returned, whether the server ended while the client was there.
    """

    def __init__(
        self,
        server: ServerProcess,
        events: Events,
        *,
        awaiting_reply: Callable[[], int],
        client_disconnected: Callable[[], None],
        rewrite: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._server = server
        self._awaiting_reply = awaiting_reply
        self._client_gone = client_disconnected
        self._events = events
        self._hearing = EarlyTrafficBuffer()
        self._rewrites = rewrite is not None
        self._upward = Pump(
            0,
            server.stdin,
            ignore if self._rewrites else self._hearing.from_client,
            look_first=True,
            grow_pipe=grow_pipe,
            wait=self._wait_for_server,
            rewrite=rewrite,
        )
        self._downward = Pump(server.stdout, 1, self._hearing.from_server, look_first=False, grow_pipe=grow_pipe)
        self._client_is_there = True
        self._watching_client = True
        self._hung_up = False
        self._exited = False
        self._server_eof = False
        self._asked_to_end = False
        self._signals = 0
        self.ended_by_server = False

    @property
    def ended_by(self) -> str:
        """Who ended the session, once `run` has returned: `server`, `signal` (one to thv), or `client`."""
        return "server" if self.ended_by_server else "signal" if self._signals else "client"

    def start(self) -> None:
        """Begin to relay. Returns at once; nothing slow happens before."""
        _thread.start_new_thread(self._pump_upward, ())
        _thread.start_new_thread(self._pump_downward, ())

    def listen(
        self, from_client: Look, from_server: Look, passed_at: Callable[[int | None], None] | None = None
    ) -> None:
        """Show the session to whoever looks, from its first byte on; call it once.

        Args:
            from_client: shown each chunk before it is forwarded to the server, and an empty one at the client's EOF.
            from_server: shown each chunk after it was forwarded to the client.
            passed_at: told when what is shown late had passed; see `EarlyTrafficBuffer.begin`.
        """
        self._hearing.begin(from_client, from_server, passed_at)
        self._downward.look = from_server
        if not self._rewrites:
            self._upward.look = from_client

    def activity(self) -> int:
        """A number that changes whenever something passes."""
        return self._upward.taken + self._downward.taken

    def run(self) -> int:
        """Wait for the session to end, end the server, deliver its last output. Call it on the main thread.

        Returns:
            The exit code of the server, or 128 + N if signal N ended it.
        """
        _thread.start_new_thread(self._await_exit, ())
        while self._client_is_there and not self._server_eof and not self._exited:
            given = self._upward.given
            quiet = not self._next(REPLY_GRACE if self._hung_up else None)
            if quiet and self._hung_up and given == self._upward.given:
                self._note_client_gone()  # and the server does not read what it was sent
        self.ended_by_server = self._client_is_there
        if not self._exited:
            self._end_server()
        self._deliver_last_output()
        return self._server.close() if self._exited else 128 + 9

    def _pump_upward(self) -> None:
        self._upward.run()
        if not self._upward.sink_gone:
            self._upward.look(b"")  # before the end is acted upon, for what stands last may be a request
        self._events.put(SERVER_DEAF if self._upward.sink_gone else CLIENT_EOF)

    def _pump_downward(self) -> None:
        self._downward.run()
        if self._downward.sink_gone:
            self._events.put(CLIENT_GONE)
            self._downward.drain()
        self._events.put(SERVER_EOF)

    def _await_exit(self) -> None:
        self._server.wait()
        self._events.put(EXITED)

    def _wait_for_server(self, fd: int) -> None:
        """Sleep until the server reads again. A client that is killed meanwhile could not be noticed by reading."""
        if self._watching_client:
            befallen, hung_up = wait_writable_watching(fd, 0)
            if not befallen:
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
        if event == SERVER_EOF:
            self._server_eof = True
            _replace_by_null(1)  # the client sees the end of our output now, not when we have tidied up
        elif event == EXITED:
            self._exited = True
        elif event == SERVER_DEAF:
            # Nobody reads our stdin any more: let the client's next write fail, as it would without us.
            _replace_by_null(0)
            self._events.watch_reader(1)  # its end of file will not come that way any more
        elif event == CLIENT_HUNG_UP:
            self._hung_up = True
        else:
            self._signals += event == SIGNALLED
            self._note_client_gone()
        return True

    def _note_client_gone(self) -> None:
        if self._client_is_there:
            self._client_is_there = False
            self._client_gone()

    def _end_server(self) -> None:
        if not self._signals:
            self._server.close_stdin()
            self._await_replies_and_exit()
        if not self._exited:
            self._asked_to_end = True
            self._server.terminate()
            signals = self._signals
            self._until(lambda: self._exited or self._signals > signals, TERM_GRACE)
        if not self._exited:
            self._server.kill()
            self._until(lambda: self._exited, LAST_GRACE)

    def _await_replies_and_exit(self) -> None:
        began = idle_since = time.monotonic()
        while not self._exited and not self._signals:
            now = time.monotonic()
            waiting = not self._server_eof and not self.ended_by_server and self._awaiting_reply() > 0
            if waiting:
                idle_since = now
            deadline = began + REPLY_GRACE if waiting else min(idle_since + EOF_GRACE, began + REPLY_GRACE + EOF_GRACE)
            if now >= deadline:
                return
            self._next(POLL if waiting else deadline - now)

    def _deliver_last_output(self) -> None:
        """Wait for the server's stdout to end: what it wrote is the client's.

        A client that reads slowly is waited for as long as it is there; a child of the server that holds the pipe open
        is ended.
        """
        remedies = [self._server.kill] if self._asked_to_end else [self._server.terminate, self._server.kill]
        taken, moved_at = self._downward.taken, time.monotonic()
        while not self._server_eof:
            self._next(POLL)
            now = time.monotonic()
            in_hand = self._downward.taken != self._downward.given
            if self._downward.taken != taken or (in_hand and self._client_is_there):
                taken, moved_at = self._downward.taken, now
            elif now - moved_at > (REPLY_GRACE if in_hand and not self._signals else TERM_GRACE):
                if in_hand or not remedies:
                    return
                remedies.pop(0)()
                moved_at = now

    def _until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and (left := deadline - time.monotonic()) > 0:
            self._next(left)


def _replace_by_null(fd: int) -> None:
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, fd)
    os.close(devnull)
