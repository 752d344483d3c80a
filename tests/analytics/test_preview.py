"""What is shown is what would be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thv.analytics.constants import ENDPOINT
from thv.analytics.preview import request_for

if TYPE_CHECKING:
    from tests.analytics.conftest import MakeAnalytics
    from tests.sink import Sink


def test_the_preview_is_byte_for_byte_what_the_pipeline_sends(sink: Sink, make_analytics: MakeAnalytics) -> None:
    analytics = make_analytics(sink)
    for _ in range(3):
        analytics.record(["success"])
    analytics.record(["error"])
    before = request_for(3, 1)
    analytics.client_disconnected()
    [received] = sink.wait_for(1)
    after = request_for(3, 1)
    assert received.body in {before.body, after.body}  # the minute may have turned
    here = f"127.0.0.1:{sink.port}"
    shown = before.to_bytes().partition(b"\r\n\r\n")[0].decode()
    assert received.head == shown.replace("analytics.toolhive.stacklok.dev", here)


def test_the_preview_names_the_real_endpoint() -> None:
    assert request_for(1, 0).url == ENDPOINT
    assert request_for(1, 0).method == "POST"
