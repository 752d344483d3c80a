"""Reporting costs little memory, beside a Python that has loaded the same libraries and nothing of thv."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.analytics.scripts import run_alone

if TYPE_CHECKING:
    from tests.sink import Sink

LIMIT_KIB = 4096
"""What thv's own modules, a thread and a handshake may add: about twice what they do on CPython 3.11 to 3.13."""

PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
"""

LIBRARIES = """
import os, sys, threading
import thv.core.light_msgspec, msgspec.json, re, functools
import socket, ssl
from thv.core.net.tls_context import create_tls_context
create_tls_context(environment=False)
create_tls_context(sys.argv[2], system=False, environment=False)
print(peak())
"""

REPORTING = """
import os, sys, threading
import thv.instrumentation.instrumentation
from thv.analytics.pipeline import UsageAnalytics
from thv.analytics.transport import create_ssl_context
from thv.instrumentation.usage_consent import UsageConsent

analytics = UsageAnalytics(
    UsageConsent({"HOME": os.environ["HOME"]}).is_given,
    activity=lambda: 0, quiet=0.0, endpoint=sys.argv[1], ca_file=sys.argv[2], warn=lambda text: None,
)
analytics.record(["success"])
create_ssl_context()  # the system's authorities, which the test's own do not weigh
analytics.close(60)
print(peak())
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_report_costs_little_beside_the_libraries_it_needs(sink: Sink) -> None:
    where = (sink.endpoint, str(sink.ca_file))
    base = int(run_alone(PEAK + LIBRARIES, *where).output)
    ran = run_alone(PEAK + REPORTING, *where)
    assert ran.errors == ""
    peak, modules = ran.output.split("\n", 1)
    assert len(sink.requests) == 1
    assert int(peak) - base < LIMIT_KIB
    # What a report must not bring along: each of these costs half a MiB to 10.
    heavy = {"opentelemetry", "google", "requests", "urllib", "http", "email", "pathlib", "dataclasses", "inspect"}
    heavy |= {"json", "platformdirs", "unicodedata", "typing_extensions", "subprocess", "tempfile", "random"}
    assert not heavy & set(modules.split())
