"""Programs for fresh interpreters: the stock SDK and our pipeline, doing the same job in the same environment.

Each prelude defines `record(status)` and `finish()`; a job is the code that follows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.sink import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sink import Sink

COUNT_ONE = 'record("success")\nfinish()'
"""The plainest job."""


@dataclass(frozen=True)
class Ran:
    """What a script did."""

    exit_code: int
    output: str
    errors: str


def stock(exporter: str = "headers={}", provider: str = "") -> str:
    """A MeterProvider and an OTLPMetricExporter as the SDK's documentation has them, with these further arguments."""
    if "certificate_file" not in exporter:
        exporter = f"certificate_file=ca, {exporter}"
    return f"""
import sys, threading
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource

endpoint, ca, state = sys.argv[1:]
exporter = OTLPMetricExporter(endpoint=endpoint, {exporter})
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
provider = MeterProvider([reader], {provider})
counter = provider.get_meter("toolhive.usage_analytics").create_counter("toolhive_usage_tool_calls_total")
def record(status):
    counter.add(1, {{"status": status}})
def finish():
    provider.shutdown()
"""


OURS = """
import sys, threading
from thv.analytics.pipeline import UsageAnalytics

endpoint, ca, state = sys.argv[1:]
analytics = UsageAnalytics(
    lambda: True, activity=lambda: 0, warn=lambda text: None, quiet=0.0, interval=3600.0,
    endpoint=endpoint, ca_file=ca, state_dir=lambda: state,
)
def record(status):
    analytics.record([status])
def finish():
    analytics.close(60.0)
"""


def run(prelude: str, job: str, sink: Sink, *, state: Path, **environ: str) -> Ran:
    """Run a job against a sink, with these variables set besides the test's own."""
    return run_alone(prelude + textwrap.dedent(job), sink.endpoint, str(sink.ca_file), str(state), **environ)


def run_alone(code: str, *arguments: str, **environ: str) -> Ran:
    """Run a script that needs no sink."""
    # The stock exporter would trust these rather than the certificate it is given.
    base = {name: value for name, value in os.environ.items() if name not in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}}
    seen = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**base, **environ},
        timeout=2 * PATIENCE,
    )
    return Ran(seen.returncode, seen.stdout.strip(), seen.stderr)
