"""The shutdown ladder, step by step, on a clock that the test owns."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from thv.process import shutdown
from thv.process.shutdown import POLL, ShutdownLadder

if TYPE_CHECKING:
    from collections.abc import Callable

INT, TERM, HUP = int(signal.SIGINT), int(signal.SIGTERM), 1

Step = tuple[float, str]


class Server:
    """A server that never exits by itself, and a clock that moves when the ladder waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps: list[Step] = []
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.ladder = ShutdownLadder(self, lambda: self.now)

    def send_signal(self, number: int) -> None:
        self._note(f"signal {number}")

    def close_stdin(self) -> None:
        self._note("close stdin")

    def terminate(self) -> None:
        self._note("SIGTERM to the group")

    def kill(self) -> None:
        self._note("SIGKILL to the group")

    def _note(self, step: str) -> None:
        self.steps.append((round(self.now, 3), step))

    def at(self, when: float, act: Callable[[], None]) -> None:
        self.due.append((when, act))

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        for when, act in sorted(self.due, key=lambda entry: entry[0]):
            if when <= end:
                self.due.remove((when, act))
                self.now = when
                act()
                return  # something happened, so the wait ends early
        self.now = end

    async def sleep_on_a_loop(self, seconds: float) -> None:
        self.sleep(seconds)


def never() -> bool:
    return False


@pytest.fixture
def server() -> Server:
    return Server()


AFTER_THE_END_OF_INPUT = [(0, "close stdin"), (5, "SIGTERM to the group"), (10, "SIGKILL to the group")]


def test_after_the_end_of_input_come_sigterm_and_then_sigkill(server: Server) -> None:
    server.ladder.close_input()
    assert not shutdown.run(server.ladder, never, server.sleep)
    assert server.steps == AFTER_THE_END_OF_INPUT
    assert server.now == pytest.approx(11)  # the system has a second to carry SIGKILL out


def test_the_driver_for_asyncio_takes_the_same_steps_at_the_same_times(server: Server) -> None:
    server.ladder.close_input()
    assert not asyncio.run(shutdown.run_on_asyncio(server.ladder, never, server.sleep_on_a_loop))
    assert server.steps == AFTER_THE_END_OF_INPUT
    assert server.now == pytest.approx(11)


@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_after_a_signal_come_the_end_of_input_sigterm_and_sigkill(server: Server, number: int) -> None:
    server.ladder.hand_on(number)
    assert not shutdown.run(server.ladder, never, server.sleep)
    assert server.steps == [
        (0, f"signal {number}"),
        (5, "close stdin"),
        (10, "SIGTERM to the group"),
        (15, "SIGKILL to the group"),
    ]


def test_after_a_last_signal_comes_sigkill(server: Server) -> None:
    server.ladder.close_input()
    server.at(1.0, lambda: server.ladder.hand_on(TERM, is_last=True))
    server.at(2.0, server.ladder.close_input)
    assert not shutdown.run(server.ladder, never, server.sleep)
    assert server.steps == [(0, "close stdin"), (1, f"signal {TERM}"), (6, "SIGKILL to the group")]


def test_a_server_that_was_only_handed_a_signal_was_not_ended(server: Server) -> None:
    server.ladder.close_input()
    server.ladder.hand_on(HUP)
    assert (server.ladder.was_signalled, server.ladder.was_ended) == (True, False)
    server.ladder.terminate()
    assert server.ladder.was_ended


def test_each_signal_is_handed_on_and_starts_the_wait_anew(server: Server) -> None:
    server.ladder.hand_on(INT)
    for when, number in ((0.1, TERM), (4.0, INT), (4.0, INT)):
        server.at(when, lambda number=number: server.ladder.hand_on(number))  # type: ignore[misc]  # mypy infers no type for a default
    shutdown.run(server.ladder, never, server.sleep)
    assert server.steps[:5] == [
        (0, f"signal {INT}"),
        (0.1, f"signal {TERM}"),
        (4, f"signal {INT}"),
        (4, f"signal {INT}"),
        (9, "close stdin"),
    ]


def test_a_signal_after_the_end_of_input_starts_that_wait_anew(server: Server) -> None:
    """A server that began to end at the end of input may begin a second clean-up, and needs its time for it."""
    server.ladder.close_input()
    server.at(4.5, lambda: server.ladder.hand_on(TERM))
    server.at(11.0, lambda: server.ladder.hand_on(TERM))
    shutdown.run(server.ladder, never, server.sleep)
    assert server.steps == [
        (0, "close stdin"),
        (4.5, f"signal {TERM}"),
        (9.5, "SIGTERM to the group"),
        (11, f"signal {TERM}"),
        (16, "SIGKILL to the group"),
    ]


def test_the_end_of_input_after_a_signal_is_passed_on_at_once(server: Server) -> None:
    server.ladder.hand_on(INT)
    server.at(1.0, server.ladder.close_input)
    shutdown.run(server.ladder, never, server.sleep)
    assert server.steps[:3] == [(0, f"signal {INT}"), (1, "close stdin"), (6, "SIGTERM to the group")]


def run_blocking(server: Server, calls_are_open: Callable[[], bool]) -> None:
    shutdown.run(server.ladder, never, server.sleep, calls_are_open)


def run_on_asyncio(server: Server, calls_are_open: Callable[[], bool]) -> None:
    asyncio.run(shutdown.run_on_asyncio(server.ladder, never, server.sleep_on_a_loop, calls_are_open))


DRIVERS = pytest.mark.parametrize("drive", [run_blocking, run_on_asyncio])


@DRIVERS
def test_open_calls_are_waited_for_ten_seconds(
    server: Server, drive: Callable[[Server, Callable[[], bool]], None]
) -> None:
    server.ladder.close_input()
    drive(server, lambda: True)
    assert server.steps[1][1] == "SIGTERM to the group"
    assert server.steps[1][0] == pytest.approx(10, abs=POLL)


def test_open_calls_are_waited_for_ten_seconds_from_the_last_sign_of_work_on(server: Server) -> None:
    server.ladder.close_input()
    shutdown.run(server.ladder, never, server.sleep, lambda: True, lambda: server.now < 42)
    assert server.steps[1][1] == "SIGTERM to the group"
    assert server.steps[1][0] == pytest.approx(52, abs=2 * POLL)


def test_work_without_an_end_is_waited_for_ten_minutes(server: Server) -> None:
    server.ladder.hand_on(INT)
    server.at(3.0, server.ladder.close_input)
    on_a_loop = shutdown.run_on_asyncio(server.ladder, never, server.sleep_on_a_loop, lambda: True, lambda: True)
    assert not asyncio.run(on_a_loop)
    assert server.steps[2][1] == "SIGTERM to the group"
    assert server.steps[2][0] == pytest.approx(3 + 600 + 10, abs=2 * POLL)


def test_a_server_at_work_on_nothing_that_was_asked_has_five_seconds(server: Server) -> None:
    server.ladder.close_input()
    shutdown.run(server.ladder, never, server.sleep, lambda: False, lambda: True)
    assert server.steps == AFTER_THE_END_OF_INPUT


@DRIVERS
def test_once_the_last_call_is_answered_the_server_has_five_seconds_from_then(
    server: Server, drive: Callable[[Server, Callable[[], bool]], None]
) -> None:
    server.ladder.close_input()
    drive(server, lambda: server.now < 3)
    assert server.steps[1][0] == pytest.approx(8, abs=POLL)


def test_a_client_that_waits_for_nothing_begins_with_sigterm(server: Server) -> None:
    server.ladder.close_input()
    server.ladder.terminate()
    server.at(1.0, server.ladder.terminate)
    assert not shutdown.run(server.ladder, never, server.sleep, lambda: True, lambda: True)
    assert server.steps == [(0, "close stdin"), (0, "SIGTERM to the group"), (5, "SIGKILL to the group")]


def test_a_person_who_insists_skips_the_ladder(server: Server) -> None:
    server.ladder.hand_on(INT)
    server.at(0.5, server.ladder.kill)
    server.at(0.6, server.ladder.kill)
    shutdown.run(server.ladder, never, server.sleep)
    assert server.steps == [(0, f"signal {INT}"), (0.5, "SIGKILL to the group")]


@pytest.mark.parametrize("exit_at", [0.0, 3.0, 5.5, 12.0])
def test_no_step_is_taken_once_the_server_has_exited(server: Server, exit_at: float) -> None:
    server.ladder.hand_on(TERM)
    server.at(exit_at, lambda: None)
    assert shutdown.run(server.ladder, lambda: server.now >= exit_at, server.sleep)
    assert all(when <= exit_at for when, _ in server.steps)


def test_an_official_client_is_through_with_its_own_steps_before_the_first_of_ours(server: Server) -> None:
    """End of input, 2 s, SIGTERM, 2 s, SIGKILL: when it kills thv, the server was sent nothing but what it sent."""
    server.ladder.close_input()
    server.at(2.0, lambda: server.ladder.hand_on(TERM))
    shutdown.run(server.ladder, lambda: server.now >= 4, server.sleep)
    assert server.steps == [(0, "close stdin"), (2, f"signal {TERM}")]
