"""How a server is ended: one ladder for every transport, with a driver for a thread that may block and one for asyncio.

Nothing that would have run to its end without thv is cut short by thv. Clients escalate by themselves (official SDKs:
end of input, 2 s, SIGTERM, 2 s, SIGKILL), so the ladder is more patient than they are:

    a client's signal    -> the same signal to the server's pid, each time
    SIGNAL_GRACE         -> the server's stdin is closed; at the client's end of input this is the first step
    EOF_GRACE            -> SIGTERM to the whole process group; REPLY_GRACE while requests are open, from the last sign
                            of work on; WORK_GRACE in all
    TERM_GRACE           -> SIGKILL to the whole process group
    KILL_GRACE           -> given up: the watchdog goes on trying

A client's signal starts the current wait anew: the server may have begun another clean-up.
(MCP, "Lifecycle, Shutdown", stdio.) Imports nothing slow: it is loaded before the server is started.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    class EndableServer(Protocol):
        """What the ladder does to a server."""

        def send_signal(self, number: int) -> None:
            """Send a signal to the server's process alone."""

        def close_stdin(self) -> None:
            """Close the server's standard input."""

        def terminate(self) -> None:
            """Send SIGTERM to the server's process group, and let it go on if it is stopped."""

        def kill(self) -> None:
            """Send SIGKILL to the server's process group."""


SIGNAL_GRACE = 5.0
"""Seconds after a client's signal before the server's stdin is closed, too: some servers ignore signals, not the end of
their input. Clients that mean more than one signal send the next one long before."""

EOF_GRACE = 5.0
"""Seconds a server has to exit once its stdin is closed and no request is open: more than the 4 s after which official
clients send SIGKILL."""

REPLY_GRACE = 10.0
"""Seconds to wait, after the end of input, for requests that are still open: replies in flight are not lost."""

WORK_GRACE = 600.0
"""Seconds to wait at most for open requests of a server that is at work for a client that is there: it may have to be
downloaded before it starts, and nothing would end it without thv."""

TERM_GRACE = 5.0
"""Seconds between our SIGTERM and SIGKILL."""

KILL_GRACE = 1.0
"""Seconds for the system to carry out SIGKILL; a process it cannot end is left to the watchdog."""

POLL = 0.05
"""Seconds between two looks at what no event reports: open calls, and processes that are not our children."""

FIRST_PROCESS = 1
"""The process id of a container's first process: with its end the system ends all others at once."""

RUNNING, SIGNALLED, INPUT_CLOSED, TERMINATED, KILLED, GIVEN_UP = range(6)


class ShutdownLadder:
    """The state of one server's shutdown. It acts on the server, and never waits itself.

    Args:
        server: what is to end.
        clock: seconds, as `time.monotonic` counts them.
    """

    def __init__(self, server: EndableServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._stage = RUNNING
        self._handed_on = False
        self._entered = self._busy_at = self._closed_at = 0.0

    @property
    def has_started(self) -> bool:
        """Whether anything asked the server to end."""
        return self._stage != RUNNING

    @property
    def was_signalled(self) -> bool:
        """Whether the server was sent any signal, a client's or ours."""
        return self._handed_on or self._stage > INPUT_CLOSED

    @property
    def was_ended(self) -> bool:
        """Whether the ladder went on to SIGTERM or SIGKILL: a signal that was handed on is the client's."""
        return self._stage > INPUT_CLOSED

    def close_input(self) -> None:
        """The client will send nothing more: the server sees that, too."""
        if self._stage < INPUT_CLOSED:
            self._server.close_stdin()
            self._enter(INPUT_CLOSED)
            self._closed_at = self._entered

    def hand_on(self, number: int, *, is_last: bool = False) -> None:
        """Send a client's signal to the server, as the client would have done without us.

        `is_last`: it stands for our SIGTERM, which does not follow; SIGKILL does.
        """
        self._server.send_signal(number)
        self._handed_on = True
        if is_last and self._stage < TERMINATED:
            self._enter(TERMINATED)
        elif self._stage == RUNNING:
            self._enter(SIGNALLED)
        elif self._stage < KILLED:
            self._enter(self._stage)

    def terminate(self) -> None:
        """Skip the patience: nothing that is open is waited for any more."""
        if self._stage < TERMINATED:
            self._server.terminate()
            self._enter(TERMINATED)

    def kill(self) -> None:
        """Skip the rest of the ladder."""
        if self._stage < KILLED:
            self._server.kill()
            self._enter(KILLED)

    def advance(self, *, calls_are_open: bool = False, is_at_work: bool = False) -> float | None:
        """Take the steps that are due.

        Args:
            calls_are_open: the server still has requests to answer.
            is_at_work: it is seen to work on them, or is still starting.

        Returns:
            Seconds after which to ask again, or None: there is nothing left to do.
        """
        while (left := self._seconds_left(calls_are_open, is_at_work)) <= 0:
            if self._stage == SIGNALLED:
                self.close_input()
            elif self._stage == INPUT_CLOSED:
                self.terminate()
            elif self._stage == TERMINATED:
                self.kill()
            else:
                self._stage = GIVEN_UP
                return None
        return left

    def _seconds_left(self, calls_are_open: bool, is_at_work: bool) -> float:
        now = self._clock()
        if self._stage == SIGNALLED:
            return self._entered + SIGNAL_GRACE - now
        if self._stage == TERMINATED:
            return self._entered + TERM_GRACE - now
        if self._stage == INPUT_CLOSED:
            if calls_are_open:
                self._busy_at = now
                if is_at_work and now - self._closed_at < WORK_GRACE:
                    self._entered = now
                return min(self._entered + REPLY_GRACE - now, POLL)
            return min(self._busy_at + EOF_GRACE, self._entered + REPLY_GRACE + EOF_GRACE) - now
        return self._entered + KILL_GRACE - now if self._stage == KILLED else 0.0

    def _enter(self, stage: int) -> None:
        self._stage = stage
        self._entered = self._busy_at = self._clock()


def run(
    ladder: ShutdownLadder,
    has_ended: Callable[[], bool],
    sleep: Callable[[float], object],
    calls_are_open: Callable[[], bool] | None = None,
    is_at_work: Callable[[], bool] | None = None,
) -> bool:
    """Drive a ladder on a thread that may block.

    Args:
        ladder: one that has started.
        has_ended: whether there is nothing left to end.
        sleep: waits for so many seconds, or until something happened.
        calls_are_open: whether the server still has requests to answer.
        is_at_work: whether it is seen to work on them, or is still starting.

    Returns:
        Whether it ended; False if even SIGKILL was in vain.
    """
    while not has_ended():
        left = ladder.advance(
            calls_are_open=calls_are_open is not None and calls_are_open(),
            is_at_work=is_at_work is not None and is_at_work(),
        )
        if left is None:
            return has_ended()
        sleep(left)
    return True


async def run_on_asyncio(
    ladder: ShutdownLadder,
    has_ended: Callable[[], bool],
    sleep: Callable[[float], Awaitable[object]],
    calls_are_open: Callable[[], bool] | None = None,
    is_at_work: Callable[[], bool] | None = None,
) -> bool:
    """The same on an event loop: `sleep` is awaited."""
    while not has_ended():
        left = ladder.advance(
            calls_are_open=calls_are_open is not None and calls_are_open(),
            is_at_work=is_at_work is not None and is_at_work(),
        )
        if left is None:
            return has_ended()
        await sleep(left)
    return True
