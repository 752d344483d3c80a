"""The pipeline writes down what it sends, when it sends, and nothing waits for that or is changed by it."""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest

from tests.sink import PATIENCE, Mode, Sink
from thv.analytics import history
from thv.analytics.history import HISTORY, Export, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.analytics.conftest import MakeAnalytics

UNHURRIED = 60.0
"""A closing budget, in seconds, for tests of what is kept and not of when."""

NOTICEABLE = 5.0
"""Seconds by which `close` has surely returned with its own budget."""


def told(directory: Path) -> list[tuple[int, int, str]]:
    return [(export.success, export.error, export.result) for export in read(lambda: directory)]


def wait_for_one(directory: Path) -> None:
    until = monotonic() + PATIENCE
    while not read(lambda: directory) and monotonic() < until:
        sleep(0.005)


def test_each_export_is_remembered_with_what_it_counted_and_what_became_of_it(
    sink: Sink, make_analytics: MakeAnalytics, tmp_path: Path
) -> None:
    analytics = make_analytics(sink)
    for _ in range(3):
        analytics.record(["success"])
    analytics.client_disconnected()
    sink.wait_for(1)
    analytics.record(["error"])
    analytics.close(UNHURRIED)
    sent = [(r.counts.get("success", 0), r.counts.get("error", 0), "taken") for r in sink.requests]
    assert told(tmp_path / "state") == sent == [(3, 0, "taken"), (0, 1, "taken")]


@pytest.mark.parametrize(
    ("mode", "result"),
    [("refuse", "not taken"), ("tls-bad-cert", "not taken"), ("503", "not taken"), ("500", "unknown"), ("ok", "taken")],
)
def test_the_result_is_what_is_certain(mode: Mode, result: str, make_analytics: MakeAnalytics, tmp_path: Path) -> None:
    with Sink(mode=mode) as sink:
        analytics = make_analytics(sink)
        analytics.record(["success"])
        analytics.close(UNHURRIED)
    assert told(tmp_path / "state") == [(1, 0, result)]


def test_an_export_that_the_end_cut_short_is_remembered(make_analytics: MakeAnalytics, tmp_path: Path) -> None:
    with Sink(mode="silent") as sink:
        analytics = make_analytics(sink)
        analytics.record(["success"])
        analytics.client_disconnected()
        sink.wait_for_connections(1)
        analytics.close(0.0)
        assert told(tmp_path / "state") == [(1, 0, "unknown")]


def test_without_an_outcome_there_is_no_history(sink: Sink, make_analytics: MakeAnalytics, tmp_path: Path) -> None:
    make_analytics(sink).close()
    assert not (tmp_path / "state").exists()


def test_the_minute_remembered_is_the_minute_sent(sink: Sink, make_analytics: MakeAnalytics, tmp_path: Path) -> None:
    analytics = make_analytics(sink)
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    [request] = sink.requests
    [point] = request.message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    [export] = read(lambda: tmp_path / "state")
    assert export.minute == history.minute_of(int(point["timeUnixNano"]))


def test_a_history_that_cannot_be_written_changes_nothing_that_is_sent(
    sink: Sink, make_analytics: MakeAnalytics, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    analytics = make_analytics(sink, state_dir=lambda: tmp_path / "file", debug=False)
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert [request.counts for request in sink.requests] == [{"success": 1}]
    assert len(said) == 1


def test_what_was_remembered_before_changes_no_byte_that_is_sent(
    sink: Sink, make_analytics: MakeAnalytics, tmp_path: Path
) -> None:
    history.append(Export("2026-11-22T16:23Z", 41, 42, "not taken"), lambda: tmp_path / "state")
    analytics = make_analytics(sink)
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    assert [request.counts for request in sink.requests] == [{"success": 1}]


def test_closing_never_waits_for_a_disk_that_hangs(
    sink: Sink, make_analytics: MakeAnalytics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hang(_: Export, __: str) -> None:
        asked.set()
        answered.wait(PATIENCE)

    monkeypatch.setattr(history, "_append", hang)
    analytics = make_analytics(sink)
    analytics.record(["success"])
    analytics.client_disconnected()
    assert asked.wait(PATIENCE)
    begun = monotonic()
    analytics.close()
    assert monotonic() - begun < NOTICEABLE
    answered.set()
    assert analytics._thread is not None
    analytics._thread.join(PATIENCE)


def test_clearing_while_a_session_runs_forgets_what_was_and_keeps_what_comes(
    sink: Sink, make_analytics: MakeAnalytics, tmp_path: Path
) -> None:
    analytics = make_analytics(sink)
    analytics.record(["success"])
    analytics.client_disconnected()
    sink.wait_for(1)
    wait_for_one(tmp_path / "state")
    history.clear(lambda: tmp_path / "state")
    analytics.record(["error"])
    analytics.close(UNHURRIED)
    assert told(tmp_path / "state")[-1] == (0, 1, "taken")
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"usage-analytics-notice-shown", f"{HISTORY}.1"}
