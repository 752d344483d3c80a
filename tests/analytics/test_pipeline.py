"""Outcomes are counted as integers and sent late, rarely, once; and nothing waits for it or hears of it."""

from __future__ import annotations

import inspect
import json
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.analytics.scripts import OURS, run, run_alone
from tests.sink import PATIENCE, Sink
from thv.analytics.notice import NOTICE
from thv.analytics.pipeline import UsageAnalytics, jittered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.analytics.conftest import MakeAnalytics

NEVER = 3600.0
"""An interval that does not end within a test."""

UNHURRIED = 60.0
"""A closing budget, in seconds, for tests of what is sent and not of when."""


def of(analytics: UsageAnalytics, successes: int = 0, errors: int = 0) -> None:
    for _ in range(successes):
        analytics.record(["success"])
    for _ in range(errors):
        analytics.record(["error"])


def total(sink: Sink) -> dict[str, int]:
    sums: dict[str, int] = {}
    for request in sink.requests:
        for status, count in request.counts.items():
            sums[status] = sums.get(status, 0) + count
    return sums


def wait_until(condition: Callable[[], bool]) -> None:
    until = monotonic() + PATIENCE
    tick = threading.Event()
    while not condition():
        assert monotonic() < until, "it never came to pass"
        tick.wait(0.01)


class Watched(threading.Condition):
    """A condition that notes every wait: its timeout, None for one that only ends when notified."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self.notified = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)

    def notify(self, n: int = 1) -> None:
        self.notified += 1
        super().notify(n)


def analytics_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "thv-usage-analytics"]


def test_the_module_is_cheap_to_import() -> None:
    ran = run_alone("""
        import sys
        before = set(sys.modules)
        import thv.analytics.pipeline
        print(*sorted(set(sys.modules) - before - {"__future__"}))
    """)
    ours = ("", ".constants", ".pipeline", ".provider")
    assert ran.output.split() == ["thv", *(f"thv.analytics{name}" for name in ours)]


def test_without_an_outcome_there_is_no_thread_and_no_connection(sink: Sink, make_analytics: MakeAnalytics) -> None:
    before = analytics_threads()
    analytics = make_analytics(sink)
    analytics.client_disconnected()
    analytics.close()
    assert analytics_threads() == before
    assert sink.connections == 0


def test_there_is_one_daemon_thread_however_many_outcomes(sink: Sink, make_analytics: MakeAnalytics) -> None:
    before = len(analytics_threads())
    analytics = make_analytics(sink, interval=0.01)
    of(analytics, successes=1)
    sink.wait_for(1)
    of(analytics, successes=1)
    sink.wait_for(2)
    [thread] = [thread for thread in analytics_threads() if thread is analytics._thread]
    assert thread.daemon
    assert len(analytics_threads()) == before + 1


def test_tls_is_not_loaded_before_the_relay_has_been_quiet_and_no_sdk_ever() -> None:
    ran = run_alone("""
        import json, sys, threading
        from thv.analytics.pipeline import UsageAnalytics

        looks = 0
        busy = True
        loaded = threading.Event()

        def activity():
            global looks
            if busy:
                looks += 1
            return looks

        def heavy():
            assert not {"opentelemetry", "google", "requests"} & {name.partition(".")[0] for name in sys.modules}
            return "ssl" in sys.modules

        seen = [heavy()]
        analytics = UsageAnalytics(
            lambda: True, activity=activity, warn=lambda text: loaded.set(), quiet=0.01, interval=3600.0, endpoint="https://127.0.0.1:1/"
        )
        seen.append(heavy())
        analytics.record(["success"])
        while looks < 20:
            loaded.wait(0.01)
        seen.append(heavy())
        busy = False
        loaded.wait(60)
        analytics.close(60)
        seen.append(heavy())
        print(json.dumps(seen))
    """)
    assert (ran.output, ran.errors) == ("[false, false, false, true]", "")


def test_a_relay_that_is_never_quiet_still_reports_at_the_interval(sink: Sink, make_analytics: MakeAnalytics) -> None:
    looks = iter(range(10**9))
    analytics = make_analytics(sink, activity=lambda: next(looks), quiet=0.01, interval=0.2)
    of(analytics, successes=1)
    assert sink.wait_for(1)[0].counts == {"success": 1}


@pytest.mark.parametrize("end", ["client_disconnected", "close"])
def test_a_busy_relay_does_not_hold_up_the_last_export(end: str, sink: Sink, make_analytics: MakeAnalytics) -> None:
    looks = iter(range(10**9))
    analytics = make_analytics(sink, activity=lambda: next(looks), quiet=NEVER, interval=NEVER)
    of(analytics, successes=2, errors=1)
    getattr(analytics, end)()
    assert sink.wait_for(1)[0].counts == {"success": 2, "error": 1}


def test_every_outcome_is_sent_once_however_exports_fall(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink, interval=0.001)
    for _ in range(50):
        of(analytics, successes=401, errors=101)
        sink.wait_for(1)
    analytics.client_disconnected()
    of(analytics, successes=7)
    analytics.close(UNHURRIED)
    assert total(sink) == {"success": 50 * 401 + 7, "error": 50 * 101}
    assert len(sink.requests) > 1


def test_outcomes_after_the_client_left_go_with_the_last_export(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink, interval=NEVER)
    of(analytics, successes=1)
    analytics.client_disconnected()
    sink.wait_for(1)
    of(analytics, errors=1)
    analytics.close(UNHURRIED)
    assert [request.counts for request in sink.requests] == [{"success": 1}, {"error": 1}]


def test_a_first_outcome_after_the_client_left_is_sent(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink, interval=NEVER, quiet=NEVER)
    analytics.client_disconnected()
    of(analytics, errors=1)
    assert sink.wait_for(1)[0].counts == {"error": 1}


def test_while_nothing_new_is_counted_nothing_wakes_up(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink, interval=0.01)
    analytics._condition = watched = Watched()
    for exports in (1, 2):
        of(analytics, successes=1)
        sink.wait_for(exports)
        wait_until(lambda: bool(watched.waits) and watched.waits[-1] is None)
        asleep = len(watched.waits)
        # The last wait has no timeout and nobody notifies: it cannot end by itself.
        of(analytics)
        assert len(watched.waits) == asleep
    assert len(sink.requests) == 2
    with_a_timeout = [wait for wait in watched.waits if wait is not None]
    assert all(wait <= 0.012 for wait in with_a_timeout)


def test_outcomes_between_two_exports_wake_nobody(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink, interval=NEVER)
    analytics._condition = watched = Watched()
    of(analytics, successes=1)
    wait_until(lambda: bool(watched.waits) and (watched.waits[-1] or 0) > NEVER / 2)
    before, notified = len(watched.waits), watched.notified
    of(analytics, successes=1000)
    assert watched.notified == notified
    analytics.close(UNHURRIED)
    assert total(sink) == {"success": 1001}
    assert len(watched.waits) <= before + 1  # `close` itself


def test_what_was_declined_goes_with_the_next_outcomes_and_is_not_pressed_at_exit(
    sink: Sink, make_analytics: MakeAnalytics
) -> None:
    sink.mode = "503"
    analytics = make_analytics(sink, interval=NEVER)
    of(analytics, successes=1)
    analytics.client_disconnected()
    sink.wait_for(1)
    analytics.close(UNHURRIED)
    assert [request.counts for request in sink.requests] == [{"success": 1}]

    sink.requests.clear()
    analytics = make_analytics(sink, interval=NEVER)
    of(analytics, successes=1)
    analytics.client_disconnected()
    sink.wait_for(1)
    sink.mode = "ok"
    of(analytics, errors=1)
    analytics.close(UNHURRIED)
    assert sink.requests[-1].counts == {"success": 1, "error": 1}


def test_the_notice_comes_before_the_first_connection_and_once(sink: Sink, make_analytics: MakeAnalytics) -> None:
    connections_when_told: list[int] = []

    def warn(text: str) -> None:
        assert text == NOTICE
        connections_when_told.append(sink.connections)

    for _ in range(2):
        analytics = make_analytics(sink, warn=warn)
        of(analytics, successes=1)
        analytics.close(UNHURRIED)
    assert connections_when_told == [0]
    assert len(sink.requests) == 2


def test_without_an_outcome_there_is_no_notice(sink: Sink, make_analytics: MakeAnalytics, said: list[str]) -> None:
    make_analytics(sink).close()
    assert said == []


def test_when_the_notice_cannot_be_shown_nothing_is_ever_sent(sink: Sink, make_analytics: MakeAnalytics) -> None:
    def fail(_: str) -> None:
        raise OSError("stderr is closed")

    analytics = make_analytics(sink, warn=fail, interval=0.001)
    of(analytics, successes=1)
    analytics.client_disconnected()
    of(analytics, successes=1)
    analytics.close(UNHURRIED)
    of(analytics, successes=1)
    assert sink.connections == 0
    assert analytics._finished


def test_debug_shows_each_payload_with_its_destination_and_result(
    sink: Sink, make_analytics: MakeAnalytics, said: list[str]
) -> None:
    analytics = make_analytics(sink, debug=True)
    of(analytics, successes=2)
    analytics.client_disconnected()
    sink.wait_for(1)
    sink.mode = "503"
    of(analytics, errors=1)
    analytics.close(UNHURRIED)
    assert said[0] == NOTICE
    results = ["taken (HTTP status 200)", "not taken (HTTP status 503)"]
    for told, request, result in zip(said[1:], sink.requests, results, strict=True):
        line, _, shown = told.partition("\n")
        assert sink.endpoint in line
        assert result in line
        assert json.loads(shown) == request.message


def test_without_debug_only_the_notice_is_ever_said(make_analytics: MakeAnalytics, said: list[str]) -> None:
    with Sink(mode="refuse") as sink:
        analytics = make_analytics(sink)
        of(analytics, successes=1)
        analytics.close(UNHURRIED)
    assert said == [NOTICE]


def test_an_explanation_nobody_can_read_changes_nothing(sink: Sink, make_analytics: MakeAnalytics) -> None:
    told: list[str] = []

    def warn(text: str) -> None:
        if told:
            raise OSError("stderr was closed meanwhile")
        told.append(text)

    analytics = make_analytics(sink, warn=warn, debug=True)
    of(analytics, successes=1)
    analytics.client_disconnected()
    sink.wait_for(1)
    of(analytics, errors=1)
    analytics.close(UNHURRIED)
    assert len(sink.requests) == 2


def test_a_bug_of_ours_ends_analytics_and_nothing_else(
    sink: Sink, make_analytics: MakeAnalytics, said: list[str]
) -> None:
    def broken() -> int:
        raise ZeroDivisionError("a bug")

    for changes in ({"activity": broken}, {"endpoint": "http://127.0.0.1/"}):
        analytics = make_analytics(sink, debug=True, **changes)
        of(analytics, successes=1)
        analytics.close(UNHURRIED)
        of(analytics, successes=1)
        assert "usage analytics stopped: " in said[-1]
    assert sink.connections == 0


def test_the_relay_is_left_alone_until_a_quarter_of_a_second_of_silence(
    make_analytics: MakeAnalytics, sink: Sink
) -> None:
    """Beside live traffic, importing TLS costs latency; so the time must be neither forgotten nor 0."""
    given = inspect.signature(UsageAnalytics).parameters["quiet"].default
    assert given == 0.25
    analytics = make_analytics(sink, quiet=given, interval=NEVER)
    analytics._condition = watched = Watched()
    of(analytics, successes=1)
    wait_until(lambda: bool(watched.waits))
    assert watched.waits[0] == given
    analytics.close(UNHURRIED)
    assert total(sink) == {"success": 1}


def test_traffic_starts_the_silence_anew(make_analytics: MakeAnalytics, sink: Sink) -> None:
    looks = iter([*range(10), *([10] * 1000)])
    analytics = make_analytics(sink, quiet=0.01, interval=NEVER, activity=lambda: next(looks))
    analytics._condition = watched = Watched()
    of(analytics, successes=1)
    wait_until(lambda: (watched.waits or [0])[-1] not in {0, 0.01, None})
    assert watched.waits[:5] == [0.01] * 5  # looked at twice each time, and there had been traffic


def test_an_interval_varies_by_up_to_a_fifth_and_no_more() -> None:
    drawn = [jittered(30.0) for _ in range(2000)]
    assert 24.0 <= min(drawn) < 24.6
    assert 35.4 < max(drawn) <= 36.0
    assert len(set(drawn)) > 1000


def test_the_thread_waits_for_a_jittered_interval(make_analytics: MakeAnalytics, sink: Sink) -> None:
    waits: set[float] = set()
    for _ in range(5):
        analytics = make_analytics(sink, interval=NEVER)
        analytics._condition = watched = Watched()
        of(analytics, successes=1)
        wait_until(lambda waits=watched.waits: (waits or [0])[-1] not in {0, None})  # type: ignore[misc]  # bound now
        waits.add(round(watched.waits[-1] or 0))
    assert len(waits) > 1
    assert all(0.8 * NEVER - PATIENCE <= wait <= 1.2 * NEVER for wait in waits)


def test_a_system_without_threads_left_loses_analytics_and_nothing_else(
    sink: Sink, make_analytics: MakeAnalytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    analytics = make_analytics(sink)

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        of(analytics, successes=2)
    analytics.client_disconnected()
    analytics.close()
    assert sink.connections == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("loaded", [True, False], ids=["after-loading", "before-any-outcome"])
def test_a_forked_child_neither_counts_nor_sends_nor_hangs(loaded: bool, sink: Sink, tmp_path: Path) -> None:
    job = """
        import os, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of what is tested here
        if LOADED:
            analytics.record(["success"])
            analytics.client_disconnected()
            while not analytics._finished and analytics._provider.has_news():
                time.sleep(0.01)
        child = os.fork()
        if child == 0:
            for _ in range(5):
                analytics.record(["error"])
            begun = time.monotonic()
            analytics.client_disconnected()
            analytics.close(60.0)
            waited = time.monotonic() - begun > 30.0
            os._exit(7 if threading.active_count() == 1 and not waited else 8)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        analytics.record(["success"])
        finish()
    """
    assert run(OURS, job.replace("LOADED", str(loaded)), sink, state=tmp_path).output == "7"
    assert total(sink) == {"success": 2 if loaded else 1}
