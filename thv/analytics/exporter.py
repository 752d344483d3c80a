"""Sends counts, and decides whether they may ever be sent again: no outcome is reported twice.

Reads no environment, logs nothing, and is used by one thread.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import time_ns
from typing import TYPE_CHECKING

from thv.analytics import clean_process
from thv.analytics.constants import TIMEOUT
from thv.analytics.history import BEGUN, Export, minute_of
from thv.analytics.report_delivery import DeliveryStatus

if TYPE_CHECKING:
    import ssl
    import subprocess
    from collections.abc import Callable

    from thv.analytics.otlp import ReportRequest
    from thv.analytics.provider import AnalyticsMeterProvider
    from thv.analytics.report_delivery import ReportDelivery


class Exporter:
    """Posts what a provider has collected to one endpoint.

    Args:
        provider: holds the counts.
        endpoint: an https URL.
        ca_file: trust these certificates instead of the system's; only tests do.
        clock: nanoseconds since the epoch; only the minute of it is sent.
        timeout: seconds for one export, see `transport.post`.
        remember: called twice for each export, when it begins and with its result, for the history. Must not raise.
        report: called with each request and what became of it, for `--debug`.
    """

    def __init__(
        self,
        provider: AnalyticsMeterProvider,
        *,
        endpoint: str,
        ca_file: str | None = None,
        clock: Callable[[], int] = time_ns,
        timeout: float = TIMEOUT,
        remember: Callable[[Export], None] | None = None,
        report: Callable[[ReportRequest, ReportDelivery], None] | None = None,
    ) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._ca_file = ca_file
        self._clock = clock
        self._timeout = timeout
        self._remember = remember
        self._report = report
        self._in_clean_process = clean_process.is_needed(os.environ)
        self._process: subprocess.Popen[bytes] | None = None
        self._context: ssl.SSLContext | None = None

    def load(self) -> None:
        """Import and read what the first export needs: the TLS library and the certificates."""
        if not self._in_clean_process:
            from thv.analytics.transport import create_ssl_context

            self._context = create_ssl_context(self._ca_file)

    def abandon(self) -> None:
        """End a process that still sends. Called by the thread that ends the session."""
        if self._process is not None:
            with suppress(OSError):
                self._process.kill()

    def export(self) -> DeliveryStatus | None:
        """Send what the provider has; None if it had nothing, and then there is no request.

        Counts are kept for the next export only when it is certain that the server did not take them.
        """
        counts = self._provider.collect()
        if not counts:
            return None
        now_ns = self._clock()
        request = self._provider.message(counts, endpoint=self._endpoint, now_ns=now_ns)
        begun = Export(minute_of(now_ns), counts.success, counts.error, BEGUN)
        if self._remember is not None:
            self._remember(begun)
        delivery = self._post(request)
        if self._remember is not None:
            self._remember(begun._replace(result=delivery.status.value))
        if delivery.status is DeliveryStatus.NOT_TAKEN:
            self._provider.keep(counts)
        if self._report is not None:
            self._report(request, delivery)
        return delivery.status

    def _post(self, request: ReportRequest) -> ReportDelivery:
        if self._in_clean_process:
            return clean_process.post(request, self._ca_file, self._timeout, os.environ, self._started)
        from thv.analytics.transport import post

        if self._context is None:
            self.load()
        assert self._context is not None  # noqa: S101  loaded above
        return post(request, self._context, self._timeout)

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
