"""Nothing that passes makes the tap raise, and what it cannot look at is not waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.stories import awaited
from thv.core.lines import MAX_INSPECTED
from thv.instrumentation import inspector
from thv.instrumentation.inspector import LARGE_LINE, SLOW_LINE, TrafficInspector
from thv.ledger.ledger import ToolCallLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thv.core.interfaces import Outcome, PassedMessage
    from thv.core.message import Message


CALL = b'{"id":1,"method":"tools/call"}\n'


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=50)), max_size=20))
def test_no_bytes_make_the_tap_raise_or_stop(chunks: list[tuple[bool, bytes]]) -> None:
    reports: list[str] = []
    tap = TrafficInspector(ToolCallLedger(), report=reports.append)
    for from_client, chunk in chunks:
        tap.on_traffic([(from_client, chunk, 1)])
    assert reports == []


def test_a_last_request_without_newline_is_a_request_once_the_client_ended() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    tap = TrafficInspector(ledger)
    tap.on_client_data(CALL.rstrip())
    assert awaited(ledger) == 0
    tap.on_client_data(b"")
    assert awaited(ledger) == 1
    tap.on_traffic([(False, b'{"id":1,"result":{}}\n', 1)])
    assert outcomes == ["success"]
    tap.on_client_data(b"")
    tap.on_client_data(b'{"id":2,"method":"tools/call"')
    tap.on_client_data(b"")
    assert awaited(ledger) == 0, "the half of a request is none"


def test_a_bug_in_looking_ends_the_looking_and_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes: list[Outcome] = []
    reports: list[str] = []
    ledger = ToolCallLedger([outcomes.extend])
    passed = ledger.passed

    def fail_at_replies(traffic: Sequence[PassedMessage]) -> None:
        assert all(is_client for is_client, *_ in traffic)
        passed(traffic)

    monkeypatch.setattr(ledger, "passed", fail_at_replies)
    tap = TrafficInspector(ledger, report=reports.append)
    tap.on_client_data(CALL)
    assert awaited(ledger) == 1
    for _ in range(3):
        tap.on_traffic([(False, b'{"id":1,"result":{}}\n', 1)])
        tap.on_client_data(CALL)
    assert awaited(ledger) == 0, "replies that are not inspected must not be waited for"
    ledger.server_exited()
    assert outcomes == []
    assert len(reports) == 1
    assert "AssertionError" in reports[0]


def test_stray_lines_are_counted_and_the_first_has_the_time_at_which_it_passed() -> None:
    tap = TrafficInspector(ToolCallLedger())
    assert tap.stray_lines() == (0, None)
    tap.on_traffic([(True, b"INFO\n", 1), (False, CALL, 2), (False, b"\r\n \nINFO\n", 3), (False, b"INFO\n" * 2, 4)])
    assert tap.stray_lines() == (3, 3)


def test_a_report_that_fails_does_not_reach_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where the error is raised to the caller, which is the relay."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    ledger = ToolCallLedger()
    monkeypatch.setattr(ledger, "passed", fail)
    TrafficInspector(ledger, report=fail).on_client_data(CALL)


def test_a_failing_observer_does_not_stop_the_looking() -> None:
    def fail(_: Sequence[Outcome]) -> None:
        raise RuntimeError

    outcomes: list[Outcome] = []
    reports: list[str] = []
    tap = TrafficInspector(ToolCallLedger([fail, outcomes.extend]), report=reports.append)
    for _ in range(2):
        tap.on_client_data(CALL)
        tap.on_traffic([(False, b'{"id":1,"error":{"code":1}}\n', 1)])
    assert outcomes == ["error", "error"]
    assert reports == []


def test_a_reply_too_large_to_keep_is_not_waited_for() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    tap = TrafficInspector(ledger)
    tap.on_client_data(CALL)
    tap.on_traffic([(False, b'{"id":1,"result":{"structuredContent":[', 1)])
    piece = b'{"k":"v"},' * 100_000
    for _ in range(MAX_INSPECTED // len(piece) + 1):
        tap.on_traffic([(False, piece, 1)])
    tap.on_traffic([(False, b"1]}}\n", 1)])
    assert awaited(ledger) == 0
    tap.on_client_data(CALL)
    tap.on_traffic([(False, b'{"id":1,"result":{}}\n', 1)])
    ledger.server_exited()
    assert outcomes == ["success"]


def test_a_large_request_is_known_before_its_last_byte_is_forwarded() -> None:
    ledger = ToolCallLedger()
    tap = TrafficInspector(ledger)
    tap.on_client_data(b'{"method":"tools/call","params":{"arguments":{"text":"' + b"x" * 3_000_000)
    tap.on_client_data(b"x" * 3_000_000)
    tap.on_client_data(b'"}},"id":1}')
    assert awaited(ledger) == 0
    tap.on_client_data(b"\n")
    assert awaited(ledger) == 1


def test_a_server_that_dies_in_the_middle_of_a_reply_did_not_answer() -> None:
    outcomes: list[Outcome] = []
    ledger = ToolCallLedger([outcomes.extend])
    tap = TrafficInspector(ledger)
    tap.on_client_data(CALL)
    tap.on_traffic([(False, b'{"id":1,"result":{}}', 1)])
    ledger.server_exited()
    assert outcomes == ["error"]


BAD = b'{"id":1,"result":{"x":[NaN,%s]}}\n' % (b"1," * SLOW_LINE + b"1")
DEEP = b'{"id":1,"result":' + b"[" * 1_000 + b"]" * 1_000 + b"}\n"
LARGE = b'{"id":1,"result":{"content":[' + b",".join([b'"abcdef"'] * (LARGE_LINE // 8)) + b"]}}\n"


@pytest.mark.parametrize(
    "chunks",
    [[BAD], [DEEP], [LARGE[:-9], LARGE[-9:]], [CALL + BAD], [b'{"method":', b'"log"}\n' + BAD]],
    ids=["a number that is none", "deep", "large, in two pieces", "among others", "behind the end of a line"],
)
def test_what_takes_long_is_left_where_there_is_no_patience_and_looked_at_where_there_is(chunks: list[bytes]) -> None:
    outcomes: list[Outcome] = []
    tap = TrafficInspector(ToolCallLedger([outcomes.extend]))
    traffic = [(True, CALL, 1), *((False, chunk, 2) for chunk in chunks), (True, CALL, 3)]
    looked_at = tap.on_traffic(traffic, is_patient=False)
    assert looked_at == len(chunks)
    assert outcomes == []
    assert tap.on_traffic(traffic[looked_at:]) == len(traffic) - looked_at
    assert outcomes == ["success"]


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(
                [CALL, b'{"id":1,"result":{}}\n', BAD, DEEP, LARGE, b"INFO\n", b'{"id":1,', b'"result":{}}\n']
            )
            | st.binary(max_size=20),
        ),
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_nothing_is_missed_or_seen_twice_however_impatient_one_is(
    passed: list[tuple[bool, bytes]], at_once: int
) -> None:
    traffic = [(is_client, chunk, number) for number, (is_client, chunk) in enumerate(passed, 1)]
    patient: list[Outcome] = []
    one_by_one = TrafficInspector(ToolCallLedger([patient.extend]))
    for each in traffic:
        assert one_by_one.on_traffic([each]) == 1
    seen: list[Outcome] = []
    tap = TrafficInspector(ToolCallLedger([seen.extend]))
    while traffic:
        looked_at = tap.on_traffic(traffic[:at_once], is_patient=False)
        if looked_at < len(traffic[:at_once]):
            assert tap.on_traffic(traffic[looked_at : looked_at + 1]) == 1
            looked_at += 1
        del traffic[:looked_at]
    assert seen == patient
    assert tap.stray_lines()[0] == one_by_one.stray_lines()[0]


@pytest.mark.parametrize("odd", [BAD, b'{"id":1,"method":1}\n'], ids=["large", "small"])
def test_the_threads_that_carry_traffic_are_let_run_between_odd_lines(
    monkeypatch: pytest.MonkeyPatch, odd: bytes
) -> None:
    clock = [0]
    pauses: list[tuple[int, float]] = []

    def read_slowly(_line: bytes) -> tuple[list[Message], list[int]]:
        clock[0] += 200_000
        return [], []

    monkeypatch.setattr(inspector, "perf_counter_ns", lambda: clock[0])
    monkeypatch.setattr(inspector, "sleep", lambda seconds: pauses.append((clock[0], seconds)))
    monkeypatch.setattr(inspector, "read_sized_line", read_slowly)
    tap = TrafficInspector(ToolCallLedger())
    tap.on_traffic([(False, odd, 1)])
    assert pauses == [], "one alone takes no time from what follows"
    clock[0] += 1_000_000  # of other work
    tap.on_traffic([(False, b"a log line\n" + odd * 3 + CALL, 1)])
    assert pauses == [(1_400_000, inspector.PAUSE_S), (1_800_000, inspector.PAUSE_S)]
