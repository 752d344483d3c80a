"""The end of a session: the last counts go out, and nothing waits for an endpoint that does not take them."""

from __future__ import annotations

import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.analytics.scripts import OURS, run
from tests.sink import PATIENCE, Mode, Sink

if TYPE_CHECKING:
    from pathlib import Path

    from tests.analytics.conftest import MakeAnalytics

NEVER = 3600.0
"""An interval that does not end within a test."""

UNHURRIED = 60.0
"""A closing budget, in seconds, for tests of what is sent and not of when."""

NOTICEABLE = 5.0
"""Seconds by which `close` has surely returned with its own budget; the SDK's own shutdown takes 7 to 30."""


@pytest.mark.parametrize(
    "mode", ["refuse", "blackhole", "silent", "drip", "drip-tls", "tls-bad-cert", "flood", "503", "500", "redirect"]
)
@pytest.mark.parametrize("client_leaves_first", [True, False])
def test_closing_never_waits_for_a_bad_endpoint(
    mode: Mode, client_leaves_first: bool, make_analytics: MakeAnalytics
) -> None:
    with Sink(mode=mode) as sink:
        analytics = make_analytics(sink, interval=NEVER)
        analytics.record(["success"])
        if client_leaves_first:
            analytics.client_disconnected()
            if mode != "refuse":
                sink.wait_for_connections(1)
        begun = monotonic()
        analytics.close()
        assert monotonic() - begun < NOTICEABLE


def test_closing_never_waits_for_a_name_lookup(
    sink: Sink, make_analytics: MakeAnalytics, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> None:
        asked.set()
        answer.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    analytics = make_analytics(sink, interval=NEVER)
    analytics.record(["success"])
    analytics.client_disconnected()
    assert asked.wait(PATIENCE)
    begun = monotonic()
    analytics.close()
    assert monotonic() - begun < NOTICEABLE
    answer.set()
    assert analytics._thread is not None
    analytics._thread.join(PATIENCE)


def test_closing_never_waits_for_a_stderr_nobody_reads(sink: Sink, make_analytics: MakeAnalytics) -> None:
    read = threading.Event()
    analytics = make_analytics(sink, warn=lambda _: read.wait(PATIENCE))
    analytics.record(["success"])
    begun = monotonic()
    analytics.close()
    assert monotonic() - begun < NOTICEABLE
    assert sink.connections == 0
    read.set()


def test_closing_twice_is_harmless(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink)
    analytics.record(["success"])
    analytics.close(UNHURRIED)
    analytics.close(UNHURRIED)
    analytics.record(["success"])
    analytics.client_disconnected()
    assert [request.counts for request in sink.requests] == [{"success": 1}]


@pytest.mark.parametrize("mode", ["ok", "refuse", "tls-bad-cert", "503", "blackhole"])
def test_the_process_ends_silently_whatever_the_endpoint_does(mode: Mode, tmp_path: Path) -> None:
    job = """
        analytics.record(["success"])
        analytics.client_disconnected()
        analytics.close()
        print("done")
    """
    with Sink(mode=mode) as sink:
        ran = run(OURS, job, sink, state=tmp_path)
    assert (ran.exit_code, ran.output, ran.errors) == (0, "done", "")
