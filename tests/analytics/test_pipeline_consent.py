"""Consent is asked again right before each export; after a no, everything counted is forgotten for good."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.analytics.scripts import run_alone
from tests.sink import PATIENCE, Sink
from thv.analytics.history import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.analytics.conftest import MakeAnalytics

NEVER = 3600.0
"""An interval that does not end within a test."""

UNHURRIED = 60.0
"""A closing budget, in seconds, for tests of what is sent and not of when."""


class Answer:
    """A consent that can be withdrawn."""

    def __init__(self) -> None:
        self.given = True
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.given


def test_a_no_during_the_session_forgets_what_was_counted(sink: Sink, make_analytics: MakeAnalytics) -> None:
    consent = Answer()
    analytics = make_analytics(sink, consent=consent, interval=NEVER)
    analytics.record(["success"])
    analytics.client_disconnected()
    sink.wait_for(1)
    consent.given = False
    analytics.record(["error"])
    analytics.close(UNHURRIED)
    assert [request.counts for request in sink.requests] == [{"success": 1}]
    assert not analytics._provider.has_news()


def test_after_a_no_nothing_is_counted_even_if_it_is_taken_back(sink: Sink, make_analytics: MakeAnalytics) -> None:
    consent = Answer()
    analytics = make_analytics(sink, consent=consent, interval=NEVER)
    consent.given = False
    analytics.record(["success"])
    analytics.client_disconnected()
    assert analytics._thread is not None
    analytics._thread.join(UNHURRIED)
    consent.given = True
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert sink.connections == 0
    assert not analytics._provider.has_news()


def test_a_no_drops_counts_that_a_failed_export_kept(sink: Sink, make_analytics: MakeAnalytics) -> None:
    sink.mode = "503"
    consent = Answer()
    analytics = make_analytics(sink, consent=consent, interval=NEVER)
    analytics.record(["success"])
    analytics.client_disconnected()
    sink.wait_for(1)
    sink.mode = "ok"
    consent.given = False
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert len(sink.requests) == 1
    assert not analytics._provider.has_kept()


def test_consent_is_asked_before_each_export_and_never_for_an_outcome(
    sink: Sink, make_analytics: MakeAnalytics
) -> None:
    consent = Answer()
    analytics = make_analytics(sink, consent=consent, interval=NEVER)
    for _ in range(1000):
        analytics.record(["success"])
    analytics.client_disconnected()
    sink.wait_for(1)
    before_the_second = consent.asked
    assert before_the_second == 2  # before the notice and TLS, and before the export
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert consent.asked == before_the_second + 1
    assert len(sink.requests) == 2


def test_a_consent_that_raises_is_a_no(sink: Sink, make_analytics: MakeAnalytics) -> None:
    def broken() -> bool:
        raise OSError("the disk is on fire")

    analytics = make_analytics(sink, consent=broken)
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert sink.connections == 0


def test_a_no_before_the_first_export_shows_no_notice_and_keeps_no_history(
    sink: Sink, make_analytics: MakeAnalytics, said: list[str], tmp_path: Path
) -> None:
    analytics = make_analytics(sink, consent=lambda: False)
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert said == []
    assert read(lambda: tmp_path / "state") == []


def test_a_no_before_the_first_export_imports_no_tls() -> None:
    ran = run_alone("""
        import sys, threading
        from thv.analytics.pipeline import UsageAnalytics
        analytics = UsageAnalytics(lambda: False, activity=lambda: 0, quiet=0.0, endpoint="https://127.0.0.1:1/")
        analytics.record(["success"])
        analytics.close(60)
        print("ssl" in sys.modules, "socket" in sys.modules)
    """)
    assert (ran.output, ran.errors) == ("False False", "")


ONE_REPORT = """
import sys, threading
from thv.analytics.pipeline import UsageAnalytics

endpoint, ca = sys.argv[1:]
analytics = UsageAnalytics(lambda: True, activity=lambda: 0, quiet=0.0, endpoint=endpoint, ca_file=ca)
analytics.record(["success"])
analytics.close(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the redirections are those of a POSIX shell")
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/null", "2>/dev/full", "2>/dev/zero"])
def test_where_stderr_cannot_be_read_nothing_is_sent_and_the_notice_is_still_due(
    redirection: str, sink: Sink, home: Path
) -> None:
    def run(how: str) -> str:
        words = ["sh", "-c", f'exec "$0" -c "$1" "$2" "$3" {how}', sys.executable, ONE_REPORT]
        done = subprocess.run(
            [*words, sink.endpoint, str(sink.ca_file)], capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return done.stderr

    assert run(redirection) == ""
    assert sink.connections == 0
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert "Anonymous usage analytics are on" in run("")
    assert len(sink.requests) == 1
