"""Shows exactly what would be sent, without sending it: for the demo server, for people, for the documentation.

The request is the one `exporter` would post, made by the same function. Opens nothing.
"""

from __future__ import annotations

from time import time_ns

from thv.analytics.constants import ENDPOINT
from thv.analytics.otlp import Counts, ReportRequest
from thv.analytics.otlp import request_for as _request_for


def request_for(successes: int, errors: int, *, now_ns: int | None = None) -> ReportRequest:
    """The POST that would report these counts: method, URL, headers, body bytes, and `readable_body()`.

    Args:
        successes: tool calls that succeeded.
        errors: tool calls that failed.
        now_ns: nanoseconds since the epoch; the present by default.
    """
    return _request_for(Counts(successes, errors), endpoint=ENDPOINT, now_ns=time_ns() if now_ns is None else now_ns)
